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
