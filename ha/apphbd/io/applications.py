# SPDX-License-Identifier: GPL-2.0-or-later
"""The classic apphb socket: connections of applications that speak Heartbeat's own client protocol."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from ha.apphbd.model.applications import SOCKET, ProtocolError, Requests, answer
from ha.apphbd.msg import AppAnswer
from ha.ipc import credentials
from ha.ipc.listener import MODE_FOR_EVERYBODY, Listener
from ha.ipc.moderation import Moderation
from ha.machine import Client, Instant, Local, Message
from ha.root import Root

PROGRAM = "apphb"

MAX_CONNECTIONS = 320
"""At once. One more is closed at once."""
BACKLOG = 256
READ_BYTES = 4096


class Host(Protocol):
    """What the socket needs of the loop."""

    def now(self) -> Instant: ...
    def watch(self, fd: int, on_readable: Callable[[], None], /) -> None: ...
    def unwatch(self, fd: int, /) -> None: ...
    def heard(self, peer: Local | Client, message: Message) -> None: ...
    def unlinked(self, peer: Local | Client) -> None: ...
    def note_link(self, text: str) -> None: ...


class Connection:
    def __init__(self, owner: ApplicationSocket, stream: socket.socket, address: Client) -> None:
        self.stream = stream
        self.address = address
        self._owner = owner
        self._requests = Requests()

    def readable(self) -> None:
        try:
            data = self.stream.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        try:
            requests = self._requests.feed(data) if data else []
        except ProtocolError as error:
            self._owner.complain(f"pid {self.address.pid}: {error}")
            data = b""
        else:
            for request in requests:
                self._owner.host.heard(self.address, request)
        if not data:
            self._owner.close_one(self)

    def send(self, data: bytes) -> None:
        """An application that does not read its answers is hung up on: each is twelve bytes."""
        try:
            whole = self.stream.send(data, socket.MSG_NOSIGNAL) == len(data)
        except OSError:
            whole = False
        if not whole:
            self._owner.close_one(self)


class ApplicationSocket:
    """Clients of this socket are `Client(PROGRAM, ...)`; their serial numbers are negative, the door's are positive."""

    def __init__(self, root: Root, host: Host) -> None:
        self.host = host
        self._connections: dict[Client, Connection] = {}
        self._serial = 0
        self._complaints = Moderation("refusals on the classic apphb socket")
        # Any user's application may have itself watched; what one user may take is bounded by the core.
        self._listener = Listener(root.path(SOCKET), host, self._take_in, BACKLOG, MODE_FOR_EVERYBODY)

    def close(self) -> None:
        for connection in self._connections.values():
            self.host.unwatch(connection.stream.fileno())
            connection.stream.close()
        self._listener.close()

    def send(self, to: Client, message: Message) -> bool:
        """False when `to` is none of this socket's. Events are not told here: the protocol has no word for them."""
        connection = self._connections.get(to)
        if connection is not None and isinstance(message, AppAnswer):
            connection.send(answer(message.error))
        return connection is not None

    def complain(self, text: str) -> None:
        now = self.host.now()
        if left_out := self._complaints.summary(now):
            self.host.note_link(left_out)
        if self._complaints.admits(now):
            self.host.note_link(f"apphb.comm: {text}")

    def _take_in(self, stream: socket.socket) -> None:
        if len(self._connections) >= MAX_CONNECTIONS:
            self.complain(f"more than {MAX_CONNECTIONS} connections: a new one is refused")
            stream.close()
            return
        self._serial -= 1
        peer = credentials.peer_of(stream)
        connection = Connection(self, stream, Client(PROGRAM, self._serial, peer.uid, peer.gid, peer.pid))
        self._connections[connection.address] = connection
        self.host.watch(stream.fileno(), connection.readable)

    def close_one(self, connection: Connection) -> None:
        if self._connections.pop(connection.address, None) is not None:
            self.host.unwatch(connection.stream.fileno())
            connection.stream.close()
            self.host.unlinked(connection.address)
