# SPDX-License-Identifier: GPL-2.0-or-later
"""A loop for tests: waits for descriptors until a condition holds."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

PATIENCE_S = 20.0


class Waiter:
    """Serves as `ha.runner.runners.Watcher`."""

    def __init__(self) -> None:
        self.callbacks: dict[int, Callable[[], None]] = {}
        self.calls: list[tuple[int, Callable[[], None]]] = []

    def watch(self, fd: int, on_readable: Callable[[], None]) -> None:
        assert fd not in self.callbacks
        self.callbacks[fd] = on_readable

    def unwatch(self, fd: int) -> None:
        del self.callbacks[fd]

    def now(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    def call_at(self, deadline: int, call: Callable[[], None]) -> None:
        self.calls.append((deadline, call))

    def once(self, timeout_s: float) -> None:
        poll = select.poll()
        for fd in self.callbacks:
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(timeout_s * 1000):
            if fd in self.callbacks:
                self.callbacks[fd]()
        now = self.now()
        due = [entry for entry in self.calls if entry[0] <= now]
        self.calls = [entry for entry in self.calls if entry[0] > now]
        for _, call in due:
            call()

    def until(self, condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, "the condition did not come true in time"
            self.once(0.02)
