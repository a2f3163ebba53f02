# SPDX-License-Identifier: GPL-2.0-or-later
"""Every worker is killed, frozen and crashed in turn, on every node: no service may notice, every worker must be back.

    python -m tests.real.kill_matrix [--mode idle] [--rounds 3] [--nodes 3] [--profile default] [--worker W] [--seed 1]

idle        nothing else happens
transition  a slow service is moved by an operator's order, and the blow falls while its stop or start is running
dc-change   the DC's crmd is killed at the same time

Judged by the agents' own append-only log, not by our status: nothing is started twice, stopped or moved without an
order, and what was ordered is done once. Prints a table of how long each worker was away.
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
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

from ha.ipc.links import WORKERS
from tests.real import cluster
from tests.real.waiting import wait_for

Mode: TypeAlias = Literal["idle", "transition", "dc-change"]
MODES: tuple[Mode, ...] = ("idle", "transition", "dc-change")
SIGNALS = (signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV)
Figures: TypeAlias = dict[tuple[str, str], list[float]]
"""(signal, worker) -> seconds until a new process had its place."""

SERVICE = "service"
MOVED = "moved"
AGENT_DELAY_S = 0.7
"""How long start and stop of the moved service take."""
BACK_TIMEOUT_S = 20
DONE_TIMEOUT_S = 60
MAX_DELAY_S = 0.4
"""Between what else is going on and the blow."""

CRMD_REST_S = 4.5
"""Between two deaths of the DC's crmd by this mode, which may be followed by its own turn: more than 30 in 60 s are too
many, by its stanza, and the node would rightly leave."""


class Matrix:
    """`service` is a recorder that nobody has a reason to touch."""

    def __init__(self, c: cluster.TestCluster, service: str, mode: Mode, chance: random.Random) -> None:
        self.c = c
        self.service = service
        self.mode = mode
        self.chance = chance
        self.next_kill_at_s = 0.0
        c.settle()
        self.home = c.where(service)
        assert len(self.home) == 1, self.home
        self.untouched = self.events(service)

    def events(self, resource: str) -> list[tuple[str, str]]:
        return [(event.node, event.action) for event in self.c.events() if event.resource == resource]

    def one(self, node: str, worker: str, number: signal.Signals) -> float | None:
        """Seconds until the worker was back; None when it did not live there (pengine, tengine: on the DC alone)."""
        judge = self.order_a_move() if self.mode == "transition" else lambda: None
        if self.mode == "dc-change":
            self.kill_the_dcs_crmd()
        pid = self.ready_pid(node, worker)
        took = strike(self.c, node, worker, pid, number) if pid else None
        self.c.settle(timeout_s=DONE_TIMEOUT_S)
        judge()
        events = self.events(self.service)
        assert events == self.untouched, f"the service nobody touched: {events[len(self.untouched) :]}"
        assert self.c.where(self.service) == self.home, f"the service runs on {self.c.where(self.service)}"
        return took

    def ready_pid(self, node: str, worker: str) -> int:
        """0 when it does not live there. One that is frozen before its first beat has its start deadline, which is
        longer than deadtime: its peers would fence the node, and rightly."""
        log = self.c.layout.root(node).log_dir / "rmd.log"
        pid = 0

        def beats() -> bool:
            nonlocal pid
            pid = self.c.pid_of(node, worker)
            return not pid or worker == "rmd" or f"{worker} (pid {pid}) ready after" in log.read_text()

        wait_for(beats, f"{worker} on {node} beats", BACK_TIMEOUT_S)
        return pid

    def order_a_move(self) -> Callable[[], None]:
        """Returns when the blow is to fall. What is returned judges whether the move was done, once."""
        (was,) = self.c.where(MOVED)
        nodes = self.c.layout.nodes
        target = nodes[(nodes.index(was) + 1) % len(nodes)]
        before = self.events(MOVED)
        self.c.run(was, "crm_resource", "--move", "-r", MOVED, "--node", target)
        expected = [(was, "stop"), (was, "stopped"), (target, "start"), (target, "started")]
        phase = self.chance.choice([None, *expected[:3]])
        if phase is not None:
            wait_for(lambda: phase in self.events(MOVED)[len(before) :], f"{MOVED} comes to {phase}")
        pause(self.chance.uniform(0, MAX_DELAY_S))

        def judge() -> None:
            wait_for(lambda: self.c.where(MOVED) == [target], f"{MOVED} runs on {target}", DONE_TIMEOUT_S)
            wait_for(lambda: self.events(MOVED)[-1] == expected[-1], "its agent says so", DONE_TIMEOUT_S)
            done = self.events(MOVED)[len(before) :]
            assert done == expected, f"{MOVED}, ordered from {was} to {target}, hit at {phase}: {done}"

        return judge

    def kill_the_dcs_crmd(self) -> None:
        pause(max(0.0, self.next_kill_at_s - time.monotonic()))
        self.next_kill_at_s = time.monotonic() + CRMD_REST_S
        node = self.c.layout.nodes[0]
        dc = self.c.run(node, "crmadmin", "-D").stdout.split()[-1]
        os.kill(self.c.pid_of(dc, "crmd"), signal.SIGKILL)
        pause(self.chance.uniform(0, MAX_DELAY_S))


def pause(seconds: float) -> None:
    select.select([], [], [], seconds)


def strike(c: cluster.TestCluster, node: str, worker: str, pid: int, hit: signal.Signals) -> float:
    """Seconds until another process is the worker, or until pengine or tengine is needed there no more."""
    began = time.monotonic()
    try:
        os.kill(pid, hit)
    except ProcessLookupError:
        return 0.0  # it was being stopped: the DC is another
    dc_only = worker in ("pengine", "tengine")

    def replaced() -> bool:
        new = c.pid_of(node, worker)
        return (new != pid and new != 0) or (dc_only and new == 0)

    wait_for(replaced, f"{worker} on {node} is back after {hit.name}", BACK_TIMEOUT_S)
    return time.monotonic() - began


def run(
    c: cluster.TestCluster,
    rounds: int,
    tell: Callable[[str], None] = lambda text: None,
    *,
    nodes: Sequence[str] = (),
    workers: Sequence[str] = WORKERS,
    signals: Sequence[signal.Signals] = SIGNALS[:2],
    service: str = "",
    mode: Mode = "idle",
    seed: int = 1,
) -> Figures:
    """AssertionError as soon as a promise breaks. `service` is a recorder that is there already, else one is made."""
    if not service:
        service = SERVICE
        c.load(f"<configuration><resources>{c.recorder(service)}{moved(c)}</resources></configuration>")
    matrix = Matrix(c, service, mode, random.Random(seed))
    figures: Figures = defaultdict(list)
    for number in range(rounds):
        for node in nodes or c.layout.nodes:
            for worker in workers:
                for hit in signals:
                    try:
                        took = matrix.one(node, worker, hit)
                    except AssertionError as error:
                        error.add_note(f"{mode}, round {number + 1}: {hit.name} of {worker} on {node}")
                        raise
                    if took is not None:
                        tell(f"{node} {worker} {hit.name}: back after {took * 1000:.0f} ms")
                        figures[hit.name, worker].append(took)
            tell(f"round {number + 1}, {node}: the service did not notice")
    return figures


def moved(c: cluster.TestCluster) -> str:
    return c.recorder(MOVED, start_delay=AGENT_DELAY_S, stop_delay=AGENT_DELAY_S)


def print_table(figures: Figures) -> None:
    print(f"{'worker':<12}{'signal':<10}{'median ms':>10}{'worst ms':>10}{'times':>7}")
    for (hit, worker), took in sorted(figures.items(), key=lambda item: (item[0][1], item[0][0])):
        print(f"{worker:<12}{hit:<10}{statistics.median(took) * 1000:>10.0f}{max(took) * 1000:>10.0f}{len(took):>7}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", default="idle", choices=MODES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--worker", action="append", choices=WORKERS, help="only this one; may be repeated")
    parser.add_argument("--signal", action="append", choices=[s.name for s in SIGNALS], help="only this one")
    parser.add_argument("--profile", default="default", choices=["default", "fast"])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signals = [signal.Signals[name] for name in options.signal] if options.signal else SIGNALS
    with cluster.running(options.nodes, options.profile) as c:
        figures = run(
            c,
            options.rounds,
            tell=lambda text: print(text, flush=True),
            workers=options.worker or WORKERS,
            signals=signals,
            mode=options.mode,
            seed=options.seed,
        )
    print_table(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
