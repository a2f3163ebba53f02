# SPDX-License-Identifier: GPL-2.0-or-later
"""What rmd makes for its workers before it forks them: the channel to apphbd, and the line over which they beat."""

from __future__ import annotations

import contextlib
import os
import socket

from ha.apphbd.msg import Beat
from ha.ipc import codec
from ha.ipc.limits import MAX_DATAGRAM_BYTES
from ha.machine import Message
from ha.rmd.model import APPHBD, Settings

BUSY_DEADLINE_MS = 8_000
"""What rmd promises before it does what may take long: reading workers' code from a slow disk."""


class BeatLine:
    """The socket pair over which every worker beats and apphbd hears them, for as long as rmd lives.

    It has no name in the file system: a flood that keeps beats out, and lets the healthy look hung, would have to come
    from a worker. The kernel says with each datagram which process has sent it (unix(7), SO_PASSCRED).
    """

    def __init__(self) -> None:
        self._heard, self._said = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._heard.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._heard.setblocking(False)
        self._said.setblocking(False)

    def end_of(self, worker: str) -> int:
        """The descriptor that `worker` inherits."""
        return (self._heard if worker == APPHBD else self._said).fileno()

    def drain(self) -> None:
        """Before a new apphbd is forked: what was said to the former one may be of workers that have ended since."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._heard.recv(MAX_DATAGRAM_BYTES)


class Channel:
    """A fresh socket pair for each apphbd that is forked."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._ours: socket.socket | None = None
        self._theirs: socket.socket | None = None

    def open(self) -> None:
        """Before the fork."""
        self.close()
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        self._ours.setblocking(False)

    def adopt(self, descriptor: int) -> None:
        """The end that the image before this one had: its apphbd goes on until it is replaced."""
        self._ours = socket.socket(fileno=descriptor)
        self._ours.setblocking(False)

    def detach(self) -> int | None:
        """Our end as a descriptor, for the image after this one; None when there is none. This object has none then."""
        descriptor = None if self._ours is None else self._ours.detach()
        self._ours = None
        return descriptor

    def forked(self) -> None:
        """After the fork, in rmd: apphbd's end is apphbd's alone, so that each notices the other's end."""
        if self._theirs is not None:
            self._theirs.close()
            self._theirs = None

    @property
    def theirs(self) -> int:
        assert self._theirs is not None
        return self._theirs.fileno()

    @property
    def descriptor(self) -> int | None:
        return None if self._ours is None else self._ours.fileno()

    def close(self) -> None:
        for end in (self._ours, self._theirs):
            if end is not None:
                end.close()
        self._ours = self._theirs = None

    def beat(self, *, busy: bool = False) -> None:
        """Say that rmd is well; `busy`: and that it may be silent for a while now."""
        deadline_ms = BUSY_DEADLINE_MS if busy else self._settings.pair_deadline_ms
        self.send(
            Beat(
                module="rmd",
                pid=os.getpid(),
                interval_ms=self._settings.pair_interval_ms,
                warntime_ms=deadline_ms,
                deadline_ms=deadline_ms,
            )
        )

    def send(self, message: Message, descriptor: int | None = None) -> bool:
        """False when apphbd is not there or does not read; it is told everything again once it is restarted.

        A `descriptor` goes along as a copy for apphbd.
        """
        if self._ours is None:
            return False
        try:
            if descriptor is None:
                self._ours.send(codec.encode(message), socket.MSG_NOSIGNAL)
            else:
                socket.send_fds(self._ours, [codec.encode(message)], [descriptor], socket.MSG_NOSIGNAL)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> Message | None:
        """The next message, None when there is none. Raises EOFError when apphbd's end is closed, CodecError."""
        assert self._ours is not None
        try:
            data = self._ours.recv(MAX_DATAGRAM_BYTES)
        except BlockingIOError:
            return None
        except ConnectionResetError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        return codec.decode(data)
