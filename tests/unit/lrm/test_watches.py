# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that are watched: their end brings the monitor forward, and the monitor's word is the result."""

from __future__ import annotations

import pytest

from ha.lrm.model.execution import AgentResult, RunAgent
from ha.lrm.model.processes import pid_file
from ha.lrm.msg import CancelOperation
from tests.unit.lrm.world import Behaviour, World, order, told

INTERVAL_MS = 10_000


def watched(world: World | None = None) -> World:
    """A started resource whose monitor, every 10 s, tells whether its process lives."""
    world = world or World()
    world.behave = lambda request: _agent(world, request)
    world.processes["web"] = 100
    world.crmd_says(order("web", "start"))
    world.advance(20)
    world.crmd_says(order("web", "monitor", interval_ms=INTERVAL_MS))
    world.advance(20)
    return world


def _agent(world: World, request: RunAgent) -> Behaviour:
    well = request.operation != "monitor" or world.processes["web"] > 0
    return Behaviour(result=AgentResult(rc=0 if well else 7))


def monitors(world: World) -> int:
    return world.ran().count("web monitor")


def test_the_end_of_a_process_is_reported_at_once() -> None:
    world = watched()
    world.process_dies("web")
    world.advance(20)
    assert told(world)[-1] == "web monitor 7 done"
    assert monitors(world) == 2


def test_a_process_that_ends_while_the_monitor_looks() -> None:
    world = watched()
    world.behave = lambda request: Behaviour(duration_ms=100)  # looked before, ends after
    world.advance(INTERVAL_MS + 50)
    assert monitors(world) == 2
    world.behave = lambda request: _agent(world, request)
    world.process_dies("web")
    world.advance(200)
    assert told(world)[-1] == "web monitor 7 done"


def test_what_the_agent_finds_well_is_well_and_watched_again() -> None:
    world = watched()
    world.behave = lambda request: Behaviour()
    world.process_dies("web")
    world.processes["web"] = 101
    world.advance(20)
    assert told(world)[-1] == "web monitor 0 done"
    assert monitors(world) == 2
    world.behave = lambda request: _agent(world, request)
    world.process_dies("web")
    world.advance(1_100)
    assert told(world)[-1] == "web monitor 7 done"


def test_processes_that_come_and_go_cost_a_monitor_a_second() -> None:
    world = watched()
    world.behave = lambda request: Behaviour()
    for pid in range(200, 300):
        world.processes["web"] = pid
        world.advance(50)
        world.process_dies("web")
        world.processes["web"] = pid
    assert monitors(world) <= 1 + 6


def test_a_stop_or_a_cancel_ends_the_watch() -> None:
    for end in (order("web", "stop"), CancelOperation(resource_id="web", operation="monitor", interval_ms=INTERVAL_MS)):
        world = watched()
        world.crmd_says(end)
        world.advance(20)
        assert world.watched == {}
        world.process_dies("web")
        world.advance(2 * INTERVAL_MS)
        assert monitors(world) == 1


def test_a_failed_resource_is_not_watched() -> None:
    world = watched()
    world.process_dies("web")
    world.advance(20)
    assert world.watched == {}
    world.advance(INTERVAL_MS)
    assert monitors(world) == 3


def test_without_a_process_it_is_polled() -> None:
    world = World()
    world.crmd_says(order("web", "monitor", interval_ms=INTERVAL_MS))
    world.advance(3 * INTERVAL_MS + 100)
    assert monitors(world) == 4
    assert world.watched == {}


def test_a_restarted_lrm_watches_on() -> None:
    world = watched()
    world.restart()
    world.process_dies("web")
    world.advance(20)
    assert told(world)[-1] == "web monitor 7 done"


def test_a_process_that_died_while_no_lrm_was_there() -> None:
    world = watched()
    world.watched.clear()
    world.process_dies("web")
    world.restart()
    world.advance(20)
    assert told(world)[-1] == "web monitor 7 done"


def test_devices_are_never_watched() -> None:
    world = World()
    world.processes["fence"] = 5
    world.crmd_says(order("fence", "monitor", interval_ms=INTERVAL_MS, agent_class="stonith"))
    world.advance(20)
    assert world.watched == {}


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"pidfile": "/run/a.pid"}, "/run/a.pid"),
        ({"pid": "/run/a.pid", "pidfile": "/run/b.pid"}, "/run/b.pid"),
        ({"squid_pidfile": "/run/s.pid"}, "/run/s.pid"),
        ({"catalina_pid": "/run/c.pid"}, "/run/c.pid"),
        ({"pidfile_name": "redis.pid"}, ""),
        ({"rapid": "/run/x"}, ""),
        ({"pid": "42"}, ""),
        ({}, ""),
    ],
)
def test_which_parameter_names_the_pid_file(parameters: dict[str, str], path: str) -> None:
    assert pid_file(parameters) == path
