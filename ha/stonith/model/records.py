# SPDX-License-Identifier: GPL-2.0-or-later
"""What stonithd keeps over its restarts: tickets and outcomes while the machine lives, view and history for ever."""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

from ha.stonith.msg import DeviceDrill, DeviceRan, FenceEvent

VIEW = "view"
"""The name of the durable datum: the newest view known (P2)."""
HISTORY = "history"
"""The name of the durable datum: the fence history."""
DRILLS = "drills"
"""The name of the durable datum: what the drills of all nodes gave last."""
OUTCOMES = "outcomes"
"""The record of recent fence actions carried out here, for requests that are repeated."""
REGISTERED = "registered"
"""The record of the devices that the LRM has started here."""

Kind = Literal["fence", "monitor", "list", "drill"]
T = TypeVar("T")


class RecordError(Exception):
    """A record or ticket is not what it should be."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """`requester` is the node whose stonithd leads the fence."""

    kind: Kind
    key: str
    device: str
    action: str
    target: str
    requester: str


class Outcomes(msgspec.Struct, frozen=True):
    newest_last: list[DeviceRan]


class Registered(msgspec.Struct, frozen=True):
    devices: list[str]


class History(msgspec.Struct, frozen=True):
    events: list[FenceEvent]


class Drills(msgspec.Struct, frozen=True):
    drills: list[DeviceDrill]


def encode(value: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """Raises RecordError for anything but a whole `kind`."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(f"no {kind.__name__}: {error}") from error
