# SPDX-License-Identifier: GPL-2.0-or-later
"""A flood neither fills the log nor hides that it was one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ha.ipc.moderation import Moderation


def test_the_first_lines_are_told_and_the_rest_counted() -> None:
    links = Moderation("links refused", max_lines=2, period_ms=1000)
    assert [links.admits(5) for _ in range(5)] == [True, True, False, False, False]
    assert links.summary(1004) == ""
    assert links.summary(1005) == "3 more lines in 1 s are left out: links refused"
    assert links.summary(1006) == ""
    assert links.admits(1006)


def test_what_was_left_out_is_told_before_a_new_period_begins() -> None:
    links = Moderation("links refused", max_lines=1, period_ms=1000)
    assert [links.admits(0), links.admits(0), links.admits(5000)] == [True, False, False]
    assert links.summary(5000).startswith("2 more lines")


def test_few_lines_have_no_summary() -> None:
    links = Moderation("links refused", max_lines=2, period_ms=1000)
    assert links.admits(0) and links.admits(0)
    assert links.summary(9999) == ""
    assert links.admits(9999)


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans())))
def test_every_line_is_written_or_counted(course: list[tuple[int, bool]]) -> None:
    links = Moderation("lines", max_lines=3, period_ms=100)
    now = written = told = asked = 0
    for pause, look in course:
        now += pause
        if look:
            told += int((links.summary(now) or "0").split()[0])
        else:
            asked += 1
            written += links.admits(now)
    now += 100
    told += int((links.summary(now) or "0").split()[0])
    assert written + told == asked
