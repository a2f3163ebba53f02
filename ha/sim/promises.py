# SPDX-License-Identifier: GPL-2.0-or-later
"""The promises P1 to P4 of the design, checked after every step and every act of an agent.

A checker knows the truth that no worker knows (what really runs where) and compares what the workers do and say with
it and with one another. The first broken promise ends the run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from ha.ccm.msg import MembershipEvent, View, ViewId
from ha.cib.model.store import PublishCib
from ha.cib.msg import Changed, Follow, Lead, Version
from ha.crm.msg import JoinRelease
from ha.heartbeat.msg import Deliver
from ha.ipc import codec
from ha.lrm.msg import RunOperation
from ha.machine import Effect, Event, Everyone, Execute, Local, Message, Received, Remote, Send
from ha.rmd.msg import LeftCluster
from ha.sim.agents import AgentCall
from ha.sim.node import Node
from ha.sim.process import Process
from ha.sim.world import Violation, Watcher, World


class OneCopy(Watcher):
    """P1: no resource starts on a node while it may be active on another one.

    Anonymous clones may run everywhere. "Active" is the truth of the agents, from a start's first instant to a stop's
    last, or to the end of the node's power.
    """

    def __init__(self, world: World) -> None:
        self.world = world

    def agent_begins(self, node: Node, call: AgentCall) -> None:
        if call.operation != "start" or not call.unique:
            return
        for other in self.world.nodes.values():
            if other is not node and other.agents.may_be_active(call.resource_id):
                state = other.agents.state(call.resource_id)
                raise Violation("P1", f"{call.resource_id} starts on {node.name} while it is {state} on {other.name}")


@dataclass
class _SeenView:
    members: tuple[tuple[str, int], ...]
    quorate: bool
    first: str
    dc: Process | None = None


class AgreedViews(Watcher):
    """P2: a view id means the same members and quorum to all, is not reused, and has at most one DC.

    When the crmd that was DC has died or resigned, another may become DC in the same view; while it lives, though
    frozen, none may.
    """

    def __init__(self) -> None:
        self.views: dict[ViewId, _SeenView] = {}
        self.newest: dict[str, ViewId] = {}

    def carrying_out(self, process: Process, effect: Effect) -> None:
        if not isinstance(effect, Send):
            return
        message = effect.message
        if isinstance(message, MembershipEvent) and process.name == "ccm" and message.view is not None:
            self._said(process, message, message.view)
        elif isinstance(message, Lead) and process.name == "crmd":
            self._leads(process, message)
        elif isinstance(message, (Follow, LeftCluster, JoinRelease)) and process.name == "crmd":
            self._resigns(process)

    def _said(self, process: Process, event: MembershipEvent, view: View) -> None:
        name = process.node.name
        members = tuple((member.node, member.born_on) for member in view.members)
        if name not in view.names():
            raise Violation("P2", f"{name} is told of a view that it is no member of: {view}")
        known = self.views.setdefault(view.id, _SeenView(members, view.quorate, name))
        if known.members != members:
            raise Violation("P2", f"view {view.id} is {known.members} on {known.first}, but {members} on {name}")
        if known.quorate != view.quorate:
            raise Violation("P2", f"view {view.id} has quorum {known.quorate} on {known.first}, but not so on {name}")
        if event.event == "NEW_MEMBERSHIP" and not view.quorate:
            raise Violation("P2", f"{name} calls the view {view.id} without quorum a new membership")
        newest = self.newest.get(name)
        if newest is not None and view.id < newest:
            raise Violation("P2", f"{name} goes back from view {newest} to {view.id}")
        self.newest[name] = view.id

    def _leads(self, process: Process, message: Lead) -> None:
        name = process.node.name
        known = self.views.get(message.view)
        if known is None:
            raise Violation("P2", f"{name} leads in view {message.view}, which no ccm has announced")
        if known.dc is not None and known.dc is not process and known.dc.alive:
            raise Violation("P2", f"two DCs in view {message.view}: {known.dc!r} is still alive, and {process!r} leads")
        known.dc = process

    def _resigns(self, process: Process) -> None:
        for view in self.views.values():
            if view.dc is process:
                view.dc = None


class OneQuorum(Watcher):
    """P2: of two views with quorum that have no member in common, one is over: some member holds another since, or
    none, or none of its members has power."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.held: dict[str, View | None] = {}

    def carrying_out(self, process: Process, effect: Effect) -> None:
        if process.name != "ccm" or not isinstance(effect, Send) or not isinstance(effect.message, MembershipEvent):
            return
        view = effect.message.view
        self.held[process.node.name] = view
        if view is None or not self._stands(view):
            return
        for other in self.held.values():
            if other is not None and not set(other.names()) & set(view.names()) and self._stands(other):
                raise Violation("P2", f"{view.names()} and {other.names()} have quorum at once: {view.id}, {other.id}")

    def _stands(self, view: View) -> bool:
        held = [self.held.get(name) for name in view.names()]
        powered = any(self.world.nodes[name].powered for name in view.names())
        return view.quorate and powered and all(one is not None and one.id == view.id for one in held)


