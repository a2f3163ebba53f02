# SPDX-License-Identifier: GPL-2.0-or-later
"""A listening stream socket of the root pair: hello, then messages. Workers dial it (crmd -> rmd), and programs.

The workers' own switchboard lives in ha.shell, above this pair; this one only listens.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ha.ipc import codec, credentials
from ha.ipc.frames import FrameError, FrameReader, frame
from ha.ipc.hello import PROTOCOL, Hello, Refused, Welcome
from ha.ipc.limits import MAX_FRAME_BYTES, MAX_HELLO_BYTES, MAX_PROGRAM_FRAME_BYTES, READ_BYTES
from ha.ipc.links import allowed
from ha.machine import Client, Local, Message
from ha.root import Root

MAX_PEERS = 64
"""Connections at once. One more is closed at once."""

MAX_STRANGERS = 16
"""Connections that have not said Hello yet. For one more the oldest of them is closed."""

MAX_ACCEPTS_PER_TURN = 16

BACKLOG = 256
"""Connections that wait to be accepted; the kernel tells one more to try again."""

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""Unsent bytes for a peer that does not read. Beyond: it is hung up on."""


class Host(Protocol):
    """What the door needs of the loop."""

    def watch(self, descriptor: int, on_readable: Callable[[], None]) -> None: ...
    def watch_writable(self, descriptor: int, on_writable: Callable[[], None] | None) -> None: ...
    def unwatch(self, descriptor: int) -> None: ...
    def heard(self, peer: Local | Client, message: Message) -> None: ...
    def linked(self, peer: Local | Client) -> None: ...
    def unlinked(self, peer: Local | Client) -> None: ...
    def note_link(self, text: str) -> None: ...


class Peer:
    """One connection. `address` is None until its hello."""

    def __init__(self, door: Door, stream: socket.socket) -> None:
        self.door = door
        self.stream = stream
        self.address: Local | Client | None = None
        self.reader = FrameReader(MAX_HELLO_BYTES)
        self.closed = False
        self._out: deque[memoryview] = deque()
        self._out_bytes = 0
        door.host.watch(stream.fileno(), self._readable)

    def send(self, message: Message) -> None:
        if self.closed:
            return
        data = frame(codec.encode(message), MAX_FRAME_BYTES)
        self._out_bytes += len(data)
        if self._out_bytes > MAX_QUEUED_BYTES:
            self.close(f"it does not read: {self._out_bytes} bytes wait for it")
            return
        self._out.append(memoryview(data))
        if len(self._out) == 1:
            self._writable()

    def close(self, reason: str = "") -> None:
        if self.closed:
            return
        self.closed = True
        self.door.host.unwatch(self.stream.fileno())
        self.stream.close()
        self._out.clear()
        self.door.gone(self, reason)

    def _writable(self) -> None:
        try:
            while self._out:
                sent = self.stream.send(self._out[0], socket.MSG_NOSIGNAL)
                self._out_bytes -= sent
                if sent == len(self._out[0]):
                    self._out.popleft()
                else:
                    self._out[0] = self._out[0][sent:]
        except BlockingIOError:
            self.door.host.watch_writable(self.stream.fileno(), self._writable)
            return
        except OSError as error:
            self.close(str(error.strerror))
            return
        self.door.host.watch_writable(self.stream.fileno(), None)

    def _readable(self) -> None:
        try:
            data = self.stream.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(str(error.strerror))
            return
        if not data:
            self.close()
            return
        try:
            for body in self.reader.feed(data):
                self.door.arrived(self, codec.decode(body))
                if self.closed:
                    return
        except (FrameError, codec.CodecError) as error:
            self.close(str(error))


