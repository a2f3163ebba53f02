# SPDX-License-Identifier: GPL-2.0-or-later
"""What this node says of itself to the other ccms."""

from __future__ import annotations

import msgspec

from ha.ccm.core.context import Context
from ha.ccm.msg import Reach, Report
from ha.machine import Everyone, Send


class Reporter:
    """`said` is the last broadcast; None when the others may have lost it, or nothing was said yet."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.said: Reach | None = None

    def refresh(self) -> None:
        """Bring our own report up to date."""
        state = self.context.state
        view = state.view
        old = self.context.links.peers[self.context.node].report
        ages = {} if view is None else {member.node: member.born_on for member in view.members}
        report = Report(
            node=self.context.node,
            incarnation=self.context.incarnation,
            life=state.life,
            boot=state.boot,
            starts=state.starts,
            serial=0 if old is None else old.serial,
            hears=self.context.links.heard(),
            view=None if view is None else view.id,
            quorate=view is not None and view.quorate,
            born_on=ages.get(self.context.node, 0),
            promised=state.promised,
            promise=None if state.promise is None else state.promise.id,
            base=None if state.base is None else state.base.id,
            missed=self.context.links.missed(),
        )
        if report != old:
            self.context.links.take_own(msgspec.structs.replace(report, serial=report.serial + 1))

    def reach(self, *, ask: bool, all_reports: bool = False) -> Reach:
        own = self.context.links.peers[self.context.node].report
        assert own is not None
        relays = self.context.links.relays(all_reports=all_reports)
        return Reach(reports=(own, *relays), ended=tuple(self.context.links.ended.values()), ask=ask)

    def publish(self) -> bool:
        """Broadcast what others need to know, when it has changed; whether it has."""
        first = self.said is None
        reach = self.reach(ask=first)
        if self.said is not None and _substance(reach) == _substance(self.said):
            return False
        self.said = reach
        self.context.effects.append(Send(Everyone("ccm"), reach))
        return True

    def can_wait(self) -> bool:
        """Whether there is news, and all of it is that we hear more nodes, or what others say: it harms nobody to hear
        of that somewhat later."""
        if self.said is None or _substance(self.reach(ask=False)) == _substance(self.said):
            return False
        own = self.context.links.peers[self.context.node].report
        assert own is not None
        before = self.said.reports[0]
        grown = set(own.hears) >= set(before.hears)
        same = msgspec.structs.replace(own, hears=before.hears, missed=before.missed)
        return grown and _own_substance(same) == _own_substance(before)


def _own_substance(report: Report) -> Report:
    """A promise alone is told to the proposer, and to all when there is no rest."""
    return msgspec.structs.replace(report, serial=0, promised=0, promise=None)


def _substance(reach: Reach) -> Reach:
    """What others act upon."""
    return msgspec.structs.replace(reach, reports=(_own_substance(reach.reports[0]), *reach.reports[1:]), ask=False)
