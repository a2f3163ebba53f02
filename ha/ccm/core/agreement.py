# SPDX-License-Identifier: GPL-2.0-or-later
"""From who hears whom to an agreed view: what is promised, proposed, accepted, installed, doubted.

Each of the steps looks at all that is known and does its part if it is due; the machine calls them until none is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ha.ccm.core import succession
from ha.ccm.core.connectivity import SETTLED, dropped
from ha.ccm.core.context import Context
from ha.ccm.core.reporter import Reporter
from ha.ccm.msg import Accept, EventName, Propose, View, ViewId
from ha.machine import Remote, Send

STEPS_LIMIT = 20
"""Most things one event can set off; more is a loop, a broken invariant."""


@dataclass(slots=True)
class Proposal:
    """Our own proposal under way and who has accepted it."""

    agreed: Propose
    accepted: set[str] = field(default_factory=set)


class Agreement:
    """`gathering`: not every node that is heard has reported since we started. `starting`: others may boot with us.

    `pending` holds what others proposed and we do not agree to yet. `progress` is set when something moved.
    """

    def __init__(self, context: Context, reporter: Reporter) -> None:
        self.context = context
        self.reporter = reporter
        self.proposal: Proposal | None = None
        self.pending: dict[str, Propose] = {}
        self.gathering = True
        self.starting = True
        self.progress = False

    def advance(self) -> None:
        """Do all that is due, in order; whatever changes something makes all be looked at again."""
        links = self.context.links
        steps = self._steps()
        for _ in range(STEPS_LIMIT):
            self.reporter.refresh()
            self.gathering = self.gathering and any(links.peers[node].report is None for node in links.heard())
            if not any(step() for step in steps):
                return
        raise AssertionError(f"one event set off more than {STEPS_LIMIT} changes")

    def _steps(self) -> tuple[Callable[[], bool], ...]:
        return (
            self._install_agreed, self._leave_void, self._resume, self._ask_tie_breaker, self._accept, self._propose,
            self._conclude,
        )  # fmt: skip

    def forget(self) -> None:
        """A new life, or none: no proposal of ours stands, and no view is in force."""
        self.proposal = None
        self.context.in_force = False

    def _install_agreed(self) -> bool:
        promise = self.context.state.promise
        if promise is None or self.context.holds(promise.id):
            return False
        if any(report.view == promise.id for report in self.context.links.reports().values()):
            self._become_member(promise)
            return True
        return False

    def _leave_void(self) -> bool:
        """Members of our view went on without us."""
        view = self.context.state.view
        if view is None:
            return False
        for member in view.members:
            report = self.context.links.peers[member.node].report
            later = None if report is None else report.view
            if later is None or member.node == self.context.node or not self.context.links.hears(member.node):
                continue
            if later.instance > view.id.instance and self.context.state.promised < later.instance:
                self._become_evicted(f"{member.node} is in view {later.instance} without us")
                return True
        return False

    def _resume(self) -> bool:
        """After a restart: the view we held stands when all its members still hold it."""
        view = self.context.state.view
        if view is None or self.context.in_force or self.context.state.promised > view.id.instance:
            return False
        if not self.context.settled_on(view):
            return False
        self.context.in_force = True
        self.context.note("notice", f"view {view.id.instance} is held by all of {', '.join(view.names())}: resumed")
        self.context.tell(_event(view), view)
        return True

    def _ask_tie_breaker(self) -> bool:
        tie_breaker = self.context.tie_breaker
        if tie_breaker is None or self.gathering or self.booting() or self._outranked():
            return False
        return tie_breaker.review()

    def _accept(self) -> bool:
        for peer in sorted(self.pending):
            proposal = self.pending[peer]
            if proposal.id.instance <= self.context.state.promised:
                del self.pending[peer]
                continue
            if self.acceptable(peer, proposal):
                del self.pending[peer]
                self._become_promised(proposal)
                self.context.effects.append(Send(Remote(peer, "ccm"), Accept(id=proposal.id)))
                return True
        return False

    def acceptable(self, peer: str, proposal: Propose) -> bool:
        """Whether we would propose the same, with this coordinator, and are free to promise it."""
        if proposal.id.instance <= self.context.state.promised:
            return False
        group = self.context.links.group()
        return (
            group[0] == peer
            and succession.lives(proposal.members) == self.context.lives_of(group)
            and self._quorum_is_right(proposal, group)
        )

    def _quorum_is_right(self, proposal: Propose, group: tuple[str, ...]) -> bool:
        """A tie-breaker answers the coordinator alone: its word is taken."""
        if proposal.quorate == self.context.quorate_alone(group):
            return True
        tie_breaker = self.context.tie_breaker
        return proposal.quorate and tie_breaker is not None and tie_breaker.acceptable(proposal)

    def _propose(self) -> bool:
        if self.gathering or self.booting():
            return False
        group = self.context.links.group()
        if group[0] != self.context.node or not self._change_needed(group):
            return False
        reports = self.context.links.reports()
        instance = max(self.context.state.promised, *(report.promised for report in reports.values())) + 1
        tie_breaker, base = self.context.tie_breaker, None
        if tie_breaker is not None:
            if tie_breaker.undecided(group):
                return False
            claimed = tie_breaker.instance(group, instance)
            if claimed is None:
                return True
            instance = claimed
            if tie_breaker.wins(group) and self.context.state.base is not None:
                base = self.context.state.base.id
        members = succession.seat(self.context.state.view, reports, group, instance)
        proposal = Propose(
            id=ViewId(instance, self.context.incarnation),
            members=members,
            quorate=self.context.quorate(group),
            evidence=succession.evidence(self.context.state.view, self.context.links, members),
            base=base,
        )
        self.context.note("info", f"view {instance} proposed: {', '.join(group)}")
        self.progress = True
        self._become_promised(proposal, own=True)
        self.reporter.refresh()
        self.reporter.publish()
        self.send_proposal()
        return True

    def _change_needed(self, group: tuple[str, ...]) -> bool:
        """Whether we, the coordinator of `group`, have to propose (again)."""
        reports = self.context.links.reports()
        highest = max(reports[node].promised for node in group)
        proposal = self.proposal
        if proposal is not None and not any(dropped(reports[node], proposal.agreed.id) for node in group):
            same_members = succession.lives(proposal.agreed.members) == self.context.lives_of(group)
            if same_members and proposal.agreed.quorate == self.context.quorate(group):
                return False
        if self._outranked():
            return False
        view = self.context.state.view
        if view is None:
            return True
        return (
            succession.lives(view.members) != self.context.lives_of(group)
            or view.quorate != self.context.quorate(group)
            or highest > view.id.instance
            or any(dropped(reports[node], view.id) for node in group)
        )

    def booting(self) -> bool:
        """Whether, just started and without a view, we may yet hear of a node that boots with us, or be heard by it."""
        if self.context.in_force or self.context.state.view is not None or not self.starting:
            return False
        links = self.context.links
        heard = links.heard()
        return any(peer.state not in SETTLED for node, peer in links.peers.items() if node not in heard) or not (
            all(links.peers[node].report is not None for node in heard) and links.whole(heard)
        )

    def _outranked(self) -> bool:
        """Whether a better group than ours, some of which we hear, has still to agree on its view.

        Who misses a node cannot tell whether that node died or only the link to it. If others go on with it they say
        so, by a view without us; if it died they will miss it too, and then our groups are the same.
        """
        reports = self.context.links.expected()
        held = None if self.context.state.view is None else self.context.state.view.id
        for group in self.context.links.groups()[:-1]:
            views = {reports[node].view for node in group}
            agreed = len(views) == 1 and not views & {None, held}
            later = any(view is not None and (held is None or view.instance > held.instance) for view in views)
            if not agreed and not later and any(self.context.links.hears(node) for node in group):
                return True
        return False

    def _conclude(self) -> bool:
        proposal = self.proposal
        if proposal is None or proposal.accepted != set(succession.lives(proposal.agreed.members)):
            return False
        self._become_member(proposal.agreed)
        return True

    def awaited(self) -> list[str]:
        """Who has yet to accept our proposal."""
        if self.proposal is None:
            return []
        return [m.node for m in self.proposal.agreed.members if m.node not in self.proposal.accepted]

    def send_proposal(self) -> None:
        for node in self.awaited():
            assert self.proposal is not None
            self.context.effects.append(Send(Remote(node, "ccm"), self.proposal.agreed))

    # Phases ----------------------------------------------------------------------------------------------------------

    def _become_promised(self, proposal: Propose, *, own: bool = False) -> None:
        assert proposal.id.instance > self.context.state.promised
        self.proposal = Proposal(proposal, {self.context.node}) if own else None
        # Who agrees to join the other no longer claims to be the last man: the coordinator may be it by now.
        last_man = self.context.state.last_man and (own or len(proposal.members) == 1)
        self.context.save(promise=proposal, promised=proposal.id.instance, last_man=last_man)

    def _become_member(self, agreed: Propose) -> None:
        assert self.context.state.promise == agreed
        assert self.context.state.promised == agreed.id.instance
        assert succession.lives(agreed.members)[self.context.node] == self.context.state.life
        before = self.context.state.view
        assert before is None or before.id.instance < agreed.id.instance
        view = succession.succeed(before, agreed, self.context.node, self.context.links)
        self.proposal = None
        self.context.in_force = True
        self.starting = False
        self.progress = True
        self.context.save(
            view=view,
            base=view if view.quorate else self.context.state.base,
            evicted=False,
            last_man=agreed.quorate and len(agreed.members) == 1 and len(self.context.nodes) == 2,
        )
        self.context.note("notice", _change(before, view))
        if before is not None and self.context.told is None:
            # We held it before a restart, and cannot know whether it was told then: joined and lost build on it.
            self.context.tell(_event(before), before)
        self.context.tell(_event(view), view)

    def _become_evicted(self, reason: str) -> None:
        self.context.note("warning", f"member => evicted: {reason}")
        self.forget()
        self.starting = False
        self.context.save(view=None, promise=None, evicted=True)
        # After a restart of ours the modules still hold what the former incarnation told them.
        self.context.tell_evicted()

    # Doubt -----------------------------------------------------------------------------------------------------------

    def doubt(self) -> None:
        """While a member of the quorate view in force is known to be lost, nothing new should begin."""
        view = self.context.state.view
        if view is None or not self.context.in_force or not view.quorate or self.context.told is None or self.gathering:
            return
        present = self.context.lives_of(self.context.links.group())
        missing = [member.node for member in view.members if present.get(member.node) != member.life]
        if missing and self.context.told.event != "NOT_PRIMARY":
            self.context.note("notice", f"view {view.id.instance} is in doubt: {', '.join(missing)} lost")
            self.context.tell("NOT_PRIMARY", view)
        elif missing or self.context.told.event != "NOT_PRIMARY":
            return
        elif self.context.state.promised == view.id.instance:
            self.context.note("notice", f"view {view.id.instance} stands after all")
            self.context.tell("PRIMARY_RESTORED", view)

    def check(self) -> None:
        """Invariants, after every step of the machine."""
        state = self.context.state
        assert state.view is None or state.view.id.instance <= state.promised
        assert state.promise is None or state.promise.id.instance == state.promised
        assert not self.context.in_force or state.view is not None
        assert state.base is None or (state.base.quorate and state.base.id.instance <= state.promised)
        assert state.view is None or not state.view.quorate or state.base == state.view
        assert self.proposal is None or self.proposal.agreed == state.promise
        assert not state.last_man or len(self.context.nodes) == 2


def _event(view: View) -> EventName:
    return "NEW_MEMBERSHIP" if view.quorate else "INVALID"


def _change(before: View | None, view: View) -> str:
    """One line for the log: the change of view with the reasons of each loss."""
    old = "no view" if before is None else f"view {before.id.instance} ({', '.join(before.names())})"
    lost = "".join(f"; lost {node}: {view.evidence.get(node, '?')}" for node in view.lost)
    kind = "with quorum" if view.quorate else "WITHOUT quorum"
    return f"{old} => view {view.id.instance} ({', '.join(view.names())}) {kind}{lost}"
