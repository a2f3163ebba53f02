# SPDX-License-Identifier: GPL-2.0-or-later
"""How soon a dead worker comes back, and when it is too often; and when apphbd counts as frozen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.rmd.core.pair import LATENESS_TOLERANCE_MS, PairWatch
from ha.rmd.core.restarts import MAX_DELAY_MS, WELL_MS, Restarts, Verdict
from ha.rmd.model import Recovery

ENDLESS = Recovery(max_restarts=1_000_000)


def test_a_crash_loop_waits_longer_each_time_up_to_a_second() -> None:
    restarts = Restarts(ENDLESS)
    delays = [restarts.died(1, now).delay_ms for now in range(9)]
    assert delays == [0, 50, 100, 200, 400, 800, 1000, 1000, 1000]


@pytest.mark.parametrize(("lived_ms", "delay_ms"), [(WELL_MS - 1, 100), (WELL_MS, 0)])
def test_who_was_well_for_a_while_comes_back_at_once(lived_ms: int, delay_ms: int) -> None:
    restarts = Restarts(ENDLESS)
    restarts.died(1, 0)
    restarts.died(1, 1)
    assert restarts.died(lived_ms, 5000).delay_ms == delay_ms


def test_too_many_within_the_period_is_said_once_and_counted_anew() -> None:
    restarts = Restarts(Recovery(max_restarts=3, period_ms=1000))
    assert [restarts.died(1, now).exceeded for now in (0, 300, 600, 900, 950)] == [False, False, False, True, False]


def test_what_is_older_than_the_period_does_not_count() -> None:
    restarts = Restarts(Recovery(max_restarts=3, period_ms=1000))
    assert not any(restarts.died(1, now).exceeded for now in range(0, 10_000, 334))


def test_an_operators_start_forgives() -> None:
    restarts = Restarts(Recovery(max_restarts=3, period_ms=1000))
    for now in range(3):
        restarts.died(1, now)
    restarts.forgive()
    assert restarts.died(1, 4) == Verdict(0, False)
    assert restarts.restarts == 4


@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), max_size=80))
def test_a_delay_is_never_longer_than_a_second(deaths: list[tuple[int, int]]) -> None:
    restarts = Restarts(ENDLESS)
    now = 0
    for pause, lived in deaths:
        now += pause
        assert 0 <= restarts.died(lived, now).delay_ms <= MAX_DELAY_MS


@pytest.mark.parametrize(
    ("starts_ms", "deadline_ms", "hung", "expected_ms"),
    [
        ([], 0, 0, 10_000),  # never ready: the stanza's
        ([8], 333, 0, 333),  # heartbeat by default: its own
        ([8], 100, 0, 300),  # a short deadtime: the floor
        ([8], 1_000, 0, 1_000),  # the others
        ([8, 900, 8], 1_000, 0, 2_700),  # it once needed long
        ([8], 1_000, 1, 2_000),
        ([8], 1_000, 2, 4_000),
        ([8], 1_000, 60, 10_000),  # never beyond the stanza's
    ],
)
def test_who_was_ready_once_is_soon_missed_in_its_start(
    starts_ms: list[int], deadline_ms: int, hung: int, expected_ms: int
) -> None:
    restarts = Restarts(Recovery())
    for start_ms in starts_ms:
        restarts.became_ready(start_ms, deadline_ms)
    for _ in range(hung):
        restarts.hung_in_start()
    assert restarts.start_deadline_ms == expected_ms


def test_a_start_that_came_to_its_end_takes_the_doubling_back() -> None:
    restarts = Restarts(Recovery())
    restarts.became_ready(8, 1_000)
    restarts.hung_in_start()
    restarts.became_ready(8, 1_000)
    assert restarts.start_deadline_ms == 1_000


def test_a_worker_that_owes_no_beat_has_no_start_deadline() -> None:
    assert Restarts(Recovery(start_deadline_ms=0)).start_deadline_ms == 0


def test_apphbd_has_its_start_deadline_and_then_the_pairs() -> None:
    watch = PairWatch(start_deadline_ms=5000, deadline_ms=300)
    watch.started(0)
    assert not watch.frozen(4999)
    assert watch.frozen(5000)
    watch.beat(100)
    assert not watch.frozen(399)
    assert watch.frozen(400)


def test_nobody_is_frozen_who_does_not_run() -> None:
    watch = PairWatch(start_deadline_ms=5000, deadline_ms=300)
    assert not watch.frozen(10_000)
    watch.started(0)
    watch.ended()
    assert not watch.frozen(10_000)
    watch.beat(5)  # a word that was still under way
    assert watch.due is None


@pytest.mark.parametrize(("late_ms", "frozen"), [(LATENESS_TOLERANCE_MS, True), (LATENESS_TOLERANCE_MS + 1, False)])
def test_rmd_held_up_itself_accuses_nobody(late_ms: int, frozen: bool) -> None:
    watch = PairWatch(start_deadline_ms=5000, deadline_ms=300)
    watch.started(0)
    watch.beat(0)
    watch.held_up(late_ms, 10_000)
    assert watch.frozen(10_000) is frozen
