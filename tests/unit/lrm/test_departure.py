# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything is stopped at rmd's order."""

from __future__ import annotations

import pytest

from ha.lrm.core.departure import OURS
from ha.lrm.model.execution import AgentResult, RunAgent
from ha.lrm.msg import ForgetResource, RunOperation
from ha.machine import Client, Received
from ha.rmd.msg import ResourcesStopped, StopResources
from tests.unit.lrm.world import Behaviour, World, lasting, order, told

DONE = [ResourcesStopped()]


def started(*orders: RunOperation, world: World | None = None) -> World:
    world = world or World()
    for one in orders:
        world.crmd_says(one)
        world.advance(1_000)
    world.runs.clear()
    world.sent.clear()
    return world


def leave(world: World, within_ms: int = 100_000) -> list[str]:
    """What is run then."""
    world.rmd_says(StopResources())
    world.advance(within_ms)
    return world.ran()


def test_the_latest_started_is_stopped_first_and_one_after_another() -> None:
    world = started(*(order(name, "start", parameters={"of": name}) for name in ("disk", "database", "web")))
    world.behave = lasting({"stop": 500})
    world.rmd_says(StopResources())
    assert world.ran() == ["web stop"]
    world.advance(999)
    assert world.ran() == ["web stop", "database stop"]
    assert world.to_rmd == []
    world.advance(501)
    assert world.ran() == ["web stop", "database stop", "disk stop"]
    assert world.to_rmd == DONE
    assert [result.parameters for result in world.results()] == [{"of": "web"}, {"of": "database"}, {"of": "disk"}]
    assert {result.user_data for result in world.results()} == {OURS}


@pytest.mark.parametrize(
    ("history", "is_stopped"),
    [
        ([("monitor", 7)], False),
        ([("monitor", 5)], False),
        ([("monitor", 0)], True),
        ([("monitor", 1)], True),
        ([("start", 0)], True),
        ([("start", 1)], True),
        ([("start", 0), ("stop", 0)], False),
        ([("start", 0), ("stop", 1)], True),
        ([("start", 0), ("migrate_to", 0)], True),
        ([("migrate_from", 0)], True),
        ([("start", 0), ("notify", 0)], True),
        ([("start", 0), ("stop", 0), ("notify", 0)], False),
        ([("start", 0), *[("notify", 0)] * 9], True),
    ],
)
def test_what_is_not_known_to_be_stopped_is_stopped(history: list[tuple[str, int]], is_stopped: bool) -> None:
    codes = iter(rc for _, rc in history)
    world = World(behave=lambda request: Behaviour(result=AgentResult(rc=next(codes, 0))))
    orders = [order("web", operation, f"{place}") for place, (operation, _) in enumerate(history)]
    assert leave(started(*orders, world=world)) == (["web stop"] if is_stopped else [])
    assert world.to_rmd == DONE


def test_what_is_promoted_is_demoted_first() -> None:
    assert leave(started(order("db", "start"), order("db", "promote"))) == ["db demote", "db stop"]


def test_a_stop_has_the_starts_timeout_and_not_less_than_the_default() -> None:
    world = started(order("a", "start", meta={"timeout": "90000", "op_target_rc": "0", "clone": "1"}))
    seen: list[RunAgent] = []

    def behave(request: RunAgent) -> Behaviour:
        seen.append(request)
        return Behaviour()

    world.behave = behave
    leave(world)
    assert [(one.timeout_ms, one.meta) for one in seen] == [(90_000, {"clone": "1"})]
    world = started(order("a", "start", meta={"timeout": "5000"}))
    world.behave = behave
    leave(world)
    assert seen[-1].timeout_ms == 20_000


def test_what_runs_is_awaited_what_waits_is_given_back_and_nothing_new_is_taken() -> None:
    world = World(behave=lasting({"start": 500}))
    world.crmd_says(order("web", "start"), order("web", "promote"), order("web", "monitor", interval_ms=1_000))
    world.rmd_says(StopResources())
    world.crmd_says(order("other", "start"), ForgetResource(resource_id="web"))
    world.advance(60_000)
    assert world.ran() == ["web start", "web stop"]
    refused = [line for line in told(world) if line.endswith("cancelled")]
    assert refused == ["web promote 1 cancelled", "other start 1 cancelled"]
    assert world.to_rmd == DONE


def test_what_is_just_being_forgotten_is_stopped_all_the_same() -> None:
    world = started(order("disk", "start"))
    world.behave = lasting({"monitor": 500, "stop": 1_000})
    world.crmd_says(order("disk", "monitor", interval_ms=10_000), ForgetResource(resource_id="disk"))
    world.crmd_says(order("web", "start"))
    world.advance(100)
    assert leave(world) == ["disk monitor", "web start", "web stop", "disk stop"]
    assert world.to_rmd == DONE


def test_a_stop_that_fails_is_tried_again_when_the_others_are_stopped() -> None:
    world = started(order("disk", "start"), order("web", "start"))
    results = {"disk": [1, 0], "web": [1, 1]}
    world.behave = lambda request: Behaviour(result=AgentResult(rc=results[request.resource.id].pop(0)))
    assert leave(world) == ["web stop", "disk stop", "web stop", "disk stop"]
    assert world.to_rmd == [ResourcesStopped(failed=["web"])]


def test_a_stop_that_hangs_holds_the_others_up_for_its_timeout_and_is_told() -> None:
    world = started(order("disk", "start"), order("web", "start"))
    world.behave = lambda request: Behaviour(duration_ms=None if request.resource.id == "web" else 10)
    assert leave(world, 120_000) == ["web stop", "disk stop", "web stop"]
    assert world.to_rmd == [ResourcesStopped(failed=["web"])]


def test_fence_devices_and_a_node_without_resources_are_done_at_once() -> None:
    world = started(order("fence", "start", agent_class="stonith"))
    assert leave(world, 0) == []
    assert world.to_rmd == DONE


def test_the_order_is_repeated_without_harm() -> None:
    world = started(order("web", "start"))
    world.behave = lasting({"stop": 500})
    world.rmd_says(StopResources())
    world.rmd_says(StopResources())
    world.advance(1_000)
    world.rmd_says(StopResources())
    assert (world.ran(), world.to_rmd) == (["web stop"], DONE * 2)


def test_an_lrmd_that_dies_meanwhile_goes_on_when_rmd_asks_its_successor() -> None:
    world = started(order("disk", "start"), order("web", "start"))
    world.behave = lasting({"stop": 500})
    world.rmd_says(StopResources())
    world.advance(100)
    world.restart()
    leave(world)
    assert world.ran() == ["web stop", "web stop", "disk stop"]
    assert world.to_rmd == DONE


def test_only_rmd_may_order_it() -> None:
    world = started(order("web", "start"))
    world.crmd_says(StopResources())  # type: ignore[arg-type]
    world.give(Received(Client("ha", 1, 0), StopResources()))
    world.advance(1_000)
    assert (world.ran(), world.to_rmd) == ([], [])
