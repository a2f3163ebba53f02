# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtual time: what happens next, in one total order of (time, serial).

Nothing else in the simulator orders events, so two runs that make the same decisions make them in the same order.
Times are microseconds since the world began: finer than an Instant, so that cause and effect within one millisecond
still have an order of their own.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

MS = 1_000
"""Microseconds in a millisecond."""
SECOND = 1_000_000

Action = Callable[[], None]


class Ticket:
    """One appointment. Cancelled ones stay in the heap until their time, with nothing to do."""

    __slots__ = ("action",)

    def __init__(self, action: Action) -> None:
        self.action: Action | None = action

    def cancel(self) -> None:
        self.action = None


class Agenda:
    """The event queue. `now_us` moves only in `advance`."""

    def __init__(self) -> None:
        self.now_us = 0
        self._heap: list[tuple[int, int, Ticket]] = []
        self._serial = 0

    def at(self, at_us: int, action: Action) -> Ticket:
        assert at_us >= self.now_us, f"appointment in the past: {at_us} < {self.now_us}"
        self._serial += 1
        ticket = Ticket(action)
        heapq.heappush(self._heap, (at_us, self._serial, ticket))
        return ticket

    def after(self, delay_us: int, action: Action) -> Ticket:
        return self.at(self.now_us + delay_us, action)

    def run_until(self, limit_us: int) -> None:
        """Do everything due until `limit_us`, in order, and be there."""
        assert limit_us >= self.now_us, limit_us
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= limit_us:
            at_us, _, ticket = pop(heap)
            action = ticket.action
            if action is not None:
                assert at_us >= self.now_us, "time went back"
                self.now_us = at_us
                action()
        self.now_us = limit_us
