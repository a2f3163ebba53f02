# SPDX-License-Identifier: GPL-2.0-or-later
"""A listening stream socket of the root pair: hello, then messages. Workers dial it (crmd -> rmd), and programs.

The workers' own switchboard lives in ha.shell, above this pair; this one only listens.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from ha.ipc import credentials
from ha.ipc.admission import refusal
from ha.ipc.hello import PROTOCOL, Hello, Refused, Welcome
from ha.ipc.limits import MAX_HELLO_BYTES, MAX_PROGRAM_FRAME_BYTES
from ha.ipc.listener import Listener
from ha.ipc.moderation import Moderation
from ha.ipc.stream import MessageStream
from ha.machine import Client, Instant, Local, Message
from ha.root import Root

MAX_PEERS = 64
"""Connections at once. One more is closed at once."""

MAX_STRANGERS = 16
"""Connections that have not said Hello yet. For one more the oldest of them is closed."""

BACKLOG = 256
"""Connections that wait to be accepted; the kernel tells one more to try again."""

MAX_QUEUED_BYTES = 4 * 1024 * 1024
"""Unsent bytes for a peer that does not read. Beyond: it is hung up on."""


class Host(Protocol):
    """What the door needs of the loop."""

    def now(self) -> Instant: ...
    def watch(self, fd: int, on_readable: Callable[[], None], /) -> None: ...
    def watch_writable(self, fd: int, on_writable: Callable[[], None] | None, /) -> None: ...
    def unwatch(self, fd: int, /) -> None: ...
    def heard(self, peer: Local | Client, message: Message) -> None: ...
    def linked(self, peer: Local | Client) -> None: ...
    def unlinked(self, peer: Local | Client) -> None: ...
    def note_link(self, text: str) -> None: ...


class Peer(MessageStream):
    """One connection. `address` is None until its hello."""

    def __init__(self, door: Door, stream: socket.socket) -> None:
        super().__init__(door.host, stream, limit=MAX_HELLO_BYTES, max_queued=MAX_QUEUED_BYTES)
        self.door = door
        self.address: Local | Client | None = None

    def arrived(self, message: Message) -> None:
        self.door.arrived(self, message)

    def gone(self, reason: str) -> None:
        self.door.gone(self, reason)

    def misspoke(self, text: str) -> None:
        self.door.complain(f"link closed: {text}")


class Door:
    """The listening socket `name` of a node and everyone who came through it."""

    def __init__(self, name: str, node: str, incarnation: str, root: Root, host: Host) -> None:
        self.name = name
        self.node = node
        self.incarnation = incarnation
        self.host = host
        self._strangers: dict[Peer, None] = {}
        self._peers: dict[Local | Client, Peer] = {}
        self._serial = 0
        self._complaints = Moderation("links refused or closed, requests not served")
        self._listener = Listener(root.socket(name), host, self._take_in, BACKLOG)

    def close(self) -> None:
        for peer in [*self._strangers, *self._peers.values()]:
            peer.close()
        self._listener.close()

    def send(self, to: Local | Client, message: Message) -> bool:
        """False when nobody of that address is connected."""
        peer = self._peers.get(to)
        if peer is not None:
            peer.send(message)
        return peer is not None

    def connected(self, address: Local | Client) -> bool:
        return address in self._peers

    def _take_in(self, stream: socket.socket) -> None:
        if len(self._strangers) + len(self._peers) >= MAX_PEERS:
            stream.close()
            self.complain(f"more than {MAX_PEERS} connections: a new one is refused")
            return
        self._strangers[Peer(self, stream)] = None
        if len(self._strangers) > MAX_STRANGERS:
            next(iter(self._strangers)).close("it said no Hello")

    def arrived(self, peer: Peer, message: Message) -> None:
        if peer.address is not None:
            self.host.heard(peer.address, message)
            return
        reason = refusal(message, credentials.peer_of(peer.stream), self.name)
        if reason:
            self.complain(f"a link is refused: {reason}")
            peer.send(Refused(reason=reason))
            peer.close()
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
        if not peer.closed:
            self.host.linked(address)

    def gone(self, peer: Peer, reason: str) -> None:
        """Called by a peer that has closed."""
        self._strangers.pop(peer, None)
        if peer.address is not None and self._peers.get(peer.address) is peer:
            del self._peers[peer.address]
            self.host.unlinked(peer.address)
        if reason:
            self.complain(f"link closed: {reason}")

    def complain(self, text: str) -> None:
        """A peer's misbehaviour, for the log; of a flood the first few, and then how many there were."""
        now = self.host.now()
        if left_out := self._complaints.summary(now):
            self.host.note_link(f"{self.name}: {left_out}")
        if self._complaints.admits(now):
            self.host.note_link(f"{self.name}: {text}")
