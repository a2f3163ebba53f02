# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes of resources: who they are, by their pid files; and when they end, by their pidfds."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from urllib.parse import quote

from ha.lrm.io.units import UnitAdapter
from ha.lrm.model.execution import FindProcess, ProcessEnded, ProcessFound, ProcessUnknown, WatchProcess
from ha.runner.process import has_ended, start_ticks
from ha.shell import Loop

MAX_PID_FILE_BYTES = 64
MAX_FILE_NAME_LENGTH = 200
MAX_PID = 2**22


def offered_pid_file(state_directory: str, resource_id: str) -> str:
    """Where an agent may name its process (HA_PIDFILE): below HA_RSCTMP, with the other states of agents."""
    return f"{state_directory}/{quote(resource_id, safe='')[:MAX_FILE_NAME_LENGTH]}.process"


class ProcessWatcher:
    def __init__(self, loop: Loop, units: UnitAdapter, state_directory: str) -> None:
        self._loop = loop
        self._units = units
        self._state_directory = state_directory
        self._pidfds: dict[str, int] = {}

    def close(self) -> None:
        for operation in list(self._pidfds):
            self.unwatch(operation)

    def find(self, operation: str, request: FindProcess) -> None:
        resource = request.resource
        if resource.agent_class == "systemd":
            source = f"unit {resource.agent_type}"
            return self._units.main_pid(
                resource.agent_type, lambda pid: self._loop.finish(operation, _process(pid, source))
            )
        path = request.pid_file or offered_pid_file(self._state_directory, resource.id)
        return self._loop.in_thread(operation, read_pid_file, Path(path))  # it may lie on a file system that hangs

    def watch(self, operation: str, request: WatchProcess) -> None:
        try:
            pidfd = os.pidfd_open(request.pid)
        except OSError:  # gone; what else may be wrong, the monitor that follows will tell
            return self._loop.finish(operation, ProcessEnded())
        if start_ticks(request.pid) != request.start_ticks or has_ended(pidfd):
            os.close(pidfd)
            return self._loop.finish(operation, ProcessEnded())
        self._pidfds[operation] = pidfd

        def on_end() -> None:
            self.unwatch(operation)
            self._loop.finish(operation, ProcessEnded())

        return self._loop.watch(pidfd, on_end)

    def unwatch(self, operation: str) -> None:
        pidfd = self._pidfds.pop(operation, None)
        if pidfd is not None:
            self._loop.unwatch(pidfd)
            os.close(pidfd)


def read_pid_file(path: Path) -> ProcessFound | ProcessUnknown:
    """The process whose number is the first word of the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        return ProcessUnknown(reason=f"{path}: {error.strerror}")
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ProcessUnknown(reason=f"{path} is no file")
        words = os.read(descriptor, MAX_PID_FILE_BYTES).split()
    except OSError as error:
        return ProcessUnknown(reason=f"{path}: {error.strerror}")
    finally:
        os.close(descriptor)
    if not words or not words[0].isdigit() or not 1 < int(words[0]) <= MAX_PID:
        return ProcessUnknown(reason=f"{path} begins with no number of a process")
    return _process(int(words[0]), str(path))


def _process(pid: int, source: str) -> ProcessFound | ProcessUnknown:
    if pid <= 1:
        return ProcessUnknown(reason=f"{source} has no process")
    ticks = start_ticks(pid)
    if ticks is None:
        return ProcessUnknown(reason=f"there is no process {pid} that {source} names", dead=True)
    return ProcessFound(pid=pid, start_ticks=ticks)
