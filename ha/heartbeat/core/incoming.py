# SPDX-License-Identifier: GPL-2.0-or-later
"""The receiving half of an association: chunks in any order become frames in the sender's order, each once."""

from __future__ import annotations

from ha.heartbeat.model.stream import MAX_MISSING_RANGES, Chunk, Frame
from ha.machine import Instant

MAX_CHUNKS_AHEAD = 4096  # held for reordering; more than any sender of ours has under way
MAX_FRAME_BYTES = (
    79 * 1024 * 1024
)  # a CIB of the greatest size (64 MB) and more; fits the links of ha.ipc with its envelope
MAX_PARTIAL_MODULES = 64  # modules with an unfinished frame
ACK_DELAY_MS = 5
ACK_EVERY_CHUNKS = 8
GAP_EVERY_CHUNKS = 3  # while something is missing; fewer may only have overtaken each other


class Violation(Exception):
    """The peer does what the protocol forbids though its packets are authentic. The text says what."""


class Incoming:
    def __init__(self) -> None:
        self.acknowledged = 0
        """All chunks up to this number have arrived."""
        self.ahead: dict[int, Chunk] = {}
        self.partial: dict[str, list[Chunk]] = {}
        self.partial_bytes = 0
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
        self.ahead[number] = chunk
        frames = self._in_order()
        self.unacknowledged += 1
        enough = GAP_EVERY_CHUNKS if self.ahead else ACK_EVERY_CHUNKS
        self._ack_by(now if chunk.push or self.unacknowledged >= enough else now + ACK_DELAY_MS)
        return frames

    def _in_order(self) -> list[Frame]:
        frames = []
        while (chunk := self.ahead.pop(self.acknowledged + 1, None)) is not None:
            self.acknowledged += 1
            frame = self._join(chunk)
            if frame is not None:
                frames.append(frame)
        return frames

    def _join(self, chunk: Chunk) -> Frame | None:
        """A frame's last chunk completes it."""
        earlier = self.partial.get(chunk.from_module)
        if earlier is None and chunk.remaining == 0:
            return Frame(chunk.kind, chunk.from_module, chunk.to_module, chunk.data)
        if earlier is None:
            if len(self.partial) >= MAX_PARTIAL_MODULES:
                raise Violation(f"more than {MAX_PARTIAL_MODULES} modules with unfinished messages")
            earlier = self.partial[chunk.from_module] = []
        elif chunk.remaining != earlier[-1].remaining - 1 or chunk.to_module != earlier[0].to_module:
            raise Violation(f"pieces of a message from {chunk.from_module} that do not fit together")
        earlier.append(chunk)
        self.partial_bytes += len(chunk.data)
        if self.partial_bytes > MAX_FRAME_BYTES:
            raise Violation(f"a message from {chunk.from_module} of more than {MAX_FRAME_BYTES} bytes")
        if chunk.remaining:
            return None
        del self.partial[chunk.from_module]
        body = b"".join(piece.data for piece in earlier)
        self.partial_bytes -= len(body)
        assert self.partial_bytes >= 0
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
