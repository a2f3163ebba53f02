# SPDX-License-Identifier: GPL-2.0-or-later
"""An operator's hands on a simulated cluster: what scenarios, the swarm and a user's rehearsal do to it.

Whatever asks a worker something and needs its answer runs the world until the answer is there: the operator waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from ha.cib.msg import Answer, Query, Write, Written
from ha.crm.msg import GetState, State
from ha.machine import Message
from ha.sim.agents import Misbehaviour
from ha.sim.configuration import node_ids
from ha.sim.node import Node
from ha.sim.power import SwitchFault
from ha.sim.process import Process
from ha.sim.programs import Program
from ha.sim.world import World
from ha.stonith.msg import Fenced, FenceNode

ANSWER_LIMIT_MS = 30_000
"""How long an operator waits for a program's answer."""

QUIET_MS = 3_000
"""So long without an act or a note of notice and above, and the cluster is looked at more closely."""

IDLE_LIMIT_MS = 600_000
"""A cluster that is not idle after so long never will be."""

FOLLOWING = "S_NOT_DC"
"""A member that has a DC has nothing of its own to do: the DC is asked."""

M = TypeVar("M", bound=Message)


class OperatorError(Exception):
    """The operator asked for something that cannot be done; the text says why."""


class NotIdle(Exception):
    """The cluster did not come to rest; the text says who is busy with what."""


