# SPDX-License-Identifier: GPL-2.0-or-later
"""The largest set of nodes that all hear each other.

Finding it is the maximum clique problem. Broken links are few, so it is solved from the other side: take out the
fewest nodes until no broken pair is left (a minimum vertex cover of the broken pairs), by branching on the node with
the most of them. Past BRANCHES_LIMIT the search takes the greedy branch only: the result is then fully connected and
the same on every node still, but may not be the largest.

Sets of nodes are bits of an integer here, the most senior node the lowest bit: with 128 nodes a search must not hold
up the loop that beats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

BRANCHES_LIMIT = 500
"""Most branching points explored exactly; 10 nodes with arbitrary broken links stay far below."""

Hearing = Mapping[str, frozenset[str]]
"""Per node the nodes that it hears, itself or not."""


def fully_connected(nodes: Sequence[str], hears: Hearing) -> tuple[str, ...]:
    """The largest subset of `nodes` (given senior first, kept in that order) whose pairs all hear each other.

    Of equally large ones, that with the most senior nodes: the first in the order of their ranks.
    """
    broken = broken_links(nodes, hears)
    best = _Search(broken).best((1 << len(nodes)) - 1)
    return tuple(node for rank, node in enumerate(nodes) if best >> rank & 1)


def partition(nodes: Sequence[str], hears: Hearing, of: str) -> tuple[tuple[str, ...], ...]:
    """The largest sets, taken out of `nodes` one after the other until one contains `of`, which is the last."""
    rest = tuple(nodes)
    assert of in rest
    groups: list[tuple[str, ...]] = []
    while not groups or of not in groups[-1]:
        groups.append(fully_connected(rest, hears))
        rest = tuple(node for node in rest if node not in groups[-1])
    return tuple(groups)


def broken_links(nodes: Sequence[str], hears: Hearing) -> list[int]:
    """Per node, by rank, the bits of those that it does not hear or that do not hear it."""
    broken = [0] * len(nodes)
    present = frozenset(nodes)
    ranks = {node: rank for rank, node in enumerate(nodes)}
    for rank, node in enumerate(nodes):
        for missed in present - hears[node]:
            other = ranks[missed]
            if other != rank:
                broken[rank] |= 1 << other
                broken[other] |= 1 << rank
    return broken


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class _Search:
    def __init__(self, broken: list[int]) -> None:
        self._broken = broken
        self._branches = 0

    def best(self, nodes: int) -> int:
        """The best subset of `nodes`. Steps that leave no choice are taken in the loop, not by recursion."""
        while True:
            worst, degree = -1, 0
            for rank in _bits(nodes):
                count = (self._broken[rank] & nodes).bit_count()
                if count and count >= degree:
                    worst, degree = rank, count
            if not degree:
                return nodes
            without = nodes & ~(1 << worst)
            if degree == 1 or self._branches >= BRANCHES_LIMIT:
                # Only separate pairs are left: the younger of each goes.
                nodes = without
                continue
            self._branches += 1
            return self._better(self.best(without), self.best(nodes & ~self._broken[worst]))

    @staticmethod
    def _better(one: int, other: int) -> int:
        if one.bit_count() != other.bit_count() or one == other:
            return one if one.bit_count() >= other.bit_count() else other
        # The first rank where they differ decides: who has it is the more senior.
        first = (one ^ other) & -(one ^ other)
        return one if one & first else other
