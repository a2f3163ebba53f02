# SPDX-License-Identifier: GPL-2.0-or-later
"""The worker's side: start jobs, learn their ends, take up those of an earlier life, kill what overstays.

Nothing here blocks: it reacts to readable descriptors (the fork server's socket, the runners' pidfds).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Protocol

from ha.runner.model import End, Holder, Job
from ha.runner.process import has_ended, kill_session, start_ticks
from ha.runner.server import ForkServer
from ha.runner.spool import REVOKED, Spool, SpoolError

UNNAMED = Holder(-1, -1)
"""A claimant whose note cannot be read: treated as dead, and not ours to guess whom to kill."""

FORK_PATIENCE_MS = 1_000
FORK_STRIKES = 2
"""A fork server that has answered nobody for this long, looked at this often, is stuck. More than one look, because
after a pause of the whole machine the first comes before the server had a chance to run."""

OnEnd = Callable[[End], None]


class Watcher(Protocol):
    """What is needed of the worker's loop."""

    def watch(self, fd: int, on_readable: Callable[[], None]) -> None: ...

    def unwatch(self, fd: int) -> None: ...

    def now(self) -> int: ...

    def call_at(self, deadline: int, call: Callable[[], None]) -> None: ...


class Runners:
    """All jobs of one worker. Every job that was started or awaited ends in exactly one call of its `on_end`."""

    def __init__(self, spool: Spool, server: ForkServer, watcher: Watcher) -> None:
        self.spool = spool
        self._server = server
        self._watcher = watcher
        self._asked: dict[str, OnEnd] = {}  # forks not answered yet
        self._pidfds: dict[str, int] = {}
        self._unsent: list[str] = []
        self._answers = 0
        watcher.watch(server.socket.fileno(), self._on_forked)

    def close(self) -> None:
        """Let go of all runners (they run on) and end the fork server."""
        self._watcher.unwatch(self._server.socket.fileno())
        for pidfd in self._pidfds.values():
            self._watcher.unwatch(pidfd)
            os.close(pidfd)
        self._pidfds.clear()
        self._server.stop()

    def start(self, job: Job, on_end: OnEnd) -> None:
        """Write the order and have a runner forked. Raises OSError or SpoolError when the order cannot be written."""
        assert job.id not in self._asked
        assert job.id not in self._pidfds
        self.spool.write_job(job)
        self._asked[job.id] = on_end
        self._request(job.id)
        self._look_again(job.id, FORK_STRIKES)

    def await_end(self, job_id: str, on_end: OnEnd) -> None:
        """Take up a job of an earlier life of this worker: its end may be known, near, or never to come."""
        assert job_id not in self._asked
        assert job_id not in self._pidfds
        if self.spool.claim(job_id, REVOKED):
            on_end(End(fate="revoked"))
            return
        holder = self._holder(job_id)
        if holder is None or holder == REVOKED:
            on_end(End(fate="revoked"))
            return
        pidfd = _open_holder(holder)
        if pidfd is None:
            self._ended(job_id, on_end)
            return
        self._attach(job_id, pidfd, on_end)

    def kill(self, job_id: str) -> None:
        """Kill runner and agent; its end is then `lost`, unless a result was written before."""
        pidfd = self._pidfds.get(job_id)
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def drop(self, job_id: str) -> None:
        assert job_id not in self._asked
        assert job_id not in self._pidfds
        self.spool.drop(job_id)

    # Fork server -----------------------------------------------------------------------------------------------------

    def _request(self, job_id: str) -> None:
        try:
            self._server.request(job_id)
        except BlockingIOError:
            self._unsent.append(job_id)  # goes out with the next answer; forks are under way, so one will come

    def _look_again(self, job_id: str, strikes: int) -> None:
        answers = self._answers

        def look() -> None:
            if job_id not in self._asked:
                return
            if self._answers > answers:  # busy with the jobs before this one: not stuck
                self._look_again(job_id, FORK_STRIKES)
                return
            if strikes > 1:
                self._look_again(job_id, strikes - 1)
                return
            self._server.kill()
            raise ChildProcessError(f"the fork server of the runners is stuck: no runner for {job_id}")

        self._watcher.call_at(self._watcher.now() + FORK_PATIENCE_MS, look)

    def _on_forked(self) -> None:
        while (answer := self._server.answer()) is not None:
            job_id, pidfd, code = answer
            self._answers += 1
            on_end = self._asked.pop(job_id)
            if pidfd < 0:
                assert code != 0
                self.spool.claim(job_id, REVOKED)
                on_end(End(fate="not started", code=code))
            else:
                self._attach(job_id, pidfd, on_end)
            unsent, self._unsent = self._unsent, []
            for waiting in unsent:
                self._request(waiting)

    # Runners ---------------------------------------------------------------------------------------------------------

    def _attach(self, job_id: str, pidfd: int, on_end: OnEnd) -> None:
        self._pidfds[job_id] = pidfd

        def on_gone() -> None:
            self._watcher.unwatch(pidfd)
            del self._pidfds[job_id]
            os.close(pidfd)
            self._ended(job_id, on_end)

        self._watcher.watch(pidfd, on_gone)

    def _ended(self, job_id: str, on_end: OnEnd) -> None:
        """The runner is gone: its result stands in the spool, or it was killed before it could write one."""
        try:
            end = self.spool.result(job_id)
        except SpoolError as error:
            end = End(fate="lost", stderr=str(error).encode())
        if end is None:
            end = End(fate="lost")
        if end.fate == "lost":
            self._kill_agent(job_id)
        on_end(end)

    def _kill_agent(self, job_id: str) -> None:
        """Nobody attends to the agent any more: it must not go on beside the next operation of its resource."""
        holder = self._holder(job_id)
        if holder is not None and holder.pid > 0 and holder.start_ticks > 0:
            kill_session(holder)

    def _holder(self, job_id: str) -> Holder | None:
        try:
            return self.spool.claimant(job_id)
        except SpoolError:
            return UNNAMED


def _open_holder(holder: Holder) -> int | None:
    """A pidfd of the claimant, None when it is gone. The start time tells it from a later owner of its pid."""
    if holder.pid <= 0 or holder.start_ticks < 0:
        return None
    try:
        pidfd = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        return None
    if start_ticks(holder.pid) == holder.start_ticks and not has_ended(pidfd):
        return pidfd
    os.close(pidfd)
    return None
