# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs ask of a crmd. What only the DC can do is passed to it, by any node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from ha.crm.core.context import Context
from ha.crm.model.history import operation_key
from ha.crm.model.status import xpath_literal
from ha.crm.msg import (
    Cleanup,
    Done,
    FailResource,
    GetState,
    Relay,
    Relayed,
    RemoveNode,
    State,
    Timeline,
    WatchTimeline,
)
from ha.lrm.msg import ForgetResource, OperationResult
from ha.machine import Client, Instant, Reply

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

Request: TypeAlias = GetState | Cleanup | FailResource | RemoveNode | WatchTimeline
Answer: TypeAlias = State | Done | Timeline

RELAY_WAIT_MS = 5_000
MAX_RELAYED = 256
THE_DC = "dc"
"""As a node's name: whichever is DC now."""

RC_NO_DC, RC_NO_OBJECT, RC_REFUSED = 102, 105, 1
"""Exit codes of the tools: not connected, no such object, error."""


@dataclass(slots=True)
class Waiting:
    client: Client
    request: Request
    deadline: Instant


class Requests:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.waiting: dict[int, Waiting] = {}

    # From programs ---------------------------------------------------------------------------------------------------

    def asked(self, client: Client, request: Request) -> None:
        target = self._target(request)
        if target == self.context.node:
            self.context.out.append(Reply(client, self._answer(request)))
        elif not target or target not in self.context.members():
            reason = "there is no DC" if not target else f"{target} is not in the cluster now"
            self._refuse(client, request, reason)
        elif len(self.waiting) >= MAX_RELAYED:
            self._refuse(client, request, "too many requests at once; try again")
        else:
            serial = self.context.serial()
            self.waiting[serial] = Waiting(client, request, self.context.now + RELAY_WAIT_MS)
            self.context.tell(target, Relay(serial=serial, request=request))
            self.context.arm(f"requests/{serial}", RELAY_WAIT_MS)

    def _target(self, request: Request) -> str:
        if isinstance(request, GetState):
            if request.node == THE_DC and THE_DC not in self.context.settings.nodes:
                return self.crmd.election.leader
            return request.node or self.context.node
        if isinstance(request, WatchTimeline):
            return self.crmd.election.leader or self.context.node
        return self.crmd.election.leader

    def _refuse(self, client: Client, request: Request, reason: str) -> None:
        answer: Answer
        if isinstance(request, GetState):
            answer = State(request_id=request.request_id, node=request.node, fsm="", dc=self.crmd.election.leader)
        else:
            answer = Done(request_id=request.request_id, rc=RC_NO_DC, reason=reason)
        self.context.out.append(Reply(client, answer))

    def relayed(self, sender: str, message: Relay) -> None:
        request = message.request
        if not isinstance(request, (GetState, WatchTimeline)) and not self.crmd.election.is_dc:
            answer: Answer = Done(request_id=request.request_id, rc=RC_NO_DC, reason=f"{self.context.node} is not DC")
        else:
            answer = self._answer(request)
        self.context.tell(sender, Relayed(serial=message.serial, answer=answer))

    def relay_answered(self, message: Relayed) -> None:
        waiting = self.waiting.pop(message.serial, None)
        if waiting is not None:
            self.context.disarm(f"requests/{message.serial}")
            self.context.out.append(Reply(waiting.client, message.answer))

    def fired(self, timer: str) -> None:
        waiting = self.waiting.pop(int(timer.partition("/")[2]), None)
        if waiting is not None:
            self._refuse(waiting.client, waiting.request, f"no answer within {RELAY_WAIT_MS} ms")

    def client_gone(self, client: Client) -> None:
        for serial in [s for s, w in self.waiting.items() if w.client == client]:
            del self.waiting[serial]
            self.context.disarm(f"requests/{serial}")

    # Answers ---------------------------------------------------------------------------------------------------------

    def _answer(self, request: Request) -> Answer:
        if isinstance(request, GetState):
            return self.state(request.request_id)
        if isinstance(request, WatchTimeline):
            return Timeline(request_id=request.request_id, phases=list(self.crmd.timeline.phases))
        if not self.crmd.ground.loaded:
            return Done(request_id=request.request_id, rc=RC_NO_DC, reason="the DC is newly elected; try again")
        if isinstance(request, Cleanup):
            return self._clean_up(request)
        if isinstance(request, FailResource):
            return self._fail(request)
        return self._remove(request)

    def state(self, request_id: str) -> State:
        return State(
            request_id=request_id, node=self.context.node, fsm=self.crmd.fsm.state, dc=self.crmd.election.leader,
            idle=self.crmd.scheduling.idle, transition_id=self.crmd.transition.number,
            version=self.crmd.ground.version,
        )

    def _clean_up(self, request: Cleanup) -> Done:
        """History and failures of a resource on a node, or of all; then the policy engine probes again."""
        copy = self.crmd.status.copy
        if request.node and request.node not in copy.nodes:
            return Done(request_id=request.request_id, rc=RC_NO_OBJECT, reason=f"there is no node {request.node}")
        touched = 0
        for node in [request.node] if request.node else sorted(copy.nodes):
            if not self.crmd.join.is_confirmed(node) and copy.nodes[node].attributes.get("expected") != "down":
                continue  # P1: what a lost node may still run is not forgotten before it is confirmed down
            names = [n for n in sorted(copy.nodes[node].resources) if _concerns(request.resource_id, n)]
            for name in names:
                if request.only_failed and not self._has_failed(node, name, request):
                    continue
                touched += 1
                self._forget(node, name)
        self.crmd.failures.clear(request.resource_id, request.node, request.operation, request.interval_ms)
        self.crmd.scheduling.news(f"clean-up of {request.resource_id or 'all resources'}")
        return Done(request_id=request.request_id, reason=f"{touched} histories forgotten")

    def _has_failed(self, node: str, resource_id: str, request: Cleanup) -> bool:
        operations = self.crmd.status.copy.nodes[node].resources[resource_id].operations
        for number, entry in operations.items():
            if number.endswith("_last_failure_0") or entry.get("op-status") not in ("0", "-1"):
                if request.operation and entry.get("operation") != request.operation:
                    continue
                if request.interval_ms and entry.get("interval") != str(request.interval_ms):
                    continue
                return True
        return False

    def _forget(self, node: str, resource_id: str) -> None:
        self.crmd.status.copy.drop_resource(node, resource_id)
        if self.crmd.join.is_confirmed(node):
            self.crmd.clean_ups.order(node, ForgetResource(
                resource_id=resource_id, user_data=f"clean-up-{self.context.request_id()}"))

    def _fail(self, request: FailResource) -> Done:
        record = self.crmd.status.copy.nodes.get(request.node)
        mine = record.resources.get(request.resource_id) if record is not None else None
        if mine is None:
            return Done(request_id=request.request_id, rc=RC_NO_OBJECT,
                        reason=f"{request.resource_id} has no history on {request.node}")
        intervals = [int(e.get("interval", "0")) for e in mine.operations.values() if e.get("operation") == "monitor"]
        interval_ms = max(intervals, default=0)
        entry = mine.operations.get(operation_key(request.resource_id, "monitor", interval_ms), {})
        last = max((int(e.get("call-id", "0")) for e in mine.operations.values()), default=0)
        self.crmd.result(request.node, OperationResult(
            resource=mine.resource, operation="monitor", interval_ms=interval_ms, call_id=last + 1, rc=1, status="done",
            exit_reason="simulated failure", last_rc_change_s=self.context.unix_s(),
            user_data=entry.get("transition-key", f"0:0:0:{self.crmd.te_uuid}")))
        return Done(request_id=request.request_id)

    def _remove(self, request: RemoveNode) -> Done:
        node = request.node
        record = self.crmd.status.copy.nodes.get(node)
        if node in self.context.members():
            return Done(request_id=request.request_id, rc=RC_REFUSED, reason=f"{node} is in the cluster; stop it first")
        node_id = self.crmd.ground.configuration.node_ids.get(node)
        if record is None and node_id is None:
            return Done(request_id=request.request_id, rc=RC_NO_OBJECT, reason=f"there is no node {node}")
        if record is not None and record.attributes.get("expected") != "down":
            return Done(request_id=request.request_id, rc=RC_REFUSED,
                        reason=f"{node} is lost and not confirmed down: stonith_admin --confirm={node} when it is")
        self.crmd.status.copy.drop_node(node)
        if node_id is not None:
            self.crmd.ground.write("delete", xpath=f"/cib/configuration/nodes/node[@id={xpath_literal(node_id)}]")
        self.crmd.scheduling.news(f"node {node} is removed")
        return Done(request_id=request.request_id)


def _concerns(wanted: str, name: str) -> bool:
    """Whether a history entry belongs to the resource meant: instances of a unique clone are `name:0` and so on."""
    return not wanted or name == wanted or name.partition(":")[0] == wanted
