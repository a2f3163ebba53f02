# SPDX-License-Identifier: GPL-2.0-or-later
"""How a crmd becomes a member under a DC: offer, request, acknowledgement, confirmation with the LRM's history.

DC's side of each member:    offered ──JoinRequest──► acked ──JoinConfirm──► confirmed
                                 └── JoinRequest of an incarnation that is confirmed already ──► confirmed

The offer and the request are the election's. A member keeps its place through changes of view as long as its
incarnation and the DC's are the same: its results came as reports all the while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ha.crm.core.context import Context
from ha.crm.msg import JoinAck, JoinConfirm, JoinRequest
from ha.lrm.msg import GetHistory, History
from ha.machine import Instant
from ha.pe.model.values import compare_versions

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

ACK_REPEAT_MS = 200
JOIN_WAIT_MS = 1_000
"""Scheduling waits this long for members whose crmd is up and has not confirmed; then it goes on without them."""


@dataclass(slots=True)
class Candidate:
    incarnation: str
    phase: Literal["acked", "confirmed"]
    reported: int = 0


class Join:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.candidates: dict[str, Candidate] = {}
        self.early: dict[str, JoinConfirm] = {}
        self.deadline: Instant = 0
        self.owes_history = False

    # The DC's side ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new term of ours: who is not in the view is no candidate any more."""
        members = self.context.members()
        self.candidates = {node: c for node, c in self.candidates.items() if node in members}
        self.early = {}
        self.deadline = self.context.now + JOIN_WAIT_MS
        self.context.arm("join/wait", JOIN_WAIT_MS)

    def forget(self) -> None:
        self.candidates, self.early = {}, {}
        self.context.disarm("join/ack")
        self.context.disarm("join/wait")

    def only_these_stayed(self, nodes: set[str]) -> None:
        """Who went and came back joins anew."""
        for node in [node for node in self.candidates if node not in nodes]:
            self.drop(node)

    def drop(self, node: str) -> None:
        """It was fenced; what comes back is another incarnation."""
        self.candidates.pop(node, None)
        self.early.pop(node, None)

    def requested(self, node: str, request: JoinRequest) -> None:
        ours = self.context.settings.feature_set
        if compare_versions(request.feature_set, ours) != 0:
            self.context.note("notice", f"{node} speaks feature set {request.feature_set}, we {ours}")
        self.crmd.alerts.member_holds(node, request.alerts)
        known = self.candidates.get(node)
        if known is not None and known.reported < request.taken:
            # In a view that we were not part of, another DC took what we have not heard: its history must come anew.
            known = None
        if known is not None and known.incarnation == request.incarnation and known.phase == "confirmed":
            self.crmd.member_kept(node)
            return
        if known is None or known.incarnation != request.incarnation:
            self.candidates[node] = Candidate(request.incarnation, "acked")
        self._ack(node)
        self.context.arm("join/ack", ACK_REPEAT_MS)

    def _ack(self, node: str) -> None:
        assert self.context.view is not None, "a DC has a view"
        self.context.tell(node, JoinAck(view=self.context.view.id, term=self.crmd.election.term))

    def confirmed(self, node: str, message: JoinConfirm) -> None:
        election = self.crmd.election
        if not election.is_dc or message.view != self.context.view_id or message.term != election.term:
            return
        known = self.candidates.get(node)
        if known is None or known.incarnation != message.incarnation or known.phase == "confirmed":
            return
        if not self.crmd.ground.loaded:
            self.early[node] = message
            return
        known.phase, known.reported = "confirmed", message.reported
        self.crmd.member_joined(node, message)

    def ground_is_ready(self) -> None:
        """The CIB can be written: take in those who confirmed before."""
        for node in sorted(self.early):
            self.confirmed(node, self.early.pop(node))

    def is_confirmed(self, node: str) -> bool:
        known = self.candidates.get(node)
        return known is not None and known.phase == "confirmed"

    def settled(self) -> bool:
        """Whether every member is in, or was waited for long enough."""
        if self.context.now >= self.deadline:
            return not self.early
        return all(self.is_confirmed(n) for n in self.context.members() if not self.context.is_absent(n))

    def fired(self, timer: str) -> None:
        if not self.crmd.election.is_dc:
            return
        if timer == "join/wait":
            self._go_on_without()
            return
        waiting = [n for n in sorted(self.candidates) if not self.is_confirmed(n) and n not in self.early]
        for node in waiting:
            self._ack(node)
        if waiting:
            self.context.arm("join/ack", ACK_REPEAT_MS)

    def _go_on_without(self) -> None:
        """Who has not joined by now is shown as arriving; one that was a member before keeps its place (P4)."""
        if not self.crmd.ground.loaded:
            return
        for node in self.context.members():
            record = self.crmd.status.copy.nodes.get(node)
            if not self.is_confirmed(node) and (record is None or not record.joined):
                self.crmd.status.set_arriving(node)

    # The member's side -----------------------------------------------------------------------------------------------

    def acked(self, sender: str, message: JoinAck) -> None:
        """The DC wants our history: ask the LRM for it; without an LRM now, when it is back."""
        election = self.crmd.election
        if not election.in_office(sender, message.view, message.term) and not election.accept_ack(
            sender, message.view, message.term
        ):
            return
        self.owes_history = True
        self.ask_history()

    def ask_history(self) -> None:
        self.context.send("lrmd", GetHistory())

    def history(self, message: History) -> None:
        election, view = self.crmd.election, self.context.view
        if not self.owes_history or view is None or not election.leader:
            return
        self.owes_history = False
        self.context.tell(
            election.leader,
            JoinConfirm(view=view.id, term=election.term, incarnation=self.context.incarnation,
                        results=message.results, running=message.running,
                        reported=self.crmd.orders.history_told()),
        )
