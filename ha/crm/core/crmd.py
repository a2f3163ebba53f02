# SPDX-License-Identifier: GPL-2.0-or-later
"""The crmd's Machine: the switch that gives each event to the part that is named for it (`ha.crm.core` lists them).

What one part must tell several others is a method here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from lxml import etree

import ha
from ha.attrd.msg import ClearNode, Updated
from ha.ccm.msg import MembershipEvent
from ha.cib.msg import Answer, Changed, Leading, Written
from ha.crm import msg
from ha.crm.core.alerts import Alerts
from ha.crm.core.clean_ups import CleanUps
from ha.crm.core.context import Context, Settings
from ha.crm.core.election import Election
from ha.crm.core.failures import Failures
from ha.crm.core.fencing import Fencing
from ha.crm.core.fsm import Fsm
from ha.crm.core.ground import Ground
from ha.crm.core.join import Join
from ha.crm.core.orders import Orders
from ha.crm.core.requests import Requests
from ha.crm.core.scheduling import Scheduling
from ha.crm.core.shutdown import Shutdown
from ha.crm.core.status import StatusKeeper
from ha.crm.core.takeover_grace import TakeoverGrace
from ha.crm.core.timeline import Timeline
from ha.crm.core.transition import Transition
from ha.crm.core.watchdog_lease import WatchdogLease
from ha.crm.model.history import is_failure
from ha.crm.model.status import SHUTDOWN
from ha.heartbeat.msg import LinkStatus, ModuleStatus, NodeStatus
from ha.lrm.msg import Cancelled, Forgotten, History, Metadata, OperationResult
from ha.machine import (
    Client,
    Connected,
    Effect,
    Event,
    Fired,
    Instant,
    Local,
    Lost,
    Message,
    Received,
    Remote,
    Started,
    Stopping,
    Wall,
)
from ha.pe.msg import Scheduled
from ha.rmd.msg import LeaveCluster, StartWorker, StopWorker, WatchdogArmed
from ha.stonith.msg import Fenced, SelfFencing
from ha.te.msg import RequestAction, TransitionDone

COMPATIBLE_WITH = "2.1.5"
"""The release of Pacemaker whose tools and formats ours match: crmsh decides by dc-version how it may write the CIB."""

ENGINES = ("pengine", "tengine")
ENGINE_REPEAT_MS = 1_000
MAX_EARLY_REPORTS = 10_000
"""Results that come while the CIB is being read; more are dropped, for their senders repeat them."""


class Crmd:
    """A Machine. `in_charge` lasts from the election until another is promised or we are out."""

    version = f"{COMPATIBLE_WITH}-heartbeat{ha.__version__}"
    compatible_with = COMPATIBLE_WITH

    def __init__(self, settings: Settings) -> None:
        self.context = Context(settings)
        self.fsm = Fsm(self.context)
        self.timeline = Timeline(self)
        self.shutdown = Shutdown(self)
        self.election = Election(self)
        self.join = Join(self)
        self.ground = Ground(self)
        self.status = StatusKeeper(self)
        self.failures = Failures(self)
        self.takeover_grace = TakeoverGrace(self)
        self.scheduling = Scheduling(self)
        self.transition = Transition(self)
        self.fencing = Fencing(self)
        self.clean_ups = CleanUps(self)
        self.orders = Orders(self)
        self.requests = Requests(self)
        self.alerts = Alerts(self)
        self.lease = WatchdogLease(self)
        self.in_charge = False
        self.was_dc_before = False
        self.stopping = False
        self.te_uuid = ""
        self.early_reports: list[tuple[str, msg.Report]] = []

    # The switch ------------------------------------------------------------------------------------------------------

    def step(self, event: Event, now: Instant) -> list[Effect]:
        assert now >= self.context.now, "time went back"
        self.context.now, self.context.out = now, []
        if self.stopping:
            return []
        if not self.fsm.ended or isinstance(event, (Received, Connected, Lost)):
            self._take(event)
        while self.context.inbox:
            self._from_peer(self.context.node, self.context.inbox.popleft())
            self._conclude()
        self._conclude()
        return self.context.out

    def _conclude(self) -> None:
        """What a step has changed is written before anything new is asked."""
        if not self.fsm.ended and self.election.is_dc:
            self.status.flush()
            self.scheduling.advance()

    def _take(self, event: Event) -> None:
        if isinstance(event, Received):
            self._received(event)
        elif isinstance(event, Fired):
            self._fired(event.timer)
        elif isinstance(event, Connected):
            self._linked(event.peer.module)
        elif isinstance(event, Lost):
            self._unlinked(event.peer)
        elif isinstance(event, Started):
            self._started(event)
        elif isinstance(event, Wall):
            self.context.wall_ms = event.offset_ms
        else:
            assert isinstance(event, Stopping), f"unexpected {event!r}"
            self._end()

    def _received(self, event: Received) -> None:
        sender, message = event.sender, event.message
        if isinstance(sender, Remote):
            assert sender.module == "crmd", f"{sender.module} speaks to crmd across nodes"
            self._from_peer(sender.node, message)
        elif isinstance(sender, Client):
            self._from_program(sender, message)
        else:
            assert isinstance(sender, Local), f"the crmd has no wire: {sender}"
            handler = _LOCAL.get((sender.module, type(message)))
            assert handler is not None, f"protocol error: {type(message).__name__} from {sender.module}"
            if not self.fsm.ended or sender.module == "rmd":
                handler(self, message)

    def _from_peer(self, node: str, message: Message) -> None:
        if node not in self.context.settings.nodes:
            self.context.note("warning", f"{type(message).__name__} from {node}, no configured node, is dropped")
            return
        if self.fsm.ended:
            return
        if node != self.context.node:
            self.context.peer_up[node] = True
            self.context.peer_down_since.pop(node, None)
        handler = _PEER.get(type(message))
        if handler is None:
            self.context.note("warning", f"{type(message).__name__} from {node} is no message between crmds; dropped")
            return
        handler(self, node, message)

    def _from_program(self, client: Client, message: Message) -> None:
        """Whoever the socket lets in (root, hacluster, group haclient) may ask for any of these."""
        if isinstance(message, msg.ShutdownNode):
            self.shutdown.asked(client, message)
        elif isinstance(message, (msg.GetState, msg.WatchTimeline, msg.Cleanup, msg.FailResource, msg.RemoveNode)):
            self.requests.asked(client, message)
        else:
            self.context.note("warning", f"{type(message).__name__} is nothing for {client.program} to say; dropped")

    def _fired(self, timer: str) -> None:
        handler = _TIMERS.get(timer.partition("/")[0])
        assert handler is not None, f"a timer that nobody armed: {timer}"
        handler(self, timer)

    def _end(self) -> None:
        """The last words: whoever promised us may promise another at once. Resources run on."""
        self.relinquish("the worker ends")
        self.election.resign()
        self.stopping = True

    # Start and links -------------------------------------------------------------------------------------------------

    def _started(self, event: Started) -> None:
        self.context.incarnation = event.incarnation
        self.context.started_at = self.context.now
        self.te_uuid = _uuid(event.incarnation)

    def _linked(self, module: str) -> None:
        self.context.linked.add(module)
        if self.fsm.ended:
            self.shutdown.tell_left(module)
        elif module == "cib":
            self.ground.linked()
        elif module == "lrmd":
            self.orders.linked()
            if self.join.owes_history:
                self.join.ask_history()
        elif module == "stonithd":
            self.fencing.linked()
            self.lease.ask_option()
        elif module == "attrd":
            self.failures.linked()
            self.shutdown.told = False
            self.shutdown.tell()
        elif module == "rmd":
            self.start_engines()
            self.lease.renew()
        else:
            self._stop_needless(module)
        self.alerts.flush()

    def _unlinked(self, peer: Local | Client) -> None:
        if isinstance(peer, Client):
            self.requests.client_gone(peer)
            self.shutdown.client_gone(peer)
            return
        self.context.linked.discard(peer.module)
        self.lease.unlinked(peer.module)
        if peer.module == "pengine":
            self.scheduling.engine_lost()
            self.start_engines()
        elif peer.module == "tengine":
            self.transition.engine_lost()
            self.start_engines()
        elif peer.module == "cib":
            self.ground.unlinked()

    def _stop_needless(self, worker: str) -> None:
        """An engine of a time when this node was DC: its crmd may have died since."""
        if worker in ENGINES and worker in self.context.linked and self.election.leader and not self.election.is_dc:
            self.context.send("rmd", StopWorker(worker=worker))

    def start_engines(self) -> None:
        """Until both are linked."""
        if not self.election.is_dc:
            return
        missing = [worker for worker in ENGINES if worker not in self.context.linked]
        for worker in missing:
            self.context.send("rmd", StartWorker(worker=worker))
        if missing:
            self.context.arm("engines/start", ENGINE_REPEAT_MS)

    # Membership ------------------------------------------------------------------------------------------------------

    def membership(self, event: MembershipEvent) -> None:
        self.lease.ccm_spoke()
        if event.event == "NOT_PRIMARY":
            self.context.in_doubt = True
            self.timeline.doubt()
            return
        was_in_doubt, self.context.in_doubt = self.context.in_doubt, False
        if event.view is None:
            self._evicted(event.event)
            return
        if self.context.view is not None and event.view.id == self.context.view.id:
            if event.view.quorate != self.context.view.quorate:
                self.context.view = event.view
                self._quorum_changed()
            if was_in_doubt:
                self.transition.new_view()
            return
        assert self.context.view is None or event.view.id > self.context.view.id, "ccm went back to an older view"
        self._new_view(event)

    def _new_view(self, event: MembershipEvent) -> None:
        view = event.view
        assert view is not None, "a new view has members"
        self.was_dc_before = self.in_charge
        if view.lost:
            said = "; ".join(f"{n}: {view.evidence[n]}" for n in view.lost if n in view.evidence)
            self.timeline.begin(f"{', '.join(view.lost)}" + (f" ({said})" if said else ""))
        before = self.context.view.members if self.context.view is not None else ()
        self.context.view = view
        self.transition.abort("a new view")
        stayed = {member.node for member in view.members if member in before}
        self.transition.only_these_stayed(stayed)
        self.join.only_these_stayed(stayed)
        self.takeover_grace.saw(view)
        self.orders.new_view()
        self.shutdown.new_view()
        self.fencing.saw_members(view.names(), are_all_known=stayed == set(view.names()))
        for node in view.names():
            if node != self.context.node and not self.context.peer_up.get(node, False):
                self.context.peer_down_since.setdefault(node, self.context.now)
        self.timeline.mark("view-agreed", f"{view.id.instance}: {', '.join(view.names())}"
                           + ("" if view.quorate else " (no quorum)"))
        if self.context.node not in view.names():
            self._evicted("not a member")
            return
        self.election.new_view()

    def _quorum_changed(self) -> None:
        """In the same view: a half of two has confirmed its fence, or a tie-breaker has spoken."""
        if self.election.is_dc and self.ground.loaded:
            self.status.write_cluster()
            self.fencing.review()

    def _evicted(self, why: str) -> None:
        self.relinquish(why)
        self.context.view = None
        self.election.new_view()
        if not self.fsm.ended and self.fsm.state != "S_STARTING":
            self.fsm.become("S_PENDING", f"no view: {why}")

    def module_status(self, message: ModuleStatus) -> None:
        if message.module != "crmd" or message.node == self.context.node:
            return
        was_up = self.context.peer_up.get(message.node)
        self.context.peer_up[message.node] = message.up
        if message.up:
            self.context.peer_down_since.pop(message.node, None)
            self.election.peer_up(message.node)
        elif was_up is not False:
            self.context.peer_down_since[message.node] = self.context.now
            self.election.peer_down(message.node)

    # Office ----------------------------------------------------------------------------------------------------------

    def became_dc(self) -> None:
        """We have the promises of this view: take the lead of the CIB, take in members."""
        self.fsm.become("S_INTEGRATION", f"DC of view {self.context.view_id and self.context.view_id.instance}")
        if not self.in_charge:
            self.in_charge = True
            self.transition.forget()
            self.status.forget()
            self.join.forget()
        self.scheduling.begin()
        self.join.begin()
        self.ground.lead()
        self.start_engines()
        self.orders.leader_known()

    def relinquish(self, why: str) -> None:
        """Another leads, or nobody: everything a DC holds is let go."""
        if not self.in_charge:
            return
        self.in_charge = False
        self.context.note("notice", f"not DC any more: {why}")
        if self.transition.running is not None:
            self.transition.abort(why)
        for part in (self.scheduling, self.transition, self.join, self.status, self.failures, self.fencing,
                     self.takeover_grace, self.clean_ups, self.alerts):
            part.forget()
        self.ground.stop()
        for worker in ENGINES:
            self.context.send("rmd", StopWorker(worker=worker))

    def followed(self, leader: str) -> None:
        if self.fsm.state == "S_STARTING":
            self.fsm.become("S_PENDING", "a member of the view")
        self.fsm.become("S_NOT_DC", f"{leader} is DC")
        for worker in ENGINES:
            self._stop_needless(worker)
        self.timeline.close()
        self.ground.follow(leader)
        self.orders.leader_known()

    def leader_lost(self, why: str) -> None:
        self.context.note("notice", f"no DC: {why}")
        self.fsm.become("S_PENDING", why)

    def terminate(self, why: str) -> None:
        self.relinquish(why)
        self.election.resign()
        self.fsm.become("S_STOPPING", why)
        self.fsm.become("S_TERMINATE", why)

    # The DC's news ---------------------------------------------------------------------------------------------------

    def cib_loaded(self, root: etree._Element) -> None:
        """The CIB of our term is read: bring it up to what we know."""
        self.status.read(root)
        self.alerts.attributes_read(root)
        for node in self.context.members():
            if self.join.is_confirmed(node):
                self.status.set_member(node)
        self.status.write_cluster()
        self.fencing.review()
        self.takeover_grace.review()
        for node in sorted(name for name, record in self.status.copy.nodes.items() if record.is_lost):
            self._call_off_shutdown(node)  # the DC that saw it go may have had no time for it
        self.join.ground_is_ready()
        reports, self.early_reports = self.early_reports, []
        for node, report in reports:
            self.report(node, report)
        self.alerts.tell()
        # After a restart of our cib in the same term, what was committed meanwhile came with no news of its own.
        self.scheduling.news("the CIB was read anew")

    def configuration_read(self) -> None:
        if self.ground.loaded:
            self.status.write_cluster()
            self.takeover_grace.review()

    def member_joined(self, node: str, message: msg.JoinConfirm) -> None:
        self.context.note("info", f"{node} has joined: {len(message.results)} results, {len(message.running)} running")
        new_failures = self.status.rebuild(node, message.results, message.running)
        self.status.set_member(node)
        for result in new_failures:
            self.failures.count(node, result)
        self.transition.rejoined(node, message)
        self.alerts.tell()
        self.scheduling.news(f"{node} has joined")

    def member_kept(self, node: str) -> None:
        """The same incarnation in a new view."""
        self.transition.repeat_orders(node)
        self.alerts.tell()
        if self.ground.loaded and self.status.set_member(node):
            self.scheduling.news(f"{node} is back")

    def node_left(self, node: str) -> None:
        self.context.note("notice", f"{node} has left in good order")
        if self.status.set_left(node):
            self.context.send("attrd", ClearNode(node=node))
            self._gone(node, f"{node} has left")

    def node_lost(self, node: str, why: str) -> None:
        self.context.note("warning", f"{node} counts as lost: {why}")
        changed = self.status.set_lost(node)
        self._call_off_shutdown(node)
        if changed:
            self._gone(node, f"{node} is lost")

    def shutdown_seen(self, node: str) -> None:
        """Somebody has set the node's attribute `shutdown`."""
        record = self.status.copy.nodes.get(node)
        if record is not None:
            record.shutting_down = True
            if record.is_lost:
                self._call_off_shutdown(node)

    def _call_off_shutdown(self, node: str) -> None:
        """A node that was lost while it was leaving has not left (P1): with `shutdown` set it would not be fenced. When
        it is back, it asks again."""
        if self.status.copy.drop_shutdown(node):
            self.context.note("warning", f"{node} was lost while it was leaving: it may still run what it ran")
            self.failures.set(node, SHUTDOWN, None)
            self.status.flush()

    def node_fenced(self, node: str) -> None:
        """Not news for a running transition: it ordered the fence, or the change of quorum tells."""
        self.takeover_grace.confirmed_down(node)
        self.status.set_fenced(node)
        self.status.flush()
        self.context.send("attrd", ClearNode(node=node))
        self.transition.node_lost(node)
        self.clean_ups.node_lost(node)

    def _gone(self, node: str, why: str) -> None:
        self.failures.node_gone()
        self.transition.node_lost(node)
        self.clean_ups.node_lost(node)
        self.scheduling.news(why)

    def report(self, node: str, message: msg.Report) -> None:
        """A member's result. One of a member that has not confirmed waits: its history comes first."""
        candidate = self.join.candidates.get(node)
        if not self.election.is_dc or candidate is None:
            return
        if not self.ground.loaded:
            if len(self.early_reports) < MAX_EARLY_REPORTS:
                self.early_reports.append((node, message))
            return
        if candidate.phase != "confirmed" or candidate.incarnation != message.incarnation:
            return
        if message.serial > candidate.reported + 1:
            return  # one before it was lost on the way; both are repeated
        self.context.tell(node, msg.ReportSeen(incarnation=message.incarnation, serial=message.serial))
        if message.serial == candidate.reported + 1:
            candidate.reported = message.serial
            self.result(node, message.result, message.traits)

    def result(self, node: str, result: OperationResult, traits: msg.AgentTraits | None = None) -> None:
        """Into the status, the fail counts, the running transition; and to the policy engine if it was not foreseen."""
        new = self.status.record(node, result, traits)
        expected = self.transition.result(node, result)
        failed = is_failure(result)
        if new and failed:
            self.timeline.failed(node, result)
            self.failures.count(node, result)
        if failed and (new or expected):
            self.scheduling.news(f"{result.resource.id} {result.operation} on {node} gave {result.rc}")
        elif new and not expected:
            self.scheduling.news(f"unforeseen result of {result.resource.id} {result.operation} on {node}")

    def clear_failures(self, resource_id: str, node: str) -> None:
        self.failures.clear(resource_id, node)
        self.status.copy.drop_operation(node, resource_id, f"{resource_id}_last_failure_0")

    # Small switches --------------------------------------------------------------------------------------------------

    def history(self, message: History) -> None:
        self.orders.history(message, confirming=self.join.owes_history)
        self.shutdown.history(message)
        self.join.history(message)
        self.lease.history(message)

    def fenced(self, message: Fenced) -> None:
        self.alerts.fencing_ended(message)
        self.fencing.ended(message)

    def attribute_updated(self, message: Updated) -> None:
        if not self.shutdown.updated(message):
            self.failures.updated(message)

    def order_done(self, node: str, message: msg.OrderDone) -> None:
        if not self.clean_ups.done(message.transition_key):
            self.transition.ordered_done(node, message)

    def ignore(self, message: Message) -> None:
        """Named here so that the table is complete: heartbeat tells everybody."""


