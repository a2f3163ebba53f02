# SPDX-License-Identifier: GPL-2.0-or-later
"""P3 under any order of messages, disk writes, worker kills, power cuts, splits and merges.

What was acknowledged survives; equal versions are equal bytes (World.saw checks every version that is ever shown);
and once the cluster is whole again, every node comes to the same CIB.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from ha.cib.model.document import Document
from ha.cib.msg import Written
from tests.unit.cib.history import Fate, breaches
from tests.unit.cib.world import World

NAMES = ("n1", "n2", "n3", "n4", "n5")


class History:
    """What was asked and answered so far, by request. Time is the number of steps."""

    def __init__(self) -> None:
        self.fates: dict[str, Fate] = {}
        self.moment = 0
        self._heard: dict[str, int] = {}

    def ask(self, request_id: str, fate: Fate) -> None:
        self.fates[request_id] = fate

    def hear(self, world: World) -> None:
        self.moment += 1
        for name, node in world.nodes.items():
            for message in node.replies[self._heard.get(name, 0) :]:
                if isinstance(message, Written) and message.request_id in self.fates:
                    self._take(message)
            self._heard[name] = len(node.replies)

    def _take(self, written: Written) -> None:
        fate = self.fates[written.request_id]
        if fate.outcome == "unknown":
            self.fates[written.request_id] = replace(
                fate, answered=self.moment, outcome=written.outcome, version=written.version
            )


def _split(world: World, chance: Random) -> None:
    """A new partition of the nodes into views; every node that is up belongs to one."""
    names = list(world.nodes)
    chance.shuffle(names)
    cut = chance.randrange(len(names) + 1)
    for group in (sorted(names[:cut]), sorted(names[cut:])):
        if group:
            world.view(*group, writer=chance.choice(group))


def _disturb(world: World, chance: Random, history: History) -> None:
    name = chance.choice(list(world.nodes))
    action = chance.random()
    if action < 0.35:
        option, value = f"o{chance.randrange(12)}", str(world.requests)
        history.ask(world.option(name, option, value), Fate(option, value, history.moment))
    elif action < 0.55:
        world.node_state(name, str(world.requests))
    elif action < 0.75:
        world.restart(name)
    elif action < 0.85:
        # A node that lost its power leaves the view and comes back into another.
        world.views.pop(name, None)
        world.restart(name, power=True)
        _split(world, chance)
    else:
        _split(world, chance)


def _run(seed: int, nodes: int, steps: int) -> None:
    chance = Random(seed)
    history = History()
    world = World(*NAMES[:nodes])
    world.settle()
    world.view(*world.nodes)
    for _ in range(steps):
        choices = world.choices()
        if choices and chance.random() < 0.93:
            world.happen(chance.choice(choices))
        else:
            _disturb(world, chance, history)
        history.hear(world)
    world.view(*world.nodes, writer=chance.choice(list(world.nodes)))
    world.settle(seconds=30)
    assert len(world.digests()) == 1
    history.hear(world)
    root = Document.from_bytes(world.nodes["n1"].disk.shown).root
    values = {str(pair.get("name")): str(pair.get("value")) for pair in root.iter("nvpair")}
    assert breaches(list(history.fates.values()), values, world.nodes["n1"].core.version) == []  # type: ignore[union-attr]


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3, 3, 5]), st.sampled_from([100, 400]))
def test_nothing_acknowledged_is_lost(seed: int, nodes: int, steps: int) -> None:
    _run(seed, nodes, steps)
