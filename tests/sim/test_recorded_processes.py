# SPDX-License-Identifier: GPL-2.0-or-later
"""What real processes decided, the cores decide again: recordings of a playground cluster, replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.recording import Header, read
from ha.sim.replay import replay
from ha.sim.stack import BUILDERS, build_recorded
from tests.real.cluster import running

pytestmark = pytest.mark.real


def test_recordings_of_real_processes_replay_to_equal_effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service starts, its node loses power, it starts elsewhere: every step of every worker of all nodes."""
    monkeypatch.setenv("HA_RECORD", str(tmp_path))
    with running(3) as cluster:
        cluster.add_recorder("web")
        cluster.settle()
        [home] = cluster.where("web")
        cluster.order(f"off {home}")
        cluster.settle(*[node for node in cluster.layout.nodes if node != home])
    replayed: set[str] = set()
    for path in sorted(tmp_path.glob("*.recording")):
        entries = list(read(path.read_bytes()))
        assert isinstance(entries[0], Header)
        if entries[0].worker not in BUILDERS:
            continue  # logd has no twin to compare with
        steps, difference = replay(entries, build_recorded)
        assert difference is None, f"{path.name}: {difference}"
        assert steps == len(entries) - 1
        replayed.add(entries[0].worker)
    assert replayed == set(BUILDERS)
