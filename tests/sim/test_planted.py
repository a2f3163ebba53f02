# SPDX-License-Identifier: GPL-2.0-or-later
"""The swarm finds each planted bug."""

from __future__ import annotations

import pytest

from ha.sim.stack import make_world, swarm_configuration
from ha.sim.swarm import Plan, Result, Swarm
from ha.sim.world import World
from tests.sim.planted import PLANTS, Plant


def run(plant: Plant, seed: int) -> Result:
    def make(names: list[str], options: dict[str, str], seed: int) -> World:
        options = {**options, "layers": "ground"} if plant.ground else options
        return make_world(names, options, seed, plant.wrap)

    def configuration(plan: Plan) -> list[str]:
        return [] if plant.ground else swarm_configuration(plan)

    return Swarm(seed, make, configuration).run()


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_the_swarm_finds(plant: Plant) -> None:
    found: list[str] = []
    for seed in range(1, plant.seeds + 1):
        result = run(plant, seed)
        if result.promise == plant.promise:
            return
        found.append(result.promise)
    pytest.fail(f"{plant.seeds} seeds have not shown {plant.name}; they showed {found}")
