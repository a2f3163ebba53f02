# SPDX-License-Identifier: GPL-2.0-or-later
"""The other nodes: who lives, by what evidence, and the associations with them.

Life and death of a peer that speaks our association

    heard        an authentic status with a new number: it refreshes node and link, and begins an association
    proved       the association is established: the peer has answered a number of this very run, so it is no replay.
                 Now it is `up` or `active`, as it says of itself
    dead         silent for deadtime; or its machine was booted anew; or it says that it has lost us, for a link that
                 works in one direction only is no link
    left         it said goodbye

A peer whose heartbeat alone restarts (greater generation, same boot) within deadtime keeps its state; its association
begins anew. A Heartbeat 3.0.6 is believed without an association.
"""

from __future__ import annotations

from typing import Protocol

from ha.heartbeat.core.accusations import Accusations
from ha.heartbeat.core.association import Association, Began, QueueFull, Violation
from ha.heartbeat.core.context import Context
from ha.heartbeat.core.detector import Punctuality, Silence
from ha.heartbeat.core.nodes import ALIVE, Link, Node
from ha.heartbeat.core.sequence import ACK_EVERY, PeerSequence
from ha.heartbeat.core.transmitter import fragment_bytes
from ha.heartbeat.model.ha_cf import MAX_NODES
from ha.heartbeat.model.stream import Frame, Hello, StreamPacket, to_fields
from ha.heartbeat.model.wire import Fields
from ha.heartbeat.msg import Announced, Deliver, LinkStatus, ModuleStatus, NodeState, NodeStatus
from ha.machine import Instant, Level, Local, Send, Wire

CCM = "ccm"
HARESOURCES = "haresources"
MEMBERS_TOLD = (CCM, HARESOURCES)
"""The modules that are told of nodes."""


class Audience(Protocol):
    """Who else wants to know: the programs of the client protocol."""

    def node_changed(self, node: str) -> None: ...
    def link_changed(self, node: Node, link: str, up: bool) -> None: ...
    def module_changed(self, status: ModuleStatus) -> None: ...
    def program_changed(self, node: str, module: str, up: bool) -> None: ...
    def arrived(self, frame: Frame) -> None: ...
    def legacy_message(self, client: str, fields: Fields) -> None: ...
    def legacy_response(self, client: str, fields: Fields) -> None: ...


SESSIONS_PER_GENERATION_BITS = 24


