# SPDX-License-Identifier: GPL-2.0-or-later
"""Queues and slots in virtual time."""

from __future__ import annotations

import pytest

from ha.ccm.msg import ViewId
from ha.lrm.model.execution import AgentResult, RunAgent
from ha.lrm.msg import Cancelled, CancelOperation, ForgetResource, Forgotten, GetHistory, History, RunOperation
from ha.machine import Client, Received, Remote, Wall
from tests.unit.lrm.world import WALL_OFFSET_MS, Behaviour, Killed, World, lasting, order, sequence, told


def test_an_operation_is_run_and_told() -> None:
    world = World(behave=lambda request: Behaviour(120, AgentResult(rc=0, output="hello", exec_ms=120)))
    world.crmd_says(order("web", "start", parameters={"port": "80"}))
    world.advance(1_000)
    (result,) = world.results()
    assert (result.rc, result.status, result.output, result.exec_ms) == (0, "done", "hello", 120)
    assert (result.call_id, result.user_data, result.parameters) == (1, "web:start", {"port": "80"})
    assert result.last_run_s == 1_700_000_001
    assert world.jobs == {}


def test_operations_of_a_resource_run_one_at_a_time_in_order() -> None:
    world = World(behave=lasting({"start": 500}))
    world.crmd_says(order("web", "start"), order("web", "promote"), order("web", "stop"))
    assert world.ran() == ["web start"]
    world.advance(499)
    assert world.ran() == ["web start"]
    world.advance(501)
    assert world.ran() == ["web start", "web promote", "web stop"]
    assert told(world) == ["web start 0 done", "web promote 0 done", "web stop 0 done"]
    assert [result.call_id for result in world.results()] == [1, 2, 3]
    assert world.results()[1].queue_ms == 500


def test_resources_run_side_by_side_up_to_the_limit() -> None:
    world = World(behave=lasting({"start": 100}))
    world.crmd_says(*(order(f"r{n}", "start") for n in range(6)))
    assert world.ran() == ["r0 start", "r1 start", "r2 start", "r3 start"]
    world.advance(100)
    assert len(world.runs) == 6


def test_more_processors_give_more_slots() -> None:
    world = World(behave=lasting({"start": 100}), processors=16)
    world.crmd_says(*(order(f"r{n}", "start") for n in range(20)))
    assert len(world.runs) == 8


def test_hanging_monitors_leave_a_slot_for_orders() -> None:
    world = World(behave=lasting({"monitor": None}))
    world.crmd_says(*(order(f"r{n}", "monitor", interval_ms=10_000) for n in range(10)))
    assert len(world.runs) == 3
    world.crmd_says(order("web", "start"))
    assert world.ran()[-1] == "web start"


def test_orders_go_before_monitors_that_have_waited_longer() -> None:
    world = World(behave=lasting({"start": 100}))
    world.crmd_says(*(order(f"r{n}", "start") for n in range(4)))
    world.crmd_says(order("m", "monitor", interval_ms=1_000), order("late", "start"))
    world.advance(100)
    assert world.ran()[4:] == ["late start", "m monitor"]


def test_the_stop_of_a_new_dc_is_answered_by_the_one_under_way() -> None:
    """Run again after it, it would cost the takeover another whole stop."""
    world = World(behave=lasting({"stop": 12_000}))
    world.crmd_says(order("web", "stop", "old"))
    world.advance(5_000)
    world.crmd_says(order("web", "stop", "new"), order("web", "stop", "new"))
    world.advance(30_000)
    assert world.ran() == ["web stop"]
    assert [result.user_data for result in world.results()] == ["new"]
    world.crmd_says(order("web", "stop", "new"))
    assert [result.user_data for result in world.results()] == ["new", "new"]


