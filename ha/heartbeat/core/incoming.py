# SPDX-License-Identifier: GPL-2.0-or-later
"""The receiving half of an association: chunks in any order become frames, each once, in each module's order.

Every module of the peer has a lane of its own, so that a loss in one module's large message does not hold up the
others (as the streams of SCTP, RFC 9260).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ha.heartbeat.model.stream import MAX_MISSING_RANGES, Chunk, Frame
from ha.machine import Instant

MAX_CHUNKS_AHEAD = 4096  # beyond a gap; more than any sender of ours has under way
MAX_FRAME_BYTES = 79 * 1024 * 1024  # a CIB of the greatest size (64 MB) and more; with its envelope it fits ha.ipc
MAX_WAITING_BYTES = 3 * MAX_FRAME_BYTES  # of unfinished frames, all modules together
MAX_LANES = 1024
ACK_DELAY_MS = 5
ACK_EVERY_CHUNKS = 8
GAP_EVERY_CHUNKS = 3  # while something is missing; fewer may only have overtaken each other


class Violation(Exception):
    """The peer does what the protocol forbids though its packets are authentic. The text says what."""


@dataclass(slots=True)
class Lane:
    """What has come from one module of the peer and is not handed over yet."""

    next_order: int = 1
    waiting: dict[int, Chunk] = field(default_factory=dict)
    partial: list[Chunk] = field(default_factory=list)
    partial_bytes: int = 0


class Incoming:
    def __init__(self) -> None:
        self.acknowledged = 0
        """All chunks up to this number have arrived."""
        self.ahead: dict[int, None] = {}
        """Numbers beyond it that have arrived too."""
        self.lanes: dict[str, Lane] = {}
        self.waiting_bytes = 0
        self.unacknowledged = 0
        self.ack_at: Instant | None = None

    def receive(self, chunk: Chunk, now: Instant) -> list[Frame]:
        """The frames that are complete with this chunk. Raises Violation."""
        number = chunk.number
        if number <= self.acknowledged or number in self.ahead:
            self._ack_by(now)  # the peer repeats itself: it does not know that we have it
            return []
        if number > self.acknowledged + MAX_CHUNKS_AHEAD:
            return []
        self.ahead[number] = None
        while self.acknowledged + 1 in self.ahead:
            self.acknowledged += 1
            del self.ahead[self.acknowledged]
        self.unacknowledged += 1
        enough = GAP_EVERY_CHUNKS if self.ahead else ACK_EVERY_CHUNKS
        self._ack_by(now if chunk.push or self.unacknowledged >= enough else now + ACK_DELAY_MS)
        return self._in_order(chunk)

    def _in_order(self, chunk: Chunk) -> list[Frame]:
        module = chunk.from_module
        lane = self.lanes.get(module)
        if lane is None:
            if len(self.lanes) >= MAX_LANES:
                raise Violation(f"more than {MAX_LANES} modules")
            lane = self.lanes[module] = Lane()
        if chunk.order < lane.next_order or chunk.order in lane.waiting:
            raise Violation(f"two chunks of {module} with the order {chunk.order}")
        self.waiting_bytes += len(chunk.data)
        if self.waiting_bytes > MAX_WAITING_BYTES:
            raise Violation(f"unfinished messages of more than {MAX_WAITING_BYTES} bytes")
        lane.waiting[chunk.order] = chunk
        frames = []
        while (following := lane.waiting.pop(lane.next_order, None)) is not None:
            lane.next_order += 1
            frame = self._join(lane, following)
            if frame is not None:
                frames.append(frame)
        return frames

    def _join(self, lane: Lane, chunk: Chunk) -> Frame | None:
        """A frame's last chunk completes it."""
        if lane.partial:
            first, last = lane.partial[0], lane.partial[-1]
            if (chunk.remaining, chunk.to_module, chunk.kind) != (last.remaining - 1, first.to_module, first.kind):
                raise Violation(f"pieces of a message from {chunk.from_module} that do not fit together")
        lane.partial.append(chunk)
        lane.partial_bytes += len(chunk.data)
        if lane.partial_bytes > MAX_FRAME_BYTES:
            raise Violation(f"a message from {chunk.from_module} of more than {MAX_FRAME_BYTES} bytes")
        if chunk.remaining:
            return None
        body = b"".join(piece.data for piece in lane.partial)
        assert len(body) == lane.partial_bytes
        self.waiting_bytes -= len(body)
        assert self.waiting_bytes >= 0
        lane.partial, lane.partial_bytes = [], 0
        return Frame(chunk.kind, chunk.from_module, chunk.to_module, body)

    def _ack_by(self, deadline: Instant) -> None:
        self.ack_at = deadline if self.ack_at is None else min(self.ack_at, deadline)

    def gaps(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """(a number, all gaps below it): the highest chunk that has arrived, or less if that would be too many gaps."""
        ranges: list[tuple[int, int]] = []
        seen = self.acknowledged
        for number in sorted(self.ahead):
            if number > seen + 1:
                if len(ranges) == MAX_MISSING_RANGES:
                    break
                ranges.append((seen + 1, number - 1))
            seen = number
        return seen, tuple(ranges)

    def acknowledgement_sent(self) -> None:
        self.ack_at = None
        self.unacknowledged = 0