class Peers:
    def __init__(self, context: Context) -> None:
        self.context = context
        self.nodes: dict[str, Node] = {}
        self.fragment_bytes = fragment_bytes(context.ha_cf)
        self.accusations = Accusations()
        self.punctuality = Punctuality(context.times)
        self.audience: Audience
        """Set by the machine, which knows both."""
        self.changed = False
        """A node's state or generation changed in this step: others should hear from us at once."""

    def begin(self, init_deadline: Instant) -> None:
        """Our generation is known: from now on nodes can be heard. Those of ha.cf are awaited until the deadline."""
        for name in self.context.ha_cf.nodes:
            if name != self.context.node:
                self.add(name, init_deadline)

    def add(self, name: str, init_deadline: Instant) -> Node:
        context = self.context
        assert name != context.node
        assert context.generation > 0
        node = Node(
            name,
            Silence(context.now, init_deadline),
            PeerSequence(context.random.randrange(ACK_EVERY)),
            Association(
                (context.generation << SESSIONS_PER_GENERATION_BITS) + 1,
                self.fragment_bytes,
                context.ha_cf.max_rexmit_delay_ms,
            ),
        )
        self.nodes[name] = node
        context.wake_by(f"dead:{name}", init_deadline)
        return node

    def known(self, name: str) -> Node | None:
        """The node of that name, taken in if autojoin allows it."""
        node = self.nodes.get(name)
        if node is not None or self.context.ha_cf.autojoin == "none" or len(self.nodes) >= MAX_NODES:
            return node
        return self.add(name, self.context.now + self.context.times.initdead_ms)

    def alive(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.alive]

    def legacy_alive(self) -> bool:
        """Whether a Heartbeat 3.0.6 is there, which needs to hear of clients and their messages its own way."""
        return any(node.alive and not node.ours for node in self.nodes.values())

    # Signs of life ---------------------------------------------------------------------------------------------------

    def heard(self, node: Node, wire: Wire) -> None:
        """A fresh status of the node came on this medium."""
        context = self.context
        link_name = context.transmitter.links.get(wire.medium, wire.medium)
        init_deadline = node.silence.deadline
        silent_ms = node.silence.heard(context.now, context.times, link_name)
        if node.state == "init":
            node.silence.deadline = init_deadline  # it must prove itself by then, however often it is heard
        elif node.alive and silent_ms > context.times.warntime_ms:
            context.note("warning", f"Late heartbeat: node {node.name} was silent for {silent_ms} ms")
        if not node.ours:
            context.transmitter.learn(node, wire)
        context.wake_by(f"dead:{node.name}", node.silence.deadline)

    def heard_on_link(self, node: Node, wire: Wire, seq: int) -> None:
        """A status of the node came on this link, whether or not it came on another one before."""
        name = self.context.transmitter.links.get(wire.medium, wire.medium)
        link = node.links.get(name)
        if link is None:
            node.links[name] = Link(name, self.context.now, seq)
            self._link_status(node, name, up=True)
            return
        if seq <= link.last_seq:
            return
        link.last_seq, link.last_heard = seq, self.context.now
        if not link.up:
            link.up = True
            self.context.note("notice", f"link {name} to node {node.name}: dead => up")
            self._link_status(node, name, up=True)

    def _link_status(self, node: Node, link: str, up: bool) -> None:
        self.audience.link_changed(node, link, up)
        if CCM in self.context.modules.up:
            self.context.effects.append(Send(Local(CCM), LinkStatus(node=node.name, link=link, up=up)))

    def announce(self, node: Node, announced: NodeState) -> None:
        """The node says of itself that it is in this state."""
        node.announced = announced
        if node.state != "init" and node.state not in ALIVE and not node.greeting:
            self.context.note("info", f"node {node.name} is heard again, {node.state} so far")
        if node.ours and not node.association.established:
            self._greet(node)
        else:
            self._promote(node)

    def _greet(self, node: Node) -> None:
        if not node.greeting and not node.alive:
            node.greeting = True
            node.association.begin(self.context.now, self.context.modules.names())
            self.changed = True
        self.flush(node)

    def _promote(self, node: Node) -> None:
        """A node that is proved alive takes the state that it announces; alive, it never goes back."""
        context = self.context
        state: NodeState = "active" if node.announced == "active" else "up"
        if node.state == state or node.state == "active":
            return
        evidence = f"status {node.announced} on {node.silence.last_link}"
        if node.state == "dead":
            evidence += ", after it was dead, in the same generation or a new one"
        node.greeting = False
        if not node.alive:  # from here on deadtime counts, not initdead
            node.silence.deadline = context.now + context.times.deadtime_ms
            context.wake_by(f"dead:{node.name}", node.silence.deadline)
        self._become(node, state, evidence)
        if state == "active" and context.state != "active":
            self._shorten_initdead()

    def _shorten_initdead(self) -> None:
        """An active node has waited for the absent ones already: deadtime is enough from here."""
        deadline = self.context.now + self.context.times.deadtime_ms
        for node in self.nodes.values():
            if node.state == "init" and node.silence.deadline > deadline:
                node.silence.deadline = deadline
                self.context.wake_by(f"dead:{node.name}", deadline)

    def _become(self, node: Node, state: NodeState, evidence: str) -> None:
        old = node.become(state)
        level: Level = "warning" if state == "dead" else "notice"
        self.context.note(level, f"node {node.name}: {old} => {state}: {evidence}")
        self.changed = True
        self.tell(self.status(node, evidence))
        self.audience.node_changed(node.name)

    def status(self, node: Node, evidence: str = "") -> NodeStatus:
        return NodeStatus(
            node=node.name, state=node.state, generation=node.generation, boot_id=node.boot_id, evidence=evidence
        )

    def tell(self, status: NodeStatus) -> None:
        for module in MEMBERS_TOLD:
            if module in self.context.modules.up:
                self.context.effects.append(Send(Local(module), status))

    def announced(self, node: Node, fields: dict[str, str]) -> None:
        """A Heartbeat 3.0.6 says something about resources. Without a worker for them nobody hears it."""
        if HARESOURCES in self.context.modules.up:
            self.context.effects.append(Send(Local(HARESOURCES), Announced(node=node.name, fields=fields)))

    # Generations -----------------------------------------------------------------------------------------------------

    def new_generation(self, node: Node, generation: int, boot_id: str, ours: bool) -> None:
        """A status with a greater generation than known: the node's heartbeat was started anew."""
        assert generation > node.generation
        old_generation, old_boot_id = node.generation, node.boot_id
        node.sequence.restart()
        node.held.clear()
        node.forget_addresses()
        for link in node.links.values():
            link.last_seq = 0
        same_boot = ours and boot_id == old_boot_id
        if node.alive and not same_boot:
            what = "its machine was booted anew" if ours else "its Heartbeat 3.0.6 was started anew"
            self.die(node, f"{what}, generation {old_generation} => {generation}")
        node.generation, node.boot_id, node.ours = generation, boot_id, ours
        if node.alive:
            text = f"its heartbeat restarted, generation {old_generation} => {generation}, same boot"
            self.context.note("notice", f"node {node.name}: stays {node.state}: {text}")
            self.changed = True
            self._modules_down(node)
            node.association.break_off(self.context.now, self.context.modules.names())
            self.tell(self.status(node, text))
            self.flush(node)
        elif node.greeting:
            node.association.break_off(self.context.now, self.context.modules.names())

    # Death -----------------------------------------------------------------------------------------------------------

    def overdue(self, node: Node) -> None:
        """The node's timer has run out: dead, unless it was heard meanwhile."""
        context = self.context
        context.fired(f"dead:{node.name}")
        if context.now < node.silence.deadline:
            context.wake_by(f"dead:{node.name}", node.silence.deadline)
            return
        if node.state == "init":
            self.die(node, self._never_proved(node))
        elif node.alive:
            worst_ms = node.silence.longest_ms
            self.die(
                node,
                f"{node.silence.evidence(context.now, context.times)}, "
                f"packet {node.sequence.last} of generation {node.generation}, longest silence before {worst_ms} ms",
            )
        elif node.greeting:
            self._give_up(node)

    def _never_proved(self, node: Node) -> str:
        if not node.links:
            return f"not heard since we started ({self.context.now - node.silence.last_heard} ms)"
        return f"heard on {', '.join(sorted(node.links))}, but it does not answer: is the link one-way?"

    def die(self, node: Node, evidence: str) -> None:
        context = self.context
        late_ms = self.punctuality.worst_ms(context.now)
        self.accusations.ours(context.node, node, evidence, late_ms, context.now)
        self._end(node, "dead", evidence)

    def leave(self, node: Node) -> None:
        """The node says goodbye. That counts only from a node that has proved in this run of ours that it lives: an old
        goodbye, recorded and said again, would make a live node one that needs no fencing."""
        if node.alive or (not node.ours and node.state != "left"):
            self._end(node, "left", "it said goodbye")
        elif node.state != "left":
            self.context.complain(
                f"goodbye {node.name}", "info", f"a goodbye of node {node.name} proves nothing: it is {node.state}"
            )

    def _end(self, node: Node, state: NodeState, evidence: str) -> None:
        lost = node.association.outgoing.waiting()
        self._give_up(node)
        self._become(node, state, evidence)
        if lost:
            self.context.note("info", f"node {node.name}: {lost} messages to it were under way and are dropped")
        self._modules_down(node)

    def _give_up(self, node: Node) -> None:
        node.greeting = False
        node.held.clear()
        node.forget_addresses()
        node.association.break_off(self.context.now)

    def fenced(self, name: str) -> None:
        """Its power was cut: from here on it needs no deadtime to count as dead."""
        node = self.nodes.get(name)
        if node is None or not node.alive:
            return
        node.silence.confirm_fenced(self.context.now, self.context.times)
        self.context.wake_by(f"dead:{name}", node.silence.deadline)

    def lost_us(self, node: Node, session: int) -> None:
        """The node's status says that it lost us and would begin `session` next."""
        if node.alive and node.ours and session > node.association.newest_seen:
            self.die(node, "it says that it lost us: the link is one-way, or we were away")

    def absence(self, absence_ms: int) -> None:
        """We were away: what was not heard meanwhile is no evidence."""
        context = self.context
        text = f"our own loop was away for {absence_ms} ms: that time is not counted as the peers' silence"
        context.complain("absence", "warning", text)
        for node in self.nodes.values():
            node.silence.excuse(absence_ms, context.now, context.times)
            for link in node.links.values():
                link.last_heard += absence_ms

    def check_links(self) -> None:
        """With every keepalive: links that are silent for deadtime are dead."""
        for node in self.nodes.values():
            for link in node.links.values():
                silent_ms = self.context.now - link.last_heard
                if link.up and silent_ms >= self.context.times.deadtime_ms:
                    link.up = False
                    self._link_status(node, link.name, up=False)
                    self.context.note(
                        "warning", f"link {link.name} to node {node.name}: up => dead after {silent_ms} ms"
                    )

    # Associations ----------------------------------------------------------------------------------------------------

    def stream(self, node: Node, packet: StreamPacket) -> None:
        """A packet of the association. Before a status was heard, and after a death, there is none."""
        if not node.alive and not node.greeting:
            return
        try:
            arrivals = node.association.receive(packet, self.context.now, self.context.modules.names())
        except Violation as violation:
            self._broken(node, f"it violates the protocol: {violation}")
            return
        if node.association.established:
            self._promote(node)
        for arrival in arrivals:
            if isinstance(arrival, Began):
                self._modules_down(node)
            else:
                self._arrived(node, arrival)
        self.flush(node)

    def greeted(self, node: Node, medium: str, via: str, reached: str) -> None:
        """A hello says by which address it was sent, and which of our addresses reach the node."""
        self.context.transmitter.reached(node, reached)
        # The first address is kept: of two that lead here, hellos by turns would be answered for ever.
        if medium not in node.via and (node.alive or node.greeting):
            node.via[medium] = via
            node.association.hello_at = self.context.now  # so that the node learns it too

    def _arrived(self, node: Node, frame: Frame) -> None:
        context = self.context
        assert node.alive, node.state
        if frame.kind == "message" and frame.to_module in context.modules.programs:
            self.audience.arrived(frame)
        elif frame.kind == "message":
            message = Deliver(from_node=node.name, from_module=frame.from_module, body=frame.body)
            context.effects.extend(context.modules.deliver(frame.to_module, message))
        elif frame.kind == "up":
            if frame.from_module in node.modules:
                self._module_status(node, frame.from_module, up=False)
            node.modules[frame.from_module] = None
            self._module_status(node, frame.from_module, up=True)
        elif frame.from_module in node.modules:
            del node.modules[frame.from_module]
            self._module_status(node, frame.from_module, up=False)

    def _modules_down(self, node: Node) -> None:
        modules, node.modules = node.modules, {}
        for module in modules:
            self._module_status(node, module, up=False)

    def _module_status(self, node: Node, module: str, up: bool) -> None:
        status = ModuleStatus(node=node.name, module=module, up=up)
        self.audience.module_changed(status)
        if module in self.context.modules.up:
            self.context.effects.append(Send(Local(module), status))

    def submit(self, node: Node, frame: Frame) -> None:
        """Queue a frame for a node of our kind that is there."""
        assert node.ours
        assert node.alive or node.greeting
        try:
            node.association.submit(frame)
        except QueueFull:
            self._broken(node, "it takes too little of what it is sent")
            return
        self.flush(node)

    def submit_to_all(self, frame: Frame) -> None:
        """To every node with an association, begun or established."""
        for node in self.nodes.values():
            if node.ours and (node.alive or node.greeting):
                self.submit(node, frame)

    def _broken(self, node: Node, why: str) -> None:
        self.context.note("error", f"node {node.name}: the association is broken off and begun anew: {why}")
        node.association.break_off(self.context.now, self.context.modules.names())
        self.flush(node)

    def flush(self, node: Node) -> None:
        """Send what is due to the node and see to being woken for the rest."""
        context = self.context
        for outbound in node.association.due(context.now):
            items = [*to_fields(outbound.packet), ("dest", node.name)]
            if isinstance(outbound.packet, Hello):
                context.effects.extend(context.transmitter.greet(items, node, context.now))
            else:
                context.effects.extend(context.transmitter.to_node(items, node, context.now, outbound.bulk))
        context.wake_by(f"association:{node.name}", node.association.deadline())
