# SPDX-License-Identifier: GPL-2.0-or-later
"""What real processes were given, the simulator's cores are given again: they want the same, effect for effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ha.attrd.core import build as attrd
from ha.ccm.core import build as ccm
from ha.cib.core import build as cib
from ha.crm.core import build as crmd
from ha.heartbeat.core import build as heartbeat
from ha.lrm.core import build as lrmd
from ha.machine import Machine
from ha.pe.core import build as pengine
from ha.recording import Header, read
from ha.sim.replay import replay
from ha.stonith.core import build as stonithd
from ha.te.core import build as tengine
from tests.real import cluster
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

CORES: dict[str, Callable[..., Machine]] = {
    "heartbeat": heartbeat, "ccm": ccm, "cib": cib, "attrd": attrd, "stonithd": stonithd, "lrmd": lrmd, "crmd": crmd,
    "pengine": pengine, "tengine": tengine,
}  # fmt: skip


def build(header: Header) -> Machine:
    settings: dict[str, Any] = header.settings
    return CORES[header.worker](**settings)


def test_a_recorded_failover_is_decided_again_the_same_way(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = short_path / "recordings"
    monkeypatch.setenv("HA_RECORD", str(folder))
    with cluster.running(3) as c:
        c.add_recorder("service")
        c.settle()
        (lost,) = c.where("service")
        c.order(f"off {lost}")
        wait_for(lambda: c.where("service") and c.where("service") != [lost], "the service runs elsewhere")
        c.settle(*(node for node in c.layout.nodes if node != lost))
    replayed: dict[str, int] = {}
    for path in sorted(folder.iterdir()):
        worker = path.name.split("-")[1]
        if worker in CORES:
            steps, difference = replay(read(path.read_bytes()), build)
            assert difference is None, f"{path.name}: {difference}"
            replayed[worker] = replayed.get(worker, 0) + steps
    assert set(replayed) == set(CORES)
    assert min(replayed.values()) > 3
