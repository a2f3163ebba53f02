# SPDX-License-Identifier: GPL-2.0-or-later
"""The LRM is killed after any one effect, its runners having begun or not: nothing runs twice, nothing is lost (P4)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from ha.ccm.msg import ViewId
from ha.lrm.model.execution import AgentResult
from ha.lrm.msg import CancelOperation, GetHistory, History, OperationResult, RunOperation
from tests.unit.lrm.world import Behaviour, Killed, World, order

VIEW = ViewId(3, "ccm1")
ORDERS = [
    order("web", "monitor", "probe-web", view=VIEW),
    order("web", "start", view=VIEW),
    order("db", "start", view=VIEW),
    order("web", "monitor", "every-web", interval_ms=1_000, view=VIEW),
    order("db", "promote", view=VIEW),
    order("web", "stop", view=VIEW),
]


@dataclass
class Crmd:
    """Sends its orders one after another per resource, and repeats what it has no answer to when lrmd comes back."""

    world: World
    left: list[RunOperation] = field(default_factory=lambda: list(ORDERS))
    sent: dict[str, RunOperation] = field(default_factory=dict)

    def send_next(self) -> None:
        waiting = {sent.resource.id for key, sent in self.sent.items() if key not in self.answered()}
        for candidate in list(self.left):
            if candidate.resource.id not in waiting:
                waiting.add(candidate.resource.id)
                self.left.remove(candidate)
                self.sent[candidate.user_data] = candidate
                self.world.crmd_says(candidate)

    def repeat(self) -> None:
        self.world.crmd_says(GetHistory())
        for key, sent in list(self.sent.items()):
            if key not in self.answered():
                self.world.crmd_says(sent)

    def answered(self) -> set[str]:
        return {result.user_data for result in self.world.results()}


def story(world: World, crmd: Crmd) -> None:
    for _ in range(40):
        crmd.send_next()
        world.advance(100)


def effects_of_the_story() -> int:
    world = World()
    world.effects_left = 10_000
    story(world, Crmd(world))
    assert world.effects_left is not None
    return 10_000 - world.effects_left


@pytest.mark.parametrize("forks_lag", [False, True], ids=["runner begun", "runner not begun"])
def test_killed_after_any_effect(forks_lag: bool) -> None:
    count = effects_of_the_story()
    assert count > 30
    for kill_at in range(1, count + 1):
        world = World(forks_lag=forks_lag)
        crmd = Crmd(world)
        world.effects_left = kill_at
        with pytest.raises(Killed):
            story(world, crmd)
        world.restart()
        crmd.repeat()
        story(world, crmd)
        once = [entry for entry in world.ran() if entry != "web monitor"]
        assert sorted(once) == ["db promote", "db start", "web start", "web stop"], f"killed after effect {kill_at}"
        assert crmd.answered() == {sent.user_data for sent in ORDERS}, f"killed after effect {kill_at}"
        assert world.jobs == {}, f"killed after effect {kill_at}"
        check_equal_repetitions(world.results())


def check_equal_repetitions(results: list[OperationResult]) -> None:
    """What is told twice of one execution is told alike."""
    first: dict[str, OperationResult] = {}
    for result in results:
        if result.interval_ms == 0:
            assert first.setdefault(result.user_data, result) == result


def test_monitors_go_on_after_a_restart_and_tell_changes_only() -> None:
    rcs = iter([0, 0, 0, 0, 7, 7])
    world = World(behave=lambda request: Behaviour(result=AgentResult(rc=next(rcs))))
    world.crmd_says(order("web", "monitor", interval_ms=1_000))
    world.advance(1_500)
    world.restart()
    world.advance(4_000)
    assert [result.rc for result in world.results()] == [0, 7]
    gaps = [later.begin_ms - earlier.begin_ms for earlier, later in zip(world.runs, world.runs[1:], strict=False)]
    assert max(gaps) <= 2_000


def test_a_monitor_cancelled_just_before_the_end_stays_cancelled() -> None:
    world = World(behave=lambda request: Behaviour(500))
    world.crmd_says(order("web", "monitor", interval_ms=1_000))
    world.advance(100)
    world.crmd_says(CancelOperation(resource_id="web", operation="monitor", interval_ms=1_000))
    world.restart()
    world.advance(5_000)
    assert len(world.runs) == 1
    assert world.results() == []
    assert world.jobs == {}


def test_history_survives() -> None:
    world = World()
    world.crmd_says(order("web", "start"), order("web", "monitor", interval_ms=1_000))
    world.advance(100)
    world.restart()
    world.crmd_says(GetHistory())
    history = world.sent[-1]
    assert isinstance(history, History)
    assert history.results == world.results()


def test_messages_during_adoption_are_held_not_lost() -> None:
    world = World(behave=lambda request: Behaviour(1_000))
    world.crmd_says(order("web", "start"))
    world.restart()
    world.crmd_says(order("web", "start"), order("web", "stop"))
    world.advance(3_000)
    assert world.ran() == ["web start", "web stop"]


def test_garbage_in_the_spool_is_reported_and_left_behind() -> None:
    world = World()
    world.crmd_says(order("web", "start"), order("db", "start"))
    world.advance(100)
    world.records["resource:web"] = b"\xc1garbage"
    world.records["calls"] = b"\x81"
    world.records["view"] = b"not a view"
    world.restart()
    world.crmd_says(GetHistory())
    history = world.sent[-1]
    assert isinstance(history, History)
    assert [result.resource.id for result in history.results] == ["db"]
    assert len([note for note in world.notes if note.level == "error"]) == 3
