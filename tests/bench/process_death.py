# SPDX-License-Identifier: GPL-2.0-or-later
"""From the death of a resource's process to its start again, where the process is watched and where it is polled.

    python -m tests.bench.process_death [--reps 10] [--interval 2]

On a playground of three nodes: the process gets SIGKILL at a random moment between two monitors; the clock stops at the
agent's own log line, once when its start is called and once when it has started. Milliseconds.
"""

from __future__ import annotations

import argparse
import os
import random
import select
import signal
import statistics
import sys
import time

from tests.real.cluster import AgentEvent, TestCluster, running
from tests.real.waiting import wait_for


def die(cluster: TestCluster, name: str) -> tuple[float, float]:
    (node,) = wait_for(lambda: cluster.where(name), f"{name} runs")
    pid = int((cluster.folder / f"{node}-{name}.pid").read_text())
    seen = len(cluster.events())
    killed_s = time.time()
    os.kill(pid, signal.SIGKILL)

    def again() -> dict[str, AgentEvent] | None:
        events = {event.action: event for event in cluster.events()[seen:] if event.resource == name}
        return events if "started" in events else None

    events = wait_for(again, f"{name} has started again")
    return (events["start"].at_s - killed_s) * 1000, (events["started"].at_s - killed_s) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=10)
    parser.add_argument("--interval", type=int, default=2, help="of the monitor, in seconds")
    options = parser.parse_args()
    chance = random.Random(1)
    with running(nodes=3) as cluster:
        for name, named in (("watched", True), ("polled", False)):
            monitor = f"{options.interval}s"
            xml = cluster.recorder(name, monitor=monitor, named=named)
            cluster.load(f"<configuration><resources>{xml}</resources></configuration>")
            cluster.settle()
            figures = []
            for _ in range(options.reps):
                select.select([], [], [], options.interval * (1 + chance.random()))  # between two monitors
                figures.append(die(cluster, name))
                cluster.settle()
            for what, values in zip(("start called", "started"), zip(*figures, strict=True), strict=True):
                print(
                    f"{name}, monitor every {monitor}, {what}: "
                    f"min {min(values):.0f} median {statistics.median(values):.0f} max {max(values):.0f}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
