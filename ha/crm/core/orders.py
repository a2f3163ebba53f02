# SPDX-License-Identifier: GPL-2.0-or-later
"""A member's side: carries out the DC's orders with this node's LRM, and reports every result until the DC has it.

An order of another view, term or DC than ours is refused (P2). An order is known by its transition key, so that it may
come twice. What the LRM was asked survives its worker's restart: it is asked again, by the same key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ha.crm.core.context import Context
from ha.crm.core.traits import read_traits
from ha.crm.msg import AgentTraits, Leave, Order, OrderDone, OrderSeen, Report, ReportSeen
from ha.lrm.msg import (
    Cancelled,
    CancelOperation,
    ForgetResource,
    Forgotten,
    GetHistory,
    GetMetadata,
    History,
    Metadata,
    OperationResult,
    RunOperation,
)

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

REPORT_REPEAT_MS = 500
MAX_REPORTS = 10_000
"""Results that no DC has taken. More: the crmd begins anew, and the next DC reads the history."""


@dataclass(slots=True)
class Given:
    what: RunOperation | CancelOperation | ForgetResource


class Orders:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.given: dict[str, Given] = {}
        self.reports: dict[int, Report] = {}
        self.reported = 0
        self.told: dict[tuple[str, str, int], tuple[int, int, int]] = {}
        self.traits: dict[tuple[str, str, str], AgentTraits | None] = {}
        self.metadata_asked: dict[str, tuple[str, str, str]] = {}

    # From the DC -----------------------------------------------------------------------------------------------------

    def ordered(self, sender: str, order: Order) -> None:
        if not self.crmd.election.in_office(sender, order.view, order.term):
            self.context.note("warning", f"order {order.transition_key} of {sender} is refused: it is not the DC of "
                              "this view and term")
            return
        if isinstance(order.what, Leave):
            self.crmd.shutdown.ordered(order.transition_key, order.what)
            return
        self.context.tell(sender, OrderSeen(transition_key=order.transition_key))
        done = next((r for r in self.reports.values() if r.result.user_data == order.transition_key), None)
        if done is not None:
            self.context.tell(sender, done)
            return
        if isinstance(order.what, RunOperation):
            self._want_traits(order.what)
        self.given[order.transition_key] = Given(order.what)
        self.context.send("lrmd", order.what)

    def linked(self) -> None:
        """The LRM's worker is there (again): what it was asked may be lost, what it did meanwhile is in its history."""
        for given in self.given.values():
            self.context.send("lrmd", given.what)
        for request, (agent_class, provider, agent_type) in list(self.metadata_asked.items()):
            self.context.send("lrmd", GetMetadata(
                request_id=request, agent_class=agent_class, agent_type=agent_type, provider=provider))
        if self.crmd.election.leader:
            self.context.send("lrmd", GetHistory())

    def new_view(self) -> None:
        """Orders of an older view are not given again; the DC of this one does that if it still wants them (P2).
        What the LRM runs already goes on, and its result is reported."""
        self.given = {}

    # From the LRM ----------------------------------------------------------------------------------------------------

    def history(self, message: History, confirming: bool) -> None:
        """Results that came while the link was down are reported as if they came now; unless the whole history goes
        to the DC anyway."""
        for result in message.results:
            if self.told.get(_place(result)) != _content(result):
                if confirming:
                    self.told[_place(result)] = _content(result)
                else:
                    self.result(result)

    def result(self, result: OperationResult) -> None:
        was_given = self.given.pop(result.user_data, None) is not None
        if self.told.get(_place(result)) != _content(result):
            self.crmd.alerts.operation_ended(result)
        self.told[_place(result)] = _content(result)
        if result.status == "cancelled" and not was_given:
            return
        self.reported += 1
        report = Report(
            incarnation=self.context.incarnation, serial=self.reported, result=result,
            traits=self.traits.get(_agent(result)),
        )
        assert len(self.reports) < MAX_REPORTS, f"{MAX_REPORTS} results wait: a new crmd begins with the history"
        if not self.reports:
            self.context.arm("orders/report", REPORT_REPEAT_MS)
        self.reports[report.serial] = report
        self._say(report)

    def _say(self, report: Report) -> None:
        if self.crmd.election.leader:
            self.context.tell(self.crmd.election.leader, report)

    def history_told(self) -> int:
        """The whole history goes to a DC: what waited is in it. Returns the serial of the last report before it."""
        self.reports = {}
        self.context.disarm("orders/report")
        return self.reported

    @property
    def taken(self) -> int:
        """The serial up to which every report was taken by a DC; it may have been that of another view."""
        return min(self.reports, default=self.reported + 1) - 1

    def report_seen(self, message: ReportSeen) -> None:
        if message.incarnation != self.context.incarnation:
            return
        self.reports.pop(message.serial, None)
        if not self.reports:
            self.context.disarm("orders/report")

    def cancelled(self, message: Cancelled) -> None:
        self._done(message.user_data)

    def forgotten(self, message: Forgotten) -> None:
        self.told = {place: content for place, content in self.told.items() if place[0] != message.resource_id}
        self._done(message.user_data)

    def _done(self, key: str) -> None:
        if self.given.pop(key, None) is not None and self.crmd.election.leader:
            self.context.tell(self.crmd.election.leader, OrderDone(transition_key=key))

    # Agents' meta-data -----------------------------------------------------------------------------------------------

    def _want_traits(self, order: RunOperation) -> None:
        agent = _agent(order)
        if agent in self.traits or agent in self.metadata_asked.values() or order.resource.agent_class == "stonith":
            return
        request = self.context.request_id()
        self.metadata_asked[request] = agent
        self.context.send("lrmd", GetMetadata(
            request_id=request, agent_class=agent[0], provider=agent[1], agent_type=agent[2]))

    def metadata(self, message: Metadata) -> None:
        agent = self.metadata_asked.pop(message.request_id, None)
        if agent is None:
            return
        self.traits[agent] = read_traits(message.xml) if message.rc == 0 else None

    # Time ------------------------------------------------------------------------------------------------------------

    def leader_known(self) -> None:
        """A DC to report to: everything that no DC has taken."""
        for report in self.reports.values():
            self._say(report)
        if self.reports:
            self.context.arm("orders/report", REPORT_REPEAT_MS)

    def fired(self, timer: str) -> None:
        if timer == "orders/report":
            self.leader_known()


def _place(result: OperationResult) -> tuple[str, str, int]:
    return (result.resource.id, result.operation, result.interval_ms)


def _content(result: OperationResult) -> tuple[int, int, int]:
    return (result.call_id, result.rc, result.last_rc_change_s)


def _agent(holder: RunOperation | OperationResult) -> tuple[str, str, str]:
    resource = holder.resource
    return (resource.agent_class, resource.provider, resource.agent_type)


