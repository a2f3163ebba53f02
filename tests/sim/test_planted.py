# SPDX-License-Identifier: GPL-2.0-or-later
"""The swarm finds each planted bug."""

from __future__ import annotations

import pytest

from ha.sim.stack import make_world, swarm_configuration
from ha.sim.swarm import Result, Swarm
from ha.sim.world import World, Wrap
from tests.sim.planted import PLANTS, Plant


def run(seed: int, *, ground: bool, wrap: Wrap | None) -> Result:
    def make(names: list[str], options: dict[str, str], seed: int) -> World:
        return make_world(names, {**options, "layers": "ground"} if ground else options, seed, wrap)

    return Swarm(seed, make, lambda plan: [] if ground else swarm_configuration(plan)).run()


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_swarm_finds(plant: Plant) -> None:
    """A seed shows the broken promise, and without the bug it is well."""
    found: list[str] = []
    for seed in (plant.likely, *range(1, plant.seeds + 1)):
        result = run(seed, ground=plant.ground, wrap=plant.wrap)
        found.append(result.promise)
        if result.promise == plant.promise and run(seed, ground=plant.ground, wrap=None).ok:
            return
    pytest.fail(f"{plant.seeds} seeds have not shown {plant.name}; they showed {found}")
