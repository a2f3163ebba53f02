# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine: takes in events, then reviews what is to be reported, promised, proposed, installed and told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ha.ccm import model
from ha.ccm.core import succession
from ha.ccm.core.connectivity import SETTLED, Connectivity, dropped
from ha.ccm.core.quorum import Facts, Quorum
from ha.ccm.model import State
from ha.ccm.msg import (
    Accept,
    ConfirmedDown,
    Ended,
    EventName,
    GetMembership,
    MembershipEvent,
    Propose,
    Reach,
    Report,
    View,
    ViewId,
)
from ha.heartbeat.msg import LinkStatus, ModuleStatus, NodeStatus
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Everyone,
    Fired,
    Instant,
    Level,
    Local,
    Lost,
    Message,
    Note,
    Persist,
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

REVIEW_LIMIT = 20
"""Most things one event can set off; more is a loop, a broken invariant."""

HEARTBEAT = Local("heartbeat")

INITDEAD = "initdead"
"""Timer: who has not come by now is not waited for any more by a node that just started."""

NO_SUBSCRIBERS = frozenset({"heartbeat", "rmd", "apphbd", "logd"})
"""Workers that may link to us and are told no membership."""


@dataclass(slots=True)
class Proposal:
    """Our own proposal under way and who has accepted it."""

    agreed: Propose
    accepted: set[str] = field(default_factory=set)


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
        self.node = node
        self.nodes = tuple(sorted(nodes))
        self.links = Connectivity(node, nodes)
        self.state = State()
        self.told: MembershipEvent | None = None
        self._quorum = quorum
        self._silence_ms = silence_ms
        self._initdead_ms = max(initdead_ms, silence_ms)
        self._repeat_ms = repeat_ms
        self._incarnation = ""
        self._awake = False
        self._starting = True
        self._gathering = True
        self._in_force = False
        self._departed = False
        self._lives = 0
        self._proposal: Proposal | None = None
        self._pending: dict[str, Propose] = {}
        self._subscribers: list[Local] = []
        self._said: Reach | None = None
        self._pace_ms = repeat_ms
        self._armed: set[str] = set()
        self._now: Instant = 0
        self._effects: list[Effect] = []

    def step(self, event: Event, now: Instant) -> list[Effect]:
        self._now = now
        self._effects = []
        EVENTS[type(event)](self, event)
        if self._awake and not self._departed:
            self._review()
        self._check()
        return self._effects

    # Events ----------------------------------------------------------------------------------------------------------

    def on_started(self, event: Started) -> None:
        self._incarnation = event.incarnation
        try:
            self.state = model.load(event.persisted)
        except model.StateError as error:
            self._note("error", f"durable membership record is unusable, this node starts as a new one: {error}")
        self.links.ended = dict(self.state.ended)
        self._save(starts=self.state.starts + 1)

    def on_connected(self, event: Connected) -> None:
        if event.peer == HEARTBEAT:
            # What was under way to the other nodes may be lost.
            self._said = None
            return
        if event.peer.module in NO_SUBSCRIBERS:
            return
        if event.peer not in self._subscribers:
            self._subscribers.append(event.peer)
        if self.told is not None:
            self._effects.append(Send(event.peer, self.told))

    def on_lost(self, event: Lost) -> None:
        if isinstance(event.peer, Local) and event.peer in self._subscribers:
            self._subscribers.remove(event.peer)

    def on_fired(self, event: Fired) -> None:
        self._armed.discard(event.timer)
        kind, _, node = event.timer.partition("/")
        if kind == "silent":
            if self.links.hears(node) and self._hears_us(node):
                self._note("warning", f"node {node}: heard, but its membership service does not answer: cut out")
                self.links.silence(node, "its membership service did not answer")
        elif event.timer == INITDEAD:
            self._starting = False
        elif self._awake and not self._departed:
            self._repeat()

    def on_stopping(self, event: Stopping) -> None:
        # We cannot know whether the node leaves or this worker alone is replaced. The claim of the two-node rule is
        # earned again as soon as both nodes are seen to hold the view; one that is kept wrongly splits the cluster.
        self._departed = True
        if self.state.complete:
            self._save(complete=False)

    def on_ignored(self, event: Event) -> None:
        """Wall, Finished: nothing here depends on them."""

    def on_received(self, event: Received) -> None:
        handler = MESSAGES.get(type(event.message))
        if handler is None:
            self._note("warning", f"{event.sender} sent {type(event.message).__name__}: not for ccm, ignored")
            return
        handler(self, event.sender, event.message)

    # Messages of this node -------------------------------------------------------------------------------------------

    def on_node_status(self, sender: object, message: NodeStatus) -> None:
        if message.node not in self.links.peers:
            return
        before = self.links.peers[message.node]
        old_state, old_boot, old_generation = before.state, before.boot, before.generation
        life = self._life(message.node)
        self.links.status(message)
        if message.node == self.node:
            self._own_status(message)
            return
        if old_boot and before.boot != old_boot:
            self._note("warning", f"node {message.node} has booted anew: its former life is lost")
        if message.state != old_state:
            grounds = f": {message.evidence}" if message.evidence else ""
            self._note("info", f"node {message.node}: {old_state or 'unknown'} => {message.state}{grounds}")
        if message.state == "left":
            self._end(Ended(message.node, life, "left"))
        if message.state == "active" and message.generation > old_generation and self._said is not None:
            self._effects.append(Send(Remote(message.node, "ccm"), self._reach(ask=True)))
        self._wake()

    def on_module_status(self, sender: object, message: ModuleStatus) -> None:
        if message.module != "ccm" or message.node == self.node or message.node not in self.links.peers:
            return
        if message.up and self._said is not None:
            self._effects.append(Send(Remote(message.node, "ccm"), self._reach(ask=True)))
        if not message.up:
            self._arm_silence(message.node)

    def on_link_status(self, sender: object, message: LinkStatus) -> None:
        """A node is heard by any of its links: heartbeat sums them up in NodeStatus."""

    def on_confirmed_down(self, sender: object, message: ConfirmedDown) -> None:
        for node in message.nodes:
            if node not in self.links.peers or node == self.node:
                self._note("warning", f"fencing of {node} confirmed, which is no other configured node: ignored")
            elif self.links.peers[node].active:
                self._note("info", f"fencing of {node} confirmed, but it is heard (again): not taken as down")
            else:
                self._end(Ended(node, self._life(node), "fenced"))

    def on_get_membership(self, sender: object, message: GetMembership) -> None:
        answer = self.told or MembershipEvent(event="EVICTED", view=None)
        if isinstance(sender, Client):
            self._effects.append(Reply(sender, answer))
        elif isinstance(sender, Local):
            self._effects.append(Send(sender, answer))

    # Messages of other nodes -----------------------------------------------------------------------------------------

    def on_reach(self, sender: object, message: Reach) -> None:
        peer = self._peer(sender)
        if peer is None:
            return
        if message.reports[0].node != peer:
            self._note("warning", f"node {peer} reports as {message.reports[0].node}: ignored")
            return
        self._alive(peer)
        for report in message.reports:
            if report.node == self.node:
                self._catch_up(report)
            elif report.node in self.links.peers:
                self.links.take(report, direct=report.node == peer)
        if self.links.ended != self.state.ended:
            self._save(ended=dict(self.links.ended))
        for ended in message.ended:
            self._heard_of_end(ended)
        if message.ask and self._said is not None:
            self._effects.append(Send(Remote(peer, "ccm"), self._reach(ask=False)))

    def on_propose(self, sender: object, message: Propose) -> None:
        peer = self._peer(sender)
        if peer is None:
            return
        self._alive(peer)
        names = [member.node for member in message.members]
        if peer not in names or len(set(names)) != len(names) or not set(names) <= set(self.nodes):
            self._note("warning", f"node {peer} proposes a view of {', '.join(names)}: not of this cluster, ignored")
            return
        promise = self.state.promise
        again = promise is not None and promise.id == message.id and not self._holds(message.id)
        if again and self._awake and not self._departed:
            self._effects.append(Send(Remote(peer, "ccm"), Accept(id=message.id)))
            return
        self._pending[peer] = message
        if self._said is not None and not self._acceptable(peer, message):
            self._effects.append(Send(Remote(peer, "ccm"), self._reach(ask=False)))

    def on_accept(self, sender: object, message: Accept) -> None:
        peer = self._peer(sender)
        if peer is None:
            return
        self._alive(peer)
        if self._proposal is not None and self._proposal.agreed.id == message.id:
            self._proposal.accepted.add(peer)
            self.links.promised(peer, message.id)

    # Lives -----------------------------------------------------------------------------------------------------------

    def _own_status(self, message: NodeStatus) -> None:
        if message.state == "left":
            self._become_departed()
            return
        if self._departed and message.state == "active":
            self._departed = False
        booted = not self._lives and message.boot_id != self.state.boot
        if booted or not self.state.life:
            self._become_reborn(message.boot_id, "the node has booted" if self.state.life else "first start")
        self._lives = max(self._lives, 1)
        self._wake()

    def _wake(self) -> None:
        """Decide nothing before heartbeat has said of every node where it stands, or that it does not know yet.

        Of members of a view that we held before a restart we wait to know.
        """
        if self._awake or not self._lives:
            return
        held = () if self.state.view is None else self.state.view.names()
        for node, peer in self.links.peers.items():
            if peer.state is None or (node in held and node != self.node and peer.state not in SETTLED):
                return
        self._awake = True
        if self.state.evicted:
            self._tell_evicted()
        self._arm(INITDEAD, self._initdead_ms)

    def _catch_up(self, report: Report) -> None:
        """Others have later reports of us than we can have given: our durable record was lost."""
        if report.incarnation != self._incarnation and report.starts >= self.state.starts:
            self._save(starts=report.starts + 1)

    def _heard_of_end(self, ended: Ended) -> None:
        if ended.node == self.node:
            if ended.life == self.state.life:
                self._become_reborn(self.state.boot, f"the others know that it {ended.how}")
        elif ended.node in self.links.peers and ended.life and ended.life == self._life(ended.node):
            self._end(ended)

    def _end(self, ended: Ended) -> None:
        known = self.links.ended.get(ended.node)
        if known is None or known.life != ended.life:
            # A life ends once: nodes that know different causes must not go on correcting each other.
            self.links.end(ended)
            how = "has left" if ended.how == "left" else "is down: fencing confirmed"
            self._note("notice", f"node {ended.node} {how}")
            self._save(ended=dict(self.links.ended))

    def _life(self, node: str) -> str:
        """The node's latest known life; after our restart that of the view we held."""
        held = {} if self.state.view is None else succession.lives(self.state.view.members)
        return self.links.life(node) or held.get(node, "")

    # Review: everything that may follow from what is known -----------------------------------------------------------

    def _review(self) -> None:
        for _ in range(REVIEW_LIMIT):
            self._refresh()
            self._gathering = self._gathering and any(
                self.links.peers[node].report is None for node in self.links.heard()
            )
            if not any(advance() for advance in self._advances()):
                break
        else:
            raise AssertionError(f"one event set off more than {REVIEW_LIMIT} changes")
        self._doubt()
        self._publish()
        self._tend_timer()

    def _advances(self) -> tuple[Callable[[], bool], ...]:
        """In this order; each returns whether it changed something, and then all are tried again."""
        return (self._install_agreed, self._leave_void, self._resume, self._accept, self._propose, self._conclude)

    def _install_agreed(self) -> bool:
        promise = self.state.promise
        if promise is None or self._holds(promise.id):
            return False
        if any(report.view == promise.id for report in self.links.reports().values()):
            self._become_member(promise)
            return True
        return False

    def _leave_void(self) -> bool:
        """Members of our view went on without us."""
        view = self.state.view
        if view is None:
            return False
        for member in view.members:
            report = self.links.peers[member.node].report
            if report is None or report.view is None or member.node == self.node or not self.links.hears(member.node):
                continue
            later = report.view
            if later.instance > view.id.instance and self.state.promised < later.instance:
                self._become_evicted(f"{member.node} is in view {later.instance} without us")
                return True
        return False

    def _resume(self) -> bool:
        """After a restart: the view we held stands when all its members still hold it."""
        view = self.state.view
        if view is None or self._in_force or self.state.promised > view.id.instance:
            return False
        if not self._settled_on(view):
            return False
        self._in_force = True
        self._note("notice", f"view {view.id.instance} is held by all of {', '.join(view.names())}: resumed")
        self._tell(_event(view), view)
        return True

    def _accept(self) -> bool:
        for peer in sorted(self._pending):
            proposal = self._pending[peer]
            if proposal.id.instance <= self.state.promised:
                del self._pending[peer]
                continue
            if self._acceptable(peer, proposal):
                del self._pending[peer]
                self._become_promised(proposal)
                self._effects.append(Send(Remote(peer, "ccm"), Accept(id=proposal.id)))
                return True
        return False

    def _acceptable(self, peer: str, proposal: Propose) -> bool:
        if not self._awake or self._departed or proposal.id.instance <= self.state.promised:
            return False
        group = self.links.group()
        return (
            group[0] == peer
            and succession.lives(proposal.members) == self._lives_of(group)
            and proposal.quorate == self._quorate(group)
        )

    def _propose(self) -> bool:
        group = self.links.group()
        if group[0] != self.node or not self._change_needed(group):
            return False
        reports = self.links.reports()
        instance = max(self.state.promised, *(report.promised for report in reports.values())) + 1
        members = succession.seat(self.state.view, reports, group, instance)
        proposal = Propose(
            id=ViewId(instance, self._incarnation),
            members=members,
            quorate=self._quorate(group),
            evidence=succession.evidence(self.state.view, self.links, members),
        )
        self._note("info", f"view {instance} proposed: {', '.join(group)}")
        self._pace_ms = self._repeat_ms
        self._become_promised(proposal, own=True)
        self._refresh()
        self._publish()
        self._send_proposal()
        return True

    def _change_needed(self, group: tuple[str, ...]) -> bool:
        """Whether we, the coordinator of `group`, have to propose (again)."""
        reports = self.links.reports()
        highest = max(reports[node].promised for node in group)
        proposal = self._proposal
        if proposal is not None and not any(dropped(reports[node], proposal.agreed.id) for node in group):
            wanted = self._lives_of(group)
            if succession.lives(proposal.agreed.members) == wanted and proposal.agreed.quorate == self._quorate(group):
                return False
        if self._expecting(group) or self._outranked():
            return False
        view = self.state.view
        if view is None:
            return True
        return (
            succession.lives(view.members) != self._lives_of(group)
            or view.quorate != self._quorate(group)
            or highest > view.id.instance
            or any(dropped(reports[node], view.id) for node in group)
        )

    def _expecting(self, group: tuple[str, ...]) -> bool:
        """Whether, just started, we may yet hear of a node, or of a view, that we should not run ahead of."""
        if self._gathering:
            return True
        if self._in_force or self.state.view is not None or not self._starting:
            return False
        return set(group) != set(self.links.heard()) or any(
            peer.state not in SETTLED for node, peer in self.links.peers.items() if node not in group
        )

    def _outranked(self) -> bool:
        """Whether a better group than ours, some of which we hear, has still to agree on its view.

        Who misses a node cannot tell whether that node died or only the link to it. If others go on with it they say
        so, by a view without us; if it died they will miss it too, and then our groups are the same.
        """
        reports = self.links.expected()
        held = None if self.state.view is None else self.state.view.id
        for group in self.links.groups()[:-1]:
            views = {reports[node].view for node in group}
            agreed = len(views) == 1 and not views & {None, held}
            later = any(view is not None and (held is None or view.instance > held.instance) for view in views)
            if not agreed and not later and any(self.links.hears(node) for node in group):
                return True
        return False

    def _conclude(self) -> bool:
        proposal = self._proposal
        if proposal is None or proposal.accepted != set(succession.lives(proposal.agreed.members)):
            return False
        self._become_member(proposal.agreed)
        return True

    # Phases ----------------------------------------------------------------------------------------------------------

    def _become_promised(self, proposal: Propose, *, own: bool = False) -> None:
        assert proposal.id.instance > self.state.promised
        self._proposal = Proposal(proposal, {self.node}) if own else None
        # Who agrees to join the other no longer claims to be the last man: the coordinator may be it by now.
        last_man = self.state.last_man and (own or len(proposal.members) == 1)
        self._save(promise=proposal, promised=proposal.id.instance, last_man=last_man)

    def _become_member(self, agreed: Propose) -> None:
        assert self.state.promise == agreed
        assert self.state.promised == agreed.id.instance
        assert succession.lives(agreed.members)[self.node] == self.state.life
        before = self.state.view
        assert before is None or before.id.instance < agreed.id.instance
        view = succession.succeed(before, agreed, self.node, self.links)
        whole = len(agreed.members) == len(self.nodes)
        self._proposal = None
        self._in_force = True
        self._starting = False
        self._pace_ms = self._repeat_ms
        self._save(
            view=view,
            evicted=False,
            complete=self.state.complete or whole,
            last_man=agreed.quorate and len(agreed.members) == 1 and len(self.nodes) == 2,
        )
        self._note("notice", _change(before, view))
        if before is not None and self.told is None:
            # We held it before a restart, and cannot know whether it was told then: joined and lost build on it.
            self._tell(_event(before), before)
        self._tell(_event(view), view)

    def _become_evicted(self, reason: str) -> None:
        self._note("warning", f"member => evicted: {reason}")
        self._proposal = None
        self._in_force = False
        self._starting = False
        self._save(view=None, promise=None, evicted=True)
        # After a restart of ours the modules still hold what the former incarnation told them.
        self._tell_evicted()

    def _become_reborn(self, boot: str, reason: str) -> None:
        """A new life: nothing of the former one may be taken up, but no instance may be used again either."""
        self._lives += 1
        self._note("info", f"this node begins a new life: {reason}")
        held = self.told is not None or (self.state.view is not None and boot == self.state.boot)
        self._proposal = None
        self._in_force = False
        self.links.ended.clear()
        life = f"{self._incarnation}.{self._lives}"
        evicted = held or (self.state.evicted and boot == self.state.boot)
        self._save(life=life, boot=boot, view=None, promise=None, ended={}, complete=False, evicted=evicted)
        if held:
            self._tell_evicted()

    def _become_departed(self) -> None:
        """Our own heartbeat has said goodbye for this node: take no part any more."""
        self._departed = True
        self._proposal = None
        self._in_force = False
        self._save(life="", view=None, promise=None, complete=False)
        self._note("notice", "this node has left the cluster")
        self._tell_evicted()

    # What is said ----------------------------------------------------------------------------------------------------

    def _doubt(self) -> None:
        """While a member of the quorate view in force is known to be lost, nothing new should begin."""
        view = self.state.view
        if view is None or not self._in_force or not view.quorate or self.told is None or self._gathering:
            return
        present = self._lives_of(self.links.group())
        missing = [member.node for member in view.members if present.get(member.node) != member.life]
        if missing and self.told.event != "NOT_PRIMARY":
            self._note("notice", f"view {view.id.instance} is in doubt: {', '.join(missing)} lost")
            self._tell("NOT_PRIMARY", view)
        elif not missing and self.told.event == "NOT_PRIMARY" and self.state.promised == view.id.instance:
            self._note("notice", f"view {view.id.instance} stands after all")
            self._tell("PRIMARY_RESTORED", view)

    def _tell_evicted(self) -> None:
        if self.told is None or self.told.event != "EVICTED":
            self._tell("EVICTED", None)

    def _tell(self, event: EventName, view: View | None) -> None:
        self.told = MembershipEvent(event=event, view=view)
        self._effects.extend(Send(subscriber, self.told) for subscriber in self._subscribers)

    def _refresh(self) -> None:
        """Bring our own report up to date."""
        state = self.state
        view = state.view
        old = self.links.peers[self.node].report
        ages = {} if view is None else {member.node: member.born_on for member in view.members}
        report = Report(
            node=self.node,
            incarnation=self._incarnation,
            life=state.life,
            boot=state.boot,
            starts=state.starts,
            serial=0 if old is None else old.serial,
            hears=self.links.heard(),
            view=None if view is None else view.id,
            quorate=view is not None and view.quorate,
            born_on=ages.get(self.node, 0),
            promised=state.promised,
            promise=None if state.promise is None else state.promise.id,
            missed=self.links.missed(),
        )
        if report != old:
            self.links.take_own(msgspec.structs.replace(report, serial=report.serial + 1))

    def _reach(self, *, ask: bool, all_reports: bool = False) -> Reach:
        own = self.links.peers[self.node].report
        assert own is not None
        relays = self.links.relays(all_reports=all_reports)
        return Reach(reports=(own, *relays), ended=tuple(self.links.ended.values()), ask=ask)

    def _publish(self) -> None:
        """Broadcast what others need to know, when it has changed."""
        first = self._said is None
        reach = self._reach(ask=first)
        if self._said is None or _substance(reach) != _substance(self._said):
            self._said = reach
            self._pace_ms = self._repeat_ms
            self._effects.append(Send(Everyone("ccm"), reach))

    def _send_proposal(self) -> None:
        assert self._proposal is not None
        for member in self._proposal.agreed.members:
            if member.node not in self._proposal.accepted:
                self._effects.append(Send(Remote(member.node, "ccm"), self._proposal.agreed))
                self._arm_silence(member.node)

    # Timers ----------------------------------------------------------------------------------------------------------

    def _repeat(self) -> None:
        """There is no rest yet: ask everybody, and repeat the proposal to who has not accepted."""
        self._refresh()
        # Who can be heard by nobody who knows that it needs news gets them all.
        reach = self._reach(ask=True, all_reports=self._pace_ms >= STUCK_REPEATS * self._repeat_ms)
        self._pace_ms = min(2 * self._pace_ms, REPEAT_LIMIT_MS)
        if self._settled():
            self._effects.extend(Send(Remote(node, "ccm"), reach) for node in self._silent())
            return
        self._said = reach
        self._effects.append(Send(Everyone("ccm"), reach))
        for node in self.links.heard():
            if node != self.node:
                self._arm_silence(node)
        if self._proposal is not None:
            self._send_proposal()

    def _tend_timer(self) -> None:
        settled = self._settled()
        if settled and not self._silent():
            if "repeat" in self._armed:
                self._armed.remove("repeat")
                self._effects.append(Disarm("repeat"))
        else:
            self._arm("repeat", self._pace_ms)
        view = self.state.view
        if settled and view is not None and len(view.members) == len(self.nodes) and not self.state.complete:
            self._save(complete=True)

    def _arm_silence(self, node: str) -> None:
        if self._hears_us(node):
            known = self.links.peers[node].report is not None
            self._arm(f"silent/{node}", self._silence_ms if known else self._initdead_ms)

    def _arm(self, timer: str, delay_ms: int) -> None:
        if timer not in self._armed:
            self._armed.add(timer)
            self._effects.append(Arm(timer, self._now + delay_ms))

    def _alive(self, node: str) -> None:
        """The node's ccm has spoken."""
        timer = f"silent/{node}"
        if timer in self._armed:
            self._armed.remove(timer)
            self._effects.append(Disarm(timer))
        if self.links.peers[node].silent:
            self._note("notice", f"node {node}: its membership service answers again")
            self.links.silence(node, "")

    # Small questions -------------------------------------------------------------------------------------------------

    def _peer(self, sender: object) -> str | None:
        """The other configured node that a message is from; None when it is for nobody here."""
        if isinstance(sender, Remote) and sender.module == "ccm" and sender.node in self.links.peers:
            return sender.node if sender.node != self.node else None
        if not isinstance(sender, Remote) or sender.node != self.node:
            self._note("warning", f"{sender} speaks as a ccm of this cluster, and is none: ignored")
        return None

    def _holds(self, view: ViewId) -> bool:
        return self.state.view is not None and self.state.view.id == view

    def _lives_of(self, group: tuple[str, ...]) -> dict[str, str]:
        return {node: self.links.life(node) for node in group}

    def _quorate(self, group: tuple[str, ...]) -> bool:
        others_ended = all(self.links.proved_down(node) for node in self.nodes if node not in group)
        return self._quorum.quorate(
            len(group), Facts(complete=self.state.complete, last_man=self.state.last_man, others_ended=others_ended)
        )

    def _settled(self) -> bool:
        return self._in_force and self.state.view is not None and self._settled_on(self.state.view)

    def _hears_us(self, node: str) -> bool:
        """Whether the node could answer us, as far as we know."""
        report = self.links.peers[node].report
        return report is None or self.node in report.hears

    def _silent(self) -> list[str]:
        """Nodes that are there, but whose ccm has not answered."""
        return [node for node, peer in self.links.peers.items() if peer.active and peer.silent]

    def _settled_on(self, view: View) -> bool:
        """Whether our group is `view` and all of it reports it as held, with nothing promised since."""
        group = self.links.group()
        reports = self.links.reports()
        return (
            succession.lives(view.members) == self._lives_of(group)
            and all(reports[node].view == view.id for node in group)
            and all(reports[node].promised == view.id.instance for node in group)
            and (group[0] != self.node or view.quorate == self._quorate(group))
        )

    def _save(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        self.links.hold(self.state.view)
        self._effects.append(Persist(model.STATE_NAME, model.encode(self.state)))

    def _note(self, level: Level, text: str) -> None:
        self._effects.append(Note(level, text))

    def _check(self) -> None:
        """Invariants, after every step."""
        state = self.state
        assert state.view is None or state.view.id.instance <= state.promised
        assert state.promise is None or state.promise.id.instance == state.promised
        assert not self._in_force or state.view is not None
        assert self._proposal is None or self._proposal.agreed == state.promise
        assert not state.last_man or len(self.nodes) == 2


def _event(view: View) -> EventName:
    return "NEW_MEMBERSHIP" if view.quorate else "INVALID"


def _substance(reach: Reach) -> Reach:
    """What others act upon. A promise alone is told to the proposer, and to all when there is no rest."""
    own = msgspec.structs.replace(reach.reports[0], serial=0, promised=0, promise=None)
    return msgspec.structs.replace(reach, reports=(own, *reach.reports[1:]), ask=False)


def _change(before: View | None, view: View) -> str:
    """One line for the log: the change of view with the reasons of each loss."""
    old = "no view" if before is None else f"view {before.id.instance} ({', '.join(before.names())})"
    lost = "".join(f"; lost {node}: {view.evidence.get(node, '?')}" for node in view.lost)
    kind = "with quorum" if view.quorate else "WITHOUT quorum"
    return f"{old} => view {view.id.instance} ({', '.join(view.names())}) {kind}{lost}"


EVENTS: dict[type, Callable[..., None]] = {
    Started: Ccm.on_started,
    Connected: Ccm.on_connected,
    Lost: Ccm.on_lost,
    Received: Ccm.on_received,
    Fired: Ccm.on_fired,
    Stopping: Ccm.on_stopping,
    Wall: Ccm.on_ignored,
}
"""An event that is not here (Finished: ccm executes nothing) is a broken invariant."""

MESSAGES: dict[type[Message], Callable[..., None]] = {
    NodeStatus: Ccm.on_node_status,
    ModuleStatus: Ccm.on_module_status,
    LinkStatus: Ccm.on_link_status,
    ConfirmedDown: Ccm.on_confirmed_down,
    GetMembership: Ccm.on_get_membership,
    Reach: Ccm.on_reach,
    Propose: Ccm.on_propose,
    Accept: Ccm.on_accept,
}
