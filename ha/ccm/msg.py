# SPDX-License-Identifier: GPL-2.0-or-later
"""What ccm says: which nodes form the cluster, by which agreement, and with what right."""

from __future__ import annotations

from typing import Literal

import msgspec

import ha.machine


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"ccm.{name}"):
    """Base of ccm's messages."""


class ViewId(msgspec.Struct, frozen=True, order=True):
    """Names one agreed view; never used twice (P2).

    `instance` is the persisted counter of the coordinator, greater than any seen by a member; `coordinator` is that
    ccm's incarnation. Ordered by instance, then coordinator.
    """

    instance: int
    coordinator: str


class Member(msgspec.Struct, frozen=True):
    """A node in a view. `born_on` is the instance in which it joined: members are listed by age, the oldest first."""

    node: str
    born_on: int


class View(msgspec.Struct, frozen=True):
    """What every member of `members` holds true while it is in force.

    `joined` and `lost` are against the previous view of this node; `left` are those of `lost` that said goodbye
    after stopping their resources. `evidence` tells per lost node who missed it and on what ground.
    """

    id: ViewId
    members: tuple[Member, ...]
    quorate: bool
    joined: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    evidence: dict[str, str] = {}

    def names(self) -> tuple[str, ...]:
        return tuple(member.node for member in self.members)


EventName = Literal["NEW_MEMBERSHIP", "INVALID", "NOT_PRIMARY", "PRIMARY_RESTORED", "EVICTED"]


class MembershipEvent(Message, frozen=True, kw_only=True):
    """To every connected module of the node, at once when it connects and then on each change.

    Source: the classic CCM (class OC_EV_MEMB_CLASS). NEW_MEMBERSHIP: a view with quorum. INVALID: a view without.
    NOT_PRIMARY: the view is in doubt, begin nothing new. PRIMARY_RESTORED: it stands after all, same members.
    EVICTED: this node is out; `view` is None.
    """

    event: EventName
    view: View | None


class GetMembership(Message, frozen=True, kw_only=True):
    """From a program: answer with the latest MembershipEvent."""


class ConfirmedDown(Message, frozen=True, kw_only=True):
    """From the crmd: these nodes were fenced with confirmation, so a two-node half may count as quorate."""

    nodes: tuple[str, ...]
