# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams of beats. What the kernel says of the sender must agree with what the beat says.

They come over a socket pair whose other end only rmd's workers have. Source: unix(7), SCM_CREDENTIALS.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from ha.apphbd.msg import BEATS_VARIABLE, Beat, Goodbye
from ha.ipc import codec
from ha.ipc.credentials import ANCILLARY_BYTES, sender_of

MAX_DATAGRAMS_PER_TURN = 128
"""Read in one turn of the loop, so that a flood of beats cannot keep apphbd from its deadlines."""

MAX_BEAT_BYTES = 4096
"""A longer datagram is refused."""

MAX_REFUSALS_NOTED = 20
"""Refused datagrams that are noted; later ones are only counted."""


def inherited_line() -> socket.socket | None:
    """This process's end, apphbd's or a worker's; None when rmd did not start it. Taken out of the environment: its
    children do not have it."""
    descriptor = os.environ.pop(BEATS_VARIABLE, None)
    return None if descriptor is None else socket.socket(fileno=int(descriptor))


class Beats:
    def __init__(
        self, inbox: socket.socket, heard: Callable[[Beat | Goodbye], None], note: Callable[[str], None]
    ) -> None:
        self._inbox = inbox
        self._buffer = memoryview(bytearray(MAX_BEAT_BYTES))
        self._heard = heard
        self._note = note
        self._refusals = 0

    def fileno(self) -> int:
        return self._inbox.fileno()

    def readable(self) -> None:
        """Takes what is there."""
        for _ in range(MAX_DATAGRAMS_PER_TURN):
            try:
                length, ancillary, flags, _ = self._inbox.recvmsg_into([self._buffer], ANCILLARY_BYTES)
            except BlockingIOError:
                return
            refusal = self._take(self._buffer[:length], ancillary, flags)
            if refusal:
                self._refusals += 1
                if self._refusals <= MAX_REFUSALS_NOTED:
                    self._note(f"a beat is refused: {refusal}")

    def _take(self, data: memoryview, ancillary: list[tuple[int, int, bytes]], flags: int) -> str:
        """Returns why the datagram is refused, "" when it was taken."""
        peer = sender_of(ancillary)
        if peer is None or flags & socket.MSG_TRUNC:
            return "longer than a datagram may be" if peer else "without credentials"
        try:
            message = codec.decode(data)
        except codec.CodecError as error:
            return f"from pid {peer.pid}: {error}"
        if not isinstance(message, Beat | Goodbye):
            return f"pid {peer.pid} sent {type(message).__name__}"
        if message.pid != peer.pid:
            return f"pid {peer.pid} speaks for pid {message.pid}"
        if isinstance(message, Beat) and not 0 < message.warntime_ms <= message.deadline_ms:
            times = f"warntime {message.warntime_ms}, deadline {message.deadline_ms} ms"
            return f"{message.module} (pid {peer.pid}): {times}"
        if message.module == "rmd":
            return f"pid {peer.pid} gives itself out as rmd"
        self._heard(message)
        return ""