@pytest.mark.parametrize(
    "between", [[], [order("web", "start", "between")], [order("web", "monitor", "between", interval_ms=10_000)]]
)
def test_only_the_last_order_is_taken_over_and_only_when_it_is_equal(between: list[RunOperation]) -> None:
    world = World(behave=lasting({"stop": 1_000, "start": 10, "monitor": 10}))
    world.crmd_says(order("web", "stop", "old", parameters={"port": "80"}))
    changed = {"port": "80"} if between and between[0].interval_ms == 0 else {"port": "81"}
    world.crmd_says(*between, order("web", "stop", "new", parameters=changed))
    world.advance(9_000)
    assert world.ran().count("web stop") == 2
    assert [r.user_data for r in world.results() if r.operation == "stop"] == ["old", "new"]


# Recurring operations ------------------------------------------------------------------------------------------------


def test_a_recurring_operation_waits_its_interval_after_its_end() -> None:
    world = World(behave=lasting({"monitor": 300}))
    world.crmd_says(order("web", "monitor", interval_ms=1_000, start_delay_ms=200))
    world.advance(5_000)
    assert [run.begin_ms - 1_000 for run in world.runs] == [200, 1_500, 2_800, 4_100]


def test_only_changes_of_a_recurring_result_are_told() -> None:
    codes = [0, 0, 7, 7, 0]
    world = World(behave=sequence(AgentResult(rc=rc) for rc in codes))
    world.crmd_says(order("web", "monitor", interval_ms=1_000))
    world.advance(4_900)
    assert len(world.runs) == 5
    assert told(world) == ["web monitor 0 done", "web monitor 7 done", "web monitor 0 done"]
    first, second, third = world.results()
    assert first.call_id == second.call_id == third.call_id
    assert first.last_rc_change_s < second.last_rc_change_s < third.last_rc_change_s
    assert world.jobs == {}


def test_a_wall_clock_set_back_does_not_make_a_failure_older_than_what_it_ended() -> None:
    world = World(behave=sequence(AgentResult(rc=rc) for rc in (0, 0, 7, 0, 7, 0)))
    world.crmd_says(order("web", "start"), order("web", "monitor", interval_ms=10_000))
    world.advance(1_000)
    world.give(Wall(WALL_OFFSET_MS - 300_000))
    world.restart()
    world.give(Wall(WALL_OFFSET_MS - 300_000))
    world.advance(39_000)
    start, *monitors = world.results()
    assert [(result.call_id, result.rc) for result in monitors] == [(2, 0), (2, 7), (2, 0), (2, 7), (2, 0)]
    dates = [result.last_rc_change_s for result in monitors]
    assert dates == [1_700_000_001 + n for n in range(5)]
    assert start.last_rc_change_s == 1_700_000_001
    assert monitors[1].last_run_s < 1_700_000_000


def test_two_results_of_one_call_within_a_second_are_dated_apart() -> None:
    world = World(behave=sequence(AgentResult(rc=rc) for rc in (0, 7, 7, 7)))
    world.crmd_says(order("web", "monitor", interval_ms=200))
    world.advance(700)
    assert [(result.rc, result.last_rc_change_s - 1_700_000_000) for result in world.results()] == [(0, 1), (7, 2)]


def test_a_forgotten_resource_is_dated_by_the_clock_of_now() -> None:
    world = World(behave=sequence(AgentResult(rc=rc) for rc in (7, 7)))
    world.crmd_says(order("web", "start"))
    world.advance(1_000)
    world.give(Wall(WALL_OFFSET_MS - 300_000))
    world.crmd_says(ForgetResource(resource_id="web"), order("web", "start", "again"))
    world.advance(1_000)
    assert world.results()[-1].last_rc_change_s == 1_700_000_002 - 300


def test_a_recurring_operation_waits_behind_what_runs() -> None:
    world = World(behave=lasting({"reload-agent": 5_000}))
    world.crmd_says(order("web", "monitor", interval_ms=1_000))
    world.advance(500)
    world.crmd_says(order("other", "start"))
    world.crmd_says(order("web", "notify"))
    world.advance(10_000)
    assert world.ran().count("web monitor") > 5


