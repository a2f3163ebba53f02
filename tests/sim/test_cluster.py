# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole production stack under virtual time: equal runs, crashes between any two effects, recordings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ha.recording import Header, RecordingError, read
from ha.sim.cluster import Cluster
from ha.sim.configuration import to_xml
from ha.sim.replay import replay
from ha.sim.stack import build_recorded, make_world, swarm_configuration
from ha.sim.swarm import Swarm, plan
from tests.sim.recorded import Recorder

NODES = ["n1", "n2", "n3"]
WORDS = [
    "property stonith-enabled=true",
    "primitive switch stonith:fence_switch op monitor interval=60s",
    "primitive web ocf:heartbeat:Dummy op monitor interval=10s",
    "location prefer-n2 web 50: n2",
]
WORKERS = ["heartbeat", "ccm", "cib", "stonithd", "lrmd", "attrd", "crmd"]


def configure(cluster: Cluster, node: str, lines: list[str]) -> None:
    written = cluster.configure(node, to_xml(lines))
    assert written.outcome == "committed", written.reason


def whole_run(seed: int) -> str:
    return Swarm(seed, make_world, swarm_configuration).run().fingerprint


def test_equal_seeds_are_equal_runs_under_any_hash_seed() -> None:
    program = "from tests.sim.test_cluster import whole_run; print(whole_run(3))"
    prints = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("0", "31337")
    }
    assert prints == {whole_run(3)}
    assert prints != {whole_run(2)}


@pytest.mark.parametrize("node", ["n1", "n2"], ids=["on the DC", "where the service is to run"])
@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("effects", [0, 1, 2, 3, 5, 8, 13, 21])
def test_a_crash_between_any_two_effects_while_a_service_starts(node: str, worker: str, effects: int) -> None:
    """Whatever dies, the service comes up, exactly once, and nothing is left to do. P1 to P4 are checked all along."""
    world = make_world(NODES, {}, 3)
    cluster = Cluster(world)
    cluster.start(NODES)
    world.run_for(1_000)
    cluster.crash(node, worker, effects)
    configure(cluster, "n3", WORDS)
    cluster.run_until_idle(120_000)
    assert cluster.places() == {"web": ["n2"]}
    assert sum(line.text == "web start" for line in world.trace) == 1, "the agent was started more than once"


@pytest.mark.parametrize("node", ["n1", "n3"], ids=["on the DC", "on another"])
@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("effects", [0, 1, 2, 4, 8, 16, 32])
def test_a_crash_between_any_two_effects_of_a_failover(node: str, worker: str, effects: int) -> None:
    """n2 loses power; while its service is recovered a worker of a survivor dies. The service runs again, once."""
    world = make_world(NODES, {}, 3)
    cluster = Cluster(world)
    cluster.start(NODES)
    world.run_for(1_000)
    configure(cluster, "n3", WORDS)
    cluster.run_until_idle()
    cluster.power_off("n2")
    world.run_for(1_000)
    cluster.crash(node, worker, effects)
    cluster.run_until_idle(120_000)
    assert len(cluster.places().get("web", [])) == 1
    fences = sum(line.kind == "fence" and line.text == "reboot n2" for line in world.trace)
    assert 1 <= fences <= 2, "a DC that dies before it wrote the fencing down may have it done again, once"


def test_recordings_of_every_worker_replay_to_equal_effects() -> None:
    world = make_world(NODES, {}, 4)
    recorder = Recorder(world)
    world.watch(recorder)
    cluster = Cluster(world)
    cluster.start(NODES)
    world.run_for(1_000)
    configure(cluster, "n1", WORDS)
    cluster.run_until_idle()
    cluster.power_off("n2")
    cluster.run_until_idle()
    assert {process.name for process in recorder.recordings} == {*WORKERS, "pengine", "tengine"}
    for process, data in recorder.recordings.items():
        steps, difference = replay(read(bytes(data)), build_recorded)
        assert steps > 1, process
        assert difference is None, f"{process!r}: {difference}"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (Header("crmd", "n1", {}), "it needs"),
        (Header("ccm", "n1", {"node": "n1", "nodes": ("n1",), "colour": 1}), "it needs"),
        (Header("apphbd", "n1", {}), "no core of 'apphbd'"),
    ],
)
def test_a_recording_that_cannot_be_built_again_is_refused(header: Header, reason: str) -> None:
    with pytest.raises(RecordingError, match=reason):
        build_recorded(header)


def test_a_plan_is_its_seed_and_nothing_else() -> None:
    assert plan(5) == plan(5)
    assert len({plan(seed) for seed in range(200)}) > 150
    assert {plan(seed).fencing for seed in range(50)} == {True, False}