def _uuid(incarnation: str) -> str:
    """In the form transition keys have."""
    text = hashlib.sha256(incarnation.encode()).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:32]}"


_LOCAL: dict[tuple[str, type], Callable[[Crmd, Any], None]] = {
    ("ccm", MembershipEvent): Crmd.membership,
    ("heartbeat", ModuleStatus): Crmd.module_status,
    ("heartbeat", NodeStatus): Crmd.ignore,
    ("heartbeat", LinkStatus): Crmd.ignore,
    ("cib", Leading): lambda crmd, m: crmd.ground.now_leading(m),
    ("cib", Answer): lambda crmd, m: crmd.ground.answered(m),
    ("cib", Written): lambda crmd, m: crmd.ground.written(m),
    ("cib", Changed): lambda crmd, m: crmd.ground.changed(m),
    ("lrmd", OperationResult): lambda crmd, m: crmd.orders.result(m),
    ("lrmd", History): Crmd.history,
    ("lrmd", Cancelled): lambda crmd, m: crmd.orders.cancelled(m),
    ("lrmd", Forgotten): lambda crmd, m: crmd.orders.forgotten(m),
    ("lrmd", Metadata): lambda crmd, m: crmd.orders.metadata(m),
    ("stonithd", Fenced): Crmd.fenced,
    ("attrd", Updated): Crmd.attribute_updated,
    ("pengine", Scheduled): lambda crmd, m: crmd.scheduling.scheduled(m),
    ("tengine", RequestAction): lambda crmd, m: crmd.transition.requested(m),
    ("tengine", TransitionDone): lambda crmd, m: crmd.transition.done(m),
    ("stonithd", SelfFencing): lambda crmd, m: crmd.lease.option_told(m.wait_ms),
    ("rmd", WatchdogArmed): lambda crmd, m: crmd.lease.watchdog_armed(m.timeout_ms),
    ("rmd", LeaveCluster): lambda crmd, m: crmd.shutdown.asked(None, None),
}

