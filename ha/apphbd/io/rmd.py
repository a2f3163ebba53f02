# SPDX-License-Identifier: GPL-2.0-or-later
"""The other half of the root pair, seen from apphbd: its channel, its life, and how apphbd takes its place.

rmd forks apphbd and gives it one end of a socket pair (SOCK_SEQPACKET: a message is a packet, and the end of the
other side is noticed). When rmd must be replaced, apphbd makes sure that it and its workers have ended and then says so
by raising Succession: rmd's own code, from whose image it was forked, takes it from there (ha.rmd.io.succession).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time

from ha.apphbd.model import ReplaceRmd
from ha.ipc import codec
from ha.ipc.limits import MAX_DATAGRAM_BYTES
from ha.machine import Message

CHANNEL_VARIABLE = "HA_RMD_CHANNEL"
"""In apphbd's environment: the descriptor of its end of the channel and rmd's process number, as "5:4711"."""

SHORT_LIVES_VARIABLE = "HA_RMD_SHORT_LIVES"
"""Handed from apphbd through the new rmd to its apphbd: see the core's `short_lives`."""

END_TIMEOUT_MS = 5_000
"""A killed process that has not ended by then hangs in the kernel: nothing may be started in its place."""


class Succession(Exception):
    """rmd and its workers have ended: this process is to become the new rmd. Nobody but rmd's code catches it."""

    def __init__(self, reason: str, short_lives: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.short_lives = short_lives
        """To be handed on to the new rmd's apphbd."""


class NotReplaced(Exception):
    """rmd could not be replaced; the text says why."""


class Rmd:
    """Raises ProcessLookupError when rmd has ended already."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self.channel = channel
        self.pid = pid
        self.life = os.pidfd_open(pid)
        """Readable when rmd has ended."""
        if os.getppid() != pid:
            raise ProcessLookupError(pid)
        channel.setblocking(False)

    @classmethod
    def from_environment(cls) -> Rmd | None:
        """None when apphbd was not started by rmd."""
        value = os.environ.get(CHANNEL_VARIABLE)
        if value is None:
            return None
        descriptor, _, pid = value.partition(":")
        return cls(socket.socket(fileno=int(descriptor)), int(pid))

    def send(self, message: Message) -> bool:
        """False when rmd does not take it: it is frozen, or has ended."""
        try:
            self.channel.send(codec.encode(message), socket.MSG_NOSIGNAL)
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            return False
        return True

    def receive(self) -> tuple[Message, int | None] | None:
        """The next message, with the descriptor that came along; None when there is none now.

        Raises EOFError when rmd's end is closed, CodecError.
        """
        try:
            data, descriptors, _, _ = socket.recv_fds(self.channel, MAX_DATAGRAM_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionResetError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        try:
            return codec.decode(data), descriptors[0] if descriptors else None
        except codec.CodecError:
            for descriptor in descriptors:
                os.close(descriptor)
            raise


def short_lives() -> int:
    text = os.environ.get(SHORT_LIVES_VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def end_and_await(request: ReplaceRmd) -> None:
    """Kill rmd if it lives and wait until it and its workers have ended. Raises NotReplaced."""
    watched = {}
    for pid in (request.pid, *request.workers):
        try:
            watched[os.pidfd_open(pid)] = pid
        except ProcessLookupError:
            continue  # it has ended
    for descriptor, pid in watched.items():
        if pid == request.pid:
            _kill(descriptor)
    # The workers die with their parent (PR_SET_PDEATHSIG). They are waited for so that there are never two of one.
    poll = select.poll()
    for descriptor in watched:
        poll.register(descriptor, select.POLLIN)
    deadline = time.monotonic() + END_TIMEOUT_MS / 1000
    left = dict(watched)
    while left:
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            names = ", ".join(str(pid) for pid in left.values())
            raise NotReplaced(f"pid {names} did not end within {END_TIMEOUT_MS} ms")
        for descriptor, _ in ready:
            poll.unregister(descriptor)
            del left[descriptor]
    for descriptor in watched:
        os.close(descriptor)


def _kill(descriptor: int) -> None:
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return  # it ended by itself