def test_cancel_ends_it_and_is_answered_always() -> None:
    world = World()
    world.crmd_says(order("web", "monitor", interval_ms=1_000))
    world.advance(1_500)
    cancel = CancelOperation(resource_id="web", operation="monitor", interval_ms=1_000, user_data="c1")
    world.crmd_says(cancel, cancel)
    world.crmd_says(CancelOperation(resource_id="nothing", operation="monitor", interval_ms=1, user_data="c2"))
    answers = [message for message in world.sent if isinstance(message, Cancelled)]
    assert [answer.user_data for answer in answers] == ["c1", "c1", "c2"]
    before = len(world.runs)
    world.advance(10_000)
    assert len(world.runs) == before


def test_a_cancelled_run_is_awaited_but_not_told() -> None:
    world = World(behave=lasting({"monitor": 800}))
    world.crmd_says(order("web", "monitor", interval_ms=1_000))
    world.crmd_says(CancelOperation(resource_id="web", operation="monitor", interval_ms=1_000))
    world.crmd_says(order("web", "stop"))
    assert world.ran() == ["web monitor"]
    world.advance(1_000)
    assert world.ran() == ["web monitor", "web stop"]
    assert told(world) == ["web stop 0 done"]
    assert world.jobs == {}


def test_a_stop_ends_recurring_operations_but_a_notification_does_not() -> None:
    world = World()
    world.crmd_says(order("web", "monitor", interval_ms=1_000), order("web", "notify"))
    world.advance(2_500)
    assert world.ran().count("web monitor") == 3
    world.crmd_says(order("web", "stop"))
    world.advance(5_000)
    assert world.ran().count("web monitor") == 3
    assert world.timers == {}


def test_a_new_order_for_the_same_interval_replaces_the_old() -> None:
    world = World()
    world.crmd_says(order("web", "monitor", "k1", interval_ms=1_000))
    world.advance(100)
    world.crmd_says(order("web", "monitor", "k2", interval_ms=1_000, parameters={"port": "81"}))
    world.advance(100)
    assert [result.user_data for result in world.results()] == ["k1", "k2"]
    world.advance(3_000)
    assert len(world.runs) == 5


# Repeated orders, views, limits --------------------------------------------------------------------------------------


def test_a_repeated_order_runs_once() -> None:
    world = World(behave=lasting({"start": 100}))
    start = order("web", "start")
    world.crmd_says(start, start)
    world.advance(50)
    world.crmd_says(start)
    world.advance(100)
    world.crmd_says(start)
    assert world.ran() == ["web start"]
    assert told(world) == ["web start 0 done"] * 2
    assert world.results()[0] == world.results()[1]


def test_a_repeated_recurring_order_runs_on_and_is_answered() -> None:
    world = World()
    monitor = order("web", "monitor", interval_ms=1_000, start_delay_ms=500)
    world.crmd_says(monitor)
    world.advance(100)
    world.crmd_says(monitor)
    world.advance(1_900)
    world.crmd_says(monitor)
    assert [run.begin_ms - 1_000 for run in world.runs] == [500, 1_510]
    assert len(world.results()) == 2


def test_orders_of_older_views_are_refused_also_after_a_restart() -> None:
    world = World()
    world.crmd_says(order("a", "start", view=ViewId(5, "x")))
    world.advance(100)
    world.crmd_says(order("b", "start", view=ViewId(4, "z")), order("c", "start", view=ViewId(5, "a")))
    world.restart()
    world.crmd_says(order("d", "start", view=ViewId(4, "z")), order("e", "start", view=ViewId(6, "a")))
    world.advance(100)
    assert world.ran() == ["a start", "e start"]
    refused = [result for result in world.results() if result.status == "cancelled"]
    assert [(result.resource.id, result.call_id) for result in refused] == [("b", 0), ("c", 0), ("d", 0)]
    assert "older" in refused[0].exit_reason


def test_a_new_view_is_recorded_before_its_first_order_runs() -> None:
    world = World()
    world.effects_left = 1
    with pytest.raises(Killed):
        world.crmd_says(order("a", "start", view=ViewId(5, "x")))
    assert "view" in world.records
    assert not world.runs


