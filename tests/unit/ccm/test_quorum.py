# SPDX-License-Identifier: GPL-2.0-or-later
"""Which sets of nodes may act as the cluster, with weights and without."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.ccm.core.quorum import Facts, Majority, TwoNode, choose

NOTHING = Facts(complete=False, last_man=False, others_ended=False)


@pytest.mark.parametrize(
    ("weights", "members", "quorate"),
    [
        ({}, "abc", True),
        ({}, "ab", False),
        ({"a": 2}, "ab", True),
        ({"a": 2}, "bcd", True),
        ({"a": 2}, "cd", False),
        ({"a": 3}, "bcd", False),
        ({"b": 0, "c": 0, "d": 0}, "a", True),
        ({"a": 0}, "bc", True),
    ],
)
def test_more_than_half_of_all_weight_is_the_cluster(weights: dict[str, int], members: str, quorate: bool) -> None:
    assert choose("abcd", weights).quorate(members, NOTHING) is quorate


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(any))
def test_of_two_disjoint_sets_one_at_most_is_quorate(given_weights: list[int]) -> None:
    names = "abcdef"[: len(given_weights)]
    quorum = Majority(names, dict(zip(names, given_weights, strict=True)))
    sets = [set(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size)]
    quorate = [members for members in sets if quorum.quorate(members, NOTHING)]
    assert all(one & other for one in quorate for other in quorate)


def test_weights_of_strangers_and_of_nobody_are_refused() -> None:
    with pytest.raises(ValueError, match="ghost"):
        choose("abc", {"ghost": 2})
    with pytest.raises(ValueError, match="not all 0"):
        choose("ab", {"a": 0, "b": 0})


def test_two_nodes_have_their_own_rule_unless_they_are_weighed() -> None:
    assert isinstance(choose("ab", {}), TwoNode)
    weighed = choose("ab", {"a": 2})
    assert weighed.quorate("a", NOTHING)
    assert not weighed.quorate("b", Facts(complete=True, last_man=True, others_ended=True))
