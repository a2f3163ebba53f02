# SPDX-License-Identifier: GPL-2.0-or-later
"""The checker of histories finds what is wrong in bad ones, and nothing in good ones."""

from __future__ import annotations

import pytest

from ha.cib.msg import Version
from tests.unit.cib.history import Fate, breaches


def done(name: str, value: str, asked: int, answered: int, epoch: int) -> Fate:
    return Fate(name, value, asked, answered, "committed", Version(0, epoch, 0))


GOOD = [
    done("a", "1", 0, 5, 2),
    done("a", "2", 3, 9, 3),
    done("b", "1", 4, 6, 4),
    Fate("c", "1", 1, 2, "refused"),
    Fate("d", "1", 1),
]
FINAL = {"a": "2", "b": "1"}


@pytest.mark.parametrize("values", [FINAL, {**FINAL, "d": "1"}], ids=["lost", "done"])
def test_a_good_history_is_passed_whatever_became_of_the_unknown(values: dict[str, str]) -> None:
    assert breaches(GOOD, values, Version(0, 9, 0)) == []


@pytest.mark.parametrize(
    ("history", "values", "epoch", "said"),
    [
        (GOOD, {"a": "2"}, 9, "b is None"),
        (GOOD, {**FINAL, "a": "1"}, 9, "a is 1"),
        (GOOD, {**FINAL, "c": "1"}, 9, "c is 1"),
        (GOOD, FINAL, 3, "only 0.3.0"),
        ([*GOOD, done("e", "1", 4, 9, 4)], {**FINAL, "e": "1"}, 9, "both 0.4.0"),
        ([*GOOD, done("e", "1", 20, 21, 1)], {**FINAL, "e": "1"}, 9, "asked after"),
        ([*GOOD, done("a", "3", 20, 21, 5)], FINAL, 9, "a is 2"),
    ],
    ids=["lost", "stale", "refused-and-done", "beyond", "same-version", "order", "superseding-lost"],
)
def test_a_bad_history_is_found_out(history: list[Fate], values: dict[str, str], epoch: int, said: str) -> None:
    found = breaches(history, values, Version(0, epoch, 0))
    assert any(said in breach for breach in found), found
