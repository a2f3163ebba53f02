# SPDX-License-Identifier: GPL-2.0-or-later
"""Which part of the configured nodes may act as the cluster. One plug-in decides, chosen by the number of nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Facts:
    """What a quorum plug-in may know beside the members.

    `complete`: all configured nodes were members together in this node's life. `last_man`: this node was the cluster
    alone and quorate, and no other has been with it since. `others_ended`: every node that is not a member is known
    for certain to be down (fenced with confirmation, or left after stopping its resources).
    """

    complete: bool
    last_man: bool
    others_ended: bool


class Quorum(Protocol):
    """`quorate` must grant at most one of any two disjoint sets of members at the same time."""

    name: str

    def quorate(self, members: int, facts: Facts) -> bool: ...


class Majority:
    """More than half of the configured nodes."""

    name = "majority"

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes

    def quorate(self, members: int, facts: Facts) -> bool:
        return 2 * members > self._nodes


class TwoNode:
    """Both; or one that may be sure that the other is not, and cannot become, the cluster.

    Wait-for-all: after its own start a node needs to have been together with the other, else the other may be the last
    man, who comes back alone. That also ends fencing duels: of two halves that shoot each other only one that lived
    since both were together can be confirmed, since the other was down at that moment.
    """

    name = "two-node"

    def quorate(self, members: int, facts: Facts) -> bool:
        return members == 2 or facts.last_man or (facts.complete and facts.others_ended)


def choose(nodes: int) -> Quorum:
    """The plug-in for a cluster of `nodes` configured nodes."""
    assert nodes >= 1
    return TwoNode() if nodes == 2 else Majority(nodes)
