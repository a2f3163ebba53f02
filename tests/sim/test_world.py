# SPDX-License-Identifier: GPL-2.0-or-later
"""The world proved with toy machines: order, crashes, freezing, power, disk, network, determinism."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ha.machine import Arm, Connected, Disarm, Execute, Fired, Lost, Note, Persist, Started
from ha.sim.agents import AgentCall, AgentOutcome, Misbehaviour
from ha.sim.world import World
from tests.sim.toys import Script, pulse, pulse_stack, script_stack, started


def notes(world: World) -> list[str]:
    return [line.text for line in world.trace if line.kind in ("notice", "info")]


def test_everyone_hears_every_pulse_in_order() -> None:
    world = started(pulse_stack(), ["n1", "n2", "n3"])
    world.run_for(2_000)
    for listener in world.nodes:
        for speaker in world.nodes:
            heard = [int(value) for node, value in pulse(world, listener).heard if node == speaker]
            assert len(heard) >= 15
            assert heard == list(range(1, len(heard) + 1))


def test_a_one_way_cut_cuts_one_way() -> None:
    world = started(pulse_stack(), ["n1", "n2"])
    world.network.cut("n1", "n2")
    world.run_for(1_000)
    assert "n1" not in {node for node, _ in pulse(world, "n2").heard}
    assert "n2" in {node for node, _ in pulse(world, "n1").heard}
    world.network.heal_all()
    world.run_for(1_000)
    assert "n1" in {node for node, _ in pulse(world, "n2").heard}


def test_loss_duplication_and_reordering_happen() -> None:
    world = started(pulse_stack(), ["n1", "n2"])
    world.network.weather.loss = 0.3
    world.network.weather.duplication = 0.3
    world.network.weather.reordering = 0.3
    world.network.weather.reordering_us = 500_000
    world.run_for(10_000)
    heard = [int(value) for node, value in pulse(world, "n2").heard if node == "n1"]
    assert world.network.lost > 0
    assert len(set(heard)) < len(heard), "nothing was duplicated"
    assert sorted(heard) != heard, "nothing was reordered"
    assert len(set(heard)) < max(heard), "nothing was lost"


def test_a_killed_worker_comes_back_and_its_peers_hear_of_both() -> None:
    world = started(pulse_stack(), ["n1", "n2"])
    world.run_for(1_000)
    node = world.nodes["n1"]
    survivor = pulse(world, "n1")
    node.supervisor.died(node.processes["heartbeat"])
    world.run_for(100)
    kinds = [type(event) for event in survivor.events]
    assert kinds.index(Lost) < len(kinds) - 1 - kinds[::-1].index(Connected)
    count = survivor.count
    node.supervisor.died(node.processes["attrd"])
    world.run_for(100)
    successor = pulse(world, "n1")
    assert successor is not survivor
    assert successor.count >= count - 1, "what was durable is still known"
    first = successor.events[0]
    assert isinstance(first, Started)
    assert first.incarnation != survivor.events[0].incarnation  # type: ignore[union-attr]


def test_messages_for_a_dead_worker_wait_for_its_successor() -> None:
    world = started(pulse_stack(), ["n1", "n2"])
    world.run_for(1_000)
    node = world.nodes["n1"]
    node.supervisor.died(node.processes["heartbeat"])
    world.run_for(1_000)
    heard = [int(value) for speaker, value in pulse(world, "n2").heard if speaker == "n1"]
    assert heard == list(range(1, len(heard) + 1)), "a pulse that was decided while heartbeat was away is lost"


def test_a_frozen_worker_is_replaced_at_its_deadline_and_a_thawed_one_is_not() -> None:
    world = started(pulse_stack(), ["n1"])
    world.run_for(500)
    node = world.nodes["n1"]
    process = node.processes["attrd"]
    process.freeze()
    node.supervisor.froze(process)
    world.run_for(500)
    process.thaw()
    node.supervisor.thawed(process)
    world.run_for(2_000)
    assert node.processes["attrd"] is process
    process.freeze()
    node.supervisor.froze(process)
    steps = process.steps
    world.run_for(800)
    assert process.steps == steps, "a frozen worker took a step"
    world.run_for(300)
    assert node.processes["attrd"] is not process


def test_effects_after_a_persist_wait_for_the_disk_and_die_with_the_power() -> None:
    made: list[Script] = []
    world = started(script_stack([[Persist("a", b"1"), Note("notice", "after")]], made), ["n1"])
    world.run_until_us(100)
    assert notes(world) == []
    world.nodes["n1"].power_off("test")
    world.run_for(1_000)
    assert notes(world) == []
    world.nodes["n1"].power_on()
    world.run_for(1_000)
    assert notes(world) == ["after"]
    last = made[-1].events[0][0]
    assert isinstance(last, Started)


@pytest.mark.parametrize("effects_done", range(4))
def test_a_crash_falls_between_any_two_effects(effects_done: int) -> None:
    world = World(script_stack([[Note("notice", str(n)) for n in range(3)]]), ["n1"], seed=1)
    world.nodes["n1"].power_on()
    world.run_until_us(1)
    world.nodes["n1"].processes["attrd"].crash_after = effects_done
    world.run_until_us(5_000)
    assert notes(world) == [str(n) for n in range(min(3, effects_done))]
    world.run_for(1_000)
    expected = ["0", "1", "2"]
    assert notes(world) == expected[:effects_done] + (expected if effects_done < 3 else [])


def test_timers_fire_once_for_the_last_arm_and_not_after_disarm() -> None:
    made: list[Script] = []
    begin = 10_000
    first = [Arm("a", begin + 50), Arm("b", begin + 50), Arm("a", begin + 80), Arm("c", begin + 60), Disarm("c")]
    world = started(script_stack([first, [Disarm("a"), Arm("d", begin + 90)], [], []], made), ["n1"])
    world.run_for(1_000)
    assert made[0].fired() == ["b", "d"]
    assert [now for _, now in made[0].events][-1] == begin + 90


def test_a_timer_that_rang_unheard_can_still_be_disarmed() -> None:
    made: list[Script] = []
    first = [Arm("a", 10_050), Arm("b", 10_050)]
    world = started(script_stack([first, [Disarm("b")]], made), ["n1"])
    world.run_for(1_000)
    assert made[0].fired() == ["a"]


def test_a_ring_is_taken_back_by_effects_that_waited_for_the_disk() -> None:
    made: list[Script] = []
    world = started(script_stack([[]], made), ["n1"])
    world.run_for(1_000)
    process = world.nodes["n1"].processes["attrd"]
    process._ring("a")
    process._disarm(Disarm("a"))
    world.run_for(1_000)
    assert made[0].fired() == []
    process.post(Fired("b"))
    world.run_for(1_000)
    assert made[0].fired() == ["b"]


def test_a_paused_machine_fires_its_timers_late() -> None:
    made: list[Script] = []
    world = started(script_stack([[Arm("a", 10_100)]], made), ["n1"])
    world.run_for(50)
    world.nodes["n1"].pause()
    world.run_for(500)
    assert made[0].fired() == []
    world.nodes["n1"].resume()
    world.run_for(1)
    assert made[0].fired() == ["a"]
    assert made[0].events[-1][1] >= 10_550, "BOOTTIME goes on while the machine is suspended"


def test_a_worker_that_is_told_to_stop_says_its_last_words_and_is_gone() -> None:
    world = started(script_stack([[]]), ["n1"])
    world.run_for(50)
    process = world.nodes["n1"].processes["attrd"]
    world.nodes["n1"].supervisor.stop("attrd")
    world.run_until_us(world.agenda.now_us + 100)
    assert not process.alive
    world.run_for(1_000)
    assert "attrd" not in world.nodes["n1"].processes, "nobody asked for another one"


def test_what_nothing_serves_is_a_broken_invariant() -> None:
    world = World(script_stack([[Execute("x", object())]]), ["n1"], seed=1)
    world.nodes["n1"].power_on()
    with pytest.raises(AssertionError, match="nothing serves object"):
        world.run_for(100)


def test_agents_keep_state_on_the_node_until_its_power_goes() -> None:
    world = started(script_stack([[]]), ["n1"])
    node = world.nodes["n1"]
    outcomes: list[AgentOutcome] = []
    node.agents.run(AgentCall("web", "start", 0, 1_000), outcomes.append)
    assert node.agents.may_be_active("web"), "a start in progress may be active"
    world.run_for(100)
    assert [outcome.rc for outcome in outcomes] == [0]
    node.supervisor.died(node.processes["attrd"])
    world.run_for(100)
    assert node.agents.state("web") == "started"
    node.power_off("test")
    node.power_on()
    assert node.agents.state("web") == "stopped"


@pytest.mark.parametrize(
    ("kind", "rc", "timed_out", "state"),
    [("fails", 1, False, "started"), ("hangs", 1, True, "started"), ("lies", 0, False, "started"),
     ("slow", 0, False, "stopped")],
)  # fmt: skip
def test_agents_misbehave_as_told(kind: str, rc: int, timed_out: bool, state: str) -> None:
    world = started(script_stack([[]]), ["n1"])
    agents = world.nodes["n1"].agents
    agents.states["web"] = "started"
    world.misbehaviours.append(Misbehaviour(kind, "web", "stop", count=1, extra_ms=100))  # type: ignore[arg-type]
    outcomes: list[AgentOutcome] = []
    agents.run(AgentCall("web", "stop", 0, 500), outcomes.append)
    world.run_for(1_000)
    assert [(outcome.rc, outcome.timed_out) for outcome in outcomes] == [(rc, timed_out)]
    assert agents.state("web") == state
    agents.run(AgentCall("web", "stop", 0, 500), outcomes.append)
    world.run_for(1_000)
    assert outcomes[-1].rc == 0, "the rule was for one time only"


def faulty_run(seed: int) -> str:
    world = started(pulse_stack(), ["n1", "n2", "n3"], seed=seed)
    world.network.weather.loss = 0.1
    world.network.weather.jitter_us = 2_000
    chance = world.chance("faults")
    for _ in range(20):
        world.run_for(chance.randrange(200))
        node = world.nodes[chance.choice(list(world.nodes))]
        match chance.choice(("kill", "power", "cut")):
            case "kill" if "attrd" in node.processes:
                node.supervisor.died(node.processes["attrd"])
            case "power":
                node.power_cycle("test")
            case _:
                world.network.cut(node.name, "n1")
    return world.fingerprint


def test_same_seed_same_run() -> None:
    assert faulty_run(7) == faulty_run(7)
    assert faulty_run(7) != faulty_run(8)


def test_same_run_under_any_hash_seed() -> None:
    program = "from tests.sim.test_world import faulty_run; print(faulty_run(7))"
    prints = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "4242")
    }
    assert prints == {f"{faulty_run(7)}\n"}
