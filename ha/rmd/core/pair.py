# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether apphbd is frozen, judged by someone who may have been held up itself."""

from __future__ import annotations

from ha.machine import Instant

LATENESS_TOLERANCE_MS = 50
"""rmd woken later than this was itself held up, and accuses nobody for the time it did not see."""


class PairWatch:
    """Watches one apphbd process at a time. All times are Instants and milliseconds."""

    def __init__(self, start_deadline_ms: int, deadline_ms: int) -> None:
        self._start_deadline_ms = start_deadline_ms
        self._deadline_ms = deadline_ms
        self._since: Instant | None = None
        self._limit_ms = start_deadline_ms

    def started(self, now: Instant) -> None:
        self._since = now
        self._limit_ms = self._start_deadline_ms

    def ended(self) -> None:
        self._since = None

    def beat(self, now: Instant) -> None:
        if self._since is not None:
            self._since = now
            self._limit_ms = self._deadline_ms

    def held_up(self, late_ms: int, now: Instant) -> None:
        """rmd was woken `late_ms` after the moment it had asked for."""
        if late_ms > LATENESS_TOLERANCE_MS and self._since is not None:
            self._since = now

    @property
    def due(self) -> Instant | None:
        """When apphbd is to be called frozen if it stays silent."""
        return None if self._since is None else self._since + self._limit_ms

    def frozen(self, now: Instant) -> bool:
        return self.due is not None and now >= self.due

    def silent_ms(self, now: Instant) -> int:
        return 0 if self._since is None else now - self._since
