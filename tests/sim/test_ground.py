# SPDX-License-Identifier: GPL-2.0-or-later
"""heartbeat and ccm together, under virtual time: swarm, crashes between any two effects, equal runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ha.sim.cluster import Cluster
from ha.sim.promises import AgreedViews
from tests.sim.ground import ground_run, make_ground

NODES = ["n1", "n2", "n3"]


@pytest.mark.parametrize("seed", range(1, 21))
def test_membership_under_random_faults(seed: int) -> None:
    result = ground_run(seed)
    assert result.ok, f"{result.failure}\nreplay: tests.sim.ground.ground_run({seed})"


def test_equal_seeds_are_equal_runs_under_any_hash_seed() -> None:
    program = "from tests.sim.ground import ground_run; print(ground_run(11).fingerprint)"
    prints = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "1", "777")
    }
    assert prints == {ground_run(11).fingerprint}
    assert prints != {ground_run(12).fingerprint}


@pytest.mark.parametrize("worker", ["heartbeat", "ccm"])
@pytest.mark.parametrize("effects", range(0, 60, 2))
def test_a_crash_between_any_two_effects_of_a_join(worker: str, effects: int) -> None:
    """n3 joins while a worker of n2, its peer, dies after so many more effects: one view of all three comes of it."""
    world = make_ground(NODES, {}, 5)
    cluster = Cluster(world)
    cluster.start(["n1", "n2"])
    world.run_for(15_000)
    cluster.crash("n2", worker, effects)
    cluster.start(["n3"])
    world.run_for(10_000)
    views = next(watcher for watcher in world.watchers if isinstance(watcher, AgreedViews))
    newest = {views.newest[name] for name in NODES}
    assert len(newest) == 1
    assert {node for node, _ in views.views[newest.pop()].members} == set(NODES)
