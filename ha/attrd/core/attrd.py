# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine: requests of this node, changes by owners, and the table after a start."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from ha.attrd import model
from ha.attrd.core.cib_writer import CIB, CibWriter
from ha.attrd.core.table import AttributeTable, Key
from ha.attrd.msg import (
    AskTable,
    Attribute,
    Attributes,
    Change,
    ClearFailures,
    ClearNode,
    Done,
    Entry,
    QueryAttributes,
    Refresh,
    Rewrite,
    Spread,
    Stamp,
    Table,
    UpdateAttribute,
    Updated,
)
from ha.ccm.msg import MembershipEvent, View
from ha.cib.msg import Answer, Query, Written
from ha.heartbeat.msg import ModuleStatus
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Everyone,
    Fired,
    Instant,
    Level,
    Local,
    Lost,
    Message,
    Note,
    Persist,
    Received,
    Remote,
    Reply,
    Send,
    Started,
    Stopping,
    Wall,
)

REPEAT_MS = 300
"""A change that its owner has not confirmed, or a table that was not sent, is asked for again."""

GATHER_LIMIT_MS = 2_000
"""After a start: members whose attrd has not sent its table by then, and the cib, are not waited for."""

ASK_LIMIT_MS = 20_000
"""A request that could not be carried out by then is answered with TIMED_OUT."""

ASKS_LIMIT = 5_000
"""Most unanswered requests; more are refused with BUSY."""

REMEMBERED_LIMIT = 5_000
"""So many carried out changes are recognised when they are asked for again."""

SETTLE_MS = 500
"""After nodes joined: their CIB is being made equal, what we own is written again after that. What is written meanwhile
may go into a CIB that is dropped, so it is written again as well."""

LIFE_NAME = "life"
"""Durable: the life of this node (ccm) in which its attributes were set."""

INVALID_PARAMETER, BUSY, TIMED_OUT = 2, 69, 124

Asker = Local | Client


@dataclass(slots=True)
class Ask:
    """A request of this node: who waits for it, until when, and the changes not confirmed yet."""

    asker: Asker | None
    deadline: Instant
    changes: dict[str, Change]
    rc: int = 0
    reason: str = ""


@dataclass(slots=True)
class Waiting:
    """A change we carried out as its owner; `askers` are told when the CIB has the value."""

    key: Key
    stamp: Stamp
    askers: set[str] = field(default_factory=set)


