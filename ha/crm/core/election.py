# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is DC: at most one per view (P2), found in one round trip.

Theory of operation

* In each view the DC that is still in it, else the oldest member with a live crmd, offers to lead. A member promises
  a view to one node only, until a new crmd there asks or the old one releases it. Who has the promises of more than
  half of the view is its DC. Two majorities intersect: while a DC lives, frozen or not, there is no other (P2).
* All members compute the same champion, so that one offer and its answers are the whole election. If the champion
  stays silent the next one by age offers.
* Of two who offer (a merge of two partitions) the younger gives up and releases those who promised it.
* A crmd that has just started forgot what it promised. It first asks every other member, and takes part only then.
* Rolling upgrades: among members the oldest feature set leads, for what it writes all understand; a DC that takes in
  a member with an older one hands over to it. Crmds tell their sets whenever they speak of leading; one that was not
  heard yet is taken for an equal.
* A crmd that has been gone for ABSENT_MS is not counted: its promises died with it.
* Each DC of a view has a term greater than those before it, so that what a dead one said is told apart.

Prior art: Raft's terms and votes (Ongaro 2014), within a view that ccm has agreed on and by age instead of chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ha.ccm.msg import ViewId
from ha.crm.core.context import ABSENT_MS, Context
from ha.crm.msg import AskLeader, JoinOffer, JoinRefuse, JoinRelease, JoinRequest, LeaderIs
from ha.pe.model.values import compare_versions

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

CHAMPION_WAIT_MS = 500
"""An offer is expected by then, or the next by age offers. Longer than the restart of a crashed crmd takes."""

OFFER_REPEAT_MS = 100
ASK_REPEAT_MS = 50
MAX_EARLY = 64
"""Offers of views that we are not told of yet: one per node, of at most so many nodes; more are dropped."""


