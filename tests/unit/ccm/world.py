# SPDX-License-Identifier: GPL-2.0-or-later
"""A small world for ccm cores: nodes with power, a heartbeat each, a crmd that listens, links that can be cut.

Time is virtual, in ms; all chance comes from one seed. Messages are kept in order per sender and receiver; they wait
while a link is cut and are dropped when either worker or heartbeat dies, or the receiver has declared the sender dead.
Every effect is carried out on its own, so a crash may fall between any two.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from ha.ccm.core import build
from ha.ccm.core.membership import Ccm
from ha.ccm.model import STATE_NAME, decode
from ha.ccm.msg import ConfirmedDown, MembershipEvent, Synchronized, View, ViewId
from ha.heartbeat.msg import ModuleStatus, NodeState, NodeStatus
from ha.ipc import codec
from ha.machine import (
    Arm,
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
    Send,
    Started,
    Stopping,
)

KEEPALIVE_MS = 25
DEADTIME_MS = 150
INITDEAD_MS = 1_000
RESPAWN_MS = 20
MESSAGES_LIMIT = 20_000
"""More in one run is a storm: nodes that keep correcting each other."""

HEARTBEAT = Local("heartbeat")
CRMD = Local("crmd")


class Broken(AssertionError):
    """A promise was broken; the text says which and where."""


@dataclass
class Sight:
    """How one node's heartbeat sees another."""

    state: NodeState = "init"
    generation: int = 0
    boot: str = ""
    since: int = 0


@dataclass
class Node:
    name: str
    disk: dict[str, bytes] = field(default_factory=dict)
    powered: bool = False
    joined: bool = False  # its heartbeat runs and takes part
    boots: int = 0
    generation: int = 0
    starts: int = 0
    core: Ccm | None = None
    timers: dict[str, tuple[int, int]] = field(default_factory=dict)
    crash_after: int | None = None
    sights: dict[str, Sight] = field(default_factory=dict)
    told: MembershipEvent | None = None  # what its crmd holds true
    heard: list[MembershipEvent] = field(default_factory=list)

    @property
    def boot(self) -> str:
        return f"{self.name}-boot{self.boots}"


