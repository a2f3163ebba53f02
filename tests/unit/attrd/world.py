# SPDX-License-Identifier: GPL-2.0-or-later
"""Attrds of some nodes under virtual time, with one CIB (the cib's own operations) and links that work unless told."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from lxml import etree

from ha.attrd.core import build
from ha.attrd.core.attrd import Attrd
from ha.attrd.msg import Attributes, QueryAttributes, Updated
from ha.ccm.msg import Member, MembershipEvent, View, ViewId
from ha.cib.model.document import Document
from ha.cib.model.operations import perform
from ha.cib.model.query import answer
from ha.cib.model.refusal import Refusal
from ha.cib.msg import Answer, Query, Write, Written
from ha.ipc import codec
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Event,
    Everyone,
    Fired,
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
)

CRMD = Local("crmd")
TOOL = Client("attrd_updater", 1, 0)


@dataclass
class Node:
    name: str
    core: Attrd | None = None
    disk: dict[str, bytes] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    life: str = ""
    answers: list[Message] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class World:
    def __init__(self, *names: str, ids: dict[str, str] | None = None) -> None:
        self.now = 0
        self.names = names
        self.nodes = {name: Node(name) for name in names}
        self.cib = Document.empty()
        self.writes: list[Write] = []
        self.cib_up = True
        self.refuse: Callable[[Write], Written | None] = lambda write: None
        self.view: View | None = None
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0
        self._answered: dict[str, Written] = {}
        status = self.cib.root.find("status")
        assert status is not None
        for name in names:
            etree.SubElement(status, "node_state", {"id": (ids or {}).get(name, name), "uname": name})

    def start(self, *names: str) -> None:
        """Boot: a new life; then one view with all that run."""
        for name in names:
            node = self.nodes[name]
            node.life = f"{name}-life-{node.starts + 1}"
            self._spawn(name)
        self.tell_view(joined=names)

    def tell_view(self, joined: tuple[str, ...] = (), lost: tuple[str, ...] = ()) -> None:
        running = [node for node in self.nodes.values() if node.core is not None]
        instance = 1 if self.view is None else self.view.id.instance + 1
        members = tuple(Member(node.name, 1, node.life) for node in running)
        self.view = View(ViewId(instance, "ccm"), members, True, joined=joined, lost=lost)
        for node in running:
            self._tell(node.name)

    def stop(self, name: str) -> None:
        """Power off, and the others' view follows."""
        self.kill(name)
        self.tell_view(lost=(name,))

    def kill(self, name: str) -> None:
        self.nodes[name].core = None
        self.nodes[name].timers.clear()

    def restart_worker(self, name: str) -> None:
        self.kill(name)
        self._spawn(name)
        self._tell(name)

    def run(self, duration_ms: int = 50) -> None:
        end = self.now + duration_ms
        while self._agenda and self._agenda[0][0] <= end:
            self.now, _, act = heapq.heappop(self._agenda)
            act()
        self.now = end

    def say(self, name: str, message: Message, sender: Local | Client = CRMD) -> None:
        self.step(name, Received(sender, message))

    def ask(self, name: str, message: Message, duration_ms: int = 50) -> Updated | None:
        """As the crmd; the answer, if it came in time."""
        self.say(name, message)
        self.run(duration_ms)
        wanted = getattr(message, "request_id", "")
        found = [m for m in self.nodes[name].answers if isinstance(m, Updated) and m.request_id == wanted]
        return found[-1] if found else None

    def table(self, name: str, node: str = "") -> dict[str, str]:
        self.say(name, QueryAttributes(request_id="q", node=node), TOOL)
        found = self.nodes[name].answers.pop()
        assert isinstance(found, Attributes)
        return {f"{a.node}:{a.name}": a.value for a in found.attributes}

    def written(self, node: str) -> dict[str, str]:
        """What the CIB has as the node's transient attributes."""
        path = f"status/node_state[@uname='{node}']/transient_attributes/instance_attributes/nvpair"
        return {pair.get("name", ""): pair.get("value", "") for pair in self.cib.root.iterfind(path)}

    # Workings --------------------------------------------------------------------------------------------------------

    def _after(self, delay_ms: int, act: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._agenda, (self.now + delay_ms, self._serial, act))

    def _spawn(self, name: str) -> None:
        node = self.nodes[name]
        node.starts += 1
        core = build(node=name)
        assert isinstance(core, Attrd)
        node.core = core
        self.step(name, Started(f"{name}-{node.starts}", 1, dict(node.disk)))
        self.step(name, Connected(Local("heartbeat")))
        if self.cib_up:
            self.step(name, Connected(Local("cib")))

    def _tell(self, name: str) -> None:
        self.step(name, Received(Local("ccm"), MembershipEvent(event="NEW_MEMBERSHIP", view=self.view)))

    def cib_goes(self) -> None:
        self.cib_up = False
        for name in self.names:
            self.step(name, Lost(Local("cib")))

    def cib_comes(self) -> None:
        self.cib_up = True
        for name in self.names:
            self.step(name, Connected(Local("cib")))

    def step(self, name: str, event: Event) -> None:
        node = self.nodes[name]
        if node.core is None:
            return
        for effect in node.core.step(event, self.now):
            self._carry_out(node, effect)

    def _carry_out(self, node: Node, effect: object) -> None:
        match effect:
            case Persist(name, data):
                node.disk[name] = data
            case Send(Local("cib"), message):
                self._after(2, partial(self._at_cib, node.name, node.starts, message))
            case Send(Local(_), message) | Reply(_, message):
                node.answers.append(message)
            case Send(Remote(other, _), message):
                self._after(1, partial(self._deliver, node.name, other, codec.encode(message)))
            case Send(Everyone(_), message):
                for other in self.names:
                    self._after(1, partial(self._deliver, node.name, other, codec.encode(message)))
            case Arm(timer, deadline):
                self._serial += 1
                node.timers[timer] = self._serial
                self._after(max(0, deadline - self.now), partial(self._fire, node, timer, self._serial))
            case Disarm(timer):
                node.timers.pop(timer, None)
            case Note(_, text):
                node.notes.append(text)

    def _deliver(self, sender: str, receiver: str, body: bytes) -> None:
        self.step(receiver, Received(Remote(sender, "attrd"), codec.decode(body)))

    def _fire(self, node: Node, timer: str, serial: int) -> None:
        if node.timers.get(timer) == serial:
            del node.timers[timer]
            self.step(node.name, Fired(timer))

    def _at_cib(self, name: str, starts: int, message: Message) -> None:
        if not self.cib_up or self.nodes[name].starts != starts:
            return
        if isinstance(message, Query):
            reply: Message = self._read(message)
        else:
            assert isinstance(message, Write)
            reply = self._answered.get(message.request_id) or self._perform(message)
            if isinstance(reply, Written) and reply.outcome == "committed":
                self._answered[message.request_id] = reply
        self.step(name, Received(Local("cib"), reply))

    def _read(self, query: Query) -> Answer:
        try:
            found = answer(self.cib.root, query.scope, query.xpath, query.no_children)
        except Refusal as refusal:
            return Answer(request_id=query.request_id, rc=int(refusal.rc), reason=str(refusal))
        return Answer(request_id=query.request_id, xml=etree.tostring(found, encoding="unicode"))

    def _perform(self, write: Write) -> Written:
        refused = self.refuse(write)
        if refused is not None:
            return refused
        self.writes.append(write)
        try:
            perform(self.cib, write)
        except Refusal as refusal:
            return Written(request_id=write.request_id, outcome="refused", rc=int(refusal.rc), reason=str(refusal))
        return Written(request_id=write.request_id, outcome="committed")
