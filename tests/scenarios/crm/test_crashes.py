# SPDX-License-Identifier: GPL-2.0-or-later
"""The crmd of any node may be killed between any two of its effects (P4): nothing restarts, nothing runs twice.

Each case replays one story and kills one crmd before its n-th effect; rmd starts it again 20 ms later.
"""

from __future__ import annotations

import pytest

from ha.crm import msg as crm
from ha.machine import Message, Received, Remote, Send, Stopping
from tests.scenarios.crm.policy import decide
from tests.scenarios.crm.test_cluster import RESOURCES, active_on, cluster, leave_cluster
from tests.scenarios.crm.world import World

STRIDE = 1
"""Between all effects; raise it for a quicker look."""


def started(world: World) -> None:
    world.configure(RESOURCES)
    for name in world.names:
        world.start(name)
    world.agree(*world.names)


def check_single_copies(world: World) -> None:
    """By the agents' own log: never a start while another copy may run, and never a needless stop."""
    running: dict[str, str] = {}
    for node, what in world.ran:
        resource, task, _ = what.split("_")
        if task == "start":
            assert resource not in running, f"{resource} runs on {running.get(resource)} and starts on {node}\n" + \
                world.story()
            running[resource] = node
        elif task == "stop" and running.get(resource) == node:
            del running[resource]


@pytest.mark.parametrize("victim", ["n1", "n2"])
def test_a_crash_while_the_cluster_starts(victim: str) -> None:
    calm = World("n1", "n2", "n3", decide=decide)
    started(calm)
    calm.settle()
    for number in range(1, calm.effects[victim] + 1, STRIDE):
        world = World("n1", "n2", "n3", decide=decide)
        world.crash = (victim, number)
        started(world)
        world.run(100)
        world.settle()
        check_single_copies(world)
        assert len(active_on(world, "A")) == 1 and len(active_on(world, "B")) == 1, world.story()
        assert not any("stop" in what for _, what in world.ran), f"effect {number}\n" + world.story()


@pytest.mark.parametrize("victim", ["n2", "n3"])
def test_a_crash_while_a_lost_node_is_recovered(victim: str) -> None:
    calm = cluster("n1", "n2", "n3")
    base = calm.effects[victim]
    calm.lose("n1")
    calm.run(1)
    calm.settle()
    for number in range(base + 1, calm.effects[victim] + 1, STRIDE):
        world = cluster("n1", "n2", "n3")
        world.crash = (victim, number)
        world.lose("n1")
        world.run(100)
        world.settle()
        check_single_copies(world)
        first_start = next(i for i, (_, what) in enumerate(world.ran) if "start" in what)
        assert first_start >= 0 and "n1" in world.fences
        assert len(active_on(world, "A")) == 1 and len(active_on(world, "B")) == 1, world.story()
        assert not any("stop" in what for _, what in world.ran), f"effect {number}\n" + world.story()


@pytest.mark.parametrize("victim", ["n1", "n2", "n3"])
def test_a_crash_in_a_quiet_cluster_moves_nothing(victim: str) -> None:
    world = cluster("n1", "n2", "n3")
    world.kill(victim)
    world.at(20, lambda: world.start(victim))
    world.run(50)
    world.settle()
    assert world.ran == [] and world.fences == []
    assert active_on(world, "A") == ["n1"]
    assert world.state(victim)["join"] == "member"


def test_all_crmds_crash_at_once() -> None:
    world = cluster("n1", "n2", "n3")
    for name in world.names:
        world.kill(name)
    for name in world.names:
        world.at(20, lambda name=name: world.start(name))  # type: ignore[misc]
    world.run(50)
    world.settle()
    assert world.ran == [] and world.fences == []


