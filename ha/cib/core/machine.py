# SPDX-License-Identifier: GPL-2.0-or-later
"""The cib's Machine: takes events apart and hands them to the part that is concerned."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ha.ccm.msg import MembershipEvent
from ha.cib.core.askers import Askers, Request
from ha.cib.core.callers import Callers
from ha.cib.core.context import Caller, Context
from ha.cib.core.journal import Journal
from ha.cib.core.member import Member
from ha.cib.core.readers import Readers
from ha.cib.core.replica import Replica
from ha.cib.core.writer import Phase, Writer
from ha.cib.model.acl import User
from ha.cib.model.schema import Schema
from ha.cib.model.store import LoadCib, LoadedCib
from ha.cib.msg import (
    Accepted,
    Collect,
    Commit,
    Fetch,
    Follow,
    Forward,
    Forwarded,
    Have,
    Lead,
    Outvoted,
    Propose,
    Purge,
    Query,
    Subscribe,
    Version,
    Whole,
    Write,
)
from ha.cib.schema import load
from ha.machine import (
    Client,
    Connected,
    Effect,
    Event,
    Finished,
    Fired,
    Instant,
    Local,
    Lost,
    Received,
    Remote,
    Started,
    Stopping,
    Wall,
)

MAX_EARLY = 4096
"""Messages kept while the CIB is loaded from disk. The oldest are kept: senders repeat what is not answered."""
LOAD_RETRY_MS = 1_000


class Cib:
    """See `ha.cib.core`. `version` and `digest` are those that readers may see."""

    def __init__(self, node: str, schema: Schema) -> None:
        self._context = Context(node)
        self._replica = Replica()
        self._journal = Journal(self._context, self._replica, self._stored)
        self._readers = Readers(self._context, self._replica)
        self._member = Member(self._context, self._replica, self._journal, self._readers)
        self._callers = Callers(self._context, self._readers, self._lead_here)
        self._writer = Writer(
            self._context, self._replica, self._journal, self._readers, schema,
            settle=self._callers.forwarded, ready=self._callers.writer_changed,
        )  # fmt: skip
        self._askers = Askers(self._context, self._asked)
        self._is_loaded = False
        self._early: deque[Received] = deque()
        self._from_cib: dict[type, Callable[[str, Any], None]] = {
            Collect: self._member.collect,
            Fetch: self._member.fetch,
            Propose: self._member.propose,
            Commit: self._member.commit,
            Whole: self._whole,
            Have: self._writer.have,
            Accepted: self._writer.accepted,
            Outvoted: lambda node, message: self._writer.outvoted(message),
            Forward: self._forward,
            Forwarded: lambda node, message: self._callers.forwarded(message.written),
        }
        self._timers: dict[str, Callable[[], None]] = {
            "load-again": self._load,
            "callers": self._callers.tick,
            "writer": self._writer.tick,
            "member": self._member.tick,
            "settle": self._journal.settle,
            "store-again": self._journal.again,
            "publish-again": self._readers.again,
        }

    @property
    def version(self) -> Version:
        return self._replica.published.version

    @property
    def digest(self) -> str:
        return self._replica.published.digest

    @property
    def phase(self) -> Phase:
        return self._writer.phase

    def step(self, event: Event, now: Instant) -> list[Effect]:
        self._context.now = now
        effects: list[Effect] = []
        self._context.effects = effects
        match event:
            case Started():
                self._load()
            case Wall(offset_ms):
                self._context.wall_offset_ms = offset_ms
            case Finished(operation, outcome):
                self._finished(operation, outcome)
            case Received():
                self._received(event)
            case Fired(timer):
                self._timers[timer]()
            case Lost(Client() as client):
                self._readers.forget(client)
                self._callers.forget(client)
                self._askers.forget(client)
            case Lost(peer):
                self._readers.forget(peer)
            case Connected(Local("ccm")):
                self._context.say_synchronized()
            case Connected() | Stopping():
                pass  # a new crmd says itself whom to follow; until then nothing changes
        return effects

    def _finished(self, operation: str, outcome: object) -> None:
        kind = operation.partition(":")[0]
        if kind == "load" and isinstance(outcome, OSError):
            self._context.note("critical", f"cannot read the CIB: {outcome}; the node has none until that works")
            self._context.arm("load-again", LOAD_RETRY_MS)
        elif kind == "load":
            assert isinstance(outcome, LoadedCib), f"no outcome of loading: {outcome!r}"
            self._loaded(outcome)
        elif kind == "store":
            self._journal.finished(operation, outcome)
        elif kind == "publish":
            self._readers.finished(operation, outcome)
        elif kind == "user":
            self._askers.finished(operation, outcome)
        elif kind == "keep" and isinstance(outcome, OSError):
            self._context.note("error", f"a CIB that a merge dropped could not be kept: {outcome}")
        elif kind == "keep":
            self._context.note("notice", f"the dropped CIB is in {outcome}")
        else:
            raise AssertionError(f"{operation} was never begun")

    def _load(self) -> None:
        self._context.execute("load", LoadCib())

    def _loaded(self, loaded: LoadedCib) -> None:
        for note in loaded.notes:
            self._context.note("warning", note)
        self._replica.load(loaded)
        self._is_loaded = True
        self._readers.resume(loaded.generation, is_shown=bool(loaded.published))
        head = self._replica.head
        self._context.note("info", f"CIB {head.version} of {sum(map(len, head.parts))} bytes loaded")
        while self._early:
            self._received(self._early.popleft())

    def _stored(self) -> None:
        self._member.pay()
        self._writer.stored()

    # Messages --------------------------------------------------------------------------------------------------------

    def _received(self, event: Received) -> None:
        if not self._is_loaded:
            if len(self._early) < MAX_EARLY:
                self._early.append(event)
            return
        message = event.message
        match event.sender, message:
            case Remote(node, "cib"), _:
                self._cib(node, message)
            case (Local() | Client()) as caller, (Write() | Query() | Subscribe()):
                self._askers.ask(caller, message)
            case Local("crmd"), Lead():
                self._lead(message)
            case Local("crmd"), Follow():
                self._follow(message)
            case Local("ccm"), MembershipEvent():
                self._membership(message)
            case Local("heartbeat" | "rmd"), _:
                pass  # which nodes and peers are there is ccm's to say; a silent member is asked again by timer
            case _, Purge():
                self._context.note("debug", "shared memory is swept at every start of the cib")
            case _:
                kind = type(message).__name__
                self._context.note("warning", f"{kind} from {event.sender} is not for the cib: ignored")

    def _asked(self, caller: Caller, request: Request, user: User) -> None:
        match request:
            case Write():
                self._callers.ask(caller, request, user)
            case Query():
                self._readers.query(caller, request, user)
            case Subscribe():
                self._readers.subscribe(caller, user)

    def _cib(self, node: str, message: object) -> None:
        handler = self._from_cib.get(type(message))
        if handler is None:
            self._context.note("warning", f"{type(message).__name__} from the cib of {node} is ignored")
        elif node != self._context.node:
            handler(node, message)
            self._writer.yield_to_promise()

    def _whole(self, node: str, message: Whole) -> None:
        """An answer to our Fetch has our own ballot; any other is a writer's order."""
        if message.ballot.writer == self._context.node:
            self._writer.whole(node, message)
        else:
            self._member.whole(node, message)

    def _forward(self, node: str, message: Forward) -> None:
        """A write that another node's cib was asked. If we do not lead, it will hear of the writer and ask there."""
        self._writer.write(node, message)

    def _lead_here(self, forward: Forward) -> bool:
        return self._context.writer == self._context.node and self._writer.write(self._context.node, forward)

    def _lead(self, message: Lead) -> None:
        self._context.view, self._context.writer = message.view, self._context.node
        self._writer.lead(message.view, message.members)

    def _follow(self, message: Follow) -> None:
        context = self._context
        changed = (context.view, context.writer) != (message.view, message.writer)
        context.view, context.writer = message.view, message.writer
        if self._writer.phase is not Phase.IDLE and message.writer != context.node:
            self._writer.become_idle()
        self._member.writer_known()
        if changed:
            self._callers.writer_changed()

    def _membership(self, message: MembershipEvent) -> None:
        self._context.membership, self._context.ccm_has_spoken = message.view, True
        if not self._context.writer:
            self._callers.writer_changed()


def build(*, node: str) -> Cib:
    """The machine of the node's cib."""
    return Cib(node, load())
