# SPDX-License-Identifier: GPL-2.0-or-later
"""A socket with a name in the file system, and listening at it. Who may come in is the taker's to judge; who can
come that far, the file's mode: the run directory lets every user pass, its files do not."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

MAX_ACCEPTS_PER_TURN = 16
"""A turn of the loop costs more than an accept; more at once would keep the loop from its other work."""


MODE = 0o660
"""The group is the run directory's, haclient: the taker lets nobody else in, and nobody else shall fill its places."""

MODE_FOR_EVERYBODY = 0o666
"""For the classic apphb socket, which serves any user's programs."""


def admit(path: Path, mode: int) -> None:
    """Give a bound socket its mode, and the group of its directory."""
    group = path.parent.stat().st_gid
    if os.geteuid() == 0 and path.stat().st_gid != group:
        os.chown(path, -1, group)
    os.chmod(path, mode)


class Host(Protocol):
    """What a listener needs of the loop."""

    def watch(self, fd: int, on_readable: Callable[[], None], /) -> None: ...
    def unwatch(self, fd: int, /) -> None: ...


class Listener:
    """`take_in` is given each connection, which does not block. `backlog` connections may wait to be accepted; the
    kernel tells one more to try again."""

    def __init__(
        self, path: Path, host: Host, take_in: Callable[[socket.socket], None], backlog: int, mode: int = MODE
    ) -> None:
        self._path = path
        self._host = host
        self._take_in = take_in
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._socket.bind(str(temporary))
        admit(temporary, mode)
        self._socket.listen(backlog)
        # A dead predecessor's socket is replaced in one step: diallers find the old one or the new one.
        os.replace(temporary, path)
        host.watch(self._socket.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTS_PER_TURN):
            try:
                stream, _ = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            stream.setblocking(False)
            self._take_in(stream)

    def close(self) -> None:
        self._host.unwatch(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)
