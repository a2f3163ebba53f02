# SPDX-License-Identifier: GPL-2.0-or-later
"""An even split: which half goes on, by the word of a third party.

The coordinator of a half asks; the members take its word. Only a half whose members all come out of one quorate view
(`base`, the latest that any of them held) may ask.

register  (a shared file, an object behind HTTP) holds the latest Grant and can be replaced by compare-and-swap. A half
          reads it, and claims the instance that its next view will have if the grant there is no later than its base.
          Who claims second finds a grant later than its base: it is refused, for ever, until it has been in a view
          with the winners, because what was acknowledged meanwhile is with them alone. So a grant does not expire, and
          no clock decides anything.
ping      a host outside answers whom it can, perhaps both halves. So the half with the most senior member of the base
          goes on, if it reaches the host, and the other one never.

Why at most one of two halves has quorum

* Register. Halves of one base: the swap decides. Bases V < V': V' had a majority, so it shares a member with the half
  that comes from V, and that member has promised V'; the claimed instance is above all promises, so of the two claims
  the later one finds a grant above its base. Or V' was itself granted: then the grant is above V. The view that is
  proposed has the very instance that was claimed, so a member that has promised on meanwhile makes the claim void.
* Ping. All members of the half hold the base, and have promised nothing that they do not hold or that the coordinator
  did not ask for; each checks that again when it accepts. So no later view with quorum can exist that they are part
  of, and without them there is none: the other half lacks the senior member.

Sources: a grant without expiry is a fencing token (Kleppmann 2016, "How to do distributed locking"); the swap is that
of object stores (RFC 9110, If-Match and If-None-Match).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ha.ccm.core import succession
from ha.ccm.core.context import Context
from ha.ccm.model import register
from ha.ccm.model.register import Contents, Failed, Grant, Outdated, ReadRegister, WriteRegister, Written
from ha.ccm.msg import Propose, Report, View, ViewId
from ha.machine import Execute

DEADLINE = "tie-breaker-deadline"
"""Timer: the half goes on without quorum when there is no answer by then."""
RETRY = "tie-breaker-retry"
"""Timer: ask again who did not answer."""
RETRY_MS = 500

Kind: TypeAlias = Literal["register", "ping"]
Status: TypeAlias = Literal["asking", "won", "lost", "silent"]


@dataclass(slots=True)
class Question:
    """Put for these `lives` that come from `base`. `instance` is what was claimed, 0 when nothing needs to be.

    `claim` is under way. "lost" is final for this question; "silent" is no answer yet, and time is up. `is_unbroken`:
    won, because the half is the very view with quorum that is held. `is_ripe` (ping): who has lost the network would
    know by now that the host is out of reach.
    """

    base: ViewId | None
    lives: dict[str, str]
    status: Status = "asking"
    instance: int = 0
    claim: Grant | None = None
    is_unbroken: bool = False
    is_ripe: bool = False


class TieBreaker:
    """`ping` is the ping node's name for that kind. `timeout_ms`: how long a half waits before it is without quorum;
    for a ping node, until it counts on what it knows of it."""

    def __init__(self, context: Context, kind: Kind, *, timeout_ms: int, ping: str = "") -> None:
        self.context = context
        self.kind = kind
        self.timeout_ms = timeout_ms
        self.ping = ping
        self.ping_up = False
        self.question: Question | None = None
        self._operations = 0
        self._under_way = ""

    # What the agreement asks -----------------------------------------------------------------------------------------

    def wins(self, group: tuple[str, ...]) -> bool:
        """Whether we have the word of the tie-breaker for these, in the lives they live."""
        question = self.question
        return question is not None and question.status == "won" and question.lives == self.context.lives_of(group)

    def undecided(self, group: tuple[str, ...]) -> bool:
        """Whether a proposal should wait."""
        return self._concerns(group) and (self.question is None or self.question.status == "asking")

    def instance(self, group: tuple[str, ...], least: int) -> int | None:
        """The instance that a proposal for `group` must have, from `least` on; None when the claim is void by now."""
        question = self.question
        if question is None or not self.wins(group):
            return least
        if question.instance and question.instance < least:
            self.question = None
            return None
        return question.instance or least

    def acceptable(self, proposal: Propose) -> bool:
        """Whether a member may take the coordinator's word that it has won."""
        own = self.context.state
        base = proposal.base
        if base is None or not self.context.quorum.tied([member.node for member in proposal.members]):
            return False
        if own.base is not None and own.base.id.instance > base.instance:
            return False
        if self.kind == "register":
            return True
        return (
            own.base is not None
            and own.base.id == base
            and _is_settled(self._report(self.context.node), proposal.id.coordinator)
        )

    # Steps -----------------------------------------------------------------------------------------------------------

    def review(self) -> bool:
        """Put the question that is due; whether anything changed."""
        group = self.context.links.group()
        if not self._concerns(group):
            self.forget()
            return False
        base = self.context.state.base
        lives = self.context.lives_of(group)
        question = self.question
        if question is not None and (question.base, question.lives) == (base.id if base else None, lives):
            if question.is_unbroken and not self._is_unbroken(group):
                self.question = None
                return True
            return self.kind == "ping" and self._ask_ping(question, group)
        self.forget()
        self.question = question = Question(base.id if base else None, lives)
        if self._is_unbroken(group):
            question.status, question.is_unbroken = "won", True
        elif base is None or not self._may_ask(base, group):
            self._lose("not all of this half come out of one view with quorum")
        else:
            self.context.arm(DEADLINE, self.timeout_ms)
            if self.kind == "register":
                self._read()
        return True

    def forget(self) -> None:
        self.question = None
        self.context.disarm(DEADLINE)
        self.context.disarm(RETRY)

    def pinged(self, name: str, up: bool) -> None:
        if name == self.ping:
            self.ping_up = up

    def fired(self, timer: str) -> None:
        question = self.question
        if question is None or question.status in ("won", "lost"):
            return
        if self.kind == "ping":
            question.is_ripe = True
        elif timer == DEADLINE:
            question.status = "silent"
            text = f"no answer of the tie-breaker in {self.timeout_ms} ms: no quorum until it comes"
            self.context.note("error", text)
        else:
            self._read()

    # The register ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        if not self._under_way:
            self._execute(ReadRegister())

    def _execute(self, request: object) -> None:
        """One at a time: a register that hangs must not gather threads."""
        self._operations += 1
        self._under_way = f"tie-breaker/{self._operations}"
        self.context.effects.append(Execute(self._under_way, request))

    def finished(self, operation: str, outcome: object) -> None:
        assert operation == self._under_way, operation
        self._under_way = ""
        question = self.question
        if question is None or question.status in ("won", "lost"):
            return
        base, group = self.context.state.base, self.context.links.group()
        if base is None or base.id != question.base or question.lives != self.context.lives_of(group):
            self.question = None  # overtaken: the next review asks for those that are left
            return
        match outcome:
            case Failed(reason):
                question.claim = None
                if question.status == "asking":
                    self.context.note("warning", f"tie-breaker: {reason}")
                self.context.arm(RETRY, RETRY_MS)
            case Contents(version, data):
                self._claim(question, base, version, data)
            case Written():
                self._written(question)
            case Outdated():
                question.claim = None
                self._read()
            case _:
                raise AssertionError(f"no outcome of a register: {outcome!r}")

    def _claim(self, question: Question, base: View, version: str, data: bytes) -> None:
        """The register is read: claim, unless a later grant stands there."""
        try:
            granted = register.decode(data) if version else None
        except register.GrantError as error:
            self.context.note("error", f"tie-breaker: its record is none of ours: {error}")
            self.context.arm(RETRY, RETRY_MS)
            return
        if granted is not None and granted.nodes != self.context.nodes:
            self._lose(f"its record is of a cluster of other nodes: {', '.join(granted.nodes)}")
            return
        ours = granted is not None and (granted.life, granted.base) == (self.context.state.life, base.id.instance)
        if granted is not None and granted.instance > base.id.instance and not ours:
            self._lose(f"granted to {', '.join(sorted(granted.members))} (view {granted.instance}), after our view "
                       f"{base.id.instance}")  # fmt: skip
            return
        reports = self.context.links.reports()
        highest = max(reports[node].promised for node in question.lives)
        question.claim = Grant(
            nodes=self.context.nodes,
            instance=max(highest, self.context.state.promised, granted.instance if granted else 0) + 1,
            base=base.id.instance,
            life=self.context.state.life,
            members=question.lives,
        )
        self._execute(WriteRegister(version, register.encode(question.claim)))

    def _written(self, question: Question) -> None:
        if question.claim is None:
            self._read()  # claimed for a group that is no more: the register names it, and we are told so
            return
        question.instance = question.claim.instance
        self._win(question)

    # Answers ---------------------------------------------------------------------------------------------------------

    def _win(self, question: Question) -> None:
        question.status = "won"
        self.context.disarm(DEADLINE)
        self.context.disarm(RETRY)
        self.context.note("notice", f"the tie-breaker decides for {', '.join(sorted(question.lives))}")

    def _lose(self, reason: str) -> None:
        assert self.question is not None
        self.question.status = "lost"
        self.context.disarm(DEADLINE)
        self.context.note("warning", f"the tie-breaker decides against us: {reason}")

    def _ask_ping(self, question: Question, group: tuple[str, ...]) -> bool:
        """At once, and again whenever the ping node's state changes."""
        base = self.context.state.base
        if question.status in ("won", "lost") or base is None:
            return False
        senior = base.members[0]
        if question.lives.get(senior.node) != senior.life:
            self._lose(f"{senior.node}, the most senior, is not with us")
        elif not question.is_ripe:
            return False
        elif self.ping_up and self._may_ask(base, group):
            self._win(question)
        elif question.status == "asking":
            question.status = "silent"
            self.context.note("warning", f"tie-breaker: {self.ping} does not answer")
        else:
            return False
        return True

    # Small questions -------------------------------------------------------------------------------------------------

    def _concerns(self, group: tuple[str, ...]) -> bool:
        """Whether we are the coordinator of an exact half that has no other right to quorum."""
        return (
            group[0] == self.context.node
            and self.context.quorum.tied(group)
            and not self.context.quorate_alone(group)
        )

    def _report(self, node: str) -> Report:
        return self.context.links.reports()[node]

    def _may_ask(self, base: View, group: tuple[str, ...]) -> bool:
        """Whether the half comes out of `base` and nobody of it has been in, or bound itself to, a later one."""
        before = succession.lives(base.members)
        lives = self.context.lives_of(group)
        staying = [node for node in group if before.get(node) == lives[node]]
        reports = [self._report(node) for node in group]
        latest = max((report.base.instance for report in reports if report.base is not None), default=0)
        if not self.context.quorum.tied(staying) or latest > base.id.instance:
            return False
        return self.kind == "register" or all(
            report.base == base.id and _is_settled(report, self.context.incarnation) for report in reports
        )

    def _is_unbroken(self, group: tuple[str, ...]) -> bool:
        """Whether these are the quorate view that we hold, and nobody has bound himself elsewhere since. A host that is
        pinged must be in reach all the time."""
        view = self.context.state.view
        return (
            view is not None
            and view.quorate
            and (self.kind == "register" or self.ping_up)
            and succession.lives(view.members) == self.context.lives_of(group)
            and all(self._report(node).promised <= view.id.instance for node in group)
        )


def _is_settled(report: Report, coordinator: str) -> bool:
    """Whether the node has promised nothing but what it holds, or what this coordinator proposed."""
    return report.promise is None or report.promise == report.view or report.promise.coordinator == coordinator
