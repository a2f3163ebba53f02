# SPDX-License-Identifier: GPL-2.0-or-later
"""What is tried after a failed stop, and that nothing but an agent's word makes it a success."""

from __future__ import annotations

import pytest

from ha.lrm.model.execution import AgentResult, RunAgent
from ha.machine import Note
from tests.unit.lrm.world import Behaviour, Killed, World, order, sequence, told

ALLOWED = {"CRM_meta_kill_if_stop_fails": "true"}
FAILED = AgentResult(rc=1, exit_reason="busy")
DONE = AgentResult(rc=0)
STOPPED = AgentResult(rc=7)


def stopping(results: list[AgentResult], members: int = 2, **more: object) -> World:
    world = World(behave=sequence(results))
    world.members["web"] = members
    world.crmd_says(order("web", "stop", **more))
    world.advance(60_000)
    return world


def test_evidence_is_kept_and_nothing_killed_without_permission() -> None:
    world = stopping([FAILED])
    assert told(world) == ["web stop 1 done"]
    assert len(world.evidence) == 1
    assert "reason: busy" in world.evidence[0]
    assert world.members == {"web": 2}


@pytest.mark.parametrize("more", [{"meta": ALLOWED}, {"parameters": {"kill-if-stop-fails": "yes"}}])
def test_killed_stopped_and_confirmed(more: dict[str, object]) -> None:
    world = stopping([FAILED, DONE, STOPPED], **more)
    assert world.ran() == ["web stop", "web stop", "web monitor"]
    assert told(world) == ["web stop 0 done"]
    assert "2 processes were killed" in world.results()[0].exit_reason
    assert world.jobs == {}


def test_a_timeout_climbs_too() -> None:
    world = stopping([AgentResult(rc=1, status="timeout"), DONE, STOPPED], meta=ALLOWED)
    assert told(world) == ["web stop 0 done"]


def test_a_second_stop_that_fails_is_told() -> None:
    world = stopping([FAILED, FAILED], meta=ALLOWED)
    assert told(world) == ["web stop 1 done"]
    assert "not stopped, though" in world.results()[0].exit_reason


@pytest.mark.parametrize("said", [DONE, FAILED, AgentResult(rc=1, status="timeout"), AgentResult(rc=8)])
def test_a_stop_that_lies_is_found_out(said: AgentResult) -> None:
    world = stopping([FAILED, DONE, said], meta=ALLOWED)
    assert world.results()[0].rc == 1


def test_who_cannot_be_killed_is_not_stopped() -> None:
    world = World(behave=sequence([FAILED]), unkillable=1)
    world.members["web"] = 2
    world.crmd_says(order("web", "stop", meta=ALLOWED))
    world.advance(60_000)
    assert told(world) == ["web stop 1 done"]
    assert any("cannot all be killed" in note.text for note in world.notes if isinstance(note, Note))


def test_without_processes_it_is_stopped_once_more_all_the_same() -> None:
    """They may have been killed by an LRM that died of it."""
    assert told(stopping([FAILED, DONE, STOPPED], members=0, meta=ALLOWED)) == ["web stop 0 done"]
    assert told(stopping([FAILED, FAILED], members=0, meta=ALLOWED)) == ["web stop 1 done"]


def test_other_operations_and_devices_do_not_climb() -> None:
    world = World(behave=lambda request: Behaviour(result=FAILED))
    world.crmd_says(order("web", "start"), order("fence", "stop", agent_class="stonith"))
    world.advance(100)
    assert world.evidence == []


def test_the_next_operation_waits_for_the_end_of_the_ladder() -> None:
    world = World(behave=sequence([FAILED, DONE, STOPPED, DONE]))
    world.members["web"] = 1
    world.crmd_says(order("web", "stop", meta=ALLOWED), order("web", "start"))
    world.advance(60_000)
    assert world.ran() == ["web stop", "web stop", "web monitor", "web start"]


@pytest.mark.parametrize("effects", range(1, 30))
def test_an_lrm_killed_on_any_rung_ends_in_the_same_word(effects: int) -> None:
    """The crmd repeats an order without an answer; no agent runs beside another (the world asserts that)."""
    world = World(behave=_agent)
    world.members["web"] = 2
    world.effects_left = effects
    stop = order("web", "stop", meta=ALLOWED)
    try:
        world.crmd_says(stop)
        world.advance(60_000)
    except Killed:
        world.restart()
        world.crmd_says(stop)
        world.advance(60_000)
    assert set(told(world)) == {"web stop 0 done"}
    assert world.jobs == {}


def _agent(request: RunAgent) -> Behaviour:
    """Fails until its processes are gone, which the ladder's retry tells by its shorter timeout."""
    if request.operation == "monitor":
        return Behaviour(result=STOPPED)
    return Behaviour(result=FAILED if request.timeout_ms > 10_000 else DONE)
