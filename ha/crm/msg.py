# SPDX-License-Identifier: GPL-2.0-or-later
"""What crmds say to one another (election, join, orders) and what programs may ask of one."""

from __future__ import annotations

import msgspec

import ha.machine
from ha.ccm.msg import ViewId
from ha.cib.msg import Version
from ha.lrm.msg import CancelOperation, ForgetResource, OperationResult, RunOperation


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"crm.{name}"):
    """Base of the crmd's messages."""


class GetState(Message, frozen=True, kw_only=True):
    """From a program (crmadmin -S, -D): answer with State, of this node, of `node`, or of the DC (`node` "dc")."""

    request_id: str
    node: str = ""


class State(Message, frozen=True, kw_only=True):
    """`fsm` is S_IDLE, S_TRANSITION_ENGINE ...; `dc` is "" when there is none; `idle` when nothing is left to do.

    `version` is the newest CIB this crmd has taken into account.
    """

    request_id: str
    node: str
    fsm: str
    dc: str = ""
    idle: bool = False
    transition_id: int = 0
    version: Version | None = None


class Cleanup(Message, frozen=True, kw_only=True):
    """From crm_resource: forget history and failures of a resource ("" = all) on a node ("" = all), then re-probe.

    `only_failed` keeps successful history (cleanup), else everything goes (refresh). Answered by Done.
    """

    request_id: str
    resource_id: str = ""
    node: str = ""
    operation: str = ""
    interval_ms: int = 0
    only_failed: bool = True


class FailResource(Message, frozen=True, kw_only=True):
    """From crm_resource --fail: pretend its monitor failed on `node`. Answered by Done."""

    request_id: str
    resource_id: str
    node: str


class RemoveNode(Message, frozen=True, kw_only=True):
    """From crm_node -R: forget a node that is down. Answered by Done."""

    request_id: str
    node: str


class ShutdownNode(Message, frozen=True, kw_only=True):
    """From rmd (orderly stop) or a program: move resources off this node, then leave. Answered by Done at the end."""

    request_id: str


class Done(Message, frozen=True, kw_only=True):
    request_id: str
    rc: int = 0
    reason: str = ""


class WatchTimeline(Message, frozen=True, kw_only=True):
    """From a program: the phases of recent recoveries known to this crmd. Answered by Timeline."""

    request_id: str


class Phase(ha.machine.Message, frozen=True, kw_only=True, tag="crm.Phase"):
    """`at_ms` is Unix time in milliseconds; `what` is one of loss-seen, view-agreed, fencing, fenced, decided,
    start-ordered, started, done; `detail` says it in words."""

    at_ms: int
    what: str
    detail: str


class Timeline(Message, frozen=True, kw_only=True):
    request_id: str
    phases: list[Phase]


# Between crmds -------------------------------------------------------------------------------------------------------
#
# `view` and `term` name a DC's time in office: the view it was elected in, and which election of that view it was.
# Everything a DC sends carries both; a receiver whose view, term or DC is another refuses it (P2).


class AskLeader(Message, frozen=True, kw_only=True):
    """From a crmd that has just started in `view` and knows nothing of its elections. Answered by LeaderIs."""

    view: ViewId
    incarnation: str
    feature_set: str = ""


class LeaderIs(Message, frozen=True, kw_only=True):
    """`dc` is whom the sender has promised `term` of `view` to ("" nobody); `established` when that one is DC."""

    view: ViewId
    term: int
    dc: str
    established: bool
    feature_set: str = ""


class JoinOffer(Message, frozen=True, kw_only=True):
    """ "Let me lead `view`", and once `established`, "I do: join me". Answered by JoinRequest or JoinRefuse."""

    view: ViewId
    term: int
    incarnation: str
    established: bool
    feature_set: str = ""


class JoinRequest(Message, frozen=True, kw_only=True):
    """A promise to follow the sender of the offer and nobody else in this view, until it is known to be gone.

    `to_established`: the offer said that its sender is DC; until it hears this, the DC goes on saying so.
    `alerts`: the digest of the alerts section that the sender holds, "" for none.
    `taken`: the results reported up to this number are a DC's, of this view or of another one.
    """

    view: ViewId
    term: int
    incarnation: str
    feature_set: str
    taken: int = 0
    to_established: bool = False
    leaving: bool = False
    alerts: str = ""


class JoinRelease(Message, frozen=True, kw_only=True):
    """From one who offered to lead and gave up for another: promises to it are void."""

    view: ViewId


class JoinRefuse(Message, frozen=True, kw_only=True):
    """The offer came too late: the view is promised to `dc`, or `term` is the least that may be offered."""

    view: ViewId
    term: int
    dc: str


class JoinAck(Message, frozen=True, kw_only=True):
    """From the DC: you are in; say what runs on your node. Repeated until JoinConfirm."""

    view: ViewId
    term: int


class JoinConfirm(Message, frozen=True, kw_only=True):
    """A member's LRM history and the operations under way. Results that come later follow as Reports, in order, the
    first with a serial one above `reported`."""

    view: ViewId
    term: int
    incarnation: str
    results: list[OperationResult]
    running: list[RunOperation]
    reported: int = 0


class Leave(msgspec.Struct, frozen=True, tag_field="t", tag="crm.Leave"):
    """An order's content: resources are gone from your node, leave the cluster.

    `active` are those the DC knows to stay (unmanaged ones); None: it did not say. Answered by OrderSeen when it is so,
    by OrderDone that is not ok when the LRM has others.
    """

    active: tuple[str, ...] | None = None


class Order(Message, frozen=True, kw_only=True):
    """From the DC to a member: do this on your node. Repeatable: an order is known by its transition key.

    Answered by OrderSeen at once; a RunOperation ends in a Report, the others in OrderDone.
    """

    view: ViewId
    term: int
    transition_key: str
    what: RunOperation | CancelOperation | ForgetResource | Leave


class OrderSeen(Message, frozen=True, kw_only=True):
    transition_key: str


class OrderDone(Message, frozen=True, kw_only=True):
    transition_key: str
    ok: bool = True
    reason: str = ""


class AgentTraits(msgspec.Struct, frozen=True):
    """What an agent's meta-data says of its parameters: which may change by reload, which are secret."""

    reloadable: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    reloads: bool = False


class Report(Message, frozen=True, kw_only=True):
    """From a member to the DC: a result of the LRM. Repeated until ReportSeen with the same serial.

    Serials of an incarnation count by one, and the DC takes them in order only: an old result that was repeated must
    not overwrite a newer one.
    """

    incarnation: str
    serial: int
    result: OperationResult
    traits: AgentTraits | None = None


class ReportSeen(Message, frozen=True, kw_only=True):
    incarnation: str
    serial: int


class SetAlerts(Message, frozen=True, kw_only=True):
    """From the DC: the CIB's alerts section as text, "" when nobody is to be alerted. Answered by AlertsHeld."""

    view: ViewId
    term: int
    xml: str


class AlertsHeld(Message, frozen=True, kw_only=True):
    """From a member: the digest of what it holds."""

    digest: str


class Relay(Message, frozen=True, kw_only=True):
    """A program's request, passed to the crmd that can answer it. Answered by Relayed with the same serial."""

    serial: int
    request: GetState | Cleanup | FailResource | RemoveNode | WatchTimeline


class Relayed(Message, frozen=True, kw_only=True):
    serial: int
    answer: State | Done | Timeline
