# SPDX-License-Identifier: GPL-2.0-or-later
"""What the parts of the machine share: the durable state, who hears whom, the effects of this step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ha.ccm import model
from ha.ccm.core import succession
from ha.ccm.core.connectivity import Connectivity
from ha.ccm.core.quorum import Facts, Quorum
from ha.ccm.model import State
from ha.ccm.msg import EventName, MembershipEvent, View, ViewId
from ha.machine import Arm, Disarm, Effect, Instant, Level, Local, Note, Persist, Send

if TYPE_CHECKING:
    from ha.ccm.core.tie_breaker import TieBreaker


class Context:
    """`state` changes by `save` only, so that it is durable before what follows. `told` is the modules' knowledge.

    `in_force`: the view held has been installed, or taken up after a restart, in this incarnation.
    """

    def __init__(self, *, node: str, nodes: tuple[str, ...], quorum: Quorum) -> None:
        self.node = node
        self.nodes = tuple(sorted(nodes))
        self.quorum = quorum
        self.tie_breaker: TieBreaker | None = None
        self.links = Connectivity(node, nodes)
        self.state = State()
        self.told: MembershipEvent | None = None
        self.in_force = False
        self.incarnation = ""
        self.subscribers: list[Local] = []
        self.now: Instant = 0
        self.effects: list[Effect] = []
        self.armed: set[str] = set()

    # Effects ---------------------------------------------------------------------------------------------------------

    def save(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)
        self.links.hold(self.state.view)
        self.effects.append(Persist(model.STATE_NAME, model.encode(self.state)))

    def note(self, level: Level, text: str) -> None:
        self.effects.append(Note(level, text))

    def arm(self, timer: str, delay_ms: int) -> None:
        if timer not in self.armed:
            self.armed.add(timer)
            self.effects.append(Arm(timer, self.now + delay_ms))

    def disarm(self, timer: str) -> None:
        if timer in self.armed:
            self.armed.remove(timer)
            self.effects.append(Disarm(timer))

    def tell_evicted(self) -> None:
        if self.told is None or self.told.event != "EVICTED":
            self.tell("EVICTED", None)

    def tell(self, event: EventName, view: View | None) -> None:
        self.told = MembershipEvent(event=event, view=view)
        self.effects.extend(Send(subscriber, self.told) for subscriber in self.subscribers)

    # Small questions -------------------------------------------------------------------------------------------------

    def life(self, node: str) -> str:
        """The node's latest known life; after our restart that of the view we held."""
        held = {} if self.state.view is None else succession.lives(self.state.view.members)
        return self.links.life(node) or held.get(node, "")

    def holds(self, view: ViewId) -> bool:
        return self.state.view is not None and self.state.view.id == view

    def lives_of(self, group: tuple[str, ...]) -> dict[str, str]:
        return {node: self.links.life(node) for node in group}

    def quorate(self, group: tuple[str, ...]) -> bool:
        """By the group's own right, or by the word of the tie-breaker to us."""
        return self.quorate_alone(group) or (self.tie_breaker is not None and self.tie_breaker.wins(group))

    def quorate_alone(self, group: tuple[str, ...]) -> bool:
        others_ended = all(self.links.proved_down(node) for node in self.nodes if node not in group)
        return self.quorum.quorate(
            group, Facts(complete=self.state.complete, last_man=self.state.last_man, others_ended=others_ended)
        )

    def settled(self) -> bool:
        return self.in_force and self.state.view is not None and self.settled_on(self.state.view)

    def settled_on(self, view: View) -> bool:
        """Whether our group is `view` and all of it reports it as held, with nothing promised since."""
        group = self.links.group()
        reports = self.links.reports()
        return (
            succession.lives(view.members) == self.lives_of(group)
            and all(reports[node].view == view.id for node in group)
            and all(reports[node].promised == view.id.instance for node in group)
            and (group[0] != self.node or view.quorate == self.quorate(group))
        )
