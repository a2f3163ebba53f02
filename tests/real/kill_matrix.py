# SPDX-License-Identifier: GPL-2.0-or-later
"""SIGKILL and SIGSTOP of every worker in turn, on every node: the service must not notice, every worker must be back.

    python -m tests.real.kill_matrix [--rounds 3] [--nodes 3] [--profile default]

Judged by the agent's own append-only log, not by our status. Prints a table of how long each worker was away.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from ha.ipc.links import WORKERS
from tests.real import cluster
from tests.real.waiting import wait_for

SERVICE = "service"
BACK_TIMEOUT_S = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--worker", action="append", choices=WORKERS, help="only this one; may be repeated")
    parser.add_argument("--profile", default="default", choices=["default", "fast"])
    options = parser.parse_args()
    with cluster.running(options.nodes, options.profile) as c:
        figures = run(c, options.rounds, tell=lambda text: print(text, flush=True), workers=options.worker or WORKERS)
    print_table(figures)
    return 0


def run(
    c: cluster.TestCluster,
    rounds: int,
    tell: Callable[[str], None] = lambda text: None,
    *,
    nodes: Sequence[str] = (),
    workers: Sequence[str] = WORKERS,
    service: str = "",
) -> dict[tuple[str, str], list[float]]:
    """(signal, worker) -> seconds until a new process had its place. AssertionError as soon as a promise breaks.

    `service` is a recorder that is there already; a new one is made otherwise.
    """
    if not service:
        service = SERVICE
        c.add_recorder(service)
    c.settle()
    home = c.where(service)
    assert len(home) == 1, home
    before = [e for e in c.events() if e.resource == service]
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(rounds):
        for node in nodes or c.layout.nodes:
            for worker in workers:
                for hit in (signal.SIGKILL, signal.SIGSTOP):
                    pid = c.pid_of(node, worker)
                    if not pid:
                        continue  # pengine and tengine live on the DC alone
                    took = strike(c, node, worker, pid, hit)
                    tell(f"{node} {worker} {hit.name}: back after {took * 1000:.0f} ms")
                    figures[hit.name, worker].append(took)
                    events = [e for e in c.events() if e.resource == service]
                    assert events == before, f"{hit.name} of {worker} on {node}: {events[len(before) :]}"
                    assert c.where(service) == home, f"{hit.name} of {worker} on {node}: runs on {c.where(service)}"
            tell(f"round {number + 1}, {node}: the service did not notice")
    c.settle()
    assert c.where(service) == home
    return figures


def strike(c: cluster.TestCluster, node: str, worker: str, pid: int, hit: signal.Signals) -> float:
    """Seconds until another process is the worker, and the cluster has settled since."""
    began = time.monotonic()
    os.kill(pid, hit)
    dc_only = worker in ("pengine", "tengine")

    def replaced() -> bool:
        new = c.pid_of(node, worker)
        return (new != pid and new != 0) or (dc_only and new == 0)

    wait_for(replaced, f"{worker} on {node} is back after {hit.name}", BACK_TIMEOUT_S)
    took = time.monotonic() - began
    c.settle()
    return took


def print_table(figures: dict[tuple[str, str], list[float]]) -> None:
    print(f"{'worker':<12}{'signal':<10}{'median ms':>10}{'worst ms':>10}{'times':>7}")
    for (hit, worker), took in sorted(figures.items(), key=lambda item: (item[0][1], item[0][0])):
        print(f"{worker:<12}{hit:<10}{statistics.median(took) * 1000:>10.0f}{max(took) * 1000:>10.0f}{len(took):>7}")


if __name__ == "__main__":
    sys.exit(main())
