# SPDX-License-Identifier: GPL-2.0-or-later
"""What the LRM passes to stonithd, and what it reads of agents."""

from __future__ import annotations

from ha.lrm.model.execution import MetadataRead
from ha.lrm.msg import Agents, GetMetadata, ListAgents, Metadata
from ha.machine import Client, Local, Received
from ha.stonith.msg import DeviceOperation, DeviceOperationDone
from tests.unit.lrm.world import World, order, told

SHELL = Client("crmsh", 1, 0)


def device_operations(world: World) -> list[DeviceOperation]:
    return [message for message in world.to_stonithd if isinstance(message, DeviceOperation)]


def answer(world: World, **fields: object) -> None:
    request = device_operations(world)[-1]
    done = DeviceOperationDone(request_id=request.request_id, **fields)  # type: ignore[arg-type]
    world.give(Received(Local("stonithd"), done))


def test_a_fence_device_is_started_by_stonithd() -> None:
    world = World()
    world.crmd_says(order("fence1", "start", agent_class="stonith", parameters={"ip": "10.0.0.1"}))
    (request,) = device_operations(world)
    assert (request.device, request.agent, request.operation) == ("fence1", "fence_test", "start")
    assert request.parameters == {"ip": "10.0.0.1"}
    answer(world, rc=0)
    assert told(world) == ["fence1 start 0 done"]
    assert world.runs == []


def test_a_failed_device_is_told_with_its_reason() -> None:
    world = World()
    world.crmd_says(order("fence1", "start", agent_class="stonith"))
    answer(world, rc=1, exit_reason="login denied")
    (result,) = world.results()
    assert (result.rc, result.exit_reason) == (1, "login denied")


def test_a_silent_stonithd_is_a_timeout_and_its_late_answer_nothing() -> None:
    world = World()
    world.crmd_says(order("fence1", "start", agent_class="stonith", timeout_ms=1_000))
    world.advance(1_001)
    assert told(world) == ["fence1 start 1 timeout"]
    answer(world, rc=0)
    assert len(world.results()) == 1


def test_a_restarted_stonithd_is_asked_again() -> None:
    world = World()
    world.crmd_says(order("fence1", "monitor", agent_class="stonith", interval_ms=60_000))
    world.stonithd_connects()
    first, second = device_operations(world)
    assert first == second
    answer(world, rc=0)
    world.advance(60_000)
    assert len(device_operations(world)) == 3


def test_devices_take_no_slots() -> None:
    world = World()
    world.crmd_says(*(order(f"fence{n}", "start", agent_class="stonith") for n in range(10)))
    world.crmd_says(order("web", "start"))
    assert len(device_operations(world)) == 10
    assert world.ran() == ["web start"]


# Meta-data -----------------------------------------------------------------------------------------------------------


def ask(world: World, request_id: str) -> None:
    request = GetMetadata(request_id=request_id, agent_class="ocf", agent_type="Dummy", provider="heartbeat")
    world.give(Received(SHELL, request))


def test_metadata_is_kept_as_long_as_the_agents_file_is_the_same() -> None:
    world = World()
    world.metadata["Dummy"] = MetadataRead(rc=0, checksum="aa", xml="<one/>")
    ask(world, "1")
    ask(world, "2")
    world.metadata["Dummy"] = MetadataRead(rc=0, checksum="bb", xml="<two/>")
    ask(world, "3")
    answers = [message for message in world.replies if isinstance(message, Metadata)]
    assert [(a.request_id, a.xml) for a in answers] == [("1", "<one/>"), ("2", "<one/>"), ("3", "<two/>")]


def test_failed_metadata_is_not_kept() -> None:
    world = World()
    world.metadata["Dummy"] = MetadataRead(rc=5, reason="there is no such agent")
    ask(world, "1")
    world.metadata["Dummy"] = MetadataRead(rc=0, checksum="aa", xml="<one/>")
    world.give(Received(Local("crmd"), GetMetadata(request_id="2", agent_class="ocf", agent_type="Dummy")))
    ask(world, "3")
    first, second = [message for message in world.replies if isinstance(message, Metadata)]
    assert (first.rc, first.reason) == (5, "there is no such agent")
    assert second.xml == "<one/>"
    assert isinstance(world.sent[-1], Metadata)


def test_agents_are_listed() -> None:
    world = World()
    world.give(Received(SHELL, ListAgents(request_id="1", agent_class="ocf", provider="heartbeat")))
    assert world.replies == [Agents(request_id="1", names=["Dummy"])]