class Election:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.fresh = True
        self.term = 0
        self.promised = ""
        self.established = False
        self.role: Literal["none", "candidate", "dc"] = "none"
        self.dc_incarnation = ""
        self.promises: dict[str, JoinRequest] = {}
        self.skipped: set[str] = set()
        self.answers: dict[str, LeaderIs] = {}
        self.early: dict[str, JoinOffer] = {}
        self.feature_sets: dict[str, str] = {}

    @property
    def is_dc(self) -> bool:
        return self.role == "dc"

    @property
    def leader(self) -> str:
        """The DC of this view, "" when there is none yet."""
        return self.promised if self.established else ""

    def in_office(self, sender: str, view: ViewId, term: int) -> bool:
        """Whether a message is from the DC that we follow, of this view and term."""
        return view == self.context.view_id and self.established and sender == self.promised and term == self.term

    # Views -----------------------------------------------------------------------------------------------------------

    def new_view(self) -> None:
        """The context holds the new view; nothing said in an older one counts."""
        before = self.leader
        self.term, self.promised, self.established = 0, "", False
        self.role, self.promises, self.skipped = "none", {}, set()
        if not self.context.members():
            return
        if self.fresh:
            self.ask()
        else:
            self.contend(before)
        for sender in sorted(self.early):
            offer = self.early[sender]
            if offer.view == self.context.view_id:
                del self.early[sender]
                self.offered(sender, offer)
            elif self.context.view is not None and offer.view < self.context.view.id:
                del self.early[sender]

    def ask(self) -> None:
        others = [node for node in self.context.members() if node != self.context.node]
        waiting = [n for n in others if n not in self.answers and not self.context.is_absent(n)]
        if not waiting:
            self._conclude()
            return
        assert self.context.view is not None, "only a member of a view asks"
        for node in waiting:
            self.context.tell(node, AskLeader(
                view=self.context.view.id, incarnation=self.context.incarnation, feature_set=self._ours))
        self.context.arm("election/ask", ASK_REPEAT_MS)

    def asked(self, sender: str, message: AskLeader) -> None:
        """A crmd that asks has just started: whatever it was before, it is not any more."""
        self._learn(sender, message.feature_set)
        if message.view != self.context.view_id:
            return
        if self.promised == sender:
            self.leader_gone(f"the crmd of {sender} has started anew")
        self.promises.pop(sender, None)
        self.context.tell(
            sender,
            LeaderIs(view=message.view, term=self.term, dc=self.promised, established=self.established,
                     feature_set=self._ours),
        )
        if self.is_dc:
            self._offer_to(sender)

    def answered(self, sender: str, message: LeaderIs) -> None:
        self._learn(sender, message.feature_set)
        if message.view != self.context.view_id or not self.fresh:
            return
        self.answers[sender] = message
        others = [n for n in self.context.members() if n != self.context.node]
        if all(n in self.answers or self.context.is_absent(n) for n in others):
            self._conclude()

    def _conclude(self) -> None:
        """Everybody has answered: we may have promised whom they name. If they name two, ask again later."""
        answers = [a for a in self.answers.values() if a.view == self.context.view_id]
        self.answers = {}
        named = sorted({a.dc for a in answers if a.dc not in ("", self.context.node)})
        if len(named) > 1:
            self.context.arm("election/ask", ASK_REPEAT_MS)
            return
        self.fresh = False
        self.context.disarm("election/ask")
        self.term = max([self.term, *(a.term for a in answers)])
        self.promised = named[0] if named else ""
        self.contend(self.promised)

    # Contending ------------------------------------------------------------------------------------------------------

    def contend(self, prefer: str = "") -> None:
        """Offer to lead, or wait for the one who should."""
        if self.crmd.fsm.ended or self.leader:
            return
        champion = self.promised or self._champion(prefer)
        if champion == self.context.node:
            self._claim()
            return
        self.crmd.fsm.become("S_PENDING", f"waiting for {champion or 'a live crmd'} to lead")
        self.context.arm("election/wait", CHAMPION_WAIT_MS)

    def _champion(self, prefer: str) -> str:
        """By age; but whom we prefer, or who is older, does not lead over a member with an older feature set."""
        best = ""
        for node in [prefer, *self.context.members()]:
            if node in self.context.members() and self._able(node) and (not best or self._is_older(node, best)):
                best = node
        return best

    def _able(self, node: str) -> bool:
        if node == self.context.node:
            return not self.crmd.shutdown.has_left
        return node not in self.skipped and self.context.peer_up.get(node, True)

    # Feature sets ----------------------------------------------------------------------------------------------------

    @property
    def _ours(self) -> str:
        return self.context.settings.feature_set

    def _learn(self, node: str, feature_set: str) -> None:
        if feature_set:
            self.feature_sets[node] = feature_set

    def _is_older(self, node: str, other: str) -> bool:
        """By feature set."""
        sets = [self._ours if n == self.context.node else self.feature_sets.get(n, self._ours) for n in (node, other)]
        return compare_versions(*sets) < 0

    def _goes_before(self, node: str, other: str) -> bool:
        if self._is_older(node, other) or self._is_older(other, node):
            return self._is_older(node, other)
        return self._age(node) < self._age(other)

    def _hand_over(self, heir: str) -> None:
        """A member with an older feature set is in. We let go first, then the others may promise it (P2)."""
        assert self.is_dc and self.context.view is not None, "only a DC has something to hand over"
        why = f"{heir} has the older feature set {self.feature_sets[heir]}, we {self._ours}"
        self.crmd.relinquish(why)
        self.role, self.promises, self.promised, self.established = "none", {}, "", False
        self.term += 1
        self.context.disarm("election/offer")
        self.context.tell_others(JoinRelease(view=self.context.view.id))
        self.crmd.leader_lost(why)
        self.contend()

    # -----------------------------------------------------------------------------------------------------------------

    def _claim(self) -> None:
        assert self.context.view is not None, "only a member of a view can lead it"
        self.crmd.fsm.become("S_ELECTION", "offering to lead")
        self.term += 1
        self.role, self.promised, self.established = "candidate", self.context.node, False
        self.promises = {self.context.node: self._request()}
        self.context.tell_others(self._offer())
        self.context.arm("election/offer", OFFER_REPEAT_MS)
        self.count()

    def count(self) -> None:
        """Are the promises more than half of those who count?"""
        if self.role != "candidate":
            return
        members = self.context.members()
        counted = [n for n in members if not self.context.is_absent(n)]
        if len([n for n in counted if n in self.promises]) * 2 > len(counted):
            self._become_dc()

    def _become_dc(self) -> None:
        assert self.role == "candidate", f"{self.role} => dc"
        assert self.promised == self.context.node, f"promised to {self.promised}"
        self.role, self.established = "dc", True
        self.dc_incarnation = self.context.incarnation
        self.context.disarm("election/wait")
        self.context.arm("election/offer", OFFER_REPEAT_MS)
        self.crmd.became_dc()
        for node in self.context.members():
            if node != self.context.node:
                self._offer_to(node)
            if node in self.promises:
                self.crmd.join.requested(node, self.promises[node])

    # Messages --------------------------------------------------------------------------------------------------------

    def offered(self, sender: str, offer: JoinOffer) -> None:
        self._learn(sender, offer.feature_set)
        view = self.context.view
        if view is None or offer.view != view.id:
            if (view is None or offer.view > view.id) and (sender in self.early or len(self.early) < MAX_EARLY):
                self.early[sender] = offer
            return
        if self.crmd.fsm.ended or sender not in view.names():
            return
        if self.fresh and not offer.established:
            return  # asked again when we know what was promised; the offer is repeated
        if self._acceptable(sender, offer):
            self._promise(sender, offer)
        else:
            self.context.tell(sender, JoinRefuse(view=view.id, term=self.term, dc=self.promised))
            if self.is_dc:
                self._offer_to(sender)

    def _acceptable(self, sender: str, offer: JoinOffer) -> bool:
        if self.is_dc:
            if offer.established:  # heartbeat said wrongly that one of us was gone: the later one is followed
                self.context.note("error", f"{sender} is DC of this view too, term {offer.term} to our {self.term}")
            return offer.established and offer.term > self.term
        if offer.established:
            return True
        if offer.term < self.term:
            return False
        if self.promised in ("", sender):
            return True
        return self.role == "candidate" and self._goes_before(sender, self.context.node)

    def _promise(self, sender: str, offer: JoinOffer) -> None:
        before = self.leader
        if self.role == "candidate":
            self.context.tell_others(JoinRelease(view=offer.view))
        self.fresh = False
        self.role, self.promises = "none", {}
        self.term, self.promised, self.established = offer.term, sender, offer.established
        self.dc_incarnation = offer.incarnation
        self.crmd.relinquish(f"{sender} leads term {offer.term}")
        self.context.disarm("election/offer")
        self.context.disarm("election/ask")
        self.context.tell(sender, self._request())
        if self.established:
            self.context.disarm("election/wait")
            if before != sender or self.crmd.fsm.state != "S_NOT_DC":
                self.crmd.followed(sender)
        else:
            self.context.arm("election/wait", CHAMPION_WAIT_MS)

    def accept_ack(self, sender: str, view: ViewId, term: int) -> bool:
        """An acknowledgement of the one we promised to says that it has won."""
        if view != self.context.view_id or term != self.term or sender != self.promised or self.role == "candidate":
            return False
        self.established = True
        self.context.disarm("election/wait")
        if sender != self.context.node:
            self.crmd.followed(sender)
        return True

    def requested(self, sender: str, request: JoinRequest) -> None:
        self._learn(sender, request.feature_set)
        if request.view != self.context.view_id:
            return
        if self.role == "none":
            self.context.tell(sender, JoinRelease(view=request.view))
            return
        if request.term != self.term:
            return
        self.promises[sender] = request
        older = self._is_older(sender, self.context.node) and not request.leaving and sender not in self.skipped
        if self.is_dc and older:
            self._hand_over(sender)
        elif self.is_dc:
            self.crmd.join.requested(sender, request)
        else:
            self.count()

    def refused(self, sender: str, refusal: JoinRefuse) -> None:
        """A rival has the sender's promise: the older of us two will win. A DC before us had a greater term: offer
        one above it."""
        if refusal.view != self.context.view_id or self.role != "candidate":
            return
        if refusal.term > self.term:
            self.term = refusal.term
            self._claim()

    def released(self, sender: str, release: JoinRelease) -> None:
        """Whom we promised gave up: its rival's offer is repeated soon."""
        if release.view != self.context.view_id or sender != self.promised or sender == self.context.node:
            return
        self.skipped.add(sender)
        self.leader_gone(f"{sender} does not lead", spent=self.established)

    def resign(self) -> None:
        """We leave: nobody's follower, nobody's leader."""
        if self.role != "none" and self.context.view is not None:
            self.context.tell_others(JoinRelease(view=self.context.view.id))
        self.role, self.promised, self.established, self.promises = "none", "", False, {}
        for timer in ("election/offer", "election/wait", "election/ask"):
            self.context.disarm(timer)

    # Time and peers --------------------------------------------------------------------------------------------------

    def fired(self, timer: str) -> None:
        if timer == "election/ask" and self.fresh:
            self.ask()
        elif timer == "election/absent":
            self._release_absent()
        elif timer == "election/offer" and self.role != "none":
            self._repeat_offer()
        elif timer == "election/wait" and not self.leader and self.role == "none" and not self.fresh:
            if self.promised:
                self.context.tell(self.promised, self._request())
                self.context.arm("election/wait", CHAMPION_WAIT_MS)
                return
            champion = self._champion("")
            self.skipped.add(champion)
            if all(n in self.skipped for n in self.context.members() if n != self.context.node):
                self.skipped = {champion}
            self.context.note("notice", f"no offer to lead came from {champion or 'anybody'}; the next by age offers")
            self.contend()

    def _release_absent(self) -> None:
        if self.context.in_doubt:
            self.context.arm("election/absent", ABSENT_MS)
        elif self.promised and self.context.is_absent(self.promised):
            self.leader_gone(f"the crmd of {self.promised} has been gone for {ABSENT_MS} ms")
        self.count()

    def _repeat_offer(self) -> None:
        missing = [n for n in self.context.members() if n != self.context.node and not self._has_answered(n)]
        for node in missing:
            self._offer_to(node)
        if missing:
            self.context.arm("election/offer", OFFER_REPEAT_MS)
        self.count()

    def _has_answered(self, node: str) -> bool:
        request = self.promises.get(node)
        return request is not None and (request.to_established or not self.is_dc)

    def peer_up(self, node: str) -> None:
        self.skipped.discard(node)
        if self.fresh and node in self.context.members():
            self.ask()
        elif self.role != "none" and node in self.context.members():
            self.promises.pop(node, None)
            self._offer_to(node)
            self.context.arm("election/offer", OFFER_REPEAT_MS)

    def peer_down(self, node: str) -> None:
        """Heartbeat has lost touch with it: it died, or its node did, or only a heartbeat worker. A promise stands
        until a new crmd there asks, ccm agrees on a new view, or it was absent for long."""
        self.context.arm("election/absent", ABSENT_MS)
        if self.promised == "" and self.role == "none" and not self.fresh:
            self.contend()  # it may have been the champion

    def leader_gone(self, why: str, spent: bool = True) -> None:
        """The promise is void. If it may have made a DC, that term is spent: the next must have a greater."""
        assert self.promised != self.context.node, "we are not gone"
        was_established = self.established
        self.promised, self.established = "", False
        self.term += spent
        if was_established:
            self.crmd.leader_lost(why)
        if not self.fresh:
            self.contend()

    # -----------------------------------------------------------------------------------------------------------------

    def _offer(self) -> JoinOffer:
        assert self.context.view is not None, "an offer belongs to a view"
        return JoinOffer(view=self.context.view.id, term=self.term, incarnation=self.context.incarnation,
                         established=self.is_dc, feature_set=self._ours)

    def _offer_to(self, node: str) -> None:
        self.context.tell(node, self._offer())

    def _request(self) -> JoinRequest:
        assert self.context.view is not None, "a request belongs to a view"
        return JoinRequest(view=self.context.view.id, term=self.term, incarnation=self.context.incarnation,
                           feature_set=self._ours, taken=self.crmd.orders.taken, to_established=self.established,
                           leaving=self.crmd.shutdown.wanted, alerts=self.crmd.alerts.digest)

    def _age(self, node: str) -> int:
        members = self.context.members()
        return members.index(node) if node in members else len(members)
