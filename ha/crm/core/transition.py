# SPDX-License-Identifier: GPL-2.0-or-later
"""The DC's side of a running transition: passes TE's requests to the nodes, and their results back.

An order is outstanding until its result is known. Orders for a node that is not joined wait for it, and end as failed
when it counts as lost. After a change of view the orders that still count are given again in the new view: a node
knows them by their transition key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ha.crm.core.context import Context
from ha.crm.model.history import is_failure, operation_key
from ha.crm.msg import JoinConfirm, Leave, Order, OrderDone, OrderSeen
from ha.lrm.msg import CancelOperation, ForgetResource, OperationResult, Resource, RunOperation
from ha.te.msg import AbortTransition, ActionDone, RequestAction, StartTransition, TransitionDone

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

ORDER_REPEAT_MS = 500
DRAIN_MS = 120_000
"""After the loss of the tengine its orders are awaited this long at most before anything new is decided."""


@dataclass(slots=True)
class Outstanding:
    """`seen`: the node has the order. `orphan`: the tengine that wanted it is gone."""

    request: RequestAction
    what: RunOperation | CancelOperation | ForgetResource | Leave
    node: str
    seen: bool = False
    orphan: bool = False


class Transition:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.number = 0
        self.running: int | None = None
        self.aborting = False
        self.outstanding: dict[str, Outstanding] = {}

    @property
    def busy(self) -> bool:
        return self.running is not None or bool(self.outstanding)

    def forget(self) -> None:
        self.running, self.aborting, self.outstanding = None, False, {}
        self.context.disarm("transition/repeat")
        self.context.disarm("transition/drain")

    # The transition as a whole ---------------------------------------------------------------------------------------

    def start(self, graph: str) -> None:
        view = self.context.view
        assert view is not None and self.crmd.election.is_dc, "only a DC starts transitions"
        assert not self.busy, f"transition {self.running} still runs"
        assert "tengine" in self.context.linked, "nobody to carry it out"
        self.number += 1
        self.running, self.aborting = self.number, False
        self.context.send("tengine", StartTransition(
            transition_id=self.number, te_uuid=self.crmd.te_uuid, graph=graph, view=view.id,
            batch_limit=self.crmd.ground.configuration.batch_limit))

    def abort(self, reason: str) -> None:
        if self.running is None or self.aborting:
            return
        self.aborting = True
        self.context.send("tengine", AbortTransition(transition_id=self.running, reason=reason))

    def done(self, message: TransitionDone) -> None:
        if message.transition_id != self.running:
            return
        self.running, self.aborting = None, False
        for key, order in list(self.outstanding.items()):
            if order.node not in self.context.members() and not isinstance(order.what, Leave):
                del self.outstanding[key]  # TE gave it up, and no result can come
        self.crmd.shutdown.transition_done()
        if not self.crmd.fsm.ended:
            self.crmd.scheduling.transition_done(message)

    def engine_lost(self) -> None:
        """The tengine's worker is gone: its orders run on; wait for them, then decide anew."""
        if self.running is None:
            return
        self.running, self.aborting = None, False
        for order in self.outstanding.values():
            order.orphan = True
        if self.outstanding:
            self.context.arm("transition/drain", DRAIN_MS)
        self.crmd.scheduling.news("the transition engine started anew")

    # Requests of TE --------------------------------------------------------------------------------------------------

    def requested(self, request: RequestAction) -> None:
        if request.transition_id != self.running:
            return
        self.crmd.timeline.action(request)
        if request.kind == "crm_event":
            self._event(request)
        elif request.router and request.router != request.node:
            self._answer(request, False, "remote nodes are not supported")
        elif request.task == "cancel":
            self._give(request, _cancel(request))
        elif request.task == "delete":
            self._give(request, ForgetResource(resource_id=request.resource["id"], user_data=request.transition_key))
        else:
            self._give(request, self._run(request))

    def _event(self, request: RequestAction) -> None:
        if not self.crmd.election.is_dc:
            self._answer(request, False, "an election is open")
        elif request.task == "stonith":
            self.crmd.fencing.requested(request)
        elif request.task in ("do_shutdown", "shutdown"):
            self._give(request, Leave(active=self.crmd.status.active_on(request.node)))
        elif request.task == "clear_failcount":
            self.crmd.clear_failures(request.resource.get("id", ""), request.node)
            self._answer(request, True)
        elif request.task in ("lrm_delete", "delete"):
            self._give(request, ForgetResource(resource_id=request.resource["id"], user_data=request.transition_key))
        elif request.task == "probe_complete":
            self._answer(request, True)
        else:
            self._answer(request, False, f"unknown event {request.task!r}")

    def _run(self, request: RequestAction) -> RunOperation:
        meta = {name: value for name, value in request.meta.items() if name != "op_target_rc"}
        return RunOperation(
            resource=_resource(request),
            operation=request.task,
            interval_ms=_milliseconds(meta.get("interval")),
            timeout_ms=request.timeout_ms,
            start_delay_ms=_milliseconds(meta.get("start_delay")),
            parameters=request.attributes,
            meta=meta,
            user_data=request.transition_key,
            view=self.context.view_id,
        )

    def _give(self, request: RequestAction, what: RunOperation | CancelOperation | ForgetResource | Leave) -> None:
        known = self.crmd.status.copy.nodes
        if request.node not in known and request.node not in self.context.settings.nodes:
            self._answer(request, False, f"{request.node} is no node of this cluster")
            return
        if not self.outstanding:
            self.context.arm("transition/repeat", ORDER_REPEAT_MS)
        order = Outstanding(request, what, request.node)
        self.outstanding[request.transition_key] = order
        self._send(order)

    def _send(self, order: Outstanding) -> None:
        view = self.context.view
        if view is None or self.context.in_doubt or not self.crmd.election.is_dc:
            return
        if not self.crmd.join.is_confirmed(order.node):
            return
        what = order.what
        if isinstance(what, RunOperation):
            what = _in_view(what, self.context)
        self.context.tell(order.node, Order(
            view=view.id, term=self.crmd.election.term, transition_key=order.request.transition_key, what=what))

    # Answers of nodes ------------------------------------------------------------------------------------------------

    def seen(self, node: str, message: OrderSeen) -> None:
        order = self.outstanding.get(message.transition_key)
        if order is None or order.node != node:
            return
        order.seen = True
        if isinstance(order.what, Leave):
            self.crmd.status.set_expected_down(node)  # its LRM has confirmed that nothing runs there (P1)
            self._end(order, True, "")
            if not self.busy:
                self.crmd.shutdown.transition_done()

    def ordered_done(self, node: str, message: OrderDone) -> None:
        order = self.outstanding.get(message.transition_key)
        if order is None or order.node != node:
            return
        if message.ok and isinstance(order.what, CancelOperation):
            number = operation_key(order.what.resource_id, order.what.operation, order.what.interval_ms)
            self.crmd.status.copy.drop_operation(node, order.what.resource_id, number)
        elif message.ok and isinstance(order.what, ForgetResource):
            self.crmd.status.copy.drop_resource(node, order.what.resource_id)
        self._end(order, message.ok, message.reason)

    def result(self, node: str, result: OperationResult) -> bool:
        """Whether an order of ours was waiting for it."""
        order = self.outstanding.get(result.user_data)
        if order is None or order.node != node or not isinstance(order.what, RunOperation):
            return False
        ok = not is_failure(result) and result.status != "cancelled"
        reason = "" if ok else f"rc {result.rc}, {result.status}, {order.request.target_rc} was expected"
        orphan = order.orphan
        self._end(order, ok, f"{reason} ({result.exit_reason})" if result.exit_reason else reason)
        if ok:
            self.crmd.timeline.succeeded(order.request)
        return not orphan

    def rejoined(self, node: str, message: JoinConfirm) -> None:
        """A node's crmd came back: what it has done ends, what it runs is awaited, the rest is ordered again."""
        for result in message.results:
            self.result(node, result)
        self.repeat_orders(node)

    def repeat_orders(self, node: str) -> None:
        """In a new view, or to a new incarnation: it knows by the keys what it has already."""
        for order in list(self.outstanding.values()):
            if order.node == node:
                order.seen = False
                self._send(order)

    def node_lost(self, node: str) -> None:
        """Nothing that was ordered there will be answered."""
        for order in list(self.outstanding.values()):
            if order.node == node:
                self._end(order, isinstance(order.what, Leave), f"{node} is lost")

    def only_these_stayed(self, nodes: set[str]) -> None:
        """A node that went, or is back after it went, may have lost all that its orders built on."""
        for node in sorted({order.node for order in self.outstanding.values()} - nodes):
            self.node_lost(node)

    def new_view(self) -> None:
        """The view is beyond doubt again: give what was held back."""
        for order in self.outstanding.values():
            order.seen = False
            self._send(order)
        if self.outstanding:
            self.context.arm("transition/repeat", ORDER_REPEAT_MS)

    def _end(self, order: Outstanding, ok: bool, reason: str) -> None:
        del self.outstanding[order.request.transition_key]
        if not self.outstanding:
            self.context.disarm("transition/repeat")
            self.context.disarm("transition/drain")
        if not order.orphan:
            self._answer(order.request, ok, reason)

    def _answer(self, request: RequestAction, ok: bool, reason: str = "") -> None:
        if request.transition_id == self.running and "tengine" in self.context.linked:
            self.context.send("tengine", ActionDone(
                transition_id=request.transition_id, action_id=request.action_id, ok=ok, reason=reason))

    def fenced(self, request: RequestAction, ok: bool, reason: str) -> None:
        self._answer(request, ok, reason)

    def fired(self, timer: str) -> None:
        if timer == "transition/drain":
            for key in [key for key, order in self.outstanding.items() if order.orphan]:
                del self.outstanding[key]
        elif timer == "transition/repeat" and self.outstanding:
            for order in self.outstanding.values():
                if not order.seen:
                    self._send(order)
            self.context.arm("transition/repeat", ORDER_REPEAT_MS)


def _resource(request: RequestAction) -> Resource:
    return Resource(
        id=request.resource["id"],
        agent_class=request.resource.get("class", ""),
        agent_type=request.resource.get("type", ""),
        provider=request.resource.get("provider", ""),
    )


def _cancel(request: RequestAction) -> CancelOperation:
    return CancelOperation(
        resource_id=request.resource["id"],
        operation=request.meta.get("operation") or request.meta.get("name", "monitor"),
        interval_ms=_milliseconds(request.meta.get("interval")),
        user_data=request.transition_key,
    )


def _in_view(order: RunOperation, context: Context) -> RunOperation:
    if order.view == context.view_id:
        return order
    return msgspec.structs.replace(order, view=context.view_id)


def _milliseconds(text: str | None) -> int:
    """The graph's numbers are milliseconds already."""
    return int(text) if text is not None and text.isdecimal() else 0
