# SPDX-License-Identifier: GPL-2.0-or-later
"""The sending half of an association: frames become numbered chunks, kept until the peer has them.

A window in bytes limits what is under way. It opens with every acknowledgement and halves once per loss, as in TCP
(RFC 5681), because the receiver's socket buffer may hold only a few datagrams. A chunk is repeated when the peer
names it as missing (and it was not repeated within a round trip), and the oldest one when the peer is silent for the
repeat time, which doubles up to `max_rexmit_delay`.

Frames of different modules take turns chunk by chunk, so a membership message does not wait for a copy of the CIB.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass

from ha.heartbeat.model.stream import Frame
from ha.machine import Instant

MAX_QUEUED_BYTES = 192 * 1024 * 1024  # three CIBs of the greatest size; beyond it the association is broken off
FRAME_COST_BYTES = 200  # what a frame costs beside its body, so that empty frames are limited too
INITIAL_WINDOW_BYTES = 64 * 1024
MAX_WINDOW_BYTES = 4 * 1024 * 1024
MAX_CHUNKS_UNDER_WAY = 2048  # less than incoming.MAX_CHUNKS_AHEAD
MIN_WINDOW_CHUNKS = 2
MIN_WINDOW_BYTES = 48 * 1024  # what any receiver's socket buffer takes; a lossy wire gets no slower than this
RESERVE_BYTES = 16 * 1024  # above the window, for messages of one chunk
MAX_OVERDUE_CHUNKS = 32  # repeated at once when the peer is silent
MIN_REPEAT_MS = 20
ACK_DELAY_MARGIN_MS = 10  # the peer may wait incoming.ACK_DELAY_MS before it acknowledges


class QueueFull(Exception):
    """The peer takes less than it is sent, MAX_QUEUED_BYTES wait for it."""


@dataclass(slots=True)
class Piece:
    """A chunk as the sender keeps it."""

    number: int
    order: int
    frame: Frame
    start: int
    stop: int
    remaining: int
    sent_at: Instant
    repeats: int = 0

    @property
    def size(self) -> int:
        return self.stop - self.start + FRAME_COST_BYTES


class Outgoing:
    def __init__(self, fragment_bytes: int, max_repeat_ms: int) -> None:
        assert fragment_bytes > 0
        self.fragment_bytes = fragment_bytes
        self.max_repeat_ms = max(max_repeat_ms, MIN_REPEAT_MS)
        self.queues: dict[str, deque[tuple[Frame, int]]] = {}
        """Per sending module, in turn order: frames with the offset from which they still wait."""
        self.queued_bytes = 0
        self.pieces: dict[int, Piece] = {}
        """Sent and not acknowledged, by number, the oldest first."""
        self.missing: dict[int, None] = {}
        """Numbers that the peer has named as missing, in its order, to be repeated."""
        self.flight_bytes = 0
        self.next_number = 1
        self.orders: dict[str, int] = {}
        """How many chunks of each module were sent."""
        self.window_bytes = INITIAL_WINDOW_BYTES
        self.threshold_bytes = MAX_WINDOW_BYTES
        self.recover_below = 0
        """A loss of a chunk below this number was answered by halving the window already."""
        self.round_trip_ms = 5.0
        self.repeat_ms = self._repeat_base_ms()

    def submit(self, frame: Frame) -> None:
        """Queue a frame. Raises QueueFull at MAX_QUEUED_BYTES."""
        cost = len(frame.body) + FRAME_COST_BYTES
        if self.queued_bytes + cost > MAX_QUEUED_BYTES:
            raise QueueFull
        self.queued_bytes += cost
        self.queues.setdefault(frame.from_module, deque()).append((frame, 0))

    # Acknowledgements ------------------------------------------------------------------------------------------------

    def acknowledge(self, acknowledged: int, seen: int, missing: tuple[tuple[int, int], ...], now: Instant) -> bool:
        """Drop what the peer has, mark what it misses (see stream.Ack). False when it claims what was never sent."""
        if seen >= self.next_number:
            return False
        if self.pieces:
            self._arrived(acknowledged, seen, missing, now)
            self._mark_missing(missing, now)
        return True

    def _arrived(self, acknowledged: int, seen: int, missing: tuple[tuple[int, int], ...], now: Instant) -> None:
        freed = 0
        gaps = iter(missing)
        first, last = next(gaps, (seen + 1, seen + 1))
        for number in list(itertools.takewhile(lambda number: number <= seen, self.pieces)):
            while number > last:
                first, last = next(gaps, (seen + 1, seen + 1))
            if acknowledged < number and first <= number:
                continue
            piece = self.pieces.pop(number)
            self.missing.pop(number, None)
            freed += piece.size
            if piece.repeats == 0:
                self._measure(now - piece.sent_at)
        if freed:
            self.flight_bytes -= freed
            self.repeat_ms = self._repeat_base_ms()
            self._open_window(freed)
        assert self.flight_bytes >= 0

    def _measure(self, sample_ms: int) -> None:
        self.round_trip_ms += (sample_ms - self.round_trip_ms) / 8  # Karn: only chunks sent once are measured

    def _repeat_base_ms(self) -> int:
        return min(max(MIN_REPEAT_MS, int(2 * self.round_trip_ms) + ACK_DELAY_MARGIN_MS), self.max_repeat_ms)

    def _open_window(self, freed: int) -> None:
        if self.window_bytes >= self.threshold_bytes:
            freed = max(1, freed * self.fragment_bytes // self.window_bytes)
        self.window_bytes = min(self.window_bytes + freed, MAX_WINDOW_BYTES)

    def _close_window(self) -> None:
        least = max(MIN_WINDOW_BYTES, MIN_WINDOW_CHUNKS * (self.fragment_bytes + FRAME_COST_BYTES))
        self.threshold_bytes = max(self.window_bytes // 2, least)
        self.window_bytes = self.threshold_bytes
        self.recover_below = self.next_number

    def _mark_missing(self, missing: tuple[tuple[int, int], ...], now: Instant) -> None:
        for first, last in missing:
            for number in range(max(first, 1), min(last, self.next_number - 1) + 1):
                piece = self.pieces.get(number)
                if piece is None or (piece.repeats and now - piece.sent_at < self.round_trip_ms):
                    continue
                self.missing[number] = None
                if number >= self.recover_below:
                    self._close_window()

    # Sending ---------------------------------------------------------------------------------------------------------

    def due(self, now: Instant) -> list[tuple[Piece, bool]]:
        """The chunks to send now, each with whether the peer should acknowledge at once."""
        pieces = self._repeats(now)
        while self.queues and self._room(0):
            pieces.append(self._next_piece(next(iter(self.queues)), now))
        pieces += self._small_ones(now)
        blocked = bool(self.queues)
        return [(piece, (blocked and piece is pieces[-1]) or piece.repeats > 0) for piece in pieces]

    def _small_ones(self, now: Instant) -> list[Piece]:
        """Frames of one chunk need not wait until the window opens for the large ones of other modules."""
        pieces = []
        for module in list(self.queues):
            while (queue := self.queues.get(module)) and self._room(RESERVE_BYTES):
                frame, start = queue[0]
                if start or len(frame.body) > self.fragment_bytes:
                    break
                pieces.append(self._next_piece(module, now))
        return pieces

    def _room(self, reserve_bytes: int) -> bool:
        if not self.pieces:
            return True
        ahead = self.next_number - next(iter(self.pieces))
        limit = self.window_bytes + reserve_bytes
        return self.flight_bytes + FRAME_COST_BYTES < limit and ahead < MAX_CHUNKS_UNDER_WAY

    def _repeats(self, now: Instant) -> list[Piece]:
        repeated = [self.pieces[number] for number in self.missing]
        self.missing.clear()
        if self.pieces and not repeated:
            repeated = self._overdue(now)
        for piece in repeated:
            piece.repeats += 1
            piece.sent_at = now
        return repeated

    def _overdue(self, now: Instant) -> list[Piece]:
        """The peer is silent: the oldest chunks that have waited for the repeat time."""
        oldest = itertools.islice(self.pieces.values(), MAX_OVERDUE_CHUNKS)
        overdue = list(itertools.takewhile(lambda piece: now >= piece.sent_at + self.repeat_ms, oldest))
        if overdue:
            self.repeat_ms = min(self.repeat_ms * 2, self.max_repeat_ms)
            if overdue[0].number >= self.recover_below:
                self._close_window()
        return overdue

    def _next_piece(self, module: str, now: Instant) -> Piece:
        queue = self.queues.pop(module)
        frame, start = queue.popleft()
        stop = min(start + self.fragment_bytes, len(frame.body))
        remaining = -(-(len(frame.body) - stop) // self.fragment_bytes)
        if remaining:
            queue.appendleft((frame, stop))
        else:
            self.queued_bytes -= len(frame.body) + FRAME_COST_BYTES
        if queue:
            self.queues[module] = queue  # to the end: the next module has its turn
        order = self.orders[module] = self.orders.get(module, 0) + 1
        piece = Piece(self.next_number, order, frame, start, stop, remaining, now)
        self.pieces[self.next_number] = piece
        self.next_number += 1
        self.flight_bytes += piece.size
        return piece

    def deadline(self) -> Instant | None:
        """When `due` should be asked again though nothing has arrived."""
        if not self.pieces:
            return None
        return next(iter(self.pieces.values())).sent_at + self.repeat_ms

    def waiting(self) -> int:
        """Chunks and frames that the peer does not have yet."""
        return len(self.pieces) + sum(len(queue) for queue in self.queues.values())
