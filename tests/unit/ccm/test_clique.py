# SPDX-License-Identifier: GPL-2.0-or-later
"""The largest fully connected set, against trying all sets."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.ccm.core.clique import fully_connected, partition

NODES = "abcdefgh"
PAIRS = list(itertools.combinations(NODES, 2))


def by_trying_all(broken: set[tuple[str, str]]) -> tuple[str, ...]:
    for size in range(len(NODES), 0, -1):
        for group in itertools.combinations(NODES, size):
            if not any(pair in broken for pair in itertools.combinations(group, 2)):
                return group
    return ()


def hearing(broken: set[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Of each broken pair one end is deaf: the first and the second in turn."""
    deaf = {pair if index % 2 else pair[::-1] for index, pair in enumerate(sorted(broken))}
    return {node: frozenset(other for other in NODES if (node, other) not in deaf) for node in NODES}


@given(st.sets(st.sampled_from(PAIRS)))
def test_it_is_the_largest_and_of_these_the_most_senior(broken: set[tuple[str, str]]) -> None:
    assert fully_connected(NODES, hearing(broken)) == by_trying_all(broken)


@given(st.sets(st.sampled_from(PAIRS)), st.sampled_from(NODES))
def test_a_partition_is_of_disjoint_connected_sets_and_ends_with_ones_own(
    broken: set[tuple[str, str]], node: str
) -> None:
    groups = partition(NODES, hearing(broken), node)
    members = [member for group in groups for member in group]
    assert len(set(members)) == len(members)
    assert node in groups[-1]
    for group in groups:
        assert not any(pair in broken for pair in itertools.combinations(sorted(group), 2))


@pytest.mark.parametrize("size", [32, 128])
def test_many_nodes_with_many_broken_links_end_in_a_connected_set(size: int) -> None:
    nodes = [f"n{number:03}" for number in range(size)]

    def connected(one: str, other: str) -> bool:
        low, high = sorted((int(one[1:]), int(other[1:])))
        return (low * 7 + high * 13) % 5 != 0

    group = fully_connected(nodes, {a: frozenset(b for b in nodes if connected(a, b)) for a in nodes})
    assert all(connected(one, other) for one, other in itertools.combinations(group, 2))
