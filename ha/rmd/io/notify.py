# SPDX-License-Identifier: GPL-2.0-or-later
"""rmd's part of NOTIFY_SOCKET: makes a socket for each program before it is executed, and remembers its promises.

Why each has one of its own: ha.apphbd.io.notices, where they are heard.
"""

from __future__ import annotations

import errno
import os
import pwd
import signal
import socket
import stat
from collections.abc import MutableMapping
from pathlib import Path

from ha.apphbd.io.ancestry import descends
from ha.apphbd.model import ConfigError
from ha.apphbd.msg import ExpectProgram, Promised
from ha.rmd.model.notify import NotifySettings
from ha.root import Root

PLACE = "/run/ha-notify"
"""Beside the run directory, not in it: any program's user must be able to pass through. None but rmd's may write."""

MAX_PATH_BYTES = 107
"""unix(7): sun_path with its NUL."""


class NotifySocket:
    """One start of one program."""

    def __init__(self, root: Root, program: str, settings: NotifySettings, uid: int) -> None:
        """`uid`: whose processes may send. Raises OSError; its text can be told to an operator."""
        self._settings = settings
        self.path = _place(root) / program
        if len(os.fsencode(self.path)) > MAX_PATH_BYTES:
            raise OSError(errno.ENAMETOOLONG, f"no socket can be named {self.path}: choose a shorter name")
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            self._bind(uid)
        except BaseException:
            self.heard.close()
            raise
        self._watchdog_ms = settings.watchdog_ms
        self._start_deadline_ms = settings.start_deadline_ms
        self._main_pid: int | None = None

    def _bind(self, uid: int) -> None:
        self.heard.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.path.unlink(missing_ok=True)
        former = os.umask(0o177)
        try:
            self.heard.bind(str(self.path))
        finally:
            os.umask(former)
        if uid != os.geteuid():
            os.chown(self.path, uid, -1, follow_symlinks=False)

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        self.heard.close()

    def tell(self, environment: MutableMapping[str, str]) -> None:
        """In the fork: what the program is told by its environment."""
        environment["NOTIFY_SOCKET"] = str(self.path)
        if self._settings.watchdog_ms:
            environment["WATCHDOG_USEC"] = str(self._settings.watchdog_ms * 1000)
            environment["WATCHDOG_PID"] = str(os.getpid())

    # What it has promised --------------------------------------------------------------------------------------------

    @property
    def owes_ready(self) -> bool:
        return self._start_deadline_ms > 0

    def expectation(self, program: str, pid: int) -> ExpectProgram:
        access = self._settings.access
        assert access != "none"
        return ExpectProgram(
            module=program,
            pid=pid,
            main_pid=self._main_pid or pid,
            access=access,
            start_deadline_ms=self._start_deadline_ms,
            watchdog_ms=self._watchdog_ms,
        )

    def became_ready(self) -> None:
        self._start_deadline_ms = 0

    def promised(self, promised: Promised) -> None:
        self._watchdog_ms = promised.watchdog_ms
        self._main_pid = promised.main_pid

    def ended_its_watch(self) -> None:
        self._start_deadline_ms = self._watchdog_ms = 0

    def kill(self, pid: int) -> None:
        """The program, its process group, and the main process that it named: two of it would be one too many.

        Raises ProcessLookupError when it has ended.
        """
        if self._main_pid is not None and self._main_pid != pid and descends(self._main_pid, pid):
            os.kill(self._main_pid, signal.SIGKILL)
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(pid, signal.SIGKILL)  # it hung before it had made a group of its own


def _place(root: Root) -> Path:
    place = root.path(PLACE)
    try:
        place.mkdir(mode=0o711)
        place.chmod(0o711)  # whatever the umask was
    except FileExistsError:
        found = place.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise OSError(errno.ENOTDIR, f"{place} is not a directory of rmd's user: remove it") from None
    return place


def owner_of(settings: NotifySettings, program: str, uid: int | None) -> int:
    """Whose processes may send to the program's socket; `uid`: whom it runs as, None: as rmd. Raises ConfigError.

    A node that does not run as root can give nothing away: there all is one user's. This asks the name service, so it
    belongs to reading the configuration.
    """
    if os.geteuid() != 0:
        return os.geteuid()
    if not settings.user:
        return 0 if uid is None else uid
    try:
        return pwd.getpwnam(settings.user).pw_uid
    except KeyError:
        raise ConfigError(f"{program}: HA_NOTIFY_USER: there is no user {settings.user!r}") from None