def test_too_many_waiting_operations_are_refused() -> None:
    world = World(behave=lasting({"start": None}))
    world.crmd_says(*(order("web", "start", f"k{n}", parameters={"n": str(n)}) for n in range(110)))
    refused = [result for result in world.results() if result.status == "invalid"]
    assert len(refused) == 9
    assert "wait already" in refused[0].exit_reason


def test_nonsense_and_strangers_are_ignored_with_a_note() -> None:
    world = World()
    world.crmd_says(order("web", "start", start_delay_ms=-1))
    assert world.results()[0].status == "invalid"
    world.give(Received(Client("crm_resource", 1, 0), order("web", "start")))
    world.give(Received(Remote("n2", "crmd"), order("web", "start")))
    world.advance(100)
    assert world.runs == []
    assert len([note for note in world.notes if "ignored" in note.text]) == 2


def test_a_silent_runner_is_killed_after_the_timeout() -> None:
    world = World(behave=lasting({"start": None}))
    world.crmd_says(order("web", "start", timeout_ms=1_000))
    world.advance(5_999)
    assert world.results() == []
    world.advance(2)
    world.advance(0)
    world.happen()
    assert told(world) == ["web start 1 timeout"]


# Forgetting and history ----------------------------------------------------------------------------------------------


def test_forget_drops_history_and_monitors() -> None:
    world = World()
    world.crmd_says(order("web", "start"), order("web", "monitor", interval_ms=1_000))
    world.advance(1_500)
    world.crmd_says(ForgetResource(resource_id="web", user_data="f"), ForgetResource(resource_id="web", user_data="g"))
    assert [m.user_data for m in world.sent if isinstance(m, Forgotten)] == ["f", "g"]
    before = len(world.runs)
    world.advance(5_000)
    assert len(world.runs) == before
    assert not any(name.startswith("resource:") for name in world.records)
    world.crmd_says(GetHistory())
    assert world.sent[-1] == History(results=[], running=[])


def test_forget_waits_for_what_runs_and_cancels_what_waits() -> None:
    world = World(behave=lasting({"start": 500}))
    world.crmd_says(order("web", "start"), order("web", "promote"), ForgetResource(resource_id="web", user_data="f"))
    assert not any(isinstance(message, Forgotten) for message in world.sent)
    world.crmd_says(order("web", "monitor", "probe"))
    world.advance(2_000)
    assert world.ran() == ["web start", "web monitor"]
    assert told(world) == ["web promote 1 cancelled", "web start 0 done", "web monitor 0 done"]
    assert [result.deleted for result in world.results()] == [True, True, False]
    assert [m.user_data for m in world.sent if isinstance(m, Forgotten)] == ["f"]


def test_call_ids_are_not_used_again_after_forgetting_and_restarting() -> None:
    world = World()
    world.crmd_says(order("web", "start"))
    world.advance(100)
    world.crmd_says(ForgetResource(resource_id="web"))
    world.restart()
    world.crmd_says(order("web", "monitor"))
    world.advance(100)
    assert [result.call_id for result in world.results()] == [1, 2]


def test_history_has_last_failure_recurring_and_running() -> None:
    rcs = iter([0, 0, 7, 0])

    def behave(request: RunAgent) -> Behaviour:
        return Behaviour(None if request.operation == "stop" else 10, AgentResult(rc=next(rcs)))

    world = World(behave=behave)
    world.crmd_says(order("web", "start"), order("web", "monitor", interval_ms=1_000, meta={"op_target_rc": "0"}))
    world.advance(1_500)
    world.crmd_says(order("db", "stop"))
    world.crmd_says(GetHistory())
    history = world.sent[-1]
    assert isinstance(history, History)
    assert [(r.operation, r.rc) for r in history.results] == [("start", 0), ("monitor", 7)]
    assert [running.resource.id for running in history.running] == ["db"]
