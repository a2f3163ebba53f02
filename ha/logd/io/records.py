# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams of log lines. Only who may speak to the cluster may write its log."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

from ha.ipc import codec
from ha.ipc.credentials import ANCILLARY_BYTES, Peer, sender_of, trusted_as_program
from ha.ipc.limits import MAX_DATAGRAM_BYTES
from ha.ipc.listener import MODE, admit
from ha.logd.msg import RECORDS_SOCKET, Record, Reopen
from ha.machine import Local, Received

if TYPE_CHECKING:
    from ha.shell import Loop

MAX_DATAGRAMS_PER_TURN = 256
"""Read in one turn of the loop, so that a flood of lines cannot keep logd from its beat."""

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024



class Records:
    """Posts Received(Local(module), Record) for each line, and Received(.., Reopen) for SIGHUP."""

    requests: tuple[type, ...] = ()

    def __init__(self) -> None:
        self._trusted: dict[tuple[int, int], bool] = {}
        self._buffer = memoryview(bytearray(MAX_DATAGRAM_BYTES))
        self.refused = 0

    def open(self, loop: Loop) -> None:
        self._loop = loop
        path = loop.root.socket(RECORDS_SOCKET)
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        self._inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._inbox.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._inbox.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._inbox.bind(str(temporary))
        admit(temporary, MODE)
        os.replace(temporary, path)
        loop.watch(self._inbox.fileno(), self._readable)
        signal.signal(signal.SIGHUP, lambda number, frame: loop.post_threadsafe(Received(Local("logd"), Reopen())))

    def execute(self, operation: str, request: object) -> None:
        raise AssertionError("records take no orders")

    def close(self) -> None:
        """What still waits in the socket is taken by the next logd's senders: they repeat nothing, lines are lost."""
        self._loop.unwatch(self._inbox.fileno())
        self._inbox.close()

    def _readable(self) -> None:
        for _ in range(MAX_DATAGRAMS_PER_TURN):
            try:
                length, ancillary, flags, _ = self._inbox.recvmsg_into([self._buffer], ANCILLARY_BYTES)
            except BlockingIOError:
                return
            record = self._record(self._buffer[:length], ancillary, flags)
            if record is None:
                self.refused += 1
            else:
                self._loop.post(Received(Local(record.module), record))

    def _record(self, data: memoryview, ancillary: list[tuple[int, int, bytes]], flags: int) -> Record | None:
        """None for what is no line of a trusted sender."""
        sender = sender_of(ancillary)
        if sender is None or flags & socket.MSG_TRUNC or not self._is_trusted(sender):
            return None
        try:
            message = codec.decode(data)
        except codec.CodecError:
            return None
        return message if isinstance(message, Record) else None

    def _is_trusted(self, peer: Peer) -> bool:
        key = (peer.uid, peer.gid)
        if key not in self._trusted:
            if len(self._trusted) >= 1024:
                self._trusted.clear()
            self._trusted[key] = trusted_as_program(peer)
        return self._trusted[key]
