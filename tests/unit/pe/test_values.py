# SPDX-License-Identifier: GPL-2.0-or-later
"""Booleans, numbers, durations, dates and names as the CIB has them."""

import pytest

from ha.pe.model.dates import moment_text, parse_moment
from ha.pe.model.values import boolean, compare_names, compare_versions, integer, milliseconds


@pytest.mark.parametrize("text", ["true", "TRUE", "yes", "on", "y", "1"])
def test_words_for_true(text: str) -> None:
    assert boolean(text) is True


@pytest.mark.parametrize("text", ["false", "no", "off", "n", "0"])
def test_words_for_false(text: str) -> None:
    assert boolean(text) is False


@pytest.mark.parametrize("text", [None, "", "maybe", "2"])
def test_what_is_no_boolean(text: str | None) -> None:
    assert boolean(text) is None


@pytest.mark.parametrize(
    ("text", "ms"), [("10", 10_000), ("10s", 10_000), ("500ms", 500), ("2min", 120_000), ("1h", 3_600_000)]
)
def test_durations(text: str, ms: int) -> None:
    assert milliseconds(text) == ms


@pytest.mark.parametrize(("text", "number"), [("12", 12), ("-3", -3), ("7 apples", 7), ("x", None), (None, None)])
def test_integers(text: str | None, number: int | None) -> None:
    assert integer(text) == number


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01 00:00:00Z", 0),
        ("2005-020T12:30", 1_106_224_200),
        ("2014-05-07 00:28:00", 1_399_422_480),
        ("2020-W01-1", 1_577_664_000),
        ("1970-01-01 02:00:00 +02:00", 0),
        ("yesterday", None),
    ],
)
def test_dates(text: str, moment: int | None) -> None:
    assert parse_moment(text) == moment


def test_a_moment_is_written_in_utc() -> None:
    assert moment_text(1_461_844_229) == "2016-04-28 11:50:29Z"


def test_names_are_ordered_by_their_numbers() -> None:
    assert compare_names("node2", "node10") == -1
    assert compare_names("Node2", "node2") == 0
    assert compare_names("b", "a") == 1


def test_versions_are_ordered_by_their_parts() -> None:
    assert compare_versions("3.9.0", "3.16.2") < 0
    assert compare_versions("3.16.2", "3.16.2") == 0
