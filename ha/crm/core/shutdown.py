# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaving in good order: resources move off first, then the DC says that this node may go.

LeaveCluster or ShutdownNode -> transient attribute `shutdown` (Unix seconds, as Pacemaker's) -> the policy engine
moves everything away and puts do_shutdown into the graph -> Leave -> the LRM is asked whether it is so -> NothingRuns
to heartbeat, LeftCluster to rmd, Done to the programs.

The DC's word alone is not enough to leave by (P1): heartbeat's goodbye tells the peers that nothing runs here, and they
start at once. When the LRM has more active than the DC knows of, Leave is refused and the DC is told of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.attrd.msg import UpdateAttribute, Updated
from ha.crm.core.context import Context
from ha.crm.model.status import SHUTDOWN
from ha.crm.msg import Done, Leave, OrderDone, OrderSeen, ShutdownNode
from ha.heartbeat.msg import NothingRuns
from ha.lrm.msg import GetHistory, History, OperationResult
from ha.machine import Client, Reply
from ha.rmd.msg import LeftCluster

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

REPEAT_MS = 1_000
MAX_ASKERS = 64
HARMLESS = ("monitor", "notify", "meta-data", "validate-all")
"""Operations under way that do not change what is active."""
ACTIVE_AFTER = ("start", "promote", "demote", "monitor", "migrate_from", "reload", "reload-agent")


class Shutdown:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.wanted = False
        self.has_left = False
        self.nothing_runs = False
        self.may_leave = False
        self.askers: list[tuple[Client, str]] = []
        self.request: UpdateAttribute | None = None
        self.told = False
        self.looking = False
        self.leave_order: tuple[str, Leave] | None = None

    def asked(self, client: Client | None, message: ShutdownNode | None) -> None:
        """By rmd (None) or a program."""
        if client is not None and message is not None:
            if self.has_left or len(self.askers) >= MAX_ASKERS:
                reason = "" if self.has_left else f"{MAX_ASKERS} programs ask already"
                self.context.out.append(Reply(client, Done(request_id=message.request_id, reason=reason,
                                                           rc=0 if self.has_left else 1)))
                return
            self.askers.append((client, message.request_id))
        if self.has_left:
            self.tell_left("rmd")
            return
        if self.wanted:
            return
        self.wanted = True
        self.context.note("notice", "leaving the cluster: resources move off this node first")
        self.context.arm("shutdown/repeat", REPEAT_MS)
        self.context.arm("shutdown/escalate", self.crmd.ground.configuration.shutdown_escalation_ms)
        self._request()

    def _request(self) -> None:
        self.request = UpdateAttribute(request_id=self.context.request_id(), name=SHUTDOWN,
                                       value=str(self.context.unix_s()), node=self.context.node)
        self.told = False
        self.tell()

    def tell(self) -> None:
        if self.request is not None and not self.told:
            self.context.send("attrd", self.request)

    def updated(self, message: Updated) -> bool:
        if self.request is None or message.request_id != self.request.request_id:
            return False
        self.told = message.rc == 0
        return True

    def fired(self, timer: str) -> None:
        if not self.wanted or self.has_left:
            return
        if timer == "shutdown/escalate":
            self.context.note("critical", "shutdown-escalation is over and resources are still here; leaving anyway")
            self.leave("shutdown-escalation is over", nothing_runs=False)
            return
        self.tell()
        if not self.crmd.election.leader:
            self.looking = True
            self.context.send("lrmd", GetHistory())
        self.context.arm("shutdown/repeat", REPEAT_MS)

    def history(self, message: History) -> None:
        """What the LRM has: is the DC's Leave true? And when nobody leads, is there anything to wait for?"""
        if self.has_left:
            return
        if self.leave_order is not None:
            self._judge(*self.leave_order, message)
        elif self.looking and not self.crmd.election.leader and not message.running:
            self.looking = False
            if not active_resources(message.results):
                self.leave("there is no DC, and no resource is active here")

    def ordered(self, key: str, what: Leave) -> None:
        """Leave, says the DC. The order is repeated until it is answered."""
        self.leave_order = (key, what)
        self.context.send("lrmd", GetHistory())

    def new_view(self) -> None:
        """The order's DC may be another. A partition that took this node for lost has called its request off."""
        self.leave_order = None
        if self.wanted and not self.has_left:
            self._request()

    def _judge(self, key: str, what: Leave, history: History) -> None:
        leader = self.crmd.election.leader
        if not leader or any(order.operation not in HARMLESS for order in history.running):
            return  # asked again with the next repetition
        self.leave_order = None
        known = active_resources(history.results) if what.active is None else set(what.active)
        unknown = [r for r in history.results if r.resource.id in active_resources(history.results) - known]
        if unknown:
            names = ", ".join(sorted({result.resource.id for result in unknown}))
            self.context.note("error", f"{leader} says that all resources are gone from here, but {names} is active")
            for result in unknown:
                self.crmd.orders.result(result)
            self.context.tell(leader, OrderDone(transition_key=key, ok=False, reason=f"{names} is active there"))
            return
        self.context.tell(leader, OrderSeen(transition_key=key))
        # If we are the DC, the rest of the transition (starts elsewhere) is carried out first.
        self.may_leave = True
        if not self.crmd.transition.busy:
            self.leave("the DC says that all resources are gone from here")

    def transition_done(self) -> None:
        if self.may_leave:
            self.leave("the DC says that all resources are gone from here")

    def leave(self, why: str, *, nothing_runs: bool = True) -> None:
        if self.has_left:
            return
        self.has_left, self.nothing_runs = True, nothing_runs
        self.context.note("notice", f"left the cluster: {why}")
        for timer in ("shutdown/repeat", "shutdown/escalate"):
            self.context.disarm(timer)
        for module in ("heartbeat", "rmd"):
            self.tell_left(module)
        for client, request_id in self.askers:
            self.context.out.append(Reply(client, Done(request_id=request_id)))
        self.askers = []
        self.crmd.terminate(why)

    def tell_left(self, module: str) -> None:
        """Heartbeat and rmd, now, and when they are there again after we have left: they may not have heard."""
        if module == "heartbeat" and self.nothing_runs:
            self.context.send("heartbeat", NothingRuns())
        elif module == "rmd":
            if self.nothing_runs:
                self.crmd.lease.give_back()
            self.context.send("rmd", LeftCluster(nothing_runs=self.nothing_runs))

    def client_gone(self, client: Client) -> None:
        self.askers = [(c, r) for c, r in self.askers if c != client]


def active_resources(results: list[OperationResult]) -> set[str]:
    """Resources whose last operation leaves them running, by call id. Fence devices run nowhere."""
    state: dict[str, bool] = {}
    for result in sorted(results, key=lambda r: r.call_id):
        if result.resource.agent_class == "stonith":
            continue
        if result.operation == "stop" and result.rc == 0:
            state[result.resource.id] = False
        elif result.operation in ACTIVE_AFTER:
            state[result.resource.id] = result.rc != 7 and not (result.operation == "monitor" and result.rc == 5)
    return {name for name, active in state.items() if active}
