# SPDX-License-Identifier: GPL-2.0-or-later
"""Clusters of the ground alone: heartbeat and ccm, and a listener in the place of all that is above."""

from __future__ import annotations

from ha.sim.stack import make_world
from ha.sim.swarm import Plan, Result, Swarm
from ha.sim.world import World


def make_ground(names: list[str], options: dict[str, str], seed: int) -> World:
    return make_world(names, {**options, "layers": "ground"}, seed)


def nothing(plan: Plan) -> list[str]:
    return []


def ground_run(seed: int) -> Result:
    return Swarm(seed, make_ground, nothing).run()
