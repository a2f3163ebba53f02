# SPDX-License-Identifier: GPL-2.0-or-later
"""Who hears whom: what our heartbeat says of the others, and what the others' ccms report.

The reports spread as link states do in OSPF (RFC 2328): each node describes itself under a growing number, others pass
the description on unchanged to those who cannot hear it, and every node computes the same function of the same set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from ha.ccm.core.clique import broken_links, fully_connected, partition
from ha.ccm.msg import EVIDENCE_LIMIT, Ended, Report, View, ViewId
from ha.heartbeat.msg import NodeState, NodeStatus

SETTLED: frozenset[NodeState] = frozenset({"active", "dead", "left"})
"""States that say whether a node is there. `init` and `up` say that heartbeat does not know yet."""


GROUNDS_LIMIT = 16
"""Of so many missed nodes a report says on what ground."""


@dataclass(slots=True)
class Peer:
    """What we know of one configured node, ourselves included. `silent` and `held` say why we count it as not heard.

    `hears` is who its report says that it hears, itself included.
    """

    node: str
    state: NodeState | None = None
    active: bool = False
    boot: str = ""
    generation: int = 0
    evidence: str = ""
    silent: str = ""
    held: str = ""
    report: Report | None = None
    hears: frozenset[str] = frozenset()


class Connectivity:
    """The configured nodes and who of them hears whom. `own` is our report as the others shall know it."""

    def __init__(self, node: str, nodes: Iterable[str]) -> None:
        self.node = node
        self.peers = {name: Peer(name) for name in sorted(nodes)}
        self.ended: dict[str, Ended] = {}
        self._held: View | None = None
        self._groups: tuple[tuple[str, ...], ...] | None = None
        assert node in self.peers

    # What heartbeat says ---------------------------------------------------------------------------------------------

    def status(self, message: NodeStatus) -> None:
        """Take in a node's state. A new boot means that all we knew of the node is over."""
        peer = self.peers[message.node]
        if message.boot_id and peer.boot and message.boot_id != peer.boot:
            peer.report = None
            peer.silent = ""
        peer.state = message.state
        peer.boot = message.boot_id or peer.boot
        peer.generation = max(peer.generation, message.generation)
        if peer.report is not None and peer.boot and peer.report.boot != peer.boot:
            peer.report = None
        if message.state in SETTLED:
            peer.active = message.state == "active"
            peer.evidence = message.evidence[:EVIDENCE_LIMIT]
        self._groups = None

    def silence(self, node: str, reason: str) -> None:
        """Count a node as not heard until its ccm speaks again."""
        self.peers[node].silent = reason
        self._groups = None

    def hold_out(self, node: str, reason: str) -> None:
        """Count a node as not heard until that is ended by the reason ""."""
        self.peers[node].held = reason
        self._groups = None

    # What the ccms say -----------------------------------------------------------------------------------------------

    def take(self, report: Report, *, direct: bool) -> None:
        """Take in a report: from the node itself, or passed on by another for a node that we do not hear."""
        peer = self.peers[report.node]
        known = peer.report
        if direct:
            if peer.silent:
                self.silence(report.node, "")
            if peer.boot and report.boot and report.boot != peer.boot:
                # Said by the machine that was there before, and overtaken by the news of its boot.
                return
            if known is not None and known.incarnation == report.incarnation and known.serial > report.serial:
                return
        elif self.hears(report.node) or (known is not None and _version(known) >= _version(report)):
            return
        self._store(report)
        ended = self.ended.get(report.node)
        if direct and ended is not None and ended.life != report.life:
            del self.ended[report.node]
            self._groups = None

    def _store(self, report: Report) -> None:
        peer = self.peers[report.node]
        known, peer.report = peer.report, report
        if known is None or known.hears != report.hears:
            peer.hears = frozenset((*report.hears, report.node))
        if known is None or _bearing(known) != _bearing(report):
            self._groups = None

    def hold(self, view: View | None) -> None:
        """We hold this view: so will its members, of whom we have only older reports."""
        if view != self._held:
            self._held = view
            self._groups = None

    def take_own(self, report: Report) -> None:
        assert report.node == self.node
        self._store(report)

    def promised(self, node: str, view: ViewId) -> None:
        """The node has accepted `view`: what its next report will say is known already."""
        report = self.peers[node].report
        if report is not None and report.promised < view.instance:
            self.peers[node].report = msgspec.structs.replace(report, promised=view.instance, promise=view)
            self._groups = None

    def end(self, ended: Ended) -> None:
        self.ended[ended.node] = ended
        self._groups = None

    # What follows ----------------------------------------------------------------------------------------------------

    def hears(self, node: str) -> bool:
        """Whether we hear the node, in a life that is not over."""
        peer = self.peers[node]
        if node == self.node:
            return True
        ended = self.ended.get(node)
        over = ended is not None and peer.report is not None and peer.report.life == ended.life
        return peer.active and not peer.silent and not peer.held and not over

    def heard(self) -> tuple[str, ...]:
        return tuple(node for node in self.peers if self.hears(node))

    def life(self, node: str) -> str:
        """The node's latest known life, "" when it never reported."""
        report = self.peers[node].report
        return "" if report is None else report.life

    def proved_down(self, node: str) -> bool:
        """Whether the node is known for certain to be down: its last life was fenced or left, and none followed."""
        ended = self.ended.get(node)
        return ended is not None and not self.peers[node].active and self.life(node) in ("", ended.life)

    def reports(self) -> Mapping[str, Report]:
        return {node: peer.report for node, peer in self.peers.items() if peer.report is not None}

    def group(self) -> tuple[str, ...]:
        """The fully connected set that this node belongs to, the most senior first."""
        return self.groups()[-1]

    def groups(self) -> tuple[tuple[str, ...], ...]:
        """That set, last, after those that are taken out of the reporting nodes before it because they are better.

        While the holders of the latest quorate view are whole, nobody of them is dropped for the sake of others.
        """
        if self._groups is None:
            reports = self.expected()
            assert self.node in reports
            order = by_seniority(reports)
            hearing = self._hearing()
            first = reports[order[0]]
            core = [node for node in order if first.quorate and reports[node].view == first.view]
            fitting = order
            if not any(broken_links(core, hearing)):
                all_hear = frozenset(order).intersection(*(hearing[node] for node in core))
                fitting = [node for node in order if node in all_hear and hearing[node].issuperset(core)]
            best = fully_connected(fitting, hearing)
            rest = [node for node in order if node not in best]
            self._groups = (best,) if self.node in best else (best, *partition(rest, hearing, self.node))
        return self._groups

    def whole(self, nodes: Iterable[str]) -> bool:
        """Whether these, which have all reported, hear each other."""
        return not any(broken_links(tuple(nodes), self._hearing()))

    def _hearing(self) -> dict[str, frozenset[str]]:
        """Who hears whom, itself included; for ourselves heartbeat's word of this moment counts."""
        hearing = {node: peer.hears for node, peer in self.peers.items() if peer.report is not None}
        hearing[self.node] = frozenset(self.heard())
        return hearing

    def relays(self, *, all_reports: bool = False) -> tuple[Report, ...]:
        """The reports that some node which hears us needs from us, because it does not hear their authors; or all."""
        reports = self.reports()
        others = [node for node in reports if node != self.node]
        if all_reports:
            return tuple(_in_few_words(reports[node]) for node in others)
        listeners = [node for node in others if self.hears(node) or self.node in self.peers[node].hears]
        # Who is not heard yet is no matter: a node that boots will hear it for itself.
        lacked = {author for node in listeners for author in reports[node].missed}
        if not lacked:
            return ()
        heard = frozenset(self.heard()).union(*(self.peers[node].hears - {node} for node in listeners))
        return tuple(_in_few_words(reports[author]) for author in others if author in lacked and author in heard)

    def missed(self) -> dict[str, str]:
        """Per node that we should hear and do not: on what ground. Of many it is said of the first ones: then it is the
        network, and the words would be most of what it carries when it is back."""
        missed = {
            node: peer.silent or peer.held or peer.evidence or str(peer.state)
            for node, peer in self.peers.items()
            if not self.hears(node) and peer.state in SETTLED
        }
        return {node: why if number < GROUNDS_LIMIT else "" for number, (node, why) in enumerate(missed.items())}

    def why_lost(self, node: str, group: Iterable[str]) -> str:
        """Why the node is not in `group`: who of it misses the node, and on what ground."""
        reports = self.reports()
        grounds = [
            f"{member}: {reports[member].missed.get(node) or 'not heard'}"
            for member in group
            if member in reports and node not in reports[member].hears
        ]
        deaf = [member for member in group if node in reports and member not in reports[node].hears]
        if deaf:
            grounds.append(f"it does not hear {', '.join(deaf)}")
        return "; ".join(grounds)[:EVIDENCE_LIMIT] or "started anew"

    def expected(self) -> dict[str, Report]:
        """The reports, brought up to the view we hold."""
        reports = dict(self.reports())
        for member in () if self._held is None else self._held.members:
            report = reports.get(member.node)
            if self._held is None or report is None or report.life != member.life:
                continue
            if not dropped(report, self._held.id):
                reports[member.node] = msgspec.structs.replace(
                    report, view=self._held.id, quorate=self._held.quorate, born_on=member.born_on
                )
        return reports


