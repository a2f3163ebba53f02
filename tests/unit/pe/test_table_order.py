# SPDX-License-Identifier: GPL-2.0-or-later
"""The order in which tables are walked, and the sort for what is no order."""

from ha.pe.model.table_order import merge_sorted, string_hash, walked


def test_the_hash_is_the_one_of_glibs_early_days() -> None:
    assert string_hash("1") == 49
    assert string_hash("ab") == 97 * 31 + 98
    assert string_hash("") == 2


def test_a_table_is_walked_as_pacemaker_walks_it() -> None:
    """As seen in the trace of crm_simulate 2.1.5; the third and the fourth want the same slot."""
    keys = ["guest1", "guest2", "1", "2", "3", "4", "5"]
    assert walked(keys) == ["1", "3", "guest1", "5", "2", "4", "guest2"]


def test_every_key_is_walked_once() -> None:
    keys = [f"node{i}" for i in range(200)]
    assert sorted(walked(keys + keys)) == sorted(keys)


def test_what_is_an_order_is_sorted_stably() -> None:
    pairs = [(3, "a"), (1, "b"), (2, "c"), (1, "d"), (3, "e")]
    assert merge_sorted(pairs, lambda one, other: one[0] - other[0]) == sorted(pairs, key=lambda pair: pair[0])


def test_the_first_half_is_the_shorter_one() -> None:
    asked = []

    def compare(one: str, other: str) -> int:
        asked.append(one + other)
        return -1

    merge_sorted(["a", "b", "c"], compare)
    assert asked == ["bc", "ab"]
