# SPDX-License-Identifier: GPL-2.0-or-later
"""The largest set of nodes that all hear each other.

Finding it is the maximum clique problem. Broken links are few, so it is solved from the other side: take out the
fewest nodes until no broken pair is left (a minimum vertex cover of the broken pairs), by branching on the node with
the most of them. Past BRANCHES_LIMIT the search takes the greedy branch only: the result is then fully connected and
the same on every node still, but may not be the largest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

BRANCHES_LIMIT = 2_000
"""Most branching points explored exactly; 12 nodes with arbitrary broken links stay far below."""


def fully_connected(nodes: Sequence[str], connected: Callable[[str, str], bool]) -> tuple[str, ...]:
    """The largest subset of `nodes` (given senior first, kept in that order) whose pairs are all connected.

    Of equally large ones, that with the most senior nodes: the first in the order of their ranks.
    """
    rank = {node: place for place, node in enumerate(nodes)}
    broken = {a: frozenset(b for b in nodes if a != b and not connected(a, b)) for a in nodes}
    return _Search(rank, broken).best(tuple(nodes))


def partition(nodes: Sequence[str], connected: Callable[[str, str], bool], of: str) -> tuple[tuple[str, ...], ...]:
    """The largest sets, taken out of `nodes` one after the other until one contains `of`, which is the last."""
    rest = tuple(nodes)
    assert of in rest
    groups: list[tuple[str, ...]] = []
    while not groups or of not in groups[-1]:
        groups.append(fully_connected(rest, connected))
        rest = tuple(node for node in rest if node not in groups[-1])
    return tuple(groups)


class _Search:
    def __init__(self, rank: dict[str, int], broken: dict[str, frozenset[str]]) -> None:
        self._rank = rank
        self._broken = broken
        self._branches = 0

    def best(self, nodes: tuple[str, ...]) -> tuple[str, ...]:
        present = frozenset(nodes)
        degree = {node: len(self._broken[node] & present) for node in nodes}
        worst = max(nodes, key=lambda node: (degree[node], self._rank[node]), default=None)
        if worst is None or degree[worst] == 0:
            return nodes
        without = tuple(node for node in nodes if node != worst)
        if degree[worst] == 1 or self._branches >= BRANCHES_LIMIT:
            # Only separate pairs are left: the younger of each goes.
            return self.best(without)
        self._branches += 1
        keeping = tuple(node for node in nodes if node not in self._broken[worst])
        return min(self.best(without), self.best(keeping), key=self._merit)

    def _merit(self, nodes: tuple[str, ...]) -> tuple[int, list[int]]:
        return -len(nodes), [self._rank[node] for node in nodes]
