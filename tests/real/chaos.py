# SPDX-License-Identifier: GPL-2.0-or-later
"""Random kills, freezes, power cuts and network cuts on a playground cluster: never two copies, always back.

    python -m tests.real.chaos [--minutes 5] [--seed 1] [--nodes 3] [--profile default]

After each trouble everything is mended, and the cluster has to settle with the service running once. Two copies are
looked for by their processes, all the time. Prints each trouble; a failure prints the seed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable

from ha.ipc.links import WORKERS
from tests.real import cluster
from tests.real.waiting import wait_for

SERVICES = ("first", "second", "third")
SETTLE_TIMEOUT_S = 60


class Chaos:
    def __init__(self, c: cluster.TestCluster, seed: int) -> None:
        self.c = c
        self.chance = random.Random(seed)
        self.troubles: list[tuple[int, Callable[[], str]]] = [
            (6, self.kill_worker),
            (6, self.freeze_worker),
            (2, self.power_off),
            (2, self.freeze_node),
            (2, self.cut),
            (2, self.cut_one_way),
            (1, self.move),
        ]

    def node(self) -> str:
        return self.chance.choice(self.c.layout.nodes)

    def two_nodes(self) -> list[str]:
        return self.chance.sample(self.c.layout.nodes, 2)

    def signal_worker(self, number: signal.Signals) -> str:
        node, worker = self.node(), self.chance.choice(WORKERS)
        pid = self.c.pid_of(node, worker)
        if pid:
            os.kill(pid, number)
        return f"{number.name} {worker} on {node}"

    def kill_worker(self) -> str:
        return self.signal_worker(signal.SIGKILL)

    def freeze_worker(self) -> str:
        return self.signal_worker(signal.SIGSTOP)

    def power_off(self) -> str:
        node = self.node()
        self.c.order(f"off {node}")
        return f"power off {node}"

    def freeze_node(self) -> str:
        node = self.node()
        self.c.order(f"freeze {node}")
        return f"freeze {node}"

    def cut(self) -> str:
        a, b = self.two_nodes()
        self.c.order(f"cut {a} {b}")
        return f"cut {a} {b}"

    def cut_one_way(self) -> str:
        a, b = self.two_nodes()
        self.c.order(f"cut-one-way {a} {b}")
        return f"cut {a} -> {b}"

    def move(self) -> str:
        node, service = self.node(), self.chance.choice(SERVICES)
        asked = self.node()
        self.c.run(asked, "crm_resource", "--move", "-r", service, "--node", node, check=False)
        return f"move {service} to {node}"

    def one_round(self) -> tuple[str, float]:
        """What was done, and how long the cluster took to settle after everything was mended."""
        weights = [weight for weight, _ in self.troubles]
        trouble = self.chance.choices([call for _, call in self.troubles], weights)[0]
        done = trouble()
        self.look(self.chance.uniform(0.2, 4))
        self.mend()
        began = time.monotonic()
        wait_for(self.is_well, f"the cluster is well after: {done}", SETTLE_TIMEOUT_S)
        return done, time.monotonic() - began

    def mend(self) -> None:
        self.c.order("heal")
        for node in self.c.layout.nodes:
            self.c.order(f"thaw {node}")
            self.c.order(f"on {node}")

    def look(self, seconds: float) -> None:
        """Watch for two copies for so long."""
        end = time.monotonic() + seconds
        wait_for(lambda: not self.judge() and time.monotonic() > end, "time passes", seconds + 5)

    def judge(self) -> None:
        for service in SERVICES:
            places = self.c.where(service)
            assert len(places) <= 1, f"{service} runs on {places}"

    def is_well(self) -> bool:
        self.judge()
        for node in self.c.layout.nodes:
            self.c.order(f"on {node}")  # fencing may have switched one off meanwhile
        self.c.settle(timeout_s=SETTLE_TIMEOUT_S)
        return all(len(self.c.where(service)) == 1 for service in SERVICES)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--profile", default="default", choices=["default", "fast"])
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with cluster.running(options.nodes, options.profile) as c:
        for service in SERVICES:
            c.add_recorder(service)
        c.settle()
        chaos = Chaos(c, options.seed)
        end = time.monotonic() + options.minutes * 60
        rounds = 0
        while time.monotonic() < end:
            done, took_s = chaos.one_round()
            rounds += 1
            print(f"{done:<40} well again {took_s:.1f} s after everything was mended", flush=True)
    print(f"{rounds} rounds, never two copies")
    return 0


if __name__ == "__main__":
    sys.exit(main())