class Attrd:
    def __init__(self, *, node: str) -> None:
        self.node = node
        self.table = AttributeTable(node)
        self.writer = CibWriter(self.table, self._wrote)
        self._view: View | None = None
        self._life = ""
        self._restarted = False
        self._ready = False
        self._missing: set[str] = set()
        self._cib_unread = False
        self._asks: dict[str, Ask] = {}
        self._waiting: dict[str, Waiting] = {}
        self._done: OrderedDict[str, Done] = OrderedDict()
        self._early: list[tuple[Asker, Message]] = []
        self._repeating = False
        self._cib_timer: Instant | None = None
        self._settled_at: Instant | None = None
        """When what we own is to be written again."""
        self._incarnation = ""
        self._requests = 0
        self._now: Instant = 0
        self._effects: list[Effect] = []

    def step(self, event: Event, now: Instant) -> list[Effect]:
        self._now = now
        self._effects = []
        EVENTS[type(event)](self, event)
        self._tend()
        return self._effects

    # Events ----------------------------------------------------------------------------------------------------------

    def on_started(self, event: Started) -> None:
        self._incarnation = event.incarnation
        self.writer.start(event.incarnation)
        self._life = event.persisted.get(LIFE_NAME, b"").decode("utf-8", "replace")

    def on_connected(self, event: Connected) -> None:
        if event.peer == CIB:
            self.writer.connected(True)
            self._read_cib()
        elif event.peer.module == "heartbeat":
            self._ask_tables()
            self._repeat_changes()

    def on_lost(self, event: Lost) -> None:
        if event.peer == CIB:
            self.writer.connected(False)
        for ask in self._asks.values():
            if ask.asker == event.peer:
                ask.asker = None

    def on_fired(self, event: Fired) -> None:
        if event.timer == "cib":
            self._cib_timer = None
        elif event.timer == "gather":
            if not self._ready:
                absent = sorted(self._missing) + (["the CIB"] if self._cib_unread else [])
                self._note("warning", f"attributes are taken up without what {', '.join(absent)} may know")
                self._become_ready()
        elif event.timer == "repeat":
            self._repeating = False
            self._ask_tables()
            self._read_cib()
            self._repeat_changes()

    def on_ignored(self, event: Event) -> None:
        """Wall, Stopping: nothing here depends on them."""

    def on_received(self, event: Received) -> None:
        known = FROM_OTHER_ATTRDS if isinstance(event.sender, Remote) else FROM_THIS_NODE
        handler = known.get(type(event.message))
        if handler is None:
            self._note("warning", f"{event.sender} sent {type(event.message).__name__}: not for attrd, ignored")
            return
        if not self._ready and type(event.message) in NEED_TABLE:
            self._keep(event.sender, event.message)
        else:
            handler(self, event.sender, event.message)

    def _keep(self, sender: object, message: Message) -> None:
        """Until the table is complete. Who hears nothing repeats its request."""
        assert isinstance(sender, Local | Client)
        if len(self._early) < ASKS_LIMIT:
            self._early.append((sender, message))
        else:
            self._note("warning", f"{ASKS_LIMIT} requests wait for the table of attributes: one is dropped")

    # Requests of this node -------------------------------------------------------------------------------------------

    def on_update(self, sender: Asker, message: UpdateAttribute) -> None:
        node = message.node or self.node
        try:
            model.check(node, message.name, message.value, message.set_id)
        except model.BadAttribute as error:
            self._answer(sender, Updated(request_id=message.request_id, rc=INVALID_PARAMETER, reason=str(error)))
            return
        change = Change(
            request_id=message.request_id,
            node=node,
            name=message.name,
            value=message.value,
            set_id=message.set_id,
            private=message.private,
            dampen_ms=max(0, message.dampen_ms),
            keep_dampening=message.keep_dampening,
        )
        self._ask(sender, message.request_id, [change])

    def on_clear_failures(self, sender: Asker, message: ClearFailures) -> None:
        changes = [
            Change(request_id=f"{message.request_id}/{node}/{name}", node=node, name=name)
            for (node, name), entry in sorted(self.table.entries.items())
            if entry.value is not None
            and message.node in ("", node)
            and model.is_failure_of(name, message.resource_id, message.operation, message.interval_ms)
        ]
        self._ask(sender, message.request_id, changes)

    def on_clear_node(self, sender: Asker, message: ClearNode) -> None:
        try:
            model.check(message.node, "any", None)
        except model.BadAttribute as error:
            self._note("warning", f"attributes of a node are not cleared: {error}")
            return
        self._requests += 1
        request_id = f"clear-{self._incarnation}-{self._requests}"
        self._ask(None, request_id, [Change(request_id=request_id, node=message.node, clear=True)])

    def on_query(self, sender: Asker, message: QueryAttributes) -> None:
        found = [
            Attribute(node=entry.node, name=entry.name, value=entry.value)
            for entry in self.table.listed()
            if entry.value is not None and message.name in ("", entry.name) and message.node in ("", entry.node)
        ]
        self._answer(sender, Attributes(request_id=message.request_id, attributes=found))

    def on_refresh(self, sender: Asker, message: Refresh) -> None:
        self._effects.append(Send(Everyone("attrd"), Rewrite()))
        self._answer(sender, Updated(request_id=message.request_id))

    def _ask(self, asker: Asker | None, request_id: str, changes: list[Change]) -> None:
        known = self._asks.get(request_id)
        if known is not None:
            known.asker = asker
            return
        if not changes:
            self._answer(asker, Updated(request_id=request_id))
            return
        if len(self._asks) >= ASKS_LIMIT:
            reason = f"{ASKS_LIMIT} requests wait already"
            self._answer(asker, Updated(request_id=request_id, rc=BUSY, reason=reason))
            return
        self._asks[request_id] = Ask(asker, self._now + ASK_LIMIT_MS, {change.request_id: change for change in changes})
        for change in changes:
            self._pass_on(change)

    def _pass_on(self, change: Change) -> None:
        """To the owner, who may be ourselves. Without a view other nodes have none; the change waits for it."""
        owner = self._owner(change.node)
        if not owner:
            return
        if owner != self.node:
            self._effects.append(Send(Remote(owner, "attrd"), change))
        else:
            self._carry_out(self.node, change)

    def _repeat_changes(self) -> None:
        for request_id, ask in list(self._asks.items()):
            if self._now >= ask.deadline:
                del self._asks[request_id]
                reason = "no answer from the owner of the attribute, or from the CIB"
                self._answer(ask.asker, Updated(request_id=request_id, rc=TIMED_OUT, reason=reason))
                continue
            for change in list(ask.changes.values()):
                if self._owner(change.node) != self.node:
                    self._pass_on(change)

    def _confirmed(self, done: Done) -> None:
        for request_id, ask in list(self._asks.items()):
            if ask.changes.pop(done.request_id, None) is None:
                continue
            ask.rc, ask.reason = (ask.rc, ask.reason) if ask.rc else (done.rc, done.reason)
            if not ask.changes:
                del self._asks[request_id]
                self._answer(ask.asker, Updated(request_id=request_id, rc=ask.rc, reason=ask.reason))

    # As owner --------------------------------------------------------------------------------------------------------

    def on_change(self, sender: Remote, message: Change) -> None:
        if not self._ready:
            # The asker repeats it.
            return
        if self._owner(message.node) == self.node:
            self._carry_out(sender.node, message)

    def _carry_out(self, asker: str, change: Change) -> None:
        done = self._done.get(change.request_id)
        if done is not None:
            self._confirm(asker, done)
            return
        if change.request_id in self._waiting:
            self._waiting[change.request_id].askers.add(asker)
            return
        if change.clear:
            self._clear(change.node)
            self._finish(change.request_id, {asker})
            return
        key = change.node, change.name
        known = self.table.entries.get(key)
        if (known is None and self.table.full()) or len(self._waiting) >= ASKS_LIMIT:
            self._finish(change.request_id, {asker}, BUSY, "too many attributes, or the CIB takes none")
            return
        entry = Entry(
            node=change.node,
            name=change.name,
            value=model.expand(change.name, change.value, self.table.value(key)),
            stamp=self.table.stamp(),
            set_id=change.set_id or (known.set_id if known else ""),
            private=change.private or (known is not None and known.private and known.value is not None),
            dampen_ms=change.dampen_ms or (known.dampen_ms if known and change.keep_dampening else 0),
        )
        same = known is not None and msgspec.structs.replace(known, stamp=entry.stamp) == entry
        if same and not self.writer.dirty(key):
            self._finish(change.request_id, {asker})
            return
        self.table.merge([entry], {})
        self._effects.append(Send(Everyone("attrd"), Spread(entries=[entry])))
        if entry.private:
            self._finish(change.request_id, {asker})
            return
        self.writer.mark([key], self._now + entry.dampen_ms)
        if entry.dampen_ms:
            self._finish(change.request_id, {asker})
        else:
            self._waiting[change.request_id] = Waiting(key, entry.stamp, {asker})

    def _clear(self, node: str) -> None:
        stamp = self.table.stamp()
        self.table.clear(node, stamp)
        self._effects.append(Send(Everyone("attrd"), Spread(entries=[], cleared={node: stamp})))
        self.writer.mark_clear(node)

    def _wrote(self, key: Key, stamp: Stamp, rc: int, reason: str) -> None:
        """The CIB has the value of that stamp, or has refused it (it is tried again)."""
        for request_id, waiting in list(self._waiting.items()):
            if waiting.key == key and waiting.stamp <= stamp:
                del self._waiting[request_id]
                self._finish(request_id, waiting.askers, rc, reason)

    def _finish(self, request_id: str, askers: Iterable[str], rc: int = 0, reason: str = "") -> None:
        done = Done(request_id=request_id, rc=rc, reason=reason)
        self._done[request_id] = done
        while len(self._done) > REMEMBERED_LIMIT:
            self._done.popitem(last=False)
        for asker in sorted(askers):
            self._confirm(asker, done)

    def _confirm(self, asker: str, done: Done) -> None:
        if asker == self.node:
            self._confirmed(done)
        else:
            self._effects.append(Send(Remote(asker, "attrd"), done))

    # From other attrds -----------------------------------------------------------------------------------------------

    def on_done(self, sender: Remote, message: Done) -> None:
        self._confirmed(message)

    def on_spread(self, sender: Remote, message: Spread) -> None:
        self._learn(message)

    def on_ask_table(self, sender: Remote, message: AskTable) -> None:
        if sender.node != self.node:
            table = Table(entries=self.table.listed(), cleared=dict(sorted(self.table.cleared.items())))
            self._effects.append(Send(Remote(sender.node, "attrd"), table))

    def on_table(self, sender: Remote, message: Table) -> None:
        self._learn(message)
        self._missing.discard(sender.node)
        self._consider_ready()

    def on_rewrite(self, sender: Remote, message: Rewrite) -> None:
        self._rewrite()

    def _learn(self, message: Spread | Table) -> None:
        changed = self.table.merge(message.entries, message.cleared)
        if self._ready:
            owned = [key for key in changed if self._owner(key[0]) == self.node]
            self.writer.mark(self._public(owned), self._now)

    # Membership and gathering ----------------------------------------------------------------------------------------

    def on_module_status(self, sender: Local, message: ModuleStatus) -> None:
        if message.module == "attrd" and message.up and message.node != self.node:
            self._repeat_changes()
            if message.node in self._missing:
                self._effects.append(Send(Remote(message.node, "attrd"), AskTable()))

    def on_membership(self, sender: Local, message: MembershipEvent) -> None:
        before = self._view
        if message.view == before:
            return
        owned_before = {node for node, _ in self.table.entries if self._owner(node) == self.node}
        self._view = message.view
        self.writer.hurry()
        if message.view is None:
            return
        if not self._ready:
            self._gather(message.view)
            return
        for node in sorted({node for node, _ in self.table.entries}):
            owner = self._owner(node)
            if owner != self.node:
                self._hand_over(node)
            elif node not in owned_before:
                self.writer.mark(self._public(key for key in self.table.entries if key[0] == node), self._now)
        joined = [node for node in message.view.joined if node != self.node]
        if joined:
            for node in joined:
                self._effects.append(Send(Remote(node, "attrd"), AskTable()))
            self._settled_at = self._now + SETTLE_MS
        for ask in list(self._asks.values()):
            for change in list(ask.changes.values()):
                self._pass_on(change)

    def _hand_over(self, node: str) -> None:
        """Another attrd owns the node's attributes from now on, and writes them."""
        self.writer.forget(node)
        for request_id, waiting in list(self._waiting.items()):
            if waiting.key[0] == node:
                del self._waiting[request_id]
                self._finish(request_id, waiting.askers)

    def _gather(self, view: View) -> None:
        """Just started: learn what the others know, or alone, what the CIB has."""
        if not self._missing and not self._cib_unread:
            self._effects.append(Arm("gather", self._now + GATHER_LIMIT_MS))
        life = next((member.life for member in view.members if member.node == self.node), "")
        self._restarted = bool(life) and life == self._life
        if not self._restarted:
            self._life = life
            self._effects.append(Persist(LIFE_NAME, life.encode()))
        self._missing = {node for node in view.names() if node != self.node}
        self._cib_unread = self._restarted and not self._missing
        self._ask_tables()
        self._read_cib()
        self._consider_ready()

    def _ask_tables(self) -> None:
        for node in sorted(self._missing):
            self._effects.append(Send(Remote(node, "attrd"), AskTable()))

    def _read_cib(self) -> None:
        if self._cib_unread:
            query = Query(request_id=f"attrd-{self._incarnation}-own", xpath=model.state_path(self.node))
            self._effects.append(Send(CIB, query))

    def on_answer(self, sender: Local, message: Answer) -> None:
        if message.request_id != f"attrd-{self._incarnation}-own":
            self._effects.extend(self.writer.on_answer(message, self._now))
            return
        if not self._cib_unread:
            return
        self._cib_unread = False
        if message.rc == 0:
            try:
                _, pairs = model.read_state(message.xml)
            except ValueError as error:
                self._note("error", f"this node's attributes in the CIB cannot be read: {error}")
                pairs = {}
            for name, (set_id, value) in pairs.items():
                entry = Entry(node=self.node, name=name, value=value, stamp=Stamp(), set_id=set_id)
                self.table.entries.setdefault((self.node, name), entry)
        self._consider_ready()

    def on_written(self, sender: Local, message: Written) -> None:
        self._effects.extend(self.writer.on_written(message, self._now))

    def _consider_ready(self) -> None:
        if not self._ready and self._view is not None and not self._missing and not self._cib_unread:
            self._become_ready()

    def _become_ready(self) -> None:
        assert not self._ready
        self._ready = True
        self._missing.clear()
        self._cib_unread = False
        self._effects.append(Disarm("gather"))
        if not self._restarted:
            # Transient attributes end with the life in which they were set, whatever others still know of them.
            self._clear(self.node)
        for node in sorted({node for node, _ in self.table.entries if self._owner(node) == self.node}):
            self.writer.mark(self._public(key for key in self.table.entries if key[0] == node), self._now)
        early, self._early = self._early, []
        for sender, message in early:
            FROM_THIS_NODE[type(message)](self, sender, message)

    # Small questions -------------------------------------------------------------------------------------------------

    def _owner(self, node: str) -> str:
        if node == self.node:
            return self.node
        if self._view is None:
            return ""
        names = self._view.names()
        return node if node in names else names[0]

    def _public(self, keys: Iterable[Key]) -> list[Key]:
        return [key for key in sorted(keys) if key in self.table.entries and not self.table.entries[key].private]

    def _rewrite(self) -> None:
        owned = self._public(key for key in self.table.entries if self._owner(key[0]) == self.node)
        self.writer.mark(owned, self._now)

    def _tend(self) -> None:
        """Send what is due to the cib, and keep the timers right; one that runs is not put off by other events."""
        if self._ready:
            if self._settled_at is not None and self._now >= self._settled_at:
                self._settled_at = None
                self._rewrite()
            self._effects.extend(self.writer.advance(self._now))
            moments = [moment for moment in (self.writer.due(), self._settled_at) if moment is not None]
            due = min(moments, default=None)
            if due != self._cib_timer:
                self._cib_timer = due
                self._effects.append(Disarm("cib") if due is None else Arm("cib", max(due, self._now)))
        waits = bool(self._asks or self._missing or self._cib_unread)
        if waits and not self._repeating:
            self._effects.append(Arm("repeat", self._now + REPEAT_MS))
        elif self._repeating and not waits:
            self._effects.append(Disarm("repeat"))
        self._repeating = waits

    def _answer(self, asker: Asker | None, message: Updated | Attributes) -> None:
        if isinstance(asker, Client):
            self._effects.append(Reply(asker, message))
        elif isinstance(asker, Local):
            self._effects.append(Send(asker, message))

    def _note(self, level: Level, text: str) -> None:
        self._effects.append(Note(level, text))


