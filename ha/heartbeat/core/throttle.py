# SPDX-License-Identifier: GPL-2.0-or-later
"""Notes about what others do wrong, at most one per subject and interval, so that nobody can flood the log."""

from __future__ import annotations

from ha.machine import Instant, Level, Note

INTERVAL_MS = 10_000
MAX_SUBJECTS = 256


class Throttle:
    def __init__(self) -> None:
        self.last: dict[str, tuple[Instant, int]] = {}
        """Per subject: when it was last noted, and how often it came since."""

    def note(self, subject: str, level: Level, text: str, now: Instant) -> list[Note]:
        moment, count = self.last.get(subject, (None, 0))
        if moment is not None and now < moment + INTERVAL_MS:
            self.last[subject] = (moment, count + 1)
            return []
        if moment is None and len(self.last) >= MAX_SUBJECTS:
            self.last.pop(next(iter(self.last)))
        self.last[subject] = (now, 0)
        return [Note(level, f"{text} (and {count} more like it)" if count else text)]
