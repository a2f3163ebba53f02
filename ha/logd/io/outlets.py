# SPDX-License-Identifier: GPL-2.0-or-later
"""The files and the syslog. Written by I/O threads: a full or slow disk never holds up the loop.

A file that was renamed or removed (rotation) is noticed before each batch by its inode and opened again.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from ha.logd.model import ReopenFiles, Target, Write, Written

if TYPE_CHECKING:
    from ha.shell import Loop


LAST_LINES_S = 1.0
"""How long a stopping logd waits for writes that are under way."""


class File:
    """An append-only file by name. Each method is called by one thread at a time."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._mode = mode
        self._descriptor = -1
        self._lock = threading.Lock()

    def write(self, lines: tuple[str, ...]) -> Written:
        """Raises OSError; then none or some of the lines are in the file, never a part of a line without its end."""
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        with self._lock:
            self._open()
            start = os.fstat(self._descriptor).st_size
            try:
                self._write_all(data)
            except OSError:
                # A torn line would be read as a forged one: take back what went in.
                if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                    os.ftruncate(self._descriptor, start)
                raise
        return Written()

    def reopen(self) -> Written:
        with self._lock:
            self._close()
            self._open()
        return Written()

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            if written == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            view = view[written:]

    def _open(self) -> None:
        if self._descriptor >= 0 and not self._is_current():
            self._close()
        if self._descriptor < 0:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, self._mode)

    def _is_current(self) -> bool:
        try:
            named = self.path.stat()
        except FileNotFoundError:
            return False
        held = os.fstat(self._descriptor)
        return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Syslog:
    """The local syslog socket. Source: syslog(3), RFC 3164."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, lines: tuple[str, ...]) -> Written:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.settimeout(1.0)
            out.connect(str(self.path))
            for line in lines:
                out.send(line.encode("utf-8", "backslashreplace"))
        return Written()

    def reopen(self) -> Written:
        return Written()


class Outlets:
    """Serves Write and ReopenFiles."""

    requests: tuple[type, ...] = (Write, ReopenFiles)

    def __init__(self, targets: dict[Target, File | Syslog]) -> None:
        self._targets = targets
        self._under_way = 0
        self._idle = threading.Condition()

    def open(self, loop: Loop) -> None:
        self._loop = loop

    def execute(self, operation: str, request: object) -> None:
        match request:
            case Write(target, lines):
                with self._idle:
                    self._under_way += 1
                self._loop.in_thread(operation, self._write, target, lines)
            case ReopenFiles():
                self._loop.in_thread(operation, self._reopen)
            case _:
                raise AssertionError(request)

    def close(self) -> None:
        """The last lines are waited for, but not for ever: the disk may be why the node is stopped."""
        with self._idle:
            self._idle.wait_for(lambda: self._under_way == 0, LAST_LINES_S)

    def _write(self, target: Target, lines: tuple[str, ...]) -> Written:
        try:
            return self._targets[target].write(lines)
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()

    def _reopen(self) -> Written:
        for target in self._targets.values():
            target.reopen()
        return Written()
