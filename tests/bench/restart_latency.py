# SPDX-License-Identifier: GPL-2.0-or-later
"""How soon a dead or frozen process is back and ready, measured from the outside: python -m tests.bench.restart_latency

Starts one node with test workers in a temporary root and prints medians. Budgets: design section 11.
    killed   kill -9 of a worker         -> first beat of its replacement
    frozen   SIGSTOP of a worker         -> first beat of its replacement (its deadline included, and shown apart)
    rmd      kill -9 / SIGSTOP of rmd    -> first beat of a worker under the new rmd
    apphbd   kill -9 of apphbd           -> the new one is told of every worker
Ready is what rmd answers over its socket, asked again every millisecond; the time is this program's.

Then the same worker, killed, under supervisord, s6 and runit, where they are installed (--no-peers: not). None of them
notices a frozen one.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import statistics
import sys
import time
from collections.abc import Callable

from ha.ipc.client import Connection, NotConnected
from ha.rmd.msg import GetWorkers, WorkerLine, Workers
from tests.bench import peer_supervisors
from tests.real.rmd_node import Node
from tests.real.workers import DEADLINE_MS

WORKERS = 5
SETTLE_S = 2.2
"""Between two kills: a worker that lived for 2 s is restarted at once, as in operation."""


SETTLE_PAIR_S = 3.5
"""An rmd that lived for 3 s counts as one that can live."""

ASK_AGAIN_S = 0.001
"""Long enough to leave the processor to those who are measured."""


def pause(seconds: float) -> None:
    select.select([], [], [], seconds)


class Watcher:
    """Asks rmd over its own socket as quickly as it answers: finer than supervisorctl."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.rmd = self._connect()

    def _connect(self) -> Connection:
        return Connection.open(self.node.root, "rmd", program="bench")

    def lines(self) -> dict[str, WorkerLine]:
        try:
            answer = self.rmd.ask(GetWorkers(), 5000)
        except NotConnected:
            self.rmd.close()
            self._reconnect()
            answer = self.rmd.ask(GetWorkers(), 5000)
        assert isinstance(answer, Workers)
        return {line.worker: line for line in answer.workers}

    def _reconnect(self) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                self.rmd = self._connect()
                return
            except NotConnected:
                if time.monotonic() > deadline:
                    raise
                pause(ASK_AGAIN_S)

    def ready_without(self, name: str, former: int) -> bool:
        line = self.lines().get(name)
        return line is not None and line.state == "RUNNING" and line.pid not in (0, former)


def until_ms(begun: float, condition: Callable[[], bool]) -> float:
    while not condition():
        if time.monotonic() - begun > 30:
            raise TimeoutError("not back after 30 s")
        pause(ASK_AGAIN_S)
    return (time.monotonic() - begun) * 1000


def worker_times(watcher: Watcher, number: signal.Signals, rounds: int) -> list[float]:
    times = []
    for turn in range(rounds):
        name = f"w{turn % WORKERS}"
        former = watcher.lines()[name].pid
        begun = time.monotonic()
        os.kill(former, number)
        times.append(until_ms(begun, lambda name=name, former=former: watcher.ready_without(name, former)))  # type: ignore[misc]
        pause(SETTLE_S / WORKERS)
    return times


def pair_times(watcher: Watcher, victim: str, number: signal.Signals, rounds: int) -> list[float]:
    times = []
    for _ in range(rounds):
        lines = watcher.lines()
        rmd = watcher.node.rmd_pid
        assert rmd is not None
        pid, awaited, former = (rmd, "w0", lines["w0"].pid) if victim == "rmd" else (lines["apphbd"].pid, "apphbd", 0)
        former = former or pid
        begun = time.monotonic()
        os.kill(pid, number)
        if victim == "rmd" and number == signal.SIGSTOP:
            watcher.rmd.close()
            until_ms(begun, lambda rmd=rmd: watcher.node.rmd_pid not in (None, rmd))  # type: ignore[misc]
            watcher._reconnect()
        times.append(until_ms(begun, lambda a=awaited, f=former: watcher.ready_without(a, f)))  # type: ignore[misc]
        pause(SETTLE_PAIR_S)
    return times


def show(what: str, times: list[float], budget: str) -> None:
    ordered = sorted(times)
    print(
        f"{what:44} median {statistics.median(ordered):7.1f} ms   min {ordered[0]:7.1f}   max {ordered[-1]:7.1f}   "
        f"n={len(ordered)}   budget {budget}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    rounds = options.rounds
    beating = {"command": "tests.real.workers:beating", "environment": 'HA_RESTARTS="10000/60"'}
    pair_deadline_ms = 300
    with Node(
        {f"w{number}": beating for number in range(WORKERS)},
        rmd_cf=f"pair_interval_ms 50\npair_deadline_ms {pair_deadline_ms}\n",
    ).start() as node:
        watcher = Watcher(node)
        pause(SETTLE_S)
        show("worker killed -> ready", worker_times(watcher, signal.SIGKILL, rounds), "20 ms")
        frozen = worker_times(watcher, signal.SIGSTOP, rounds)
        show("worker frozen -> ready", frozen, f"{DEADLINE_MS} ms (its deadline) + 20 ms")
        few = max(3, rounds // 4)
        show("apphbd killed -> ready", pair_times(watcher, "apphbd", signal.SIGKILL, few), "-")
        show("rmd killed -> worker ready", pair_times(watcher, "rmd", signal.SIGKILL, few), "500 ms")
        stopped = pair_times(watcher, "rmd", signal.SIGSTOP, few)
        show("rmd frozen -> worker ready", stopped, f"{pair_deadline_ms} ms (the pair's deadline) + 500 ms")
    if options.peers:
        beside_peers(max(3, rounds // 2))
    return 0


def beside_peers(rounds: int) -> None:
    for name in peer_supervisors.PEERS:
        if not peer_supervisors.is_installed(name):
            print(f"{name}: not installed")
            continue
        with peer_supervisors.running(name) as ready:
            times = peer_supervisors.killed_times_ms(ready, rounds, lambda: pause(SETTLE_S))
        show(f"{name}: worker killed -> ready", times, "-")


if __name__ == "__main__":
    sys.exit(main())
