# SPDX-License-Identifier: GPL-2.0-or-later
"""One rmd per root: the pid file is held by flock(2) for as long as rmd lives, so a stale one means nothing."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from types import FrameType, TracebackType

MAX_PID_DIGITS = 20


class AlreadyRunning(Exception):
    """Another rmd serves this root. `pid` is None when its file does not say."""

    def __init__(self, path: Path, pid: int | None) -> None:
        super().__init__(f"rmd is already running{f' with pid {pid}' if pid else ''} ({path})")
        self.pid = pid


class PidFile:
    """A context manager, as python-daemon wants it."""

    def __init__(self, path: Path, wait_ms: int = 0) -> None:
        """`wait_ms`: how long to wait for another holder to end."""
        self.path = path
        self._wait_ms = wait_ms
        self._descriptor = -1

    def __enter__(self) -> PidFile:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Raises AlreadyRunning, or OSError when the file cannot be made."""
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._lock(descriptor)
                # A holder that ends removes its file: what was locked must be what the name says now.
                if _same_file(descriptor, self.path):
                    break
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        self._descriptor = descriptor
        self.write()

    def adopt(self, descriptor: int) -> None:
        """The lock is held already, by a descriptor that this process has inherited."""
        self._descriptor = descriptor
        self.write()

    def write(self) -> None:
        """This process holds the lock: say so."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def fileno(self) -> int:
        return self._descriptor

    def release(self) -> None:
        if self._descriptor >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if not self._wait_ms:
                raise AlreadyRunning(self.path, read_pid(self.path)) from error
        previous = signal.signal(signal.SIGALRM, _give_up_waiting)
        signal.setitimer(signal.ITIMER_REAL, self._wait_ms / 1000)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except TimeoutError as error:
            raise AlreadyRunning(self.path, read_pid(self.path)) from error
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


def _give_up_waiting(number: int, frame: FrameType | None) -> None:
    raise TimeoutError


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino)


def read_pid(path: Path) -> int | None:
    """The number in a pid file, None when there is none."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_PID_DIGITS).strip()
    except FileNotFoundError:
        return None
    return int(text) if text.isdigit() else None


def holder(path: Path) -> int | None:
    """The pid of the rmd that runs on this root, None when there is none. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_pid(path)
    finally:
        os.close(descriptor)
    return None
