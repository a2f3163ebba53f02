# SPDX-License-Identifier: GPL-2.0-or-later
"""The register socket, where programs speak Heartbeat's client protocol. `core.api` knows what the bytes mean."""

from __future__ import annotations

import socket
from collections import deque
from typing import TYPE_CHECKING

from ha.heartbeat.model.api import (
    HEADER,
    MAGIC,
    MAX_API_CLIENTS,
    MAX_API_MESSAGE_BYTES,
    MAX_API_QUEUED_BYTES,
    ApiHangUp,
    ApiSend,
)
from ha.heartbeat.msg import ApiFrame
from ha.ipc import credentials
from ha.ipc.listener import Listener
from ha.machine import Client, Lost, Received
from ha.root import Root

if TYPE_CHECKING:
    from ha.shell import Loop

REGISTER = "/run/heartbeat/register"  # as in Heartbeat 3.0.6
PROGRAM = "register"
READ_BYTES = 64 * 1024


class Register:
    requests: tuple[type, ...] = (ApiSend, ApiHangUp)

    def __init__(self, root: Root) -> None:
        self._path = root.path(REGISTER)
        self._connections: dict[int, Connection] = {}
        self._accepted = 0

    def open(self, loop: Loop) -> None:
        self.loop = loop
        # apiauth decides by the kernel's word who may do what.
        self._listener = Listener(self._path, loop, self._take_in, MAX_API_CLIENTS)

    def close(self) -> None:
        for connection in list(self._connections.values()):
            connection.close()
        self._listener.close()

    def _take_in(self, stream: socket.socket) -> None:
        if len(self._connections) >= MAX_API_CLIENTS:
            stream.close()
            return
        peer = credentials.peer_of(stream)
        self._accepted += 1
        # Below zero: the shell's own programs count upwards.
        client = Client(PROGRAM, -self._accepted, peer.uid, peer.gid, peer.pid)
        self._connections[client.serial] = Connection(self, client, stream)

    def execute(self, operation: str, request: object) -> None:
        assert isinstance(request, (ApiSend, ApiHangUp))
        connection = self._connections.get(request.serial)
        if connection is not None:
            if isinstance(request, ApiSend):
                connection.send(request.data)
            else:
                connection.hang_up()
        self.loop.finish(operation, None)

    def gone(self, client: Client) -> None:
        del self._connections[client.serial]
        self.loop.post(Lost(client))


class Connection:
    """One program."""

    def __init__(self, register: Register, client: Client, stream: socket.socket) -> None:
        self._register = register
        self._loop = register.loop
        self._client = client
        self._stream = stream
        self._received = bytearray()
        self._unsent: deque[memoryview] = deque()
        self._unsent_bytes = 0
        self._ending = False
        self._closed = False
        self._loop.watch(stream.fileno(), self._readable)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._loop.unwatch(self._stream.fileno())
            self._stream.close()
            self._register.gone(self._client)

    def hang_up(self) -> None:
        """Close when everything is sent."""
        self._ending = True
        if not self._unsent:
            self.close()

    def send(self, data: bytes) -> None:
        frame = HEADER.pack(len(data), MAGIC) + data
        if self._unsent_bytes + len(frame) > MAX_API_QUEUED_BYTES:
            self.close()
            return
        self._unsent.append(memoryview(frame))
        self._unsent_bytes += len(frame)
        self._writable()

    def _writable(self) -> None:
        try:
            while self._unsent:
                sent = self._stream.send(self._unsent[0], socket.MSG_NOSIGNAL)
                self._unsent_bytes -= sent
                rest = self._unsent.popleft()[sent:]
                if rest:
                    self._unsent.appendleft(rest)
        except BlockingIOError:
            self._loop.watch_writable(self._stream.fileno(), self._writable)
            return
        except OSError:
            self.close()
            return
        self._loop.watch_writable(self._stream.fileno(), None)
        if self._ending:
            self.close()

    def _readable(self) -> None:
        try:
            data = self._stream.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or self._ending:
            self.close()
            return
        self._received += data
        while len(self._received) >= HEADER.size:
            length, magic = HEADER.unpack_from(self._received)
            if magic != MAGIC or length > MAX_API_MESSAGE_BYTES:
                self.close()
                return
            end = HEADER.size + length
            if len(self._received) < end:
                return
            message = bytes(self._received[HEADER.size : end])
            del self._received[:end]
            self._loop.post(Received(self._client, ApiFrame(data=message)))
