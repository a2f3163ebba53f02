# SPDX-License-Identifier: GPL-2.0-or-later
"""From one view to the next: ages that are kept, and what a node tells of the difference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ha.ccm.core.connectivity import Connectivity
from ha.ccm.msg import Ended, Member, Propose, Report, View


def lives(members: Iterable[Member]) -> dict[str, str]:
    return {member.node: member.life for member in members}


def seat(base: View | None, reports: Mapping[str, Report], group: Iterable[str], instance: int) -> tuple[Member, ...]:
    """The members of a new view, oldest first.

    Who was in `base` (the coordinator's view) and has been in no later one keeps its age; all others are born now.
    """
    ages = {} if base is None else {(m.node, m.life): m.born_on for m in base.members}
    members = []
    for node in group:
        report = reports[node]
        age = ages.get((node, report.life))
        moved_on = base is not None and report.view is not None and report.view.instance > base.id.instance
        members.append(Member(node, instance if age is None or moved_on else age, report.life))
    return tuple(sorted(members, key=lambda member: (member.born_on, member.node)))


def evidence(base: View | None, links: Connectivity, members: Iterable[Member]) -> dict[str, str]:
    """Per member of `base` that is not among `members` in the same life: who missed it and on what ground."""
    if base is None:
        return {}
    staying = lives(members)
    return {
        member.node: links.why_lost(member.node, staying)
        for member in base.members
        if staying.get(member.node) != member.life
    }


def succeed(previous: View | None, agreed: Propose, node: str, links: Connectivity) -> View:
    """The view `agreed`, with joined and lost as this node sees them against the view it held."""
    before = {} if previous is None else lives(previous.members)
    after = lives(agreed.members)
    lost = tuple(sorted(name for name, life in before.items() if after.get(name) != life and name != node))
    return View(
        id=agreed.id,
        members=agreed.members,
        quorate=agreed.quorate,
        joined=tuple(sorted(name for name, life in after.items() if before.get(name) != life)),
        lost=lost,
        left=tuple(name for name in lost if _left(links.ended.get(name), before[name])),
        evidence={name: agreed.evidence.get(name) or links.why_lost(name, after) for name in lost},
    )


def _left(ended: Ended | None, life: str) -> bool:
    return ended is not None and ended.how == "left" and ended.life == life