EVENTS: dict[type, Callable[..., None]] = {
    Started: Attrd.on_started,
    Connected: Attrd.on_connected,
    Lost: Attrd.on_lost,
    Received: Attrd.on_received,
    Fired: Attrd.on_fired,
    Stopping: Attrd.on_ignored,
    Wall: Attrd.on_ignored,
}
"""An event that is not here (Finished: attrd executes nothing) is a broken invariant."""

FROM_THIS_NODE: dict[type[Message], Callable[..., None]] = {
    UpdateAttribute: Attrd.on_update,
    ClearFailures: Attrd.on_clear_failures,
    ClearNode: Attrd.on_clear_node,
    QueryAttributes: Attrd.on_query,
    Refresh: Attrd.on_refresh,
    MembershipEvent: Attrd.on_membership,
    ModuleStatus: Attrd.on_module_status,
    Answer: Attrd.on_answer,
    Written: Attrd.on_written,
}

NEED_TABLE = frozenset({UpdateAttribute, ClearFailures, ClearNode, QueryAttributes})
"""Requests that wait until what the others know has been gathered."""

FROM_OTHER_ATTRDS: dict[type[Message], Callable[..., None]] = {
    Change: Attrd.on_change,
    Done: Attrd.on_done,
    Spread: Attrd.on_spread,
    AskTable: Attrd.on_ask_table,
    Table: Attrd.on_table,
    Rewrite: Attrd.on_rewrite,
}
