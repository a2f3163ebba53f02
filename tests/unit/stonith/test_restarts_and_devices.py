# SPDX-License-Identifier: GPL-2.0-or-later
"""stonithd is killed after any one effect; and what it does for the LRM."""

from __future__ import annotations

import pytest

from ha.stonith.model.execution import FenceAgentResult, RunFenceAgent
from tests.unit.stonith.world import FAILS, HANGS, OK, POWER, Behaviour, Killed, World

BAN = '<rsc_location id="l" rsc="power" node="n1" score="-INFINITY"/>'


def fence_with_a_kill(victim: str, kill_at: int, constraints: str) -> World:
    """n1 leads a fence of n3; `victim`'s stonithd is killed after so many effects, and its crmd asks again."""
    world = World(POWER, constraints=constraints)
    world.lose("n3")
    node = world.nodes[victim]
    node.effects_left = kill_at
    try:
        world.nodes["n1"].fences("n3")
        world.advance(5_000)
    except Killed:
        node.start()
        world.nodes["n1"].fences("n3")
        world.advance(60_000)
    return world


@pytest.mark.parametrize("constraints", ["", BAN], ids=["done here", "done elsewhere"])
@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_killed_after_any_effect(victim: str, constraints: str) -> None:
    for kill_at in range(1, 40):
        world = fence_with_a_kill(victim, kill_at, constraints)
        assert len(world.called()) == 1, f"killed after effect {kill_at}"
        assert world.nodes["n1"].fenced(), f"killed after effect {kill_at}"
        assert all(told.ok for told in world.nodes["n1"].fenced())
        assert all(node.left_jobs() == [] for node in world.nodes.values()), f"killed after effect {kill_at}"


def test_an_adopted_fence_that_fails_is_told_and_left_to_the_others() -> None:
    world = World(POWER, behave=lambda node, request: FAILS if node == "n1" else OK)
    world.lose("n3")
    node = world.nodes["n1"]
    node.fences("n3")
    node.start()
    node.fences("n3")
    world.advance(10_000)
    assert world.called() == ["n1: power reboot n3", "n2: power reboot n3"]
    assert all(call.request.agent == "fence_test" for call in world.calls)
    assert node.fenced()[0].executor == "n2"


def test_garbage_in_the_spool_is_reported() -> None:
    world = World(POWER)
    node = world.nodes["n1"]
    node.records = {"outcomes": b"\xc1", "registered": b"x"}
    node.durable = {"view": b"junk", "history": b"\x00\x00"}
    node.start()
    assert len([note for note in node.notes if note.level == "error"]) == 3
    node.fences("n3")
    world.advance(1_000)
    assert node.fenced()[0].ok


# For the LRM ---------------------------------------------------------------------------------------------------------


def test_start_tries_the_device_and_registers_it() -> None:
    world = World(POWER)
    node = world.nodes["n1"]
    node.device("monitor", "probe")
    node.device("start", "s")
    node.device("start", "s")
    world.advance(1_000)
    node.device("monitor", "m")
    world.advance(1_000)
    assert [(done.request_id, done.rc) for done in node.lrmd] == [("probe", 7), ("s", 0), ("m", 0)]
    node.start()
    node.device("monitor", "m2")
    world.advance(1_000)
    assert node.lrmd[-1].rc == 0
    node.device("stop", "x")
    node.device("monitor", "m3")
    assert [(done.request_id, done.rc) for done in node.lrmd[-2:]] == [("x", 0), ("m3", 7)]


@pytest.mark.parametrize(
    ("how", "rc", "timed_out"),
    [
        (FAILS, 1, False),
        (HANGS, 1, True),
        (Behaviour(result=FenceAgentResult(ok=False, fate="not installed", reason="no")), 5, False),
    ],
)
def test_a_device_that_cannot_be_used_is_not_registered(how: Behaviour, rc: int, timed_out: bool) -> None:
    world = World(POWER, behave=lambda node, request: how)
    node = world.nodes["n1"]
    node.device("start", "s", timeout_ms=1_000)
    world.advance(2_000)
    (done,) = node.lrmd
    assert (done.rc, done.timed_out) == (rc, timed_out)
    assert done.exit_reason
    node.device("monitor", "m")
    assert node.lrmd[-1].rc == 7


def test_an_unknown_operation() -> None:
    world = World(POWER)
    world.nodes["n1"].device("promote", "p")
    assert world.nodes["n1"].lrmd[0].rc == 3


def test_a_fence_does_not_wait_for_a_hanging_monitor() -> None:
    calls = []

    def behave(node: str, request: RunFenceAgent) -> Behaviour:
        calls.append(request.action)
        return HANGS if request.action == "monitor" and calls.count("monitor") == 1 else OK

    world = World(POWER, behave=behave)
    node = world.nodes["n1"]
    node.device("start", "s")
    world.advance(100)
    node.fences("n3")
    world.advance(200)
    assert node.fenced()[0].ok
    world.advance(1_000)
    assert calls == ["monitor", "reboot", "monitor"]
    assert node.lrmd[-1].rc == 0


def test_actions_of_a_device_run_one_at_a_time() -> None:
    world = World(POWER)
    node = world.nodes["n1"]
    node.fences("n2", key="a")
    node.fences("n3", key="b")
    assert len(world.called()) == 1
    world.advance(150)
    assert len(world.called()) == 2
    world.advance(150)
    assert len(node.fenced()) == 2
