# SPDX-License-Identifier: GPL-2.0-or-later
"""Any course of orders, cancellations, forgettings, kills and time: the LRM's promises hold."""

from __future__ import annotations

from collections import Counter

from hypothesis import example, given, settings
from hypothesis import strategies as st

from ha.lrm.core.queue import RUN_ONCE
from ha.lrm.model.execution import AgentResult, RunAgent
from ha.lrm.msg import (
    Cancelled,
    CancelOperation,
    ForgetResource,
    Forgotten,
    GetHistory,
    History,
    RunOperation,
)
from tests.unit.lrm.world import Behaviour, Killed, World, order

RESOURCES = ("a", "b", "c")
OPERATIONS = ("start", "stop", "monitor", "promote", "notify")

orders = st.tuples(
    st.just("order"), st.sampled_from(RESOURCES), st.sampled_from(OPERATIONS), st.sampled_from((0, 0, 300)),
    st.sampled_from((0, 0, 200)),
)  # fmt: skip
cancels = st.tuples(st.just("cancel"), st.sampled_from(RESOURCES), st.sampled_from(OPERATIONS))
forgets = st.tuples(st.just("forget"), st.sampled_from(RESOURCES))
repeats = st.tuples(st.just("repeat"), st.integers(0, 20))
times = st.tuples(st.just("time"), st.sampled_from((1, 50, 400)))
kills = st.tuples(st.just("kill"), st.integers(1, 6))
courses = st.lists(st.one_of(orders, orders, cancels, forgets, repeats, times, times, kills), max_size=25)


class Course:
    def __init__(self, durations: list[int], forks_lag: bool) -> None:
        self.durations = durations
        self.world = World(behave=self.behave, forks_lag=forks_lag)
        self.ordered: list[RunOperation] = []
        self.expected: Counter[str] = Counter()  # answers to cancel and forget

    def behave(self, request: RunAgent) -> Behaviour:
        number = len(self.world.runs)
        return Behaviour(self.durations[number % len(self.durations)], AgentResult(rc=number % 3 and 7))

    def say(self, *messages: object) -> None:
        try:
            self.world.crmd_says(*messages)  # type: ignore[arg-type]
        except Killed:
            self.come_back()

    def time(self, duration_ms: int) -> None:
        try:
            self.world.advance(duration_ms)
        except Killed:
            self.come_back()

    def come_back(self) -> None:
        """After the kill the crmd asks for the history and repeats what it has no answer to."""
        self.world.restart()
        self.world.crmd_says(GetHistory())
        self.world.crmd_says(*self.unanswered())

    def unanswered(self) -> list[RunOperation]:
        told = {result.user_data for result in self.world.results()}
        return [sent for sent in self.ordered if sent.user_data not in told and sent.user_data not in self.void]

    @property
    def void(self) -> set[str]:
        """Orders whose answer nobody waits for: recurring ones that were ended before their first result, and starts
        and stops that were ordered again, which the last equal order has taken over if it found them unfinished.
        """
        recurring = {sent.user_data for sent in self.ordered if sent.interval_ms > 0}
        last = {(sent.resource.id, sent.operation): sent.user_data for sent in self.ordered if sent.interval_ms == 0}
        again = {
            sent.user_data
            for sent in self.ordered
            if sent.operation in RUN_ONCE and sent.user_data != last.get((sent.resource.id, sent.operation))
        }
        return recurring | again

    def do(self, number: int, step: tuple[object, ...]) -> None:
        match step:
            case ("order", str(name), str(operation), int(interval_ms), int(delay_ms)):
                sent = order(
                    name, operation, f"k{number}", interval_ms=interval_ms, start_delay_ms=delay_ms * bool(interval_ms)
                )
                self.ordered.append(sent)
                self.say(sent)
            case ("cancel", str(name), str(operation)):
                key = f"c{number}"
                self.say(CancelOperation(resource_id=name, operation=operation, interval_ms=300, user_data=key))
            case ("forget", str(name)):
                self.say(ForgetResource(resource_id=name, user_data=f"f{number}"))
            case ("repeat", int(index)) if self.ordered:
                self.say(self.ordered[index % len(self.ordered)])
            case ("time", int(duration_ms)):
                self.time(duration_ms)
            case ("kill", int(after)):
                self.world.effects_left = after


@settings(max_examples=100, deadline=None)
@example([("order", "a", "start", 0, 0)] * 3, [1], False)  # each taken over by the next
@given(courses, st.lists(st.integers(1, 250), min_size=1, max_size=6), st.booleans())
def test_any_course(course: list[tuple[object, ...]], durations: list[int], forks_lag: bool) -> None:
    walk = Course(durations, forks_lag)
    world = walk.world
    for number, step in enumerate(course):
        walk.do(number, step)
    walk.time(10_000)
    world.effects_left = None
    world.restart()
    world.crmd_says(*walk.unanswered())
    world.advance(60_000)

    # One at a time is asserted by the world. Besides:
    assert not walk.unanswered(), "every one-shot order is answered"
    finished = Counter(result.user_data for result in world.results() if result.status == "done")
    forgotten = any(step[0] == "forget" for step in course)
    if not forgotten and not any(step[0] == "repeat" for step in course):
        once = Counter(run.job for run in world.runs)
        assert all(count == 1 for count in once.values())
        one_shots = [sent for sent in walk.ordered if sent.interval_ms == 0]
        for name in RESOURCES:
            for operation in OPERATIONS:
                wanted = [s for s in one_shots if (s.resource.id, s.operation) == (name, operation)]
                recurs = any(s.interval_ms and (s.resource.id, s.operation) == (name, operation) for s in walk.ordered)
                ran = [run for run in world.runs if (run.resource_id, run.operation) == (name, operation)]
                fewest = min(1, len(wanted)) if operation in RUN_ONCE else len(wanted)
                assert recurs or fewest <= len(ran) <= len(wanted), (
                    "each order runs once, or is answered by an equal one"
                )
        assert all(finished[sent.user_data] for sent in one_shots if sent.user_data not in walk.void)
    for result in world.results():
        assert result.rc in (0, 1, 7)
    world.crmd_says(GetHistory())
    history = world.sent[-1]
    assert isinstance(history, History)
    recurring = {(r.resource.id, r.operation) for r in history.results if r.interval_ms}
    before = len(world.runs)
    world.advance(1_000)
    assert {(run.resource_id, run.operation) for run in world.runs[before:]} == recurring, "monitors go on, no others"
    for name in RESOURCES:
        world.crmd_says(ForgetResource(resource_id=name, user_data="end"))
    world.advance(1_000)
    assert sum(isinstance(m, Forgotten) and m.user_data == "end" for m in world.sent) == len(RESOURCES)
    assert not world.jobs
    assert set(world.records) <= {"calls"}
    assert not any(isinstance(m, Cancelled) and not m.user_data.startswith("c") for m in world.sent)
