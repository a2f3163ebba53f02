# SPDX-License-Identifier: GPL-2.0-or-later
"""The packets of an association between two of our nodes.

Their types begin with NS_, so that Heartbeat 3.0.6 neither numbers nor misses them.

    NS_ha_hello   "this is my session; I am attached to that one of yours"
    NS_ha_data    a chunk of a frame, numbered; carries an acknowledgement too
    NS_ha_ack     all chunks up to `acknowledged` have arrived, and those of `missing` have not

Every one carries `session` (the sender's) and `attached` (the receiver's, as the sender knows it, 0 for none).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ha.heartbeat.model.wire import Fields, Value, WireError

MAX_MISSING_RANGES = 64  # in one acknowledgement; later gaps are reported when these are closed
MAX_CHUNK_BYTES = 64 * 1024
MAX_MODULE_NAME_LENGTH = 32
MAX_CHUNKS_OF_FRAME = 1 << 20

HELLO, DATA, ACK = "NS_ha_hello", "NS_ha_data", "NS_ha_ack"

FrameKind: TypeAlias = Literal["message", "up", "down"]


@dataclass(frozen=True, slots=True)
class Frame:
    """What an association carries: a message from module to module, or news that a module signed on or hung up."""

    kind: FrameKind
    from_module: str
    to_module: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Hello:
    """`over`: the receiver's sessions up to this one are over for the sender."""

    session: int
    attached: int
    over: int = 0


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a frame. `remaining` chunks of the same frame follow, the frames of one module never interleave.

    `number` counts the session's chunks from 1, `order` those of `from_module` alone: a loss holds up one module only.
    `push` asks for an acknowledgement at once.
    """

    session: int
    attached: int
    number: int
    order: int
    acknowledged: int
    kind: FrameKind
    from_module: str
    to_module: str
    remaining: int
    push: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Ack:
    """Of the chunks from `acknowledged` up to `seen`, exactly those of `missing` have not arrived."""

    session: int
    attached: int
    acknowledged: int
    seen: int
    missing: tuple[tuple[int, int], ...] = ()


_PUNCTUATION = str.maketrans("", "", "-_.")  # allowed in names beside letters and digits

StreamPacket: TypeAlias = Hello | Chunk | Ack


def to_fields(packet: StreamPacket) -> list[tuple[str, Value]]:
    """The packet's own fields; the sender's common ones are added to them."""
    session: list[tuple[str, Value]] = [("ss", f"{packet.session:x}"), ("ps", f"{packet.attached:x}")]
    if isinstance(packet, Hello):
        return [("t", HELLO), *session, ("over", f"{packet.over:x}")]
    if isinstance(packet, Ack):
        ranges = " ".join(f"{first:x}-{last:x}" for first, last in packet.missing)
        return [
            ("t", ACK),
            *session,
            ("ackseq", f"{packet.acknowledged:x}"),
            ("seen", f"{packet.seen:x}"),
            ("miss", ranges),
        ]
    return [
        ("t", DATA),
        *session,
        ("n", f"{packet.number:x}"),
        ("o", f"{packet.order:x}"),
        ("ackseq", f"{packet.acknowledged:x}"),
        ("k", packet.kind),
        ("from", packet.from_module),
        ("to", packet.to_module),
        ("left", f"{packet.remaining:x}"),
        ("push", "1" if packet.push else "0"),
        ("b", packet.data),
    ]


def from_fields(fields: Fields) -> StreamPacket:
    """The association's packet in `fields`. Raises WireError when a field is absent or out of its range."""
    kind = fields.text("t")
    session, attached = _number(fields, "ss"), _number(fields, "ps")
    if kind == HELLO:
        return Hello(session, attached, _number(fields, "over"))
    acknowledged = _number(fields, "ackseq")
    if kind == ACK:
        seen = _number(fields, "seen")
        if seen < acknowledged:
            raise WireError("an acknowledgement that contradicts itself")
        return Ack(session, attached, acknowledged, seen, _ranges(fields.text("miss")))
    if kind != DATA:
        raise WireError(f"{kind} is no packet of an association")
    frame_kind = fields.text("k")
    if frame_kind not in ("message", "up", "down"):
        raise WireError("unknown kind of frame")
    data, remaining = fields.binary("b"), _number(fields, "left")
    number, order = _number(fields, "n"), _number(fields, "o")
    if len(data) > MAX_CHUNK_BYTES or remaining >= MAX_CHUNKS_OF_FRAME or not 0 < order <= number:
        raise WireError("a chunk out of its limits")
    return Chunk(
        session,
        attached,
        number,
        order,
        acknowledged,
        frame_kind,  # type: ignore[arg-type]
        _module(fields.text("from")),
        _module(fields.text("to")) if frame_kind == "message" else "",
        remaining,
        fields.text("push") == "1",
        data,
    )


def is_module_name(name: str) -> bool:
    return 0 < len(name) <= MAX_MODULE_NAME_LENGTH and name.isascii() and name.translate(_PUNCTUATION).isalnum()


def _module(name: str) -> str:
    if not is_module_name(name):
        raise WireError("no name of a module")
    return name


def _number(fields: Fields, name: str) -> int:
    value = fields.hexadecimal(name)
    if value is None:
        raise WireError(f"no field {name}")
    return value


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    words = text.split(" ") if text else []
    if len(words) > MAX_MISSING_RANGES:
        raise WireError("too many ranges")
    ranges = []
    for word in words:
        first, dash, last = word.partition("-")
        number = Fields([("first", first), ("last", last)])
        low, high = number.hexadecimal("first"), number.hexadecimal("last")
        if not dash or low is None or high is None or low > high:
            raise WireError("a range that is none")
        ranges.append((low, high))
    return tuple(ranges)
