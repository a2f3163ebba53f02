# SPDX-License-Identifier: GPL-2.0-or-later
"""P3 under any order of messages, disk writes, worker kills, power cuts, splits and merges.

What was acknowledged survives; equal versions are equal bytes (World.saw checks every version that is ever shown);
and once the cluster is whole again, every node comes to the same CIB.
"""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from ha.cib.msg import Written
from tests.unit.cib.world import World

NAMES = ("n1", "n2", "n3", "n4", "n5")


def _split(world: World, chance: Random) -> None:
    """A new partition of the nodes into views; every node that is up belongs to one."""
    names = list(world.nodes)
    chance.shuffle(names)
    cut = chance.randrange(len(names) + 1)
    for group in (sorted(names[:cut]), sorted(names[cut:])):
        if group:
            world.view(*group, writer=chance.choice(group))


def _disturb(world: World, chance: Random, options: dict[str, str]) -> None:
    name = chance.choice(list(world.nodes))
    action = chance.random()
    if action < 0.35:
        option = f"o{world.requests}"
        options[world.option(name, option, str(world.requests))] = option
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
    options: dict[str, str] = {}
    world = World(*NAMES[:nodes])
    world.settle()
    world.view(*world.nodes)
    for _ in range(steps):
        choices = world.choices()
        if choices and chance.random() < 0.93:
            world.happen(chance.choice(choices))
        else:
            _disturb(world, chance, options)
    world.view(*world.nodes, writer=chance.choice(list(world.nodes)))
    world.settle(seconds=30)
    assert len(world.digests()) == 1
    shown = world.nodes["n1"].disk.shown.decode()
    for node in world.nodes.values():
        for message in node.replies:
            if isinstance(message, Written) and message.outcome == "committed" and message.request_id in options:
                assert f'name="{options[message.request_id]}"' in shown, f"{message} was acknowledged, and is lost"


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3, 3, 5]), st.sampled_from([100, 400]))
def test_nothing_acknowledged_is_lost(seed: int, nodes: int, steps: int) -> None:
    _run(seed, nodes, steps)
