# SPDX-License-Identifier: GPL-2.0-or-later
"""Arithmetic with infinities, and scores as they are written."""

import pytest

from ha.pe.model.scores import INFINITY, MINUS_INFINITY, add, factor_of, parse, readable, scaled


@pytest.mark.parametrize(
    ("one", "other", "total"),
    [
        (1, 2, 3),
        (INFINITY, -5, INFINITY),
        (INFINITY, MINUS_INFINITY, MINUS_INFINITY),
        (MINUS_INFINITY, 10, MINUS_INFINITY),
        (999_999, 1, INFINITY),
        (600_000, 600_000, INFINITY),
        (-600_000, -600_000, MINUS_INFINITY),
    ],
)
def test_infinity_absorbs_and_minus_infinity_wins(one: int, other: int, total: int) -> None:
    assert add(one, other) == add(other, one) == total


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("INFINITY", INFINITY),
        ("+INFINITY", INFINITY),
        ("-INFINITY", MINUS_INFINITY),
        ("100", 100),
        ("-7", -7),
        ("99999999", INFINITY),
        ("red", 0),
        ("nonsense", None),
    ],
)
def test_scores_are_read_and_clipped(text: str, score: int | None) -> None:
    assert parse(text) == score


def test_a_score_that_is_absent_has_the_default() -> None:
    assert parse(None, 5) == 5
    assert parse("red", 0, {"red": MINUS_INFINITY, "yellow": 0, "green": 1}) == MINUS_INFINITY


def test_infinities_are_written_as_words() -> None:
    assert [readable(score) for score in (INFINITY, MINUS_INFINITY, 3)] == ["INFINITY", "-INFINITY", "3"]


def test_a_scaled_score_never_vanishes() -> None:
    assert scaled(factor_of(1), 1) == 1
    assert scaled(factor_of(-1), 1) == -1
    assert scaled(factor_of(INFINITY), 42) == 42
    assert scaled(factor_of(500_000), 3) == 2
