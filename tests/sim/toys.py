# SPDX-License-Identifier: GPL-2.0-or-later
"""Toy machines that prove the world itself, before and beside the production cores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from ha.attrd.msg import UpdateAttribute
from ha.heartbeat.msg import Deliver, Transmit
from ha.machine import (
    Arm,
    Effect,
    Event,
    Everyone,
    Fired,
    Instant,
    Local,
    Machine,
    Note,
    Packet,
    Persist,
    Received,
    Remote,
    Send,
    Started,
    Wire,
)
from ha.sim.world import Setup, Stack, WorkerKind, World

MEDIUM = Wire("bcast eth0")


class ToyPacket(msgspec.Struct):
    from_node: str
    to_node: str | None
    module: str
    body: bytes


class ToyHeartbeat:
    """Carries without any reliability: what the network loses is lost."""

    def __init__(self, node: str) -> None:
        self.node = node

    def step(self, event: Event, now: Instant) -> list[Effect]:
        if not isinstance(event, Received):
            return []
        if isinstance(event.message, Transmit):
            assert isinstance(event.sender, Local)
            toy = ToyPacket(self.node, event.message.to_node, event.message.to_module, event.message.body)
            return [Send(MEDIUM, Packet(data=msgspec.msgpack.encode(toy))), *self._deliver(toy)]
        if isinstance(event.message, Packet):
            return self._deliver(msgspec.msgpack.decode(event.message.data, type=ToyPacket))
        return []

    def _deliver(self, toy: ToyPacket) -> list[Effect]:
        if toy.to_node not in (None, self.node):
            return []
        body = Deliver(from_node=toy.from_node, from_module=toy.module, body=toy.body)
        return [Send(Local(toy.module), body)]


@dataclass
class Pulse:
    """Says its count to every node each 100 ms, persisting it first; keeps what it hears and every event's type."""

    node: str
    heard: list[tuple[str, str]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    count: int = 0

    def step(self, event: Event, now: Instant) -> list[Effect]:
        self.events.append(event)
        if isinstance(event, Started):
            self.count = int(event.persisted.get("count", b"0"))
            return [Note("notice", f"starts at {self.count}"), Arm("pulse", now + 100)]
        if isinstance(event, Fired):
            self.count += 1
            message = UpdateAttribute(request_id=f"{self.count}", name="pulse", value=str(self.count))
            return [
                Persist("count", str(self.count).encode()),
                Send(Everyone("attrd"), message),
                Arm("pulse", now + 100),
            ]
        if isinstance(event, Received) and isinstance(event.message, UpdateAttribute):
            assert isinstance(event.sender, Remote)
            self.heard.append((event.sender.node, event.message.value or ""))
        return []


@dataclass
class Script:
    """Returns prepared effects: the first list at Started, then one list per Fired."""

    steps: list[list[Effect]]
    events: list[tuple[Event, Instant]] = field(default_factory=list)

    def step(self, event: Event, now: Instant) -> list[Effect]:
        self.events.append((event, now))
        if isinstance(event, (Started, Fired)) and self.steps:
            return self.steps.pop(0)
        return []

    def fired(self) -> list[str]:
        return [event.timer for event, _ in self.events if isinstance(event, Fired)]


def pulse_stack() -> Stack:
    return Stack(
        (
            WorkerKind("heartbeat", lambda setup: ToyHeartbeat(setup.node)),
            WorkerKind("attrd", lambda setup: Pulse(setup.node)),
        )
    )


def script_stack(steps: Iterable[list[Effect]], made: list[Script] | None = None) -> Stack:
    """One worker `attrd` that follows the script anew in each incarnation; `made` collects its machines."""
    prepared = [list(step) for step in steps]

    def build(setup: Setup) -> Machine:
        script = Script([list(step) for step in prepared])
        if made is not None:
            made.append(script)
        return script

    return Stack((WorkerKind("attrd", build),))


def started(stack: Stack, names: Iterable[str], *, seed: int = 1) -> World:
    world = World(stack, names, seed=seed)
    for node in world.nodes.values():
        node.power_on()
    return world


def pulse(world: World, node: str) -> Pulse:
    machine = world.nodes[node].processes["attrd"].machine
    assert isinstance(machine, Pulse)
    return machine
