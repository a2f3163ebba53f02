# SPDX-License-Identifier: GPL-2.0-or-later
"""Two nodes in haresources mode under virtual time: the worker's machine on each, with a network, scripts and fencing.

After each step: no resource is active on two nodes that both live (P1), and what each node says that it holds is true.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ha.haresources.core import Settings, build
from ha.haresources.core.machine import HaresourcesMachine
from ha.haresources.model.execution import FenceDevice, FenceEnd, FencePeer, RunScript, ScriptEnd, SettleScripts
from ha.haresources.model.haresources import parse
from ha.haresources.msg import Answer, ConfirmDead, GoStandby, Message, TakeOver, What
from ha.heartbeat.msg import Announce, Announced, NodeState, NodeStatus, NothingRuns
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Event,
    Execute,
    Fence,
    Finished,
    Fired,
    Local,
    Lost,
    Note,
    Persist,
    Received,
    Remote,
    Reply,
    Send,
    Started,
)
from ha.rmd.msg import LeaveCluster, LeftCluster

HARESOURCES = "alpha ip::1 web\nbeta ip::2 db\n"
DEADTIME_MS = 1_000
SCRIPT_MS = 50
NETWORK_MS = 1


@dataclass
class Node:
    """`broken`: (resource, action) that fail. `lives`: serial of the worker's life, so that the dead get no events."""

    name: str
    peer: str
    up: bool = False
    worker: HaresourcesMachine | None = None
    lives: int = 0
    boots: int = 0
    generation: int = 0
    active: set[str] = field(default_factory=set)
    broken: set[tuple[str, str]] = field(default_factory=set)
    disk: dict[str, bytes] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)
    scripts_under_way: int = 0
    peer_state: NodeState = "init"
    left: bool = False
    log: list[str] = field(default_factory=list)


