# SPDX-License-Identifier: GPL-2.0-or-later
"""How a node leaves, as a table; and that no course of events ends the workers while resources may be active."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.rmd.core.departure import (
    NEEDED_TO_LEAVE,
    Alive,
    AskCrmd,
    AskLrmd,
    Departure,
    EndWorkers,
    Order,
    Phase,
    ResetNode,
)
from ha.rmd.core.dependants import dependants_of

TIMEOUT_MS = 1_000
BOTH = Alive(crmd=True, lrmd=True)
NO_CRMD = Alive(crmd=False, lrmd=True)
NO_LRMD = Alive(crmd=True, lrmd=False)
NEITHER = Alive(crmd=False, lrmd=False)
APPLIANCE = Alive(crmd=False, lrmd=None)


def kinds(orders: list[Order]) -> list[type]:
    """What is done, without what is said."""
    return [type(order) for order in orders if isinstance(order, AskCrmd | AskLrmd | EndWorkers | ResetNode)]


@pytest.mark.parametrize(
    ("worker", "alive", "at_once", "expected"),
    [
        ("crmd", NO_CRMD, False, [AskLrmd]),
        ("heartbeat", BOTH, False, [AskLrmd]),
        ("ccm", BOTH, False, [AskLrmd]),
        ("cib", BOTH, False, [AskLrmd]),
        ("attrd", BOTH, False, [AskLrmd]),
        ("stonithd", BOTH, False, [AskCrmd]),
        ("stonithd", BOTH, True, [AskLrmd]),
        ("a program", BOTH, False, [AskCrmd]),
        ("a program", NO_CRMD, False, [AskLrmd]),
        ("lrmd", NO_LRMD, False, [ResetNode, EndWorkers]),
        ("crmd", NEITHER, False, [ResetNode, EndWorkers]),
        ("a program", APPLIANCE, False, [EndWorkers]),
        ("a program", APPLIANCE, True, [EndWorkers]),
    ],
)
def test_what_follows_when_a_worker_is_given_up(
    worker: str, alive: Alive, at_once: bool, expected: list[type]
) -> None:
    assert kinds(Departure(TIMEOUT_MS).given_up(worker, alive, 0, at_once=at_once)) == expected


@pytest.mark.parametrize(
    ("alive", "expected"),
    [(BOTH, [AskCrmd]), (NO_LRMD, [AskCrmd]), (NO_CRMD, [AskLrmd]), (NEITHER, [EndWorkers]), (APPLIANCE, [EndWorkers])],
)
def test_what_follows_when_an_operator_stops_the_node(alive: Alive, expected: list[type]) -> None:
    assert kinds(Departure(TIMEOUT_MS).asked(alive, 0)) == expected


def test_the_crmd_leaves_and_the_workers_end() -> None:
    departure = Departure(TIMEOUT_MS)
    departure.asked(BOTH, 0)
    assert departure.due == TIMEOUT_MS
    assert kinds(departure.left(BOTH, 1, nothing_runs=True)) == [EndWorkers]
    assert departure.phase is Phase.GONE
    assert departure.left(BOTH, 2, nothing_runs=True) == departure.stopped(()) == departure.fired(BOTH, 5_000) == []


@pytest.mark.parametrize(("alive", "expected"), [(BOTH, [AskLrmd]), (NO_LRMD, [ResetNode, EndWorkers])])
def test_a_crmd_that_leaves_and_does_not_vouch_is_not_enough(alive: Alive, expected: list[type]) -> None:
    departure = Departure(TIMEOUT_MS)
    departure.asked(BOTH, 0)
    assert kinds(departure.left(alive, 1, nothing_runs=False)) == expected


@pytest.mark.parametrize(
    ("failed", "expected"), [((), [EndWorkers]), (("web",), [ResetNode, EndWorkers])]
)
def test_the_workers_end_when_all_is_stopped_and_the_node_is_reset_when_not(
    failed: tuple[str, ...], expected: list[type]
) -> None:
    departure = Departure(TIMEOUT_MS)
    departure.given_up("crmd", NO_CRMD, 0, at_once=False)
    assert kinds(departure.stopped(failed)) == expected


def test_a_crmd_that_takes_too_long_is_waited_for_no_more_and_then_the_lrmd_is_not() -> None:
    departure = Departure(TIMEOUT_MS)
    departure.asked(BOTH, 0)
    assert departure.fired(BOTH, TIMEOUT_MS - 1) == []
    assert kinds(departure.fired(BOTH, TIMEOUT_MS)) == [AskLrmd]
    assert kinds(departure.fired(BOTH, 2 * TIMEOUT_MS - 1)) == []
    assert kinds(departure.fired(BOTH, 2 * TIMEOUT_MS)) == [ResetNode, EndWorkers]


@pytest.mark.parametrize(
    ("worker", "alive", "expected"),
    [
        ("crmd", NO_CRMD, [AskLrmd]),
        ("cib", BOTH, [AskLrmd]),
        ("stonithd", BOTH, []),
        ("lrmd", NO_LRMD, [ResetNode, EndWorkers]),
    ],
)
def test_a_worker_given_up_while_the_crmd_leaves(worker: str, alive: Alive, expected: list[type]) -> None:
    departure = Departure(TIMEOUT_MS)
    departure.asked(BOTH, 0)
    assert kinds(departure.given_up(worker, alive, 1, at_once=False)) == expected


@pytest.mark.parametrize(("alive", "expected"), [(NEITHER, [ResetNode, EndWorkers]), (NO_CRMD, [])])
def test_an_lrmd_given_up_while_it_stops_resources(alive: Alive, expected: list[type]) -> None:
    departure = Departure(TIMEOUT_MS)
    departure.given_up("crmd", NO_CRMD, 0, at_once=False)
    assert kinds(departure.given_up("lrmd", alive, 1, at_once=False)) == expected


def test_an_operator_in_a_hurry_skips_one_way_after_the_other() -> None:
    departure = Departure(TIMEOUT_MS)
    assert kinds(departure.asked(BOTH, 0)) == [AskCrmd]
    assert kinds(departure.asked(BOTH, 1)) == [AskLrmd]
    assert kinds(departure.asked(BOTH, 2)) == [EndWorkers]
    assert departure.asked(BOTH, 3) == []


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["given up", "left", "stopped", "failed", "time"]),
            st.sampled_from(sorted(NEEDED_TO_LEAVE | {"stonithd"})),
            st.sampled_from([BOTH, NO_CRMD, NO_LRMD, NEITHER]),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_workers_end_only_when_somebody_vouches_for_the_resources(
    course: list[tuple[str, str, Alive, bool]]
) -> None:
    departure, now = Departure(TIMEOUT_MS), 0
    asked: type | None = None
    for what, worker, alive, at_once in course:
        now += TIMEOUT_MS
        match what:
            case "given up":
                orders = departure.given_up(worker, alive, now, at_once=at_once)
            case "left":
                orders = departure.left(alive, now, nothing_runs=not at_once)
            case "time":
                orders = departure.fired(alive, now)
            case _:
                orders = departure.stopped(("web",) if what == "failed" else ())
        done = kinds(orders)
        if EndWorkers in done:
            vouched = (what == "left" and not at_once and asked is AskCrmd) or (what == "stopped" and asked is AskLrmd)
            assert vouched or done[0] is ResetNode, (what, asked, done)
            assert departure.phase is Phase.GONE
        asked = next((kind for kind in done if kind in (AskCrmd, AskLrmd)), asked)


@pytest.mark.parametrize(
    ("died", "expected"),
    [("a", ("d", "c", "b")), ("b", ("d", "c")), ("c", ("d", "b")), ("d", ()), ("e", ())],
)
def test_dependants_of_dependants_are_started_anew_too_the_latest_first(died: str, expected: tuple[str, ...]) -> None:
    restart_with = {
        "a": frozenset[str](), "b": frozenset({"a", "c"}), "c": frozenset({"b"}), "d": frozenset({"c", "a"}),
        "e": frozenset[str](),
    }  # fmt: skip
    assert dependants_of(died, restart_with) == expected