def _in_few_words(report: Report) -> Report:
    """As it is passed on: whom the node misses, without the grounds, which it tells its own listeners."""
    return msgspec.structs.replace(report, missed=dict.fromkeys(report.missed, ""))


def by_seniority(reports: Mapping[str, Report]) -> list[str]:
    """The reporting nodes, the one first that should lead, and whose view is the one to go on from.

    Holders of a quorate view come before others, the latest such view first (two quorate views have a member in
    common, so the later one followed from the earlier). Other views follow by their oldest member. Within a view age
    counts, then the name. Nodes without a view come last.
    """
    eldest: dict[ViewId | None, tuple[int, str]] = {}
    for report in reports.values():
        age = (report.born_on, report.node)
        eldest[report.view] = min(age, eldest.get(report.view, age))

    def rank(report: Report) -> tuple[bool, bool, int, tuple[int, str], int, str]:
        instance = report.view.instance if report.view is not None and report.quorate else 0
        return (
            report.view is None, not report.quorate, -instance, eldest[report.view], report.born_on, report.node
        )  # fmt: skip

    return [report.node for report in sorted(reports.values(), key=rank)]


def _bearing(report: Report) -> Report:
    """What of a report has a bearing on the groups."""
    return msgspec.structs.replace(report, serial=0, starts=0, missed={})


def _version(report: Report) -> tuple[int, int]:
    return report.starts, report.serial


def dropped(report: Report, view: ViewId) -> bool:
    """Whether the node has bound itself elsewhere: it does not hold `view` and can no longer install it.

    A report with less promised than a member of it had to promise is merely an old one.
    """
    return report.promised >= view.instance and view not in (report.view, report.promise)
