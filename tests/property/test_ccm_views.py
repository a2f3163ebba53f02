# SPDX-License-Identifier: GPL-2.0-or-later
"""P2 under faults: one content per view id, instances that only grow, no two quorate sets, and rest after healing.

The world's checks run at every view told and after every moment; what is tested here is that no seed breaks them, and
that the cluster comes together when the faults end.
"""

from __future__ import annotations

import itertools
import os
from functools import partial
from random import Random

import pytest

from tests.unit.ccm.world import World

SEEDS = int(os.environ.get("CCM_SEEDS", "25"))
"""Per kind of test; any number by the environment."""

CALM_LIMIT_MS = 6_000


def random_fault(world: World, chance: Random) -> None:
    name, other = chance.sample(world.names, 2)
    choice = chance.random()
    if choice < 0.14:
        world.power_off(name)
    elif choice < 0.40:
        world.power_on(name)
    elif choice < 0.50:
        world.kill(name, respawn_ms=chance.choice((5, 20, 200, 900)))
    elif choice < 0.60:
        world.kill(name, after_effects=chance.randint(1, 12))
    elif choice < 0.68:
        world.restart_heartbeat(name)
    elif choice < 0.74:
        world.cut(name, other)
    elif choice < 0.80:
        world.cut_off(name, other)
    elif choice < 0.84:
        split(world, chance)
    elif choice < 0.93:
        world.heal()
    elif choice < 0.97:
        world.leave(name, tell_itself=chance.random() < 0.5)
    else:
        # The machine did not go down: only the cluster's programs were started again.
        world.leave(name)
        world.power_on(name, same_boot=True)


def split(world: World, chance: Random) -> None:
    side = [name for name in world.names if chance.random() < 0.5]
    for one in side:
        for other in world.names:
            if other not in side:
                world.cut_off(one, other)


def trouble(world: World, chance: Random, *, fencing: bool) -> None:
    for _ in range(chance.randint(3, 25)):
        random_fault(world, chance)
        if fencing and chance.random() < 0.25:
            by, victim = chance.sample(world.names, 2)
            if world.nodes[by].powered:
                world.fence(by, victim, confirm_ms=chance.choice((0, 5, 60, 400)))
        world.run(chance.choice((0, 1, 3, 10, 40, 170, 400, 1_500)))


def all_on(world: World) -> None:
    for node in world.nodes.values():
        node.crash_after = None
        world.power_on(node.name)


def describe(world: World) -> str:
    states = {name: world.members(name) for name in world.names}
    timers = {name: sorted(node.timers) for name, node in world.nodes.items()}
    return f"{states}\n{timers}\n" + "\n".join(world.log[-80:])


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_faults_break_no_promise_and_all_come_together_afterwards(size: int) -> None:
    for seed in range(SEEDS):
        chance = Random(f"{size} {seed}")
        world = World("abcde"[:size], seed, delay_ms=chance.choice(((1, 1), (1, 4), (1, 40))))
        for name in world.names:
            world.power_on(name)
            world.run(chance.choice((0, 0, 0, 5, 300, 1_200)))
        trouble(world, chance, fencing=size == 2 or chance.random() < 0.5)
        world.heal()
        world.run(chance.choice((0, 50, 500)))
        all_on(world)
        together = world.run(CALM_LIMIT_MS, partial(world.agreement, "".join(world.names)))
        assert together, f"seed {seed}: {describe(world)}"
        views = len(world.agreed)
        world.run(2_000)
        assert len(world.agreed) == views, f"seed {seed}: views change without a cause\n{describe(world)}"
        assert world.agreement("".join(world.names)), f"seed {seed}: {describe(world)}"


@pytest.mark.parametrize("size", [3, 4, 5])
def test_broken_links_end_in_the_largest_fully_connected_sets(size: int) -> None:
    for seed in range(SEEDS):
        chance = Random(f"links {size} {seed}")
        world = World("abcde"[:size], seed)
        for name in world.names:
            world.power_on(name)
        world.run(3_000, world.at_rest)
        for _ in range(chance.randint(1, 4)):
            one, other = chance.sample(world.names, 2)
            if chance.random() < 0.5:
                world.cut(one, other)
            else:
                world.cut_off(one, other)
            world.run(chance.choice((0, 20, 200)))
        world.run(4_000)
        assert world.at_rest(), f"seed {seed}: {describe(world)}"
        largest = largest_set(world)
        sets = {"".join(sorted(world.members(name).strip("-?"))) for name in world.names}
        assert max(map(len, sets)) == largest, f"seed {seed}: {describe(world)}"
        for name in world.names:
            members = sorted(world.members(name).strip("-?"))
            held = {world.members(member) for member in members}
            assert len(held) == 1, f"seed {seed}: {describe(world)}"
            for one, other in itertools.combinations(members, 2):
                assert world.reachable(one, other), f"seed {seed}: {describe(world)}"
                assert world.reachable(other, one), f"seed {seed}: {describe(world)}"


def largest_set(world: World) -> int:
    """By trying all sets: another way than the one under test."""
    for size in range(len(world.names), 0, -1):
        for group in itertools.combinations(world.names, size):
            if all(world.reachable(a, b) and world.reachable(b, a) for a, b in itertools.combinations(group, 2)):
                return size
    return 0
