# SPDX-License-Identifier: GPL-2.0-or-later
"""What ccm says: which nodes form the cluster, by which agreement, and with what right.

The first half is for the other modules and the tools; the second is what the ccms of the nodes say to each other
(`ha.ccm.core` describes the protocol).
"""

from __future__ import annotations

from typing import Annotated, Literal

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
    """A node in a view. `born_on` is the instance in which it joined: members are listed by age, the oldest first.

    `life` names the node from one start of its cluster stack to its end: another after a reboot or a clean leave,
    the same after the restart of a worker.
    """

    node: str
    born_on: int
    life: str = ""


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


class Synchronized(Message, frozen=True, kw_only=True):
    """From the cib: this node has, durably, all that the cluster had acknowledged when `view` began.

    Said again whenever the link stands anew. Of two nodes only one that was synchronized with the other may become the
    cluster alone: what was acknowledged while the other was alone is nowhere else.
    """

    view: ViewId


# Between the ccms of the nodes ---------------------------------------------------------------------------------------

NODES_LIMIT = 256
"""Most nodes a message may speak of; ha.cf allows fewer."""

EVIDENCE_LIMIT = 400
"""Most characters of evidence per lost node; the rest is cut off."""


class Report(msgspec.Struct, frozen=True):
    """What one node says of itself. `starts` and `serial` order its reports; others pass them on unchanged.

    `hears` names the nodes (itself included) that it hears, `missed` says of others on what ground not. `view` is the
    view it holds, `quorate` and `born_on` are that view's quorum and its own age there. It has promised not to agree
    to an instance up to `promised` any more; `promise` is the agreed proposal that may yet become its view. `base` is
    the latest view with quorum that it held in this life.
    """

    node: str
    incarnation: str
    life: str
    boot: str
    starts: int
    serial: int
    hears: Annotated[tuple[str, ...], msgspec.Meta(max_length=NODES_LIMIT)]
    view: ViewId | None = None
    quorate: bool = False
    born_on: int = 0
    promised: int = 0
    promise: ViewId | None = None
    base: ViewId | None = None
    missed: dict[str, str] = {}


class Ended(msgspec.Struct, frozen=True):
    """A life that is over for certain: the node said goodbye after stopping its resources, or its fencing is confirmed.

    `life` is empty when the node was never heard.
    """

    node: str
    life: str
    how: Literal["left", "fenced"]


class Reach(Message, frozen=True, kw_only=True):
    """To every ccm: my own report first, then those that some listener of mine cannot hear for itself.

    `ask`: answer with yours.
    """

    reports: Annotated[tuple[Report, ...], msgspec.Meta(min_length=1, max_length=NODES_LIMIT)]
    ended: Annotated[tuple[Ended, ...], msgspec.Meta(max_length=NODES_LIMIT)] = ()
    ask: bool = False


class Propose(Message, frozen=True, kw_only=True):
    """From the coordinator to each of `members`: let this be our next view. Repeated until all of them accepted.

    `base` is given by a half that has quorum by a tie-breaker: the view with quorum that it comes from.
    """

    id: ViewId
    members: Annotated[tuple[Member, ...], msgspec.Meta(min_length=1, max_length=NODES_LIMIT)]
    quorate: bool
    evidence: dict[str, str] = {}
    base: ViewId | None = None


class Accept(Message, frozen=True, kw_only=True):
    """To the proposer: I have promised, durably, to agree to nothing older than this."""

    id: ViewId
