# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory, processor and wake-ups of a node at rest: python -m tests.bench.footprint [--seconds 30] [--nodes 3]

Starts a playground with one resource, lets it come to rest and prints a line per process of its DC, and the sums.
PSS shares each page among those who map it; "anonymous" is the part that no file stands behind, "private" what this
process alone has. Wake-ups are voluntary context switches. Budgets: design section 11.
"""

from __future__ import annotations

import argparse
import select
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.real import cluster

BUDGET_MB = 80
BUDGET_PERCENT = 0.5
REST_S = 5
"""After the cluster has settled: what its start left to do is done."""


@dataclass(frozen=True, slots=True)
class Look:
    """One process at one moment: kB, nanoseconds of CPU, times it went to sleep."""

    pss: int
    anonymous: int
    private: int
    cpu_ns: int
    sleeps: int


def look(pid: int) -> Look:
    """Source: proc(5), smaps_rollup; sched-stats.rst, /proc/PID/schedstat."""
    process = Path(f"/proc/{pid}")
    memory = dict(_kilobytes(line) for line in (process / "smaps_rollup").read_text().splitlines()[1:])
    cpu_ns = sum(int((task / "schedstat").read_text().split()[0]) for task in (process / "task").iterdir())
    status = (process / "status").read_text()
    sleeps = int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    private = memory["Private_Clean"] + memory["Private_Dirty"]
    return Look(memory["Pss"], memory["Pss_Anon"], private, cpu_ns, sleeps)


def _kilobytes(line: str) -> tuple[str, int]:
    name, _, rest = line.partition(":")
    return name, int(rest.split()[0])


def pause(seconds: float) -> None:
    select.select([], [], [], seconds)


def show(name: str, pss: float, anonymous: float, private: float, percent: float, sleeps: float) -> None:
    print(f"{name:<12}{pss:>9.1f}{anonymous:>11.1f}{private:>9.1f}{percent:>9.2f}{sleeps:>11.1f}")


def report(before: dict[str, Look], after: dict[str, Look], seconds: float) -> None:
    print(f"{'':12}{'PSS MB':>9}{'anonymous':>11}{'private':>9}{'CPU %':>9}{'wake-ups/s':>11}")
    sums = [0.0] * 5
    for name, then in before.items():
        now = after[name]
        values = [
            now.pss / 1024, now.anonymous / 1024, now.private / 1024,
            (now.cpu_ns - then.cpu_ns) / seconds / 1e7, (now.sleeps - then.sleeps) / seconds,
        ]  # fmt: skip
        show(name, *values)
        sums = [total + value for total, value in zip(sums, values, strict=True)]
    show("the node", *sums)
    print(f"budget: {BUDGET_MB} MB, {BUDGET_PERCENT} %")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--nodes", type=int, default=3)
    options = parser.parse_args()
    with cluster.running(options.nodes) as c:
        c.add_recorder("service")
        c.settle()
        node = c.layout.nodes[0]
        dc = c.run(node, "crmadmin", "-D").stdout.split()[-1]
        pause(REST_S)
        workers = c.workers(dc)
        before = {worker: look(pid) for worker, pid in workers.items()}
        pause(options.seconds)
        report(before, {worker: look(pid) for worker, pid in workers.items()}, options.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
