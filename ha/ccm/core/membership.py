# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine: takes in events, then lets the agreement advance, and keeps the timers."""

from __future__ import annotations

from collections.abc import Callable

from ha.ccm import model
from ha.ccm.core import tie_breaker
from ha.ccm.core.agreement import Agreement
from ha.ccm.core.connectivity import SETTLED
from ha.ccm.core.context import Context
from ha.ccm.core.flapping import Returns
from ha.ccm.core.quorum import Quorum
from ha.ccm.core.reporter import Reporter
from ha.ccm.msg import (
    Accept,
    ConfirmedDown,
    Ended,
    GetMembership,
    MembershipEvent,
    Propose,
    Reach,
    Report,
    Synchronized,
    ViewId,
)
from ha.heartbeat.msg import LinkStatus, ModuleStatus, NodeFenced, NodeState, NodeStatus, PingStatus
from ha.machine import (
    Client,
    Connected,
    Effect,
    Event,
    Everyone,
    Finished,
    Fired,
    Instant,
    Local,
    Lost,
    Message,
    Received,
    Remote,
    Reply,
    Send,
    Started,
    Stopping,
    Wall,
)

REPEAT_LIMIT_MS = 1_000
"""However long there is no progress, what was not answered is said again this often."""

STUCK_REPEATS = 4
"""When the pause has grown by this factor, news is flooded: one-way links may keep from us who lacks what."""

HEARTBEAT = Local("heartbeat")

INITDEAD = "initdead"
"""Timer: who has not come by now is not waited for any more by a node that just started."""

PUBLISH = "publish"
"""Timer: news that could wait is told."""

MIN_GATHERING_MS = 10
"""So long, or 2 ms per configured node, news that costs nobody anything is gathered before it is told: when partitions
meet, every node hears every other within a keepalive, and each would tell all of each."""

NO_SUBSCRIBERS = frozenset({"heartbeat", "rmd", "apphbd", "logd"})
"""Workers that may link to us and are told no membership."""


