# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker's beat: a datagram to apphbd, sent by the loop after it drained its queue, and by nothing else."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from ha.apphbd.msg import BEATS_SOCKET, Beat, Goodbye
from ha.ipc import codec
from ha.machine import Instant
from ha.root import Root


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
"""A beat for which apphbd's queue had no room (net.unix.max_dgram_qlen is 10 where nobody has raised it) comes again
after this: two such beats in a row must not look like a worker that hangs."""


class Beater:
    def __init__(self, worker: str, root: Root, times: BeatTimes) -> None:
        self.times = times
        self._worker = worker
        self._path = str(root.socket(BEATS_SOCKET))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
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
        if not taken:
            self.due = min(self.due, now + RETRY_MS)

    def goodbye(self) -> None:
        self._send(Goodbye(module=self._worker, pid=os.getpid()))

    def _send(self, message: Beat | Goodbye) -> bool:
        """False when apphbd's queue is full."""
        try:
            self._socket.sendto(codec.encode(message), self._path)
        except BlockingIOError:
            return False
        except (FileNotFoundError, ConnectionRefusedError, PermissionError):
            return True  # apphbd is not up, or is being restarted: the next beat tells it all it needs
        return True
