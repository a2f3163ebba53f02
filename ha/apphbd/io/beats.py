# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams of beats. What the kernel says of the sender must agree with what the beat says.

Source: unix(7), SCM_CREDENTIALS.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable

from ha.apphbd.msg import BEATS_SOCKET, Beat, Goodbye
from ha.ipc import codec
from ha.ipc.credentials import Peer, trusted_as_program
from ha.root import Root

MAX_DATAGRAMS_PER_TURN = 128
"""Read in one turn of the loop, so that a flood of beats cannot keep apphbd from its deadlines."""

MAX_BEAT_BYTES = 4096
"""A longer datagram is refused."""

MAX_REFUSALS_NOTED = 20
"""Refused datagrams that are noted; later ones are only counted."""

_UCRED = struct.Struct("3i")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_UCRED.size)


def open_beats_socket(root: Root) -> socket.socket:
    """Bound in the place of an earlier one in one step, so that senders always find one of the two."""
    path = root.socket(BEATS_SOCKET)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    beats = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    beats.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    beats.bind(str(temporary))
    # Who may register is decided by the kernel's word on the sender, not by the file's mode.
    os.chmod(temporary, 0o666)
    os.replace(temporary, path)
    return beats


class Beats:
    def __init__(
        self, inbox: socket.socket, heard: Callable[[Beat | Goodbye], None], note: Callable[[str], None]
    ) -> None:
        self._inbox = inbox
        self._buffer = memoryview(bytearray(MAX_BEAT_BYTES))
        self._heard = heard
        self._note = note
        self._trusted: dict[tuple[int, int], bool] = {}
        self._refusals = 0

    def fileno(self) -> int:
        return self._inbox.fileno()

    def readable(self) -> int:
        """Takes what is there; returns how much that was."""
        for number in range(MAX_DATAGRAMS_PER_TURN):
            try:
                length, ancillary, flags, _ = self._inbox.recvmsg_into([self._buffer], _ANCILLARY_BYTES)
            except BlockingIOError:
                return number
            refusal = self._take(self._buffer[:length], ancillary, flags)
            if refusal:
                self._refusals += 1
                if self._refusals <= MAX_REFUSALS_NOTED:
                    self._note(f"a beat is refused: {refusal}")
        return MAX_DATAGRAMS_PER_TURN

    def _take(self, data: memoryview, ancillary: list[tuple[int, int, bytes]], flags: int) -> str:
        """Returns why the datagram is refused, "" when it was taken."""
        credentials = [value for _, kind, value in ancillary if kind == socket.SCM_CREDENTIALS]
        peer = Peer(*_UCRED.unpack(credentials[0])) if credentials else None
        if peer is None or flags & socket.MSG_TRUNC:
            return "longer than a datagram may be" if peer else "without credentials"
        if not self._is_trusted(peer):
            return f"uid {peer.uid} may not be a client"
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

    def _is_trusted(self, peer: Peer) -> bool:
        # Looked up once for each user: the password file must not be read at every beat.
        key = (peer.uid, peer.gid)
        if key not in self._trusted:
            if len(self._trusted) >= 1024:
                self._trusted.clear()
            self._trusted[key] = trusted_as_program(peer)
        return self._trusted[key]