class World:
    def __init__(self, names: str | tuple[str, ...], seed: int = 0, *, delay_ms: tuple[int, int] = (1, 4)) -> None:
        self.random = Random(seed)
        self.names = tuple(names)
        self.nodes = {name: Node(name) for name in self.names}
        self.now = 0
        self.delay_ms = delay_ms
        self.cuts: set[tuple[str, str]] = set()
        self.cibs = True
        """Every node's cib has all at once; False: the test says when, by `synchronize`."""
        self.log: list[str] = []
        self.agreed: dict[ViewId, tuple[object, ...]] = {}
        self.instances: dict[str, int] = {}
        self.lives: dict[str, tuple[str, int]] = {}
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0
        self.messages = 0
        self._queues: dict[tuple[str, str], list[tuple[int, object]]] = {}
        self._arrival: dict[tuple[str, str], int] = {}

    # Time ------------------------------------------------------------------------------------------------------------

    def after(self, delay_ms: int, act: Callable[[], None]) -> None:
        self._serial += 1
        heapq.heappush(self._agenda, (self.now + delay_ms, self._serial, act))

    def run(self, duration_ms: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass. With `until`: stop as soon as it holds; whether it did."""
        end = self.now + duration_ms
        while self._agenda and self._agenda[0][0] <= end:
            if until is not None and until():
                return True
            self.now, _, act = heapq.heappop(self._agenda)
            act()
            self._check_quorum()
        self.now = end
        return until is not None and until()

    def trace(self, text: str) -> None:
        self.log.append(f"{self.now:6} {text}")

    # Faults and repairs ----------------------------------------------------------------------------------------------

    def power_on(self, name: str, *, same_boot: bool = False) -> None:
        node = self.nodes[name]
        if node.powered:
            return
        self.trace(f"{name}: {'stack started' if same_boot else 'power on'}")
        node.powered = node.joined = True
        node.boots += 0 if same_boot else 1
        node.generation += 1
        node.sights = {other: Sight(since=self.now) for other in self.names if other != name}
        self._spawn(name)
        for other in self.names:
            if other != name:
                self._look(name, other)
                self._look(other, name)
                self.after(INITDEAD_MS, partial(self._initdead, name, other, node.generation))

    def power_off(self, name: str) -> None:
        node = self.nodes[name]
        if not node.powered:
            return
        self.trace(f"{name}: power off")
        node.powered = node.joined = False
        node.core = None
        node.timers.clear()
        node.told = None
        self._forget(name)
        for other in self.names:
            if other != name:
                self._look(other, name)

    def leave(self, name: str, *, tell_itself: bool = True) -> None:
        """The stack is stopped in order: the signed goodbye reaches whom the links reach."""
        node = self.nodes[name]
        if not node.powered or node.core is None:
            return
        self.trace(f"{name}: leaves")
        generation = node.generation
        if tell_itself:
            self._step(name, Received(HEARTBEAT, NodeStatus(node=name, state="left", boot_id=node.boot)))
        if node.core is not None:
            self._step(name, Stopping())
        for other in self.names:
            if other != name and self.nodes[other].joined and (name, other) not in self.cuts:
                self.after(self._delay(), partial(self._goodbye, other, name, generation))
        self.power_off(name)

    def kill(self, name: str, *, after_effects: int = 0, respawn_ms: int = RESPAWN_MS) -> None:
        """SIGKILL the ccm; rmd has it back soon."""
        node = self.nodes[name]
        if node.core is None:
            return
        if after_effects:
            node.crash_after = after_effects
            return
        self.trace(f"{name}: ccm killed")
        node.core = None
        node.crash_after = None
        node.timers.clear()
        self._forget(name)
        self._module_status(name, up=False)
        boots, generation = node.boots, node.generation
        self.after(respawn_ms, lambda: self._respawn(name, boots, generation))

    def restart_heartbeat(self, name: str) -> None:
        node = self.nodes[name]
        if not node.joined:
            return
        self.trace(f"{name}: heartbeat restarts")
        node.generation += 1
        node.joined = False
        self._forget(name)
        if node.core is not None:
            self._step(name, Lost(HEARTBEAT))
        generation = node.generation
        self.after(RESPAWN_MS, lambda: self._heartbeat_back(name, generation))

    def cut(self, sender: str, receiver: str) -> None:
        if (sender, receiver) not in self.cuts:
            self.trace(f"cut {sender} -> {receiver}")
            self.cuts.add((sender, receiver))
            self._look(receiver, sender)

    def cut_off(self, one: str, other: str) -> None:
        self.cut(one, other)
        self.cut(other, one)

    def heal(self) -> None:
        self.trace("heal")
        for sender, receiver in sorted(self.cuts):
            self.cuts.discard((sender, receiver))
            self._look(receiver, sender)
            self._flush(sender, receiver)

    def fence(self, by: str, victim: str, *, confirm_ms: int = 5) -> None:
        """`by` has the victim's power cut and hears of it, if it lives on."""
        actor = self.nodes[by]
        self.power_off(victim)
        boots = actor.boots

        def confirmed() -> None:
            if actor.powered and actor.boots == boots and actor.core is not None:
                self.trace(f"{by}: fencing of {victim} confirmed")
                self._step(by, Received(CRMD, ConfirmedDown(nodes=(victim,))))

        self.after(confirm_ms, confirmed)

    # Heartbeat -------------------------------------------------------------------------------------------------------

    def reachable(self, listener: str, speaker: str) -> bool:
        return self.nodes[listener].joined and self.nodes[speaker].joined and (speaker, listener) not in self.cuts

    def _look(self, listener: str, speaker: str) -> None:
        """Something about this path has changed: see what heartbeat makes of it."""
        if self.reachable(listener, speaker):
            self.after(self.random.randint(1, KEEPALIVE_MS), lambda: self._seen(listener, speaker))
        else:
            delay = DEADTIME_MS - self.random.randint(0, KEEPALIVE_MS)
            began = self.now
            self.after(delay, lambda: self._missed(listener, speaker, began))

    def _seen(self, listener: str, speaker: str) -> None:
        if not self.reachable(listener, speaker):
            return
        sight, node = self.nodes[listener].sights[speaker], self.nodes[speaker]
        sight.since = self.now
        if (sight.state, sight.generation, sight.boot) == ("active", node.generation, node.boot):
            return
        if sight.state == "left" and sight.generation == node.generation:
            return
        sight.state, sight.generation, sight.boot = "active", node.generation, node.boot
        self._tell_status(listener, speaker)

    def _missed(self, listener: str, speaker: str, began: int) -> None:
        node = self.nodes[listener]
        if not node.joined or self.reachable(listener, speaker):
            return
        sight = node.sights[speaker]
        if sight.state == "active" and sight.since <= began:
            sight.state = "dead"
            self._queues.pop((speaker, listener), None)
            self._tell_status(listener, speaker)

    def _initdead(self, listener: str, speaker: str, generation: int) -> None:
        node = self.nodes[listener]
        if node.joined and node.generation == generation and node.sights[speaker].state == "init":
            node.sights[speaker].state = "dead"
            self._tell_status(listener, speaker)

    def _goodbye(self, listener: str, speaker: str, generation: int) -> None:
        node = self.nodes[listener]
        if not node.joined:
            return
        sight = node.sights[speaker]
        if sight.generation > generation or (self.nodes[speaker].powered and sight.generation == generation):
            return
        sight.state, sight.generation = "left", generation
        self._tell_status(listener, speaker)

    def _heartbeat_back(self, name: str, generation: int) -> None:
        node = self.nodes[name]
        if not node.powered or node.generation != generation:
            return
        node.joined = True
        node.sights = {other: Sight(since=self.now) for other in self.names if other != name}
        if node.core is not None:
            self._meet_heartbeat(name)
        for other in self.names:
            if other != name:
                self._look(name, other)
                self._look(other, name)
                self.after(DEADTIME_MS, partial(self._initdead, name, other, generation))

    def _tell_status(self, listener: str, speaker: str) -> None:
        node = self.nodes[listener]
        if node.core is None:
            return
        sight = node.sights[speaker]
        self._step(
            listener,
            Received(
                HEARTBEAT,
                NodeStatus(
                    node=speaker,
                    state=sight.state,
                    generation=sight.generation,
                    boot_id=sight.boot,
                    evidence=f"{sight.state} by test",
                ),
            ),
        )

    def _module_status(self, name: str, *, up: bool) -> None:
        for other in self.names:
            if other != name and self.reachable(other, name) and self.nodes[other].core is not None:
                status = ModuleStatus(node=name, module="ccm", up=up)
                self.after(self._delay(), partial(self._deliver_status, other, status))

    def _deliver_status(self, name: str, status: ModuleStatus) -> None:
        if self.nodes[name].core is not None and self.nodes[name].joined:
            self._step(name, Received(HEARTBEAT, status))

    # Workers ---------------------------------------------------------------------------------------------------------

    def _spawn(self, name: str) -> None:
        node = self.nodes[name]
        node.starts += 1
        core = build(
            node=name,
            nodes=self.names,
            keepalive_ms=KEEPALIVE_MS,
            deadtime_ms=DEADTIME_MS,
            initdead_ms=INITDEAD_MS,
        )
        assert isinstance(core, Ccm)
        node.core = core
        self._step(name, Started(f"{name}-{node.starts}", node.starts, dict(node.disk)))
        if node.core is core and node.joined:
            self._meet_heartbeat(name)
        if node.core is core:
            self._step(name, Connected(CRMD))
            self._module_status(name, up=True)

    def _respawn(self, name: str, boots: int, generation: int) -> None:
        node = self.nodes[name]
        if node.powered and node.core is None and node.boots == boots:
            self._spawn(name)

    def _meet_heartbeat(self, name: str) -> None:
        node = self.nodes[name]
        core = node.core
        self._step(name, Connected(HEARTBEAT))
        own = NodeStatus(node=name, state="active", generation=node.generation, boot_id=node.boot)
        if node.core is core:
            self._step(name, Received(HEARTBEAT, own))
        for other in node.sights:
            if node.core is core and core is not None:
                self._tell_status(name, other)

    def _step(self, name: str, event: Event) -> None:
        node = self.nodes[name]
        core = node.core
        assert core is not None
        effects = core.step(event, self.now)
        for effect in effects:
            if node.crash_after is not None:
                node.crash_after -= 1
                if node.crash_after <= 0:
                    node.crash_after = None
                    self.kill(name)
                    return
            self._carry_out(node, effect)

    def _carry_out(self, node: Node, effect: object) -> None:
        match effect:
            case Persist(name, data):
                node.disk[name] = data
            case Send(Local("crmd"), MembershipEvent() as event):
                self._told(node, event)
            case Send(Remote(other, _), message):
                self._send(node.name, other, message)
            case Send(Everyone(_), message):
                for other in self.names:
                    self._send(node.name, other, message)
            case Arm(timer, deadline):
                serial = self._serial
                node.timers[timer] = (deadline, serial)
                self.after(max(0, deadline - self.now), lambda: self._fire(node, timer, serial))
            case Disarm(timer):
                node.timers.pop(timer, None)
            case Note(level, text):
                self.trace(f"{node.name}: {level}: {text}")

    def _fire(self, node: Node, timer: str, serial: int) -> None:
        if node.core is not None and node.timers.get(timer, (0, -1))[1] == serial:
            del node.timers[timer]
            self._step(node.name, Fired(timer))

    # Messages --------------------------------------------------------------------------------------------------------

    def _delay(self) -> int:
        return self.random.randint(*self.delay_ms)

    def _send(self, sender: str, receiver: str, message: Message) -> None:
        if not self.nodes[sender].joined or not self.nodes[receiver].joined:
            return
        body = codec.encode(message)
        self.messages += 1
        if self.messages > MESSAGES_LIMIT:
            self.fail(f"more than {MESSAGES_LIMIT} messages")
        queue = self._queues.setdefault((sender, receiver), [])
        arrival = max(self.now + self._delay(), self._arrival.get((sender, receiver), 0))
        self._arrival[sender, receiver] = arrival
        queue.append((arrival, body))
        self.after(arrival - self.now, lambda: self._flush(sender, receiver))

    def _flush(self, sender: str, receiver: str) -> None:
        if (sender, receiver) in self.cuts:
            return
        node = self.nodes[receiver]
        queue = self._queues.get((sender, receiver), [])
        while queue and queue[0][0] <= self.now:
            _, body = queue.pop(0)
            assert isinstance(body, bytes)
            if node.joined and node.core is not None:
                self._step(receiver, Received(Remote(sender, "ccm"), codec.decode(body)))

    def _forget(self, name: str) -> None:
        for pair in [pair for pair in self._queues if name in pair]:
            del self._queues[pair]

    # Checks ----------------------------------------------------------------------------------------------------------

    def fail(self, text: str) -> None:
        raise Broken(f"{self.now} ms: {text}\n" + "\n".join(self.log[-60:]))

    def _told(self, node: Node, event: MembershipEvent) -> None:
        self.trace(f"{node.name}: {event.event} {describe(event.view)}")
        view = event.view
        if view is not None:
            self._check_view(node, view)
        node.told = event
        node.heard.append(event)
        if view is not None and self.cibs:
            self.after(0, lambda: self.synchronize(node.name, view.id))

    def synchronize(self, name: str, view: ViewId) -> None:
        """The node's cib has all that was acknowledged before the view."""
        if self.nodes[name].core is not None:
            self._step(name, Received(Local("cib"), Synchronized(view=view)))

    def _check_view(self, node: Node, view: View) -> None:
        content = (view.members, view.quorate)
        if self.agreed.setdefault(view.id, content) != content:
            self.fail(f"{node.name}: view {view.id} has two contents: {self.agreed[view.id]} and {content}")
        if view.id.instance < self.instances.get(node.name, 0):
            self.fail(f"{node.name}: instance went back from {self.instances[node.name]} to {view.id.instance}")
        self.instances[node.name] = view.id.instance
        if list(view.members) != sorted(view.members, key=lambda m: (m.born_on, m.node)):
            self.fail(f"{node.name}: members are not in the order of age: {view.members}")
        if node.name not in view.names():
            self.fail(f"{node.name} was told a view without itself: {describe(view)}")
        for member in view.members:
            owner = (member.node, self.nodes[member.node].boots)
            known = self.lives.setdefault(member.life, owner)
            if known[0] != member.node:
                self.fail(f"life {member.life} of two nodes")
        assert node.core is not None
        self._check_promises(node, view)
        own = next(member for member in view.members if member.node == node.name)
        if self.lives[own.life] != (node.name, node.boots):
            self.fail(f"{node.name}: life {own.life} outlived its boot")
        self._check_difference(node, view)

    def _check_promises(self, node: Node, view: View) -> None:
        """Before anyone is told, every member that still lives that life has promised durably."""
        for member in view.members:
            data = self.nodes[member.node].disk.get(STATE_NAME)
            kept = decode(data) if data is not None else None
            if kept is not None and kept.life == member.life and kept.promised < view.id.instance:
                self.fail(f"{node.name} was told {describe(view)}, to which {member.node} has not agreed durably")

    def _check_difference(self, node: Node, view: View) -> None:
        before = node.told.view if node.told is not None else None
        if before is None or before.id == view.id:
            return
        old = {member.node: member.life for member in before.members}
        new = {member.node: member.life for member in view.members}
        lost = {name for name, life in old.items() if new.get(name) != life}
        joined = {name for name, life in new.items() if old.get(name) != life}
        if (lost, joined) != (set(view.lost), set(view.joined)):
            self.fail(f"{node.name}: {describe(before)} => {describe(view)}: joined {view.joined}, lost {view.lost}")

    def _check_quorum(self) -> None:
        """No two disjoint sets are quorate at once."""
        quorate = [
            set(node.told.view.names())
            for node in self.nodes.values()
            if node.powered and node.told is not None and node.told.view is not None and node.told.view.quorate
        ]
        for index, one in enumerate(quorate):
            for other in quorate[index + 1 :]:
                if not one & other:
                    self.fail(f"{sorted(one)} and {sorted(other)} are quorate at once")

    # Questions -------------------------------------------------------------------------------------------------------

    def members(self, name: str) -> str:
        """The members of the view the node's crmd holds, oldest first; with ? in doubt, with - without quorum."""
        told = self.nodes[name].told
        if told is None or told.view is None:
            return ""
        mark = {"NOT_PRIMARY": "?", "INVALID": "-"}.get(told.event, "")
        return "".join(told.view.names()) + mark

    def at_rest(self) -> bool:
        """Whether no ccm waits for anything."""
        return all(
            node.core is not None and node.joined and not any(timer == "repeat" for timer in node.timers)
            for node in self.nodes.values()
            if node.powered
        )

    def agreement(self, members: str, among: str | None = None) -> bool:
        """Whether all of `among` (default: the members) hold the same view, of `members`, with quorum, and rest."""
        names = among or members
        told = [self.nodes[n].told for n in names]
        views = {event.view.id if event is not None and event.view is not None else None for event in told}
        return (
            len(views) == 1
            and all("".join(sorted(self.members(n))) == "".join(sorted(members)) for n in names)
            and self.at_rest()
        )


def describe(view: View | None) -> str:
    if view is None:
        return "-"
    members = ",".join(f"{m.node}@{m.born_on}" for m in view.members)
    quorum = "with" if view.quorate else "without"
    return f"{view.id.instance}/{view.id.coordinator} [{members}] {quorum} quorum +{view.joined} -{view.lost}"
