# SPDX-License-Identifier: GPL-2.0-or-later
"""When a worker that died is started again, and when that happens too often.

The first time at once; a worker that dies again before it was well for a while waits a little, then twice as long, up
to a second. Restart intensity (so many in such a period) as in Erlang's supervisor behaviour.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ha.machine import Instant
from ha.rmd.model import Recovery

FIRST_DELAY_MS = 50
MAX_DELAY_MS = 1_000

WELL_MS = 2_000
"""A worker that lived this long did not die of its start: its next restart is immediate again."""


MIN_START_DEADLINE_MS = 300
"""The heartbeat worker of a machine with four busy processes per core needed 64 to 115 ms from fork to first beat."""

START_MARGIN = 3
"""A start may take so many times as long as the slowest one before it was called hung."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`exceeded` is true once, for the death that makes it too many within the period."""

    delay_ms: int
    exceeded: bool


class Restarts:
    """One worker's deaths. `restarts` counts all of them."""

    def __init__(self, recovery: Recovery) -> None:
        self._recovery = recovery
        self._in_period: deque[Instant] = deque()
        self._soon = 0
        self.restarts = 0
        self._deadline_ms = 0
        self._slowest_start_ms = 0
        self._hung_starts = 0

    @property
    def start_deadline_ms(self) -> int:
        """Silence after the fork that counts as hung; 0: it owes no beat.

        The stanza's until the worker was ready once. From then on it is missed by somebody, and known to be able to
        start: it has its own deadline, or as long as its starts take. A deadline that was too short is doubled.
        """
        configured_ms = self._recovery.start_deadline_ms
        if not self._deadline_ms:
            return configured_ms
        own_ms = max(self._deadline_ms, START_MARGIN * self._slowest_start_ms, MIN_START_DEADLINE_MS)
        return min(configured_ms, own_ms << min(self._hung_starts, 16))

    def became_ready(self, start_ms: int, deadline_ms: int) -> None:
        """Its first beat has come `start_ms` after the fork; it promises never to be silent for `deadline_ms`."""
        self._deadline_ms = deadline_ms
        self._slowest_start_ms = max(self._slowest_start_ms, start_ms)
        self._hung_starts = 0

    def hung_in_start(self) -> None:
        """It was killed before its first beat."""
        self._hung_starts += 1

    def died(self, lived_ms: int, now: Instant) -> Verdict:
        self.restarts += 1
        if lived_ms >= WELL_MS:
            self._soon = 0
        delay_ms = min(MAX_DELAY_MS, FIRST_DELAY_MS << (self._soon - 1)) if self._soon else 0
        self._soon = min(self._soon + 1, 32)
        while self._in_period and self._in_period[0] <= now - self._recovery.period_ms:
            self._in_period.popleft()
        self._in_period.append(now)
        exceeded = len(self._in_period) > self._recovery.max_restarts
        if exceeded:
            self._in_period.clear()
        return Verdict(delay_ms, exceeded)

    def forgive(self) -> None:
        """An operator started it: what was does not count against it."""
        self._in_period.clear()
        self._soon = 0