_PEER: dict[type, Callable[[Crmd, str, Any], None]] = {
    msg.AskLeader: lambda crmd, node, m: crmd.election.asked(node, m),
    msg.LeaderIs: lambda crmd, node, m: crmd.election.answered(node, m),
    msg.JoinOffer: lambda crmd, node, m: crmd.election.offered(node, m),
    msg.JoinRequest: lambda crmd, node, m: crmd.election.requested(node, m),
    msg.JoinRelease: lambda crmd, node, m: crmd.election.released(node, m),
    msg.JoinRefuse: lambda crmd, node, m: crmd.election.refused(node, m),
    msg.JoinAck: lambda crmd, node, m: crmd.join.acked(node, m),
    msg.JoinConfirm: lambda crmd, node, m: crmd.join.confirmed(node, m),
    msg.Order: lambda crmd, node, m: crmd.orders.ordered(node, m),
    msg.OrderSeen: lambda crmd, node, m: crmd.transition.seen(node, m),
    msg.OrderDone: Crmd.order_done,
    msg.Report: Crmd.report,
    msg.ReportSeen: lambda crmd, node, m: crmd.orders.report_seen(m),
    msg.SetAlerts: lambda crmd, node, m: crmd.alerts.told(node, m),
    msg.AlertsHeld: lambda crmd, node, m: crmd.alerts.member_holds(node, m.digest),
    msg.Relay: lambda crmd, node, m: crmd.requests.relayed(node, m),
    msg.Relayed: lambda crmd, node, m: crmd.requests.relay_answered(m),
}

_TIMERS: dict[str, Callable[[Crmd, str], None]] = {
    "election": lambda crmd, timer: crmd.election.fired(timer),
    "join": lambda crmd, timer: crmd.join.fired(timer),
    "ground": lambda crmd, timer: crmd.ground.fired(timer),
    "failures": lambda crmd, timer: crmd.failures.fired(timer),
    "grace": lambda crmd, timer: crmd.takeover_grace.fired(timer),
    "schedule": lambda crmd, timer: crmd.scheduling.fired(timer),
    "transition": lambda crmd, timer: crmd.transition.fired(timer),
    "fencing": lambda crmd, timer: crmd.fencing.fired(timer),
    "alerts": lambda crmd, timer: crmd.alerts.fired(timer),
    "clean-ups": lambda crmd, timer: crmd.clean_ups.fired(timer),
    "orders": lambda crmd, timer: crmd.orders.fired(timer),
    "requests": lambda crmd, timer: crmd.requests.fired(timer),
    "shutdown": lambda crmd, timer: crmd.shutdown.fired(timer),
    "lease": lambda crmd, timer: crmd.lease.renew(),
    "engines": lambda crmd, timer: crmd.start_engines(),
}
