# SPDX-License-Identifier: GPL-2.0-or-later
"""The order in which tables are walked, and the sort for what is no order."""

from ha.pe.model.table_order import merge_sorted, string_hash, walked


def test_the_hash_is_bernsteins() -> None:
    assert string_hash("") == 5381
    assert string_hash("a") == 5381 * 33 + 97
    assert string_hash("node1") == string_hash("node1")


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