class Ccm:
    """See the package's text. `silence_ms`: how long a ccm may say nothing when asked before its node is cut out."""

    def __init__(
        self,
        *,
        node: str,
        nodes: tuple[str, ...],
        quorum: Quorum,
        silence_ms: int,
        initdead_ms: int,
        repeat_ms: int,
    ) -> None:
        self.context = Context(node=node, nodes=nodes, quorum=quorum)
        self.reporter = Reporter(self.context)
        self.agreement = Agreement(self.context, self.reporter)
        self._silence_ms = silence_ms
        self._initdead_ms = max(initdead_ms, silence_ms)
        self._repeat_ms = repeat_ms
        self._pace_ms = repeat_ms
        self._unsaid = False
        self._is_due = False
        self._gathering_ms = max(MIN_GATHERING_MS, 2 * len(nodes))
        self._awake = False
        self._departed = False
        self._synchronized: ViewId | None = None
        self._lives = 0
        self._returns = Returns()

    def step(self, event: Event, now: Instant) -> list[Effect]:
        self.context.now = now
        self.context.effects = []
        EVENTS[type(event)](self, event)
        if self._taking_part():
            self._review()
        self.agreement.check()
        return self.context.effects

    def _review(self) -> None:
        """Everything that may follow from what is known."""
        before = self.agreement.proposal
        self._let_in_whom_we_need()
        self.agreement.advance()
        self.agreement.doubt()
        if self._hearing_grows():
            # Every node hears every other within moments of boot: that is told in few words, not node by node.
            self._unsaid = True
        elif self._may_gather() and self.reporter.can_wait():
            self.context.arm(PUBLISH, self._gathering_ms)
        else:
            self._unsaid = False
            if self.reporter.publish() or self.agreement.progress:
                self._pace_ms = self._repeat_ms
        self._is_due = False
        self.agreement.progress = False
        if self.agreement.proposal is not before:
            self._await_acceptance()
        self._tend_timer()

    # Events -----------------------------------------------------------------------------------------------------------

    def on_started(self, event: Started) -> None:
        self.context.incarnation = event.incarnation
        try:
            self.context.state = model.load(event.persisted)
        except model.StateError as error:
            self.context.note("error", f"durable membership record is unusable, this node starts as a new one: {error}")
        self.context.links.ended = dict(self.context.state.ended)
        self.context.save(starts=self.context.state.starts + 1)

    def on_connected(self, event: Connected) -> None:
        if event.peer == HEARTBEAT:
            # What was under way to the other nodes may be lost.
            self.reporter.said = None
            return
        if event.peer.module in NO_SUBSCRIBERS:
            return
        if event.peer not in self.context.subscribers:
            self.context.subscribers.append(event.peer)
        if self.context.told is not None:
            self.context.effects.append(Send(event.peer, self.context.told))

    def on_lost(self, event: Lost) -> None:
        if isinstance(event.peer, Local) and event.peer in self.context.subscribers:
            self.context.subscribers.remove(event.peer)

    def on_fired(self, event: Fired) -> None:
        self.context.armed.discard(event.timer)
        kind, _, node = event.timer.partition("/")
        if kind == "silent":
            if self.context.links.hears(node) and self._hears_us(node):
                self.context.note("warning", f"node {node}: heard, but its membership service does not answer: cut out")
                self.context.links.silence(node, "its membership service did not answer")
        elif kind == "held":
            self.context.note("notice", f"node {node} is not held out any longer")
            self.context.links.hold_out(node, "")
        elif event.timer == PUBLISH:
            self._is_due = True
        elif event.timer == INITDEAD:
            self.agreement.starting = False
        elif event.timer in (tie_breaker.DEADLINE, tie_breaker.RETRY):
            assert self.context.tie_breaker is not None
            self.context.tie_breaker.fired(event.timer)
        elif self._taking_part():
            self._repeat()

    def on_stopping(self, event: Stopping) -> None:
        # We cannot know whether the node leaves or this worker alone is replaced. The claim of the two-node rule is
        # earned again as soon as both nodes are seen to hold the view, and the cib says again that it has all; one that
        # is kept wrongly splits the cluster.
        self._departed = True
        if self.context.state.complete:
            self.context.save(complete=False)

    def on_ignored(self, event: Event) -> None:
        """Wall: nothing here depends on it."""

    def on_finished(self, event: Finished) -> None:
        assert self.context.tie_breaker is not None, "ccm executes nothing else"
        self.context.tie_breaker.finished(event.operation, event.outcome)

    def on_received(self, event: Received) -> None:
        handler = MESSAGES.get(type(event.message))
        if handler is None:
            self.context.note("warning", f"{event.sender} sent {type(event.message).__name__}: not for ccm, ignored")
            return
        handler(self, event.sender, event.message)

    # Messages of this node --------------------------------------------------------------------------------------------

    def on_node_status(self, sender: object, message: NodeStatus) -> None:
        if message.node not in self.context.links.peers:
            return
        before = self.context.links.peers[message.node]
        old_state, old_boot, old_generation = before.state, before.boot, before.generation
        life = self.context.life(message.node)
        self.context.links.status(message)
        if message.node == self.context.node:
            self._own_status(message)
            return
        if old_boot and before.boot != old_boot:
            self.context.note("warning", f"node {message.node} has booted anew: its former life is lost")
        if message.state != old_state:
            grounds = f": {message.evidence}" if message.evidence else ""
            self.context.note("info", f"node {message.node}: {old_state or 'unknown'} => {message.state}{grounds}")
        if message.state == "left":
            self._end(Ended(message.node, life, "left"))
        self._watch_flapping(message.node, old_state, is_same_boot=before.boot == old_boot)
        if message.state == "active" and message.generation > old_generation and self.reporter.said is not None:
            self.context.effects.append(Send(Remote(message.node, "ccm"), self.reporter.reach(ask=True)))
        self._wake()

    def _watch_flapping(self, node: str, old_state: NodeState | None, *, is_same_boot: bool) -> None:
        """Hold a node out that has just come back, if it did so too often of late."""
        state = self.context.links.peers[node].state
        if state == "left" or not is_same_boot:
            self._returns.forget(node)
            self._let_in(node)
        elif (old_state, state) == ("dead", "active"):
            hold_ms = self._returns.returned(node, self.context.now)
            if hold_ms and self._may_hold_out(node):
                self._let_in(node)
                self.context.note("warning", f"node {node} comes and goes: held out for {hold_ms / 1000:.0f} s")
                self.context.links.hold_out(node, f"held out for {hold_ms / 1000:.0f} s: it comes and goes")
                self.context.arm(f"held/{node}", hold_ms)

    def _may_hold_out(self, node: str) -> bool:
        """Whether we are the cluster without that node."""
        view = self.context.state.view
        return view is not None and self.context.in_force and view.quorate and node not in view.names()

    def _let_in(self, node: str) -> None:
        self.context.disarm(f"held/{node}")
        self.context.links.hold_out(node, "")

    def _let_in_whom_we_need(self) -> None:
        """Who is not the cluster (any more) holds nobody out."""
        for node, peer in self.context.links.peers.items():
            if peer.held and not self._may_hold_out(node):
                self.context.note("notice", f"node {node} is let in: it is a member, or there is no quorum without it")
                self._let_in(node)

    def on_module_status(self, sender: object, message: ModuleStatus) -> None:
        if message.module != "ccm" or message.node == self.context.node or message.node not in self.context.links.peers:
            return
        if message.up and self.reporter.said is not None:
            self.context.effects.append(Send(Remote(message.node, "ccm"), self.reporter.reach(ask=True)))
        if not message.up:
            self._arm_silence(message.node)

    def on_ping_status(self, sender: object, message: PingStatus) -> None:
        if self.context.tie_breaker is not None:
            self.context.tie_breaker.pinged(message.name, message.up)

    def on_link_status(self, sender: object, message: LinkStatus) -> None:
        """A node is heard by any of its links: heartbeat sums them up in NodeStatus."""

    def on_confirmed_down(self, sender: object, message: ConfirmedDown) -> None:
        for node in message.nodes:
            if node not in self.context.links.peers or node == self.context.node:
                self.context.note("warning", f"fencing of {node} confirmed, which is no other configured node: ignored")
            elif self.context.links.peers[node].active:
                self.context.note("info", f"fencing of {node} confirmed, but it counts as alive yet, or again")
                self.context.effects.append(Send(HEARTBEAT, NodeFenced(node=node)))
            else:
                self._end(Ended(node, self.context.life(node), "fenced"))

    def on_synchronized(self, sender: object, message: Synchronized) -> None:
        if isinstance(sender, Local):
            self._synchronized = message.view
        else:
            self.context.note("warning", f"{sender} has no CIB to speak of: ignored")

    def on_get_membership(self, sender: object, message: GetMembership) -> None:
        answer = self.context.told or MembershipEvent(event="EVICTED", view=None)
        if isinstance(sender, Client):
            self.context.effects.append(Reply(sender, answer))
        elif isinstance(sender, Local):
            self.context.effects.append(Send(sender, answer))

    # Messages of other nodes ------------------------------------------------------------------------------------------

    def on_reach(self, sender: object, message: Reach) -> None:
        peer = self._peer(sender)
        if peer is None:
            return
        if message.reports[0].node != peer:
            self.context.note("warning", f"node {peer} reports as {message.reports[0].node}: ignored")
            return
        self._alive(peer)
        for report in message.reports:
            if report.node == self.context.node:
                self._catch_up(report)
            elif report.node in self.context.links.peers:
                self.context.links.take(report, direct=report.node == peer)
        if self.context.links.ended != self.context.state.ended:
            self.context.save(ended=dict(self.context.links.ended))
        for ended in message.ended:
            self._heard_of_end(ended)
        if message.ask and self.reporter.said is not None:
            self.context.effects.append(Send(Remote(peer, "ccm"), self.reporter.reach(ask=False)))

    def on_propose(self, sender: object, message: Propose) -> None:
        peer = self._peer(sender)
        if peer is None:
            return
        self._alive(peer)
        names = [member.node for member in message.members]
        if peer not in names or len(set(names)) != len(names) or not set(names) <= set(self.context.nodes):
            self.context.note("warning", f"node {peer} proposes {', '.join(names)}: no view of this cluster, ignored")
            return
        promise = self.context.state.promise
        again = promise is not None and promise.id == message.id and not self.context.holds(message.id)
        if again and self._taking_part():
            self.context.effects.append(Send(Remote(peer, "ccm"), Accept(id=message.id)))
            return
        self.agreement.pending[peer] = message
        if self.reporter.said is not None and not (self._taking_part() and self.agreement.acceptable(peer, message)):
            self.context.effects.append(Send(Remote(peer, "ccm"), self.reporter.reach(ask=False)))

    def on_accept(self, sender: object, message: Accept) -> None:
        peer = self._peer(sender)
        if peer is None:
            return
        self._alive(peer)
        if self.agreement.proposal is not None and self.agreement.proposal.agreed.id == message.id:
            self.agreement.proposal.accepted.add(peer)
            self.context.links.promised(peer, message.id)

    # Lives ------------------------------------------------------------------------------------------------------------

    def _own_status(self, message: NodeStatus) -> None:
        if message.state == "left":
            self._become_departed()
            return
        if self._departed and message.state == "active":
            self._departed = False
        booted = not self._lives and message.boot_id != self.context.state.boot
        if booted or not self.context.state.life:
            self._become_reborn(message.boot_id, "the node has booted" if self.context.state.life else "first start")
        self._lives = max(self._lives, 1)
        self._wake()

    def _wake(self) -> None:
        """Decide nothing before heartbeat has said of every node where it stands, or that it does not know yet.

        Of members of a view that we held before a restart we wait to know.
        """
        if self._awake or not self._lives:
            return
        held = () if self.context.state.view is None else self.context.state.view.names()
        for node, peer in self.context.links.peers.items():
            if peer.state is None or (node in held and node != self.context.node and peer.state not in SETTLED):
                return
        self._awake = True
        if self.context.state.evicted:
            self.context.tell_evicted()
        self.context.arm(INITDEAD, self._initdead_ms)

    def _catch_up(self, report: Report) -> None:
        """Others have later reports of us than we can have given: our durable record was lost."""
        if report.incarnation != self.context.incarnation and report.starts >= self.context.state.starts:
            self.context.save(starts=report.starts + 1)

    def _heard_of_end(self, ended: Ended) -> None:
        if ended.node == self.context.node:
            if ended.life == self.context.state.life:
                self._become_reborn(self.context.state.boot, f"the others know that it {ended.how}")
        elif ended.node in self.context.links.peers and ended.life and ended.life == self.context.life(ended.node):
            self._end(ended)

    def _end(self, ended: Ended) -> None:
        known = self.context.links.ended.get(ended.node)
        if known is None or known.life != ended.life:
            # A life ends once: nodes that know different causes must not go on correcting each other.
            self.context.links.end(ended)
            how = "has left" if ended.how == "left" else "is down: fencing confirmed"
            self.context.note("notice", f"node {ended.node} {how}")
            self.context.save(ended=dict(self.context.links.ended))

    def _become_reborn(self, boot: str, reason: str) -> None:
        """A new life: nothing of the former one may be taken up, but no instance may be used again either."""
        self._lives += 1
        self.context.note("info", f"this node begins a new life: {reason}")
        state = self.context.state
        held = self.context.told is not None or (state.view is not None and boot == state.boot)
        self.agreement.forget()
        if self.context.tie_breaker is not None:
            self.context.tie_breaker.forget()
        self.context.links.ended.clear()
        life = f"{self.context.incarnation}.{self._lives}"
        evicted = held or (self.context.state.evicted and boot == self.context.state.boot)
        self.context.save(life=life, boot=boot, view=None, promise=None, base=None, ended={},
                          complete=False, evicted=evicted)  # fmt: skip
        if held:
            self.context.tell_evicted()

    def _become_departed(self) -> None:
        """Our own heartbeat has said goodbye for this node: take no part any more."""
        self._departed = True
        self.agreement.forget()
        if self.context.tie_breaker is not None:
            self.context.tie_breaker.forget()
        self.context.save(life="", view=None, promise=None, base=None, complete=False)
        self.context.note("notice", "this node has left the cluster")
        self.context.tell_evicted()

    # Timers -----------------------------------------------------------------------------------------------------------

    def _repeat(self) -> None:
        """There is no rest yet: ask everybody, and repeat the proposal to who has not accepted."""
        self.reporter.refresh()
        if self._unsaid:
            self._unsaid = False
            if self.reporter.publish():
                return
        # Who can be heard by nobody who knows that it needs news gets them all.
        reach = self.reporter.reach(ask=True, all_reports=self._pace_ms >= STUCK_REPEATS * self._repeat_ms)
        self._pace_ms = min(2 * self._pace_ms, REPEAT_LIMIT_MS)
        if self.context.settled():
            self.context.effects.extend(Send(Remote(node, "ccm"), reach) for node in self._silent())
            return
        self.reporter.said = reach
        self.context.effects.append(Send(Everyone("ccm"), reach))
        for node in self.context.links.heard():
            if node != self.context.node:
                self._arm_silence(node)
        self.agreement.send_proposal()
        self._await_acceptance()

    def _tend_timer(self) -> None:
        settled = self.context.settled()
        if settled and not self._silent():
            self.context.disarm("repeat")
        else:
            self.context.arm("repeat", self._pace_ms)
        state = self.context.state
        whole = state.view is not None and len(state.view.members) == len(self.context.nodes)
        synchronized = state.view is not None and state.view.id == self._synchronized
        if settled and whole and synchronized and not state.complete:
            self.context.save(complete=True)

    def _hearing_grows(self) -> bool:
        """Whether we just started, have said that we are here, and will soon hear more."""
        if self.reporter.said is None or not self.agreement.booting():
            return False
        return any(peer.state not in SETTLED for peer in self.context.links.peers.values())

    def _may_gather(self) -> bool:
        """Whether news may wait a little: in a view, and when nothing was put off before."""
        return self.context.in_force and not (self._is_due or self._unsaid or self.agreement.progress)

    def _await_acceptance(self) -> None:
        for node in self.agreement.awaited():
            self._arm_silence(node)

    def _arm_silence(self, node: str) -> None:
        if self._hears_us(node):
            known = self.context.links.peers[node].report is not None
            self.context.arm(f"silent/{node}", self._silence_ms if known else self._initdead_ms)

    def _alive(self, node: str) -> None:
        """The node's ccm has spoken."""
        self.context.disarm(f"silent/{node}")
        if self.context.links.peers[node].silent:
            self.context.note("notice", f"node {node}: its membership service answers again")
            self.context.links.silence(node, "")

    # Small questions --------------------------------------------------------------------------------------------------

    def _peer(self, sender: object) -> str | None:
        """The other configured node that a message is from; None when it is for nobody here."""
        if isinstance(sender, Remote) and sender.module == "ccm" and sender.node in self.context.links.peers:
            return sender.node if sender.node != self.context.node else None
        if not isinstance(sender, Remote) or sender.node != self.context.node:
            self.context.note("warning", f"{sender} speaks as a ccm of this cluster, and is none: ignored")
        return None

    def _taking_part(self) -> bool:
        """Whether we know enough to decide, and the node has not left."""
        return self._awake and not self._departed

    def _hears_us(self, node: str) -> bool:
        """Whether the node could answer us, as far as we know."""
        report = self.context.links.peers[node].report
        return report is None or self.context.node in report.hears

    def _silent(self) -> list[str]:
        """Nodes that are there, but whose ccm has not answered."""
        return [node for node, peer in self.context.links.peers.items() if peer.active and peer.silent]


EVENTS: dict[type, Callable[..., None]] = {
    Started: Ccm.on_started,
    Connected: Ccm.on_connected,
    Lost: Ccm.on_lost,
    Received: Ccm.on_received,
    Fired: Ccm.on_fired,
    Stopping: Ccm.on_stopping,
    Finished: Ccm.on_finished,
    Wall: Ccm.on_ignored,
}
"""An event that is not here is a broken invariant."""

MESSAGES: dict[type[Message], Callable[..., None]] = {
    NodeStatus: Ccm.on_node_status,
    ModuleStatus: Ccm.on_module_status,
    LinkStatus: Ccm.on_link_status,
    PingStatus: Ccm.on_ping_status,
    ConfirmedDown: Ccm.on_confirmed_down,
    Synchronized: Ccm.on_synchronized,
    GetMembership: Ccm.on_get_membership,
    Reach: Ccm.on_reach,
    Propose: Ccm.on_propose,
    Accept: Ccm.on_accept,
}
