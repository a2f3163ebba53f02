# SPDX-License-Identifier: GPL-2.0-or-later
"""Which part of the configured nodes may act as the cluster. One plug-in decides, chosen by the number of nodes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Facts:
    """What a quorum plug-in may know beside the members.

    `complete`: all configured nodes were members together in this node's life, and this one has had the cluster's CIB
    since. `last_man`: this node was the cluster alone and quorate, and no other has been with it since. `others_ended`:
    every node that is not a member is known for certain to be down (fenced with confirmation, or left after stopping
    its resources).
    """

    complete: bool
    last_man: bool
    others_ended: bool


class Quorum(Protocol):
    """`quorate` must grant at most one of any two disjoint sets of members at the same time."""

    name: str

    def quorate(self, members: Collection[str], facts: Facts) -> bool: ...

    def tied(self, members: Collection[str]) -> bool:
        """Whether these are exactly half: the other half can be no majority, and a tie-breaker may decide."""
        ...


class Majority:
    """More than half of the weight of the configured nodes, which is their number where no weights are given.

    Weights count here and nowhere else: they choose no coordinator and keep nobody in a view. They must be the same on
    all nodes, as the nodes themselves.
    """

    name = "majority"

    def __init__(self, nodes: Collection[str], weights: Mapping[str, int]) -> None:
        """Raises ValueError for weights of other nodes, or when nobody has any."""
        strangers = sorted(set(weights) - set(nodes))
        if strangers:
            raise ValueError(f"weights are given for {', '.join(strangers)}: no node of the cluster")
        self._weights = {node: weights.get(node, 1) for node in nodes}
        self._total = sum(self._weights.values())
        if self._total <= 0 or min(self._weights.values()) < 0:
            raise ValueError("weights are numbers from 0 up, and not all 0: nobody could ever have quorum")

    def quorate(self, members: Collection[str], facts: Facts) -> bool:
        return 2 * sum(self._weights[node] for node in members) > self._total

    def tied(self, members: Collection[str]) -> bool:
        return 2 * sum(self._weights[node] for node in members) == self._total


class TwoNode:
    """Both; or one that may be sure that the other is not, and cannot become, the cluster.

    Wait-for-all: after its own start a node needs to have been together with the other, and to have its CIB, else the
    other may be the last man, who comes back alone with what was acknowledged meanwhile. That also ends fencing duels:
    of two halves that shoot each other only one that lived since both were together can be confirmed, since the other
    was down at that moment.

    With a tie-breaker its word is needed in the place of the fence: the node that was shot, or left, may have had that
    word and have acknowledged changes alone.
    """

    name = "two-node"

    def __init__(self, *, has_tie_breaker: bool = False) -> None:
        self._has_tie_breaker = has_tie_breaker

    def quorate(self, members: Collection[str], facts: Facts) -> bool:
        if len(members) == 2 or facts.last_man:
            return True
        return not self._has_tie_breaker and facts.complete and facts.others_ended

    def tied(self, members: Collection[str]) -> bool:
        return len(members) == 1


def choose(nodes: Collection[str], weights: Mapping[str, int], *, has_tie_breaker: bool = False) -> Quorum:
    """The plug-in for a cluster of these configured nodes. Raises ValueError for weights that cannot be.

    Of two nodes one that weighs more than the other is the cluster also alone, and the other never is.
    """
    assert nodes
    if len(nodes) == 2 and not weights:
        return TwoNode(has_tie_breaker=has_tie_breaker)
    return Majority(nodes, weights)