class PairWorld:
    def __init__(
        self, seed: int = 0, *, failback: bool = False, fencing: bool = True, unfenced_ms: int = -1,
        haresources: str = HARESOURCES,
    ) -> None:  # fmt: skip
        self.random = random.Random(seed)
        self.now = 0
        self.serial = 0
        self.agenda: list[tuple[int, int, Callable[[], None]]] = []
        self.nodes = {"alpha": Node("alpha", "beta"), "beta": Node("beta", "alpha")}
        self.cut = False
        self.held: list[tuple[str, Callable[[], None]]] = []
        """What heartbeat repeats until it arrives, while the network is cut."""
        self.sessions = 0
        self.failback, self.unfenced_ms = failback, unfenced_ms
        self.haresources = parse(haresources, "haresources")
        self.devices = (FenceDevice("*", "switch", ""),) if fencing else ()
        self.said: list[tuple[str, str]] = []
        self.starts: list[tuple[str, str]] = []
        self.answers: list[Answer] = []

    # Time ------------------------------------------------------------------------------------------------------------

    def at(self, delay_ms: int, call: Callable[[], None]) -> None:
        self.serial += 1
        heapq.heappush(self.agenda, (self.now + delay_ms, self.serial, call))

    def run(self, ms: int) -> None:
        until = self.now + ms
        while self.agenda and self.agenda[0][0] <= until:
            self.now, _, call = heapq.heappop(self.agenda)
            call()
            self.check()
        self.now = until

    def check(self) -> None:
        alpha, beta = self.nodes.values()
        both = alpha.active & beta.active if alpha.up and beta.up else set()
        assert not both or self.unfenced_ms >= 0, f"P1: {both} is active on both nodes at {self.now}"

    # Power, network and heartbeat ------------------------------------------------------------------------------------

    def power_on(self, *names: str) -> None:
        for name in names:
            node = self.nodes[name]
            assert not node.up
            node.up, node.left, node.peer_state = True, False, "init"
            node.boots += 1
            node.generation += 1
            node.active.clear()
            self.start_worker(name)
        self.at(DEADTIME_MS // 4, self._see)

    def power_off(self, name: str) -> None:
        node = self.nodes[name]
        node.up, node.worker = False, None
        node.lives += 1
        node.active.clear()
        node.scripts_under_way = 0
        self.at(DEADTIME_MS, self._see)

    def cut_network(self, cut: bool) -> None:
        self.cut = cut
        if not cut:
            held, self.held = self.held, []
            for _, call in held:
                self.at(NETWORK_MS, call)
        self.at(DEADTIME_MS if cut else NETWORK_MS, self._see)

    def _see(self) -> None:
        """What heartbeat says of the peer, when deadtime has shown it."""
        for node in self.nodes.values():
            if not node.up:
                continue
            peer = self.nodes[node.peer]
            state: NodeState = "left" if peer.left and not peer.up else "active" if peer.up and not self.cut else "dead"
            if state != node.peer_state:
                node.peer_state = state
                self.sessions += state != "active"
                self._tell_state(node)

    def _tell_state(self, node: Node) -> None:
        if node.peer_state != "init":
            generation = self.nodes[node.peer].generation
            self.post(node, Received(Local("heartbeat"), NodeStatus(node=node.peer, state=node.peer_state,
                                                                    generation=generation)))  # fmt: skip

    # Workers ---------------------------------------------------------------------------------------------------------

    def start_worker(self, name: str) -> None:
        node = self.nodes[name]
        node.lives += 1
        node.left = False  # a worker that signs on anew voids what was said before
        node.timers.clear()
        node.worker = build(settings=Settings(name, node.peer, self.haresources, f"boot {name} {node.boots}",  # type: ignore[assignment]
                                              self.failback, self.devices, self.unfenced_ms))  # fmt: skip
        self.step(node, Started(f"life {node.lives}", 1, dict(node.disk)))
        self.step(node, Connected(Local("heartbeat")))
        self._tell_state(node)

    def kill_worker(self, name: str) -> None:
        """rmd has it back at once; scripts that it began run on."""
        node = self.nodes[name]
        node.worker = None
        node.lives += 1
        self.at(20, lambda: self.start_worker(name) if node.up and node.worker is None else None)

    def post(self, node: Node, event: Event) -> None:
        life = node.lives
        self.at(0, lambda: self.step(node, event) if node.lives == life else None)

    def step(self, node: Node, event: Event) -> None:
        if node.worker is None:
            return
        life = node.lives
        for effect in node.worker.step(event, self.now):
            match effect:
                case Note(level=level, text=text):
                    node.log.append(f"{self.now} {level} {text}")
                case Persist(name=name, data=data):
                    node.disk[name] = data
                case Arm(timer=timer, deadline=deadline):
                    self.serial += 1
                    node.timers[timer] = token = self.serial
                    self.at(deadline - self.now, lambda t=timer, k=token: self._fire(node, life, t, k))  # type: ignore[misc]
                case Disarm(timer=timer):
                    node.timers.pop(timer, None)
                case Send(to=Local("heartbeat"), message=Announce(fields=fields)):
                    self.said.append((node.name, " ".join(fields.values())))
                    self._carry(node, fields)
                case Send(to=Local("heartbeat"), message=NothingRuns()):
                    assert not node.active, node.active
                    node.left = True
                case Send(to=Local("rmd"), message=LeftCluster()):
                    self.at(NETWORK_MS, lambda: self._stop(node, life))
                case Execute(operation=operation, request=request):
                    self._execute(node, operation, request, life)
                case Fence(operation=operation, request=FencePeer(node=target)):
                    self._fence(node, operation, target, life)
                case Reply(message=Answer() as answer):
                    self.answers.append(answer)

    def _fire(self, node: Node, life: int, timer: str, token: int) -> None:
        if node.lives == life and node.timers.get(timer) == token:
            del node.timers[timer]
            self.step(node, Fired(timer))

    def _carry(self, node: Node, fields: dict[str, str]) -> None:
        peer = self.nodes[node.peer]
        if not peer.up or node.peer_state != "active" or peer.peer_state != "active":
            return
        event = Received(Remote(node.name, "haresources"), Announced(node=node.name, fields=fields))
        session = self.sessions

        def arrive() -> None:
            if self.sessions != session or not peer.up:
                return
            if peer.worker is None:
                self.at(NETWORK_MS, arrive)  # heartbeat holds it for a worker that is away
            elif self.cut:
                self.held.append((node.name, arrive))
            else:
                self.step(peer, event)

        self.at(NETWORK_MS, arrive)

    def restart_heartbeat(self, name: str) -> None:
        """What was under way is lost; the peer stays where it was."""
        node = self.nodes[name]
        self.sessions += 1
        node.generation += 1
        for told in self.nodes.values():
            if told.up and told.peer_state == "active":
                self._tell_state(told)
        if node.worker is not None:
            self.post(node, Lost(Local("heartbeat")))
            self.post(node, Connected(Local("heartbeat")))
            self._tell_state(node)

    def _stop(self, node: Node, life: int) -> None:
        """rmd ends the workers; heartbeat's goodbye follows."""
        if node.lives == life:
            said_goodbye = node.left
            node.up, node.worker = False, None
            node.lives += 1
            self.at(NETWORK_MS if said_goodbye else DEADTIME_MS, self._see)

    # Scripts and fencing ---------------------------------------------------------------------------------------------

    def _execute(self, node: Node, operation: str, request: object, life: int) -> None:
        if isinstance(request, SettleScripts):
            self._settle(node, operation, life)
            return
        assert isinstance(request, RunScript)
        node.scripts_under_way += 1
        boot = node.boots
        self.at(self.random.randint(1, SCRIPT_MS), lambda: self._script(node, operation, request, life, boot))

    def _settle(self, node: Node, operation: str, life: int) -> None:
        if node.lives != life:
            return
        if node.scripts_under_way:
            self.at(1, lambda: self._settle(node, operation, life))
        else:
            self.step(node, Finished(operation, ScriptEnd(0)))

    def _script(self, node: Node, operation: str, request: RunScript, life: int, boot: int) -> None:
        """A script runs to its end also when its worker died; not when its node did."""
        if not node.up or node.boots != boot:
            return
        node.scripts_under_way -= 1
        name, action = request.resource.text, request.action
        end = ScriptEnd(0, "running" if name in node.active else "stopped") if action == "status" else ScriptEnd(0)
        if (name, action) in node.broken:
            end = ScriptEnd(1)
        elif action == "start":
            assert name not in node.active, f"{name} is started twice on {node.name}"
            node.active.add(name)
            self.starts.append((node.name, name))
        elif action == "stop":
            node.active.discard(name)
        if node.lives == life:
            self.step(node, Finished(operation, end))

    def _fence(self, node: Node, operation: str, target: str, life: int) -> None:
        def shoot() -> None:
            victim = self.nodes[target]
            if node.up:
                if victim.up:
                    self.power_off(target)
                if node.lives == life:
                    self.step(node, Finished(operation, FenceEnd(True)))

        self.at(100, shoot)

    # Operators -------------------------------------------------------------------------------------------------------

    def ask(self, name: str, message: Message) -> None:
        self.post(self.nodes[name], Received(Client("hb", 1, 0), message))

    def standby(self, name: str, what: What = "all") -> None:
        self.ask(name, GoStandby(what=what))

    def takeover(self, name: str, what: What = "all") -> None:
        self.ask(name, TakeOver(what=what))

    def confirm(self, name: str) -> None:
        self.ask(name, ConfirmDead(node=self.nodes[name].peer))

    def leave(self, name: str) -> None:
        self.post(self.nodes[name], Received(Local("rmd"), LeaveCluster()))

    def where(self) -> dict[str, str]:
        """Of each resource that is active, its node."""
        return {resource: node.name for node in self.nodes.values() if node.up for resource in sorted(node.active)}