class EqualCibs(Watcher):
    """P3: two CIBs of equal version are byte-equal: what every cib publishes, and the digests it tells."""

    def __init__(self) -> None:
        self.digests: dict[Version, tuple[str, str]] = {}
        self.bytes: dict[Version, tuple[str, bytes]] = {}

    def carrying_out(self, process: Process, effect: Effect) -> None:
        if isinstance(effect, Send) and isinstance(effect.message, Changed) and process.name == "cib":
            self._published(process.node.name, effect.message)
        elif isinstance(effect, Execute) and isinstance(effect.request, PublishCib):
            self._shown(process.node.name, effect.request)

    def _shown(self, node: str, request: PublishCib) -> None:
        data = hashlib.sha256(b"".join(request.parts)).digest()
        first, known = self.bytes.setdefault(request.version, (node, data))
        if known != data:
            raise Violation("P3", f"CIB {request.version} has other bytes on {node} than on {first}")

    def _published(self, node: str, changed: Changed) -> None:
        first, digest = self.digests.setdefault(changed.version, (node, changed.digest))
        if digest != changed.digest:
            raise Violation(
                "P3", f"CIB {changed.version} differs: digest {digest} on {first}, {changed.digest} on {node}"
            )


class CurrentOrders(Watcher):
    """P2: nobody orders in a view older than the newest it was told of, and no LRM obeys such an order.

    The newest view that an LRM obeyed is durable, so a restart is no excuse.
    """

    def __init__(self) -> None:
        self._told: dict[Process, ViewId] = {}
        self._obeyed: dict[str, ViewId] = {}

    def stepped(self, process: Process, event: Event, effects: list[Effect]) -> None:
        if process.name == "crmd":
            self._crmd(process, event, effects)
        elif process.name == "lrmd" and isinstance(event, Received) and isinstance(event.message, RunOperation):
            self._lrmd(process, event.message, effects)

    def _crmd(self, process: Process, event: Event, effects: list[Effect]) -> None:
        if isinstance(event, Received) and isinstance(event.message, MembershipEvent) and event.message.view:
            self._told[process] = event.message.view.id
        newest = self._told.get(process)
        for effect in effects:
            view = getattr(effect.message, "view", None) if isinstance(effect, Send) else None
            if newest is not None and isinstance(view, ViewId) and view < newest:
                assert isinstance(effect, Send)
                kind = type(effect.message).__name__
                raise Violation("P2", f"{process!r} sends {kind} of view {view}, though it was told of {newest}")

    def _lrmd(self, process: Process, order: RunOperation, effects: list[Effect]) -> None:
        node = process.node.name
        if order.view is None:
            return
        newest = self._obeyed.get(node)
        runs = any(isinstance(e, Execute) and type(e.request).__name__ == "RunAgent" for e in effects)
        if newest is not None and order.view < newest and runs:
            raise Violation("P2", f"{process!r} obeys an order of view {order.view} after one of {newest}")
        if runs and (newest is None or newest < order.view):
            self._obeyed[node] = order.view


@dataclass
class NoRestarts(Watcher):
    """P4: while `armed`, no agent starts or stops anything, because only workers were killed or frozen."""

    armed: bool = False

    def agent_begins(self, node: Node, call: AgentCall) -> None:
        if self.armed and call.operation in ("start", "stop", "promote", "demote"):
            raise Violation("P4", f"{call.operation} of {call.resource_id} on {node.name} after faults of workers only")


class OrderedMessages(Watcher):
    """The contract of `ha.machine`: between nodes messages arrive in the order sent, none twice.

    A heartbeat worker that dies may lose messages; it may never turn them round. Equal bodies cannot be told apart, so
    a second delivery of one is only seen when no equal one was sent after it.
    """

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], list[tuple[str | None, str, bytes]]] = {}
        self._next: dict[tuple[str, str, str], int] = {}

    def carrying_out(self, process: Process, effect: Effect) -> None:
        if not isinstance(effect, Send):
            return
        node = process.node.name
        if isinstance(effect.to, Remote):
            self._remember(process, effect.to.node, effect.to.module, effect.message)
        elif isinstance(effect.to, Everyone):
            self._remember(process, None, effect.to.module, effect.message)
        elif isinstance(effect.message, Deliver) and isinstance(effect.to, Local):
            self._arrives(node, effect.to.module, effect.message)

    def _remember(self, process: Process, to_node: str | None, to_module: str, message: Message) -> None:
        sent = self._sent.setdefault((process.node.name, process.name), [])
        sent.append((to_node, to_module, codec.encode(message)))

    def _arrives(self, node: str, module: str, message: Deliver) -> None:
        source = (message.from_node, message.from_module)
        sent = self._sent.get(source, [])
        position = self._next.get((*source, node), 0)
        while position < len(sent):
            to_node, to_module, body = sent[position]
            position += 1
            if body == message.body and to_module == module and to_node in (None, node):
                self._next[(*source, node)] = position
                return
        said = codec.decode(message.body)
        raise Violation("order", f"{node}/{module} hears out of order or twice from {source}: {said}")


def all_promises(world: World) -> list[Watcher]:
    return [
        OneCopy(world), AgreedViews(), OneQuorum(world), EqualCibs(), CurrentOrders(), NoRestarts(), OrderedMessages(),
    ]  # fmt: skip
