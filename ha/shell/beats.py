# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker's beat: a datagram to apphbd, sent by the loop after it drained its queue, and by nothing else."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from ha.apphbd.msg import Beat, Goodbye
from ha.ipc import codec
from ha.machine import Instant


@dataclass(frozen=True, slots=True)
class BeatTimes:
    """How often a worker promises to beat, when it is late, and when it is hung (design section 11: 1 s by default).

    A third of the deadline is often enough: a loop that stands still has missed two beats before it is called late.
    """

    interval_ms: int = 330
    warntime_ms: int = 700
    deadline_ms: int = 1000

    def __post_init__(self) -> None:
        assert 0 < self.interval_ms < self.warntime_ms <= self.deadline_ms, self


PROFILE_BEATS = {
    "default": BeatTimes(),
    "fast": BeatTimes(interval_ms=100, warntime_ms=210, deadline_ms=300),
}
"""By ha.cf's `profile`, for workers whose hang must be found as fast as the profile promises."""


RETRY_MS = 20
"""A beat for which the line had no room, because apphbd reads nothing just now, comes again after this, then after
twice as long and so on: two such beats in a row must not look like a worker that hangs."""


class Beater:
    """Without a line (a worker that rmd did not start) nobody is told."""

    def __init__(self, worker: str, line: socket.socket | None, times: BeatTimes) -> None:
        self.times = times
        self._worker = worker
        self._line = line
        self._retry_ms = RETRY_MS
        self.due: Instant = 0

    def beat(self, now: Instant, steps: int, queued: int) -> None:
        # All workers of one interval beat at the same moments, so that apphbd wakes once for all of them.
        self.due = (now // self.times.interval_ms + 1) * self.times.interval_ms
        taken = self._send(
            Beat(
                module=self._worker,
                pid=os.getpid(),
                interval_ms=self.times.interval_ms,
                warntime_ms=self.times.warntime_ms,
                deadline_ms=self.times.deadline_ms,
                steps=steps,
                queued=queued,
            )
        )
        if taken:
            self._retry_ms = RETRY_MS
        else:
            self.due = min(self.due, now + self._retry_ms)
            self._retry_ms *= 2

    def goodbye(self) -> None:
        self._send(Goodbye(module=self._worker, pid=os.getpid()))

    def _send(self, message: Beat | Goodbye) -> bool:
        """False when the line is full."""
        if self._line is None:
            return True
        try:
            self._line.send(codec.encode(message))
        except BlockingIOError:
            return False
        except ConnectionRefusedError:
            return True  # rmd has ended, and with it this worker ends
        return True
