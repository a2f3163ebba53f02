# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of the resource agents of one node, and of what they manage.

What runs belongs to the node, not to any worker: it outlives lrmd, and dies with the power. An agent's action takes
time and has its effect at the end, so a start in progress counts as "may be active" from its first instant and a stop
as "still active" until its last (P1). Misbehaviour is ordered by rules, matched first to last.

Source of the result codes: OCF resource agent API 1.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ha.sim.agenda import MS, Ticket

if TYPE_CHECKING:
    from ha.sim.node import Node

OK = 0
FAILED = 1
NOT_RUNNING = 7
RUNNING_PROMOTED = 8

State = Literal["stopped", "starting", "started", "promoted", "stopping"]

DURATION_MS = {"start": 40, "stop": 30, "monitor": 10, "promote": 20, "demote": 20}
"""What a well-behaved agent takes; other actions take OTHER_MS."""
OTHER_MS = 10


@dataclass(frozen=True, slots=True)
class AgentCall:
    """One execution of an agent. `unique` is false for instances of anonymous clones, which may run on many nodes."""

    resource_id: str
    operation: str
    interval_ms: int
    timeout_ms: int
    unique: bool = True


@dataclass(frozen=True, slots=True)
class AgentOutcome:
    """`timed_out`: killed at its timeout, `rc` has no meaning. `reason` is what ocf-exit-reason said."""

    rc: int
    timed_out: bool
    exec_ms: int
    reason: str = ""


@dataclass
class Misbehaviour:
    """How agents of a resource go wrong. "" matches every resource, operation or node; `count` None means for ever.

    fails: rc 1, no effect. hangs: until its timeout. slow: takes `extra_ms` more. lies: rc 0, no effect.
    """

    kind: Literal["fails", "hangs", "slow", "lies"]
    resource_id: str
    operation: str
    node: str = ""
    extra_ms: int = 0
    rc: int = FAILED
    count: int | None = None

    def matches(self, node: str, call: AgentCall) -> bool:
        return (
            self.count != 0
            and self.resource_id in ("", call.resource_id.split(":", 1)[0])
            and self.operation in ("", call.operation)
            and self.node in ("", node)
        )


Finish = Callable[[AgentOutcome], None]


class Agents:
    """The agents of one node between power-on and power-off."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.world = node.world
        self.states: dict[str, State] = {}
        self.running: dict[int, tuple[AgentCall, Ticket]] = {}
        self._serial = 0

    def state(self, resource_id: str) -> State:
        return self.states.get(resource_id, "stopped")

    def may_be_active(self, resource_id: str) -> bool:
        return self.node.powered and self.state(resource_id) != "stopped"

    def break_resource(self, resource_id: str) -> None:
        """The service dies by itself; the next monitor will find it."""
        self.states[resource_id] = "stopped"
        self._log(resource_id, "dies by itself")

    def run(self, call: AgentCall, finish: Finish) -> int:
        """Begin; `finish` is called once unless the power goes first. Returns a number for `kill`."""
        rule = self._misbehaviour(call)
        duration_ms = DURATION_MS.get(call.operation, OTHER_MS)
        if rule is not None and rule.kind == "slow":
            duration_ms += rule.extra_ms
        hangs = rule is not None and rule.kind == "hangs"
        timed_out = hangs or duration_ms >= call.timeout_ms
        if timed_out:
            duration_ms = call.timeout_ms
        self._begin(call)
        self._serial += 1
        serial = self._serial

        def end() -> None:
            del self.running[serial]
            finish(self._end(call, rule, timed_out, duration_ms))

        self.running[serial] = (call, self.world.agenda.after(duration_ms * MS, end))
        return serial

    def kill(self, serial: int) -> None:
        """End the agent without a result; what it managed stays in doubt ("starting" may be active)."""
        entry = self.running.pop(serial, None)
        if entry is not None:
            entry[1].cancel()

    def power_lost(self) -> None:
        for _, ticket in self.running.values():
            ticket.cancel()
        self.running.clear()
        self.states.clear()

    def _misbehaviour(self, call: AgentCall) -> Misbehaviour | None:
        for rule in self.world.misbehaviours:
            if rule.matches(self.node.name, call):
                if rule.count is not None:
                    rule.count -= 1
                return rule
        return None

    def _begin(self, call: AgentCall) -> None:
        if call.operation == "monitor":
            return
        self._log(call.resource_id, call.operation)
        self.world.agent_begins(self.node, call)
        if call.operation == "start" and self.state(call.resource_id) == "stopped":
            self.states[call.resource_id] = "starting"
        elif call.operation == "stop" and self.state(call.resource_id) != "stopped":
            self.states[call.resource_id] = "stopping"

    def _end(self, call: AgentCall, rule: Misbehaviour | None, timed_out: bool, exec_ms: int) -> AgentOutcome:
        kind = rule.kind if rule is not None else ""
        if timed_out:
            outcome = AgentOutcome(FAILED, True, exec_ms)
        elif kind == "fails":
            assert rule is not None
            outcome = AgentOutcome(rule.rc, False, exec_ms, "the agent was told to fail")
        elif kind == "lies":
            outcome = AgentOutcome(OK, False, exec_ms)
        else:
            outcome = AgentOutcome(self._effect(call), False, exec_ms)
        if call.operation == "stop" and self.state(call.resource_id) == "stopping":
            self.states[call.resource_id] = "started"  # it was in vain
        self._log_end(call, outcome)
        return outcome

    def _effect(self, call: AgentCall) -> int:
        """Do what the action is for; return its code."""
        state = self.state(call.resource_id)
        match call.operation:
            case "start":
                self.states[call.resource_id] = "promoted" if state == "promoted" else "started"
            case "stop":
                self.states.pop(call.resource_id, None)
            case "promote":
                if state not in ("started", "promoted"):
                    return NOT_RUNNING
                self.states[call.resource_id] = "promoted"
            case "demote":
                if state == "stopped":
                    return NOT_RUNNING
                self.states[call.resource_id] = "started"
            case "monitor":
                if state in ("stopped", "starting"):
                    return NOT_RUNNING
                return RUNNING_PROMOTED if state == "promoted" else OK
        return OK

    def _log_end(self, call: AgentCall, outcome: AgentOutcome) -> None:
        if call.operation == "monitor" and not outcome.timed_out:
            return
        result = "timed out" if outcome.timed_out else f"rc {outcome.rc}"
        self._log(call.resource_id, f"{call.operation}: {result} after {outcome.exec_ms} ms")
        self.world.agent_ended(self.node, call, outcome)

    def _log(self, resource_id: str, text: str) -> None:
        self.world.log(f"{self.node.name}", "agent", f"{resource_id} {text}")