class Door:
    """The listening socket `name` of a node and everyone who came through it."""

    def __init__(self, name: str, node: str, incarnation: str, root: Root, host: Host) -> None:
        self.name = name
        self.node = node
        self.incarnation = incarnation
        self.host = host
        self._path = root.socket(name)
        self._strangers: dict[Peer, None] = {}
        self._peers: dict[Local | Client, Peer] = {}
        self._serial = 0
        self._listener = self._listen()
        host.watch(self._listener.fileno(), self._accept)

    def _listen(self) -> socket.socket:
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        listener.bind(str(temporary))
        # Whoever may connect at all is judged by the credentials the kernel gives.
        os.chmod(temporary, 0o666)
        listener.listen(BACKLOG)
        os.replace(temporary, self._path)
        return listener

    def close(self) -> None:
        for peer in [*self._strangers, *self._peers.values()]:
            peer.close()
        self.host.unwatch(self._listener.fileno())
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def send(self, to: Local | Client, message: Message) -> bool:
        """False when nobody of that address is connected."""
        peer = self._peers.get(to)
        if peer is not None:
            peer.send(message)
        return peer is not None

    def connected(self, address: Local | Client) -> bool:
        return address in self._peers

    def _accept(self) -> None:
        for _ in range(MAX_ACCEPTS_PER_TURN):
            try:
                stream, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            self._take_in(stream)

    def _take_in(self, stream: socket.socket) -> None:
        if len(self._strangers) + len(self._peers) >= MAX_PEERS:
            stream.close()
            self.host.note_link(f"{self.name}: more than {MAX_PEERS} connections: a new one is refused")
            return
        stream.setblocking(False)
        self._strangers[Peer(self, stream)] = None
        if len(self._strangers) > MAX_STRANGERS:
            next(iter(self._strangers)).close("it said no Hello")

    def arrived(self, peer: Peer, message: Message) -> None:
        if peer.address is not None:
            self.host.heard(peer.address, message)
            return
        refusal = self._refusal(peer, message)
        if refusal:
            self.host.note_link(f"{self.name}: a link is refused: {refusal}")
            peer.send(Refused(reason=refusal))
            peer.close(refusal)
            return
        assert isinstance(message, Hello)
        self._let_in(peer, message)

    def _let_in(self, peer: Peer, hello: Hello) -> None:
        self._strangers.pop(peer, None)
        peer.reader.limit = MAX_PROGRAM_FRAME_BYTES
        address: Local | Client
        if hello.kind == "worker":
            address = Local(hello.name)
            former = self._peers.get(address)
            if former is not None:
                former.close("replaced by a new link")
        else:
            self._serial += 1
            who = credentials.peer_of(peer.stream)
            address = Client(hello.name, self._serial, who.uid, who.gid, who.pid)
        peer.address = address
        self._peers[address] = peer
        peer.send(Welcome(protocol=PROTOCOL, name=self.name, node=self.node, incarnation=self.incarnation))
        self.host.linked(address)

    def _refusal(self, peer: Peer, message: Message) -> str:
        if not isinstance(message, Hello):
            return f"it began with {type(message).__name__}, not Hello"
        who = credentials.peer_of(peer.stream)
        if message.protocol != PROTOCOL:
            return f"{message.name} speaks protocol {message.protocol}, this is {PROTOCOL}: restart the older one"
        if not 0 < len(message.name) <= 64 or not message.name.isprintable():
            return "its name is empty, overlong or unprintable"
        if message.kind == "worker" and not credentials.trusted_as_worker(who):
            return f"uid {who.uid} may not be a worker"
        if message.kind == "worker" and not allowed(message.name, self.name):
            return f"{message.name} may not link to {self.name}"
        if not credentials.trusted_as_program(who):
            return f"uid {who.uid} is neither root nor in group {credentials.CLUSTER_GROUP}"
        return ""

    def gone(self, peer: Peer, reason: str) -> None:
        """Called by a peer that has closed."""
        self._strangers.pop(peer, None)
        if peer.address is not None and self._peers.get(peer.address) is peer:
            del self._peers[peer.address]
            self.host.unlinked(peer.address)
        if reason:
            self.host.note_link(f"{self.name}: link closed: {reason}")
