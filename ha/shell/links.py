# SPDX-License-Identifier: GPL-2.0-or-later
"""Links over unix sockets: this worker dials some workers, listens for others and for programs.

A link is a stream with a queue of what could not be sent yet. The switchboard keeps one link per worker and one per
program, redials for ever, and tells the loop what happened through four calls.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ha.ipc import codec, credentials
from ha.ipc.admission import refusal
from ha.ipc.frames import HEADER, frame
from ha.ipc.hello import PROTOCOL, Hello, Refused, Welcome
from ha.ipc.limits import (
    HELLO_TIMEOUT_MS,
    MAX_FRAME_BYTES,
    MAX_HELLO_BYTES,
    MAX_LINKS,
    MAX_PROGRAM_FRAME_BYTES,
    MAX_PROGRAM_LINKS,
    MAX_PROGRAM_QUEUED_BYTES,
    MAX_QUEUED_BYTES,
)
from ha.ipc.links import DIALS, PROGRAMS_MAY_DIAL, allowed
from ha.ipc.listener import Listener
from ha.ipc.moderation import Moderation
from ha.ipc.stream import MessageStream
from ha.machine import Client, Instant, Level, Local, Message
from ha.root import Root

REDIAL_MS = 10
"""A worker that is not there is dialled again this soon: rmd has it back in about that time."""

REDIAL_REFUSED_MS = 1_000
"""One that refused this worker is given time to be replaced by a version that does not."""


class Host(Protocol):
    """What the switchboard needs of the loop."""

    node: str

    def now(self) -> Instant: ...
    def watch(self, fd: int, on_readable: Callable[[], None]) -> None: ...
    def watch_writable(self, fd: int, on_writable: Callable[[], None] | None) -> None: ...
    def unwatch(self, fd: int) -> None: ...
    def call_at(self, deadline: Instant, call: Callable[[], None]) -> None: ...
    def note(self, level: Level, text: str) -> None: ...
    def linked(self, peer: Local) -> None: ...
    def unlinked(self, peer: Local | Client) -> None: ...
    def heard(self, peer: Local | Client, message: Message) -> None: ...


@dataclass(slots=True)
class Outgoing:
    """Frames not sent yet, and how many bytes they are."""

    frames: deque[bytes]
    size: int = 0


class Link(MessageStream):
    """One stream. `peer` is None until the hello is done."""

    def __init__(self, board: Switchboard, stream: socket.socket, *, limit: int, max_queued: int) -> None:
        super().__init__(board.host, stream, limit=limit, max_queued=max_queued)
        self.board = board
        self.peer: Local | Client | None = None
        self.dialled = ""
        self.redial_ms = REDIAL_MS

    @property
    def name(self) -> str:
        match self.peer:
            case Local(module):
                return module
            case Client(program, serial):
                return f"{program}#{serial}"
        return self.dialled or "a stranger"

    def arrived(self, message: Message) -> None:
        self.board.arrived(self, message)

    def gone(self, reason: str) -> None:
        self.board.gone(self, reason)

    def misspoke(self, text: str) -> None:
        self.board.complain(f"link to {self.name} closed: {text}")


class Switchboard:
    """All links of one worker."""

    def __init__(self, worker: str, incarnation: str, root: Root, host: Host) -> None:
        self.worker = worker
        self.incarnation = incarnation
        self.root = root
        self.host = host
        self.workers: dict[str, Link] = {}
        self.programs: dict[int, Link] = {}
        self._strangers: dict[Link, Instant] = {}
        """Who has not said Hello yet, in the order in which they came, and until when each is waited for."""
        self._dialling: set[Link] = set()
        self._waiting: dict[str, Outgoing] = {name: Outgoing(deque()) for name in DIALS.get(worker, ())}
        self._sweep_is_due = False
        self._serial = 0
        self._dropped: set[str] = set()
        self._listener: Listener | None = None
        self._complaints = Moderation("links refused or closed")

    # Opening and closing ---------------------------------------------------------------------------------------------

    def open(self) -> None:
        self._listen()
        for name in DIALS.get(self.worker, ()):
            self._dial(name)

    def close(self) -> None:
        if self._listener is not None:
            self._listener.close()

    def _listen(self) -> None:
        if self.worker in PROGRAMS_MAY_DIAL or any(self.worker in heard for heard in DIALS.values()):
            self._listener = Listener(self.root.socket(self.worker), self.host, self._take_in, MAX_LINKS)

    def _take_in(self, stream: socket.socket) -> None:
        if len(self._strangers) + len(self._dialling) + len(self.programs) + len(self.workers) >= MAX_LINKS:
            self.complain(f"more than {MAX_LINKS} links: a new one is refused")
            stream.close()
            return
        link = Link(self, stream, limit=MAX_HELLO_BYTES, max_queued=MAX_QUEUED_BYTES)
        until = self.host.now() + HELLO_TIMEOUT_MS
        self._strangers[link] = until
        # One timer for all: of a flood of strangers nothing is left behind when they have gone.
        if not self._sweep_is_due:
            self._sweep_is_due = True
            self.host.call_at(until, self._sweep)

    def _sweep(self) -> None:
        """Show those the door who have said no Hello for too long."""
        now = self.host.now()
        for link in [link for link, until in self._strangers.items() if until <= now]:
            link.close("it said no Hello")
        self._sweep_is_due = bool(self._strangers)
        if self._strangers:
            self.host.call_at(next(iter(self._strangers.values())), self._sweep)

    def _dial(self, name: str) -> None:
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            stream.connect(str(self.root.socket(name)))
        except (FileNotFoundError, ConnectionRefusedError, BlockingIOError, PermissionError):
            stream.close()
            self.host.call_at(self.host.now() + REDIAL_MS, lambda: self._dial(name))
            return
        link = Link(self, stream, limit=MAX_FRAME_BYTES, max_queued=MAX_QUEUED_BYTES)
        link.dialled = name
        self._dialling.add(link)
        link.send(Hello(protocol=PROTOCOL, kind="worker", name=self.worker, incarnation=self.incarnation))

    # What arrives ----------------------------------------------------------------------------------------------------

    def arrived(self, link: Link, message: Message) -> None:
        if link.peer is not None:
            self.host.heard(link.peer, message)
        elif link.dialled:
            self._welcomed(link, message)
        else:
            self._introduced(link, message)

    def _welcomed(self, link: Link, message: Message) -> None:
        if not isinstance(message, Welcome):
            reason = message.reason if isinstance(message, Refused) else f"said {type(message).__name__}, not Welcome"
            self.host.note("error", f"{link.dialled} does not let {self.worker} in: {reason}")
            link.redial_ms = REDIAL_REFUSED_MS
            link.close(reason)
            return
        self._become_worker(link, link.dialled)

    def _introduced(self, link: Link, message: Message) -> None:
        reason = self._refusal(link, message)
        if reason:
            self.complain(f"a link is refused: {reason}")
            link.send(Refused(reason=reason))
            link.close()
            return
        assert isinstance(message, Hello)
        link.send(Welcome(protocol=PROTOCOL, name=self.worker, node=self.host.node, incarnation=self.incarnation))
        if link.closed:
            return  # it hung up without waiting for an answer
        if message.kind == "worker":
            link.reader.limit = MAX_FRAME_BYTES
            self._become_worker(link, message.name)
        else:
            link.reader.limit = MAX_FRAME_BYTES if self.worker == "cib" else MAX_PROGRAM_FRAME_BYTES
            link.max_queued = MAX_PROGRAM_QUEUED_BYTES
            self._become_program(link, message.name)

    def _refusal(self, link: Link, message: Message) -> str:
        reason = refusal(message, credentials.peer_of(link.stream), self.worker)
        full = len(self.programs) >= MAX_PROGRAM_LINKS
        if not reason and full and isinstance(message, Hello) and message.kind == "program":
            return f"{MAX_PROGRAM_LINKS} programs are connected already; try again"
        return reason

    def _become_worker(self, link: Link, name: str) -> None:
        self._strangers.pop(link, None)
        self._dialling.discard(link)
        former = self.workers.get(name)
        if former is not None:
            former.close("replaced by a new link")
        link.peer = Local(name)
        self.workers[name] = link
        self._dropped.discard(name)
        waiting = self._waiting.pop(name, None)
        self.host.linked(link.peer)
        if waiting is not None:
            for data in waiting.frames:
                link.send_frame(data)

    def _become_program(self, link: Link, name: str) -> None:
        self._strangers.pop(link, None)
        self._dialling.discard(link)
        self._serial += 1
        peer = credentials.peer_of(link.stream)
        link.peer = Client(name, self._serial, peer.uid, peer.gid, peer.pid)
        self.programs[self._serial] = link

    def gone(self, link: Link, reason: str) -> None:
        """Called by a link that has closed."""
        self._strangers.pop(link, None)
        self._dialling.discard(link)
        match link.peer:
            case Local(name):
                if self.workers.get(name) is link:
                    del self.workers[name]
                self.host.unlinked(link.peer)
            case Client(serial=serial):
                del self.programs[serial]
                if reason:
                    self.complain(f"link to {link.name} closed: {reason}", "info")
                self.host.unlinked(link.peer)
        if link.dialled and self.workers.get(link.dialled) is None:
            self.host.call_at(self.host.now() + link.redial_ms, lambda: self._dial(link.dialled))

    def complain(self, text: str, level: Level = "warning") -> None:
        """A peer's misbehaviour; of a flood the first few are told, and then how many there were."""
        self.summarize()
        if self._complaints.admits(self.host.now()):
            self.host.note(level, text)

    def summarize(self) -> None:
        """Now and then, so that the last lines of a flood are counted too."""
        if left_out := self._complaints.summary(self.host.now()):
            self.host.note("warning", left_out)

    # What is sent ----------------------------------------------------------------------------------------------------

    def to_worker(self, name: str, message: Message) -> None:
        """Send, or keep for when the link stands; beyond the limit the newest are dropped and that is noted once."""
        link = self.workers.get(name)
        if link is not None:
            link.send(message)
            return
        assert allowed(self.worker, name) or allowed(name, self.worker), f"{self.worker} may not speak to {name}"
        data = frame(codec.encode(message), MAX_FRAME_BYTES)
        waiting = self._waiting.setdefault(name, Outgoing(deque()))
        if waiting.size + len(data) + HEADER.size > MAX_QUEUED_BYTES:
            if name not in self._dropped:
                self._dropped.add(name)
                self.host.note("warning", f"{name} is away and {waiting.size} bytes wait for it: messages are dropped")
            return
        waiting.frames.append(data)
        waiting.size += len(data)

    def to_program(self, client: Client, message: Message) -> None:
        link = self.programs.get(client.serial)
        if link is not None:
            link.send(message)
