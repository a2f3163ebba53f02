# SPDX-License-Identifier: GPL-2.0-or-later
"""What a runner adds to the start of an agent: python -m tests.bench.agent_start

    direct   this program starts the agent itself (subprocess)
    runner   order written, fork server asked, runner forked, agent started
    both     until the agent's first line says what time it is; and until its end is known

Aim: under 10 ms between direct and runner. The agent is /bin/date, so that its own start weighs little.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ha.lrm.daemon  # the image that a real lrmd forks from
from ha.runner.model import End, Job
from ha.runner.runners import Runners
from ha.runner.server import ForkServer
from ha.runner.spool import Spool
from tests.unit.runner.watching import Waiter

ROUNDS = 100
AGENT = ("/bin/date", "+%s.%N")


def direct() -> tuple[float, float]:
    """Milliseconds to the agent's first line, and to its end."""
    began, ordered = time.monotonic(), time.time()
    done = subprocess.run(AGENT, capture_output=True, check=True)
    return (float(done.stdout) - ordered) * 1000, (time.monotonic() - began) * 1000


class Bench:
    def __init__(self, directory: Path) -> None:
        spool = Spool(directory)
        self.waiter = Waiter()
        self.runners = Runners(spool, ForkServer.start(spool, "ha-runners bench"), self.waiter)
        self.jobs = 0

    def by_runner(self) -> tuple[float, float]:
        ends: list[End] = []
        self.jobs += 1
        job = Job(id=f"bench.{self.jobs}", argv=AGENT, timeout_ms=10_000)
        began, ordered = time.monotonic(), time.time()
        self.runners.start(job, ends.append)
        self.waiter.until(lambda: ends)
        took = (time.monotonic() - began) * 1000
        self.runners.drop(job.id)
        return (float(ends[0].stdout) - ordered) * 1000, took


def show(name: str, figures: list[tuple[float, float]]) -> float:
    starts, ends = (sorted(column) for column in zip(*figures, strict=True))
    p99 = int(len(starts) * 0.99) - 1
    print(
        f"{name:8} agent runs after {statistics.median(starts):5.1f} ms (p99 {starts[p99]:5.1f}), "
        f"its end is known after {statistics.median(ends):5.1f} ms (p99 {ends[p99]:5.1f})"
    )
    return statistics.median(starts)


def main() -> int:
    assert ha.lrm.daemon.main is not None
    with tempfile.TemporaryDirectory(prefix="ha-", dir="/dev/shm") as directory:
        bench = Bench(Path(directory))
        # In turns, so that whatever else the machine does weighs on both alike.
        figures = [(direct(), bench.by_runner()) for _ in range(ROUNDS)]
        bench.runners.close()
    alone = show("direct", [pair[0] for pair in figures])
    added = show("runner", [pair[1] for pair in figures]) - alone
    print(f"a runner adds {added:.1f} ms to an agent's start (budget 10 ms)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
