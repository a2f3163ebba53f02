# SPDX-License-Identifier: GPL-2.0-or-later
"""Of what outsiders cause to be written, the log takes so many lines in a period; the rest are counted and told."""

from __future__ import annotations

from ha.machine import Instant

MAX_LINES = 20
PERIOD_MS = 10_000
"""Defaults: enough to see what is going on, little enough that a flood for a whole day fits a log file."""


class Moderation:
    """One allowance. `subject` is what its summary counts, such as "links refused or closed"."""

    def __init__(self, subject: str, max_lines: int = MAX_LINES, period_ms: int = PERIOD_MS) -> None:
        assert max_lines > 0 and period_ms > 0
        self._subject = subject
        self._max_lines = max_lines
        self._period_ms = period_ms
        self._lines = 0
        self._until: Instant = 0

    def admits(self, now: Instant) -> bool:
        """Whether one more line may be written now. A new period begins with the first line after the last one."""
        if now >= self._until and self._lines <= self._max_lines:
            self._lines, self._until = 0, now + self._period_ms
        self._lines += 1
        return self._lines <= self._max_lines

    def summary(self, now: Instant) -> str:
        """Once after a period in which lines were left out: how many. Otherwise empty."""
        left_out = self._lines - self._max_lines
        if now < self._until or left_out <= 0:
            return ""
        self._lines = 0
        return f"{left_out} more lines in {self._period_ms // 1000} s are left out: {self._subject}"
