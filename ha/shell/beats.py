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
    """How often a worker promises to beat, when it is late, and when it is hung (design section 11: 1 s by default)."""

    interval_ms: int = 200
    warntime_ms: int = 600
    deadline_ms: int = 1000

    def __post_init__(self) -> None:
        assert 0 < self.interval_ms < self.warntime_ms <= self.deadline_ms, self


PROFILE_BEATS = {
    "default": BeatTimes(),
    "fast": BeatTimes(interval_ms=50, warntime_ms=150, deadline_ms=300),
}
"""By ha.cf's `profile`, for workers whose hang must be found as fast as the profile promises."""


class Beater:
    def __init__(self, worker: str, root: Root, times: BeatTimes) -> None:
        self.times = times
        self._worker = worker
        self._path = str(root.socket(BEATS_SOCKET))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self.due: Instant = 0

    def beat(self, now: Instant, steps: int, queued: int) -> None:
        self.due = now + self.times.interval_ms
        self._send(
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

    def goodbye(self) -> None:
        self._send(Goodbye(module=self._worker, pid=os.getpid()))

    def _send(self, message: Beat | Goodbye) -> None:
        try:
            self._socket.sendto(codec.encode(message), self._path)
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError, PermissionError):
            # apphbd is not up, is being restarted, or is behind: the next beat tells it all it needs.
            return