class Cluster:
    def __init__(self, world: World) -> None:
        self.world = world
        self._requests = 0

    def node(self, name: str) -> Node:
        if name not in self.world.nodes:
            raise OperatorError(f"there is no node {name}; there are {', '.join(self.world.nodes)}")
        return self.world.nodes[name]

    def process(self, node: str, worker: str) -> Process:
        process = self.node(node).processes.get(worker)
        if process is None:
            raise OperatorError(f"no {worker} runs on {node}")
        return process

    def powered(self) -> list[Node]:
        return [node for node in self.world.nodes.values() if node.powered]

    # Faults ----------------------------------------------------------------------------------------------------------

    def start(self, names: Iterable[str]) -> None:
        for name in names:
            self.world.release(name)
            self.node(name).power_on()

    def power_off(self, name: str) -> None:
        """Pull the plug, and keep it pulled until `start`."""
        self.world.hold_off(name)
        self.node(name).power_off("by the operator")

    def kill(self, node: str, worker: str) -> None:
        self.world.log(node, "operator", f"kill {worker}")
        process = self.process(node, worker)
        process.node.supervisor.died(process)

    def restart(self, node: str, worker: str) -> None:
        """In good order, by `supervisorctl restart`."""
        self.world.log(node, "operator", f"restart {worker}")
        process = self.process(node, worker)
        process.node.supervisor.restart(process)

    def crash(self, node: str, worker: str, effects: int) -> None:
        """Let the worker die after it has carried out so many more effects."""
        self.process(node, worker).crash_after = effects

    def freeze(self, node: str, worker: str) -> None:
        self.world.log(node, "operator", f"freeze {worker}")
        process = self.process(node, worker)
        if not process.frozen:
            process.freeze()
            process.node.supervisor.froze(process)

    def thaw(self, node: str, worker: str) -> None:
        self.world.log(node, "operator", f"thaw {worker}")
        process = self.process(node, worker)
        if process.frozen:
            process.node.supervisor.thawed(process)
            process.thaw()

    def cut(self, one: str, other: str, *, both_ways: bool = True, medium: str = "") -> None:
        self.node(one), self.node(other)
        arrow = "<->" if both_ways else "->"
        self.world.log("network", "operator", f"cut {one} {arrow} {other}{' on ' + medium if medium else ''}")
        self.world.network.cut(one, other, medium)
        if both_ways:
            self.world.network.cut(other, one, medium)

    def heal(self) -> None:
        self.world.log("network", "operator", "heal")
        self.world.network.heal_all()

    def misbehave(self, rule: Misbehaviour) -> None:
        self.world.misbehaviours.append(rule)

    def behave(self) -> None:
        """Agents and fence devices are well again."""
        self.world.misbehaviours.clear()
        self.world.switch.faults.clear()

    def break_switch(self, fault: SwitchFault) -> None:
        self.world.switch.faults.append(fault)

    def fence(self, target: str, at: str) -> None:
        """`stonith_admin --fence TARGET` on the node `at`."""
        timeout_ms = ANSWER_LIMIT_MS - 1_000
        request = FenceNode(request_id=self.request_id(), target=target, action="off", timeout_ms=timeout_ms)
        told = self.ask(at, "stonithd", request, Fenced)
        assert told.ok, told.reason

    def shut_down(self, name: str) -> None:
        """Orderly: resources first. The machine stays on with its workers stopped."""
        self.node(name).supervisor.leave()

    def end_workers(self, name: str) -> None:
        """rmd waits no longer for the crmd to leave: every worker is ended, whatever runs here."""
        self.node(name).supervisor.left()

    def fill_disk(self, name: str, *, full: bool) -> None:
        self.world.log(name, "operator", "the disk is full" if full else "the disk has room")
        self.node(name).disk.full = full

    # Programs --------------------------------------------------------------------------------------------------------

    def request_id(self) -> str:
        self._requests += 1
        return f"operator-{self._requests}"

    def ask(self, node: str, worker: str, message: Message, answer: type[M]) -> M:
        """One question, one answer of that type. Raises OperatorError when there is none in time."""
        heard: list[Message | None] = []
        program = Program("operator", self.process(node, worker), heard.append)
        program.say(message)
        waiting = self.world.run_while(
            lambda: not any(isinstance(m, answer) or m is None for m in heard), ANSWER_LIMIT_MS
        )
        program.hang_up()
        for reply in heard:
            if isinstance(reply, answer):
                return reply
        reason = "hung up" if waiting else "did not answer"
        raise OperatorError(f"{worker} on {node} {reason} when asked {type(message).__name__}")

    def write(self, node: str, write: Write) -> Written:
        written = self.ask(node, "cib", write, Written)
        outcome = f"{written.outcome}{' ' + str(written.version) if written.version else ''}"
        reason = f" ({written.rc}: {written.reason})" if written.outcome != "committed" else ""
        self.world.log(node, "operator", f"{write.operation} {write.scope or write.xpath}: {outcome}{reason}")
        return written

    def configure(self, node: str, xml: str) -> Written:
        """Merge a <configuration> into the CIB by way of a node."""
        write = Write(
            request_id=self.request_id(), operation="modify", scope="configuration", xml=xml, allow_create=True
        )
        return self.write(node, write)

    def query(self, node: str, xpath: str = "") -> Answer:
        return self.ask(node, "cib", Query(request_id=self.request_id(), xpath=xpath), Answer)

    def node_ids(self, node: str) -> dict[str, str]:
        return node_ids(self.query(node, "/cib/configuration/nodes").xml)

    def state(self, node: str) -> State:
        return self.ask(node, "crmd", GetState(request_id=self.request_id()), State)

    # Rest ------------------------------------------------------------------------------------------------------------

    def run_until_idle(self, limit_ms: int = IDLE_LIMIT_MS) -> None:
        """Until nothing happens and every crmd says that nothing is left to do. Raises NotIdle."""
        limit_us = self.world.agenda.now_us + limit_ms * 1000
        while True:
            left_ms = (limit_us - self.world.agenda.now_us) // 1000
            quiet = self.world.run_while(lambda: not self.world.is_quiet(QUIET_MS), max(left_ms, 0), look_every_ms=50)
            busy = self.busy() if quiet else ["acts and notes go on"]
            if not busy:
                return
            if self.world.agenda.now_us >= limit_us or not quiet:
                raise NotIdle(f"not idle after {limit_ms / 1000:g} s: {'; '.join(busy)}")
            self.world.run_for(500)

    def busy(self) -> list[str]:
        """What keeps each crmd that runs from being idle; nothing when there are no crmds."""
        found: list[str] = []
        for node in self.powered():
            if "crmd" not in node.processes or node.paused:
                continue
            try:
                state = self.state(node.name)
            except OperatorError as error:
                found.append(str(error))
                continue
            if not state.idle and not (state.fsm == FOLLOWING and state.dc):
                found.append(f"{node.name} is in {state.fsm} with DC {state.dc or 'unknown'}")
        return found

    def places(self) -> dict[str, list[str]]:
        """The truth: where each resource is or may be active, by its agents."""
        places: dict[str, list[str]] = {}
        for node in self.powered():
            for resource_id in node.agents.states:
                if node.agents.may_be_active(resource_id):
                    places.setdefault(resource_id, []).append(node.name)
        return dict(sorted(places.items()))
