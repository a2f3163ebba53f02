# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the time of a recovery goes, and how long a cluster takes to start, on a playground of three nodes.

    python -m tests.bench.recovery_phases [--reps 10] [--profile default]

Phases by the DC's own clock, in milliseconds. "loss known to start ordered" is without the fence agent's time (budget
30). "daemons started to first resource" is from the power of all nodes to the page served (budget 3000).
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from ha.cli.playground import cluster, control, demo
from ha.cli.playground.layout import Layout, PlaygroundError
from ha.crm.msg import Phase

PHASES = ("view-agreed", "fencing", "fenced", "decided", "start-ordered", "started")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((demo.ADDRESS, 0))
        port: int = probe.getsockname()[1]
    return port


def recover(place: Layout, url: str) -> dict[str, float]:
    """Pull the plug of the page's node; milliseconds from the loss to each phase's first occurrence."""
    home = demo.await_served(url)
    pulled_ms = time.time() * 1000
    control.order(place, f"off {home}")
    new_home = demo.await_served(url, not_by=home)
    cluster.await_cluster(place, tuple(n for n in place.nodes if n != home))
    phases = [p for p in cluster.timeline(place, cluster.dc(place) or new_home) if p.at_ms >= pulled_ms]
    control.order(place, f"on {home}")
    cluster.await_cluster(place, place.nodes)
    return figures(phases)


def figures(phases: list[Phase]) -> dict[str, float]:
    first: dict[str, int] = {}
    for phase in phases:
        first.setdefault(phase.what, phase.at_ms)
    lost = first["loss-seen"]
    found: dict[str, float] = {what: first[what] - lost for what in PHASES if what in first}
    fencing_ms = first["fenced"] - first["fencing"] if "fenced" in first else 0
    found["loss known to start ordered"] = first["start-ordered"] - lost - fencing_ms
    return found


def start_all(place: Layout, url: str) -> float:
    for node in place.nodes:
        control.order(place, f"off {node}")
    began = time.monotonic()
    for node in place.nodes:
        control.order(place, f"on {node}")
    demo.await_served(url)
    took_ms = (time.monotonic() - began) * 1000
    cluster.await_cluster(place, place.nodes)
    return took_ms


def show(name: str, samples: list[float]) -> None:
    print(f"{name:34} {min(samples):7.0f} / {statistics.median(samples):7.0f} / {max(samples):7.0f}   n={len(samples)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=10)
    parser.add_argument("--profile", default="default", choices=["default", "fast"])
    options = parser.parse_args()
    port = free_port()
    url = f"http://{demo.ADDRESS}:{port}/"
    with tempfile.TemporaryDirectory(prefix="ha-bench-", dir="/tmp") as folder:
        place = cluster.up(Path(folder) / "d", 3, options.profile, lambda text: None)
        try:
            demo.load_example(place, port)
            demo.await_served(url)
            cluster.await_cluster(place, place.nodes)
            recoveries = [recover(place, url) for _ in range(options.reps)]
            starts = [start_all(place, url) for _ in range(max(1, options.reps // 3))]
        finally:
            with contextlib.suppress(PlaygroundError):
                control.order(place, "quit")
    print(f"milliseconds, min / median / max; profile {options.profile}; phases after the loss was known to the DC")
    for what in (*PHASES, "loss known to start ordered"):
        samples = [each[what] for each in recoveries if what in each]
        if samples:
            show(what, samples)
    show("daemons started to first resource", starts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