def test_the_dc_crashes_while_an_agent_starts() -> None:
    """The new DC hears of the start under way and waits for it."""
    world = World("n1", "n2", "n3", decide=decide)
    world.agent_ms = 500
    started(world)
    world.run_until(lambda: ("n1", "A_start_0") in world.ran)
    world.kill("n1")
    world.at(20, lambda: world.start("n1"))
    world.run(100)
    assert world.operations("n1", "A")["A_last_0"]["op-status"] == "-1"
    world.settle()
    check_single_copies(world)
    assert [what for what in world.ran if what[1] == "A_start_0"] == [("n1", "A_start_0")]


def test_a_crmd_that_stays_away_does_not_hold_up_an_election_for_ever() -> None:
    world = cluster("n1", "n2")
    world.kill("n1")
    took = world.run_until(lambda: world.dcs() == ["n2"])
    assert 2_000 <= took < 2_500, "two of two are needed until the other is absent for two seconds"
    world.start("n1")
    world.run(1_000)
    world.settle()
    assert world.dc() == "n2" and world.ran == []


def test_a_dc_that_is_asked_to_end_hands_over_at_once() -> None:
    world = cluster("n1", "n2", "n3")
    world.step("n1", "crmd", Stopping())
    assert world.run_until(lambda: world.dcs() == ["n2"], 1_000) <= 110, "an offer is repeated every 100 ms"
    world.kill("n1")
    world.run(20)
    world.start("n1")
    world.run(200)
    world.settle()
    assert world.dc() == "n2" and world.ran == []


def test_the_tengine_crashes_while_an_agent_starts() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.agent_ms = 500
    started(world)
    world.run_until(lambda: ("n1", "A_start_0") in world.ran)
    world.kill("n1", "tengine")
    world.settle()
    check_single_copies(world)
    assert active_on(world, "A") == ["n1"]
    assert sum(what == ("n1", "A_start_0") for what in world.ran) == 1


@pytest.mark.parametrize("seed", range(12))
def test_lost_messages_are_repeated(seed: int) -> None:
    """Every n-th message between crmds is lost, in every phase; the story ends the same."""
    world = World("n1", "n2", "n3", decide=decide)
    sent = 0

    def drop(source: str, target: str, message: Message) -> bool:
        nonlocal sent
        sent += 1
        return (sent * 2654435761 >> 7) % 12 == seed

    world.drop = drop
    started(world)
    world.settle()
    check_single_copies(world)
    assert active_on(world, "A") == ["n1"] or len(active_on(world, "A")) == 1
    leave_cluster(world, "n3")
    world.run_until(lambda: world.nodes["n3"].left)


def test_a_dc_of_an_older_view_is_refused() -> None:
    world = cluster("n1", "n2", "n3")
    old = world.views["n1"].id
    world.cut = {("n1", "n2"), ("n1", "n3"), ("n2", "n1"), ("n3", "n1")}
    world.agree("n2", "n3")
    world.run(200)
    orders: list[crm.Order] = []
    crmd = world.nodes["n2"].crmd
    assert crmd is not None
    stale = crm.Order(view=old, term=1, transition_key="1:1:0:u", what=crm.Leave())
    effects = crmd.step(Received(Remote("n1", "crmd"), stale), world.now)
    orders += [e.message for e in effects if isinstance(e, Send) and isinstance(e.message, crm.Order)]
    assert not crmd.shutdown.has_left and orders == []
    assert any("refused" in str(e) for e in effects)


def test_two_parts_that_merge_agree_on_one_dc() -> None:
    world = cluster("n1", "n2", "n3", "n4")
    world.agree("n1", "n2", quorate=False)
    world.agree("n3", "n4", quorate=False)
    world.run(50)
    assert sorted(world.dcs()) == ["n1", "n3"]
    world.agree("n1", "n2", "n3", "n4")
    for _ in range(40):
        world.run(1)
        by_view = [world.nodes[n].crmd.context.view_id for n in world.dcs()]  # type: ignore[union-attr]
        assert len(by_view) == len(set(by_view)), "two DCs in one view"
    world.settle()
    assert world.dc() == "n1"
