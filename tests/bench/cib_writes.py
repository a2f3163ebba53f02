# SPDX-License-Identifier: GPL-2.0-or-later
"""Replicated, fsync'd writes of a 5 KB CIB on three nodes of this machine.

Budgets (design section 11): configuration 400/s one caller, 1,500/s with 16; status 1,000/s. Peer: pacemaker's library
134/s (configuration), 291/s (status). Beside each figure stands what the write cost all workers of the three nodes in
CPU time: on a machine with other work to do, that is what tells.
"""

from __future__ import annotations

import itertools
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

from ha.cib.msg import Write, Written
from ha.ipc.client import Connection
from ha.ipc.links import WORKERS
from ha.machine import Message
from ha.root import Root
from tests.real.cluster import TestCluster, running

WRITES = 600
PATIENCE_MS = 20_000
LEAST_SHOWN_MS = 0.1
PRIMITIVES = 14


def primitives(count: int = PRIMITIVES) -> str:
    return "".join(
        f'<primitive id="p{i}" class="ocf" provider="heartbeat" type="Dummy"><operations><op id="p{i}-m" name="monitor"'
        f' interval="10s" timeout="20s"/></operations><meta_attributes id="p{i}-meta"><nvpair id="p{i}-t"'
        ' name="target-role" value="Stopped"/></meta_attributes></primitive>'
        for i in range(count)
    )


def option(cib: Connection, number: int) -> Write:
    pair = f'<nvpair id="bench-{number % 20}" name="bench{number % 20}" value="{number}"/>'
    xml = f'<cluster_property_set id="bench">{pair}</cluster_property_set>'
    request = cib.new_request_id()
    return Write(request_id=request, operation="modify", scope="crm_config", xml=xml, allow_create=True)


def status(cib: Connection, number: int) -> Write:
    xml = f'<node_state id="bench" uname="bench" crm-debug-origin="{number}"/>'
    request = cib.new_request_id()
    return Write(request_id=request, operation="modify", scope="status", xml=xml, allow_create=True)


MAKERS: dict[str, Callable[[Connection, int], Write]] = {"configuration": option, "status": status}


def one_caller(root: Root, what: str) -> str:
    times: list[float] = []
    make = MAKERS[what]
    with Connection.open(root, "cib", program="bench") as cib:
        for number in range(WRITES):
            start = time.perf_counter()
            _expect_committed(cib.ask(make(cib, number), PATIENCE_MS))
            times.append(time.perf_counter() - start)
    times.sort()
    return (
        f"{what}, one caller: {WRITES / sum(times):.0f}/s"
        f" (median {times[WRITES // 2] * 1000:.2f} ms, p99 {times[WRITES * 99 // 100] * 1000:.2f} ms)"
    )


def many_callers(root: Root, what: str, callers: int = 16) -> str:
    """Each with one write under way."""
    make = MAKERS[what]
    links = [Connection.open(root, "cib", program="bench") for _ in range(callers)]
    start, sent, done = time.perf_counter(), 0, 0
    for link in links:
        link.send(make(link, sent))
        sent += 1
    while done < WRITES:
        for link in select.select(links, [], [], PATIENCE_MS / 1000)[0]:
            _expect_committed(link.receive(PATIENCE_MS))
            done += 1
            link.send(make(link, sent))
            sent += 1
    took = time.perf_counter() - start
    for link in links:
        link.close()
    return f"{what}, {callers} callers: {done / took:.0f}/s"


def _expect_committed(written: Message) -> None:
    assert isinstance(written, Written), written
    assert written.outcome == "committed", written


def cpu_ms(cluster: TestCluster) -> dict[str, float]:
    """What each kind of worker has used so far, all nodes together."""
    used: dict[str, float] = dict.fromkeys(WORKERS, 0.0)
    for node in cluster.layout.nodes:
        for worker, pid in cluster.workers(node).items():
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            used[worker] += (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")
    return used


def run(cluster: TestCluster) -> None:
    cluster.load(f"<configuration><resources>{primitives()}</resources></configuration>")
    dc = cluster.layout.root(cluster.layout.nodes[0])
    for measure, what in itertools.product((one_caller, many_callers), MAKERS):
        before = cpu_ms(cluster)
        line = measure(dc, what)
        costs = {worker: (now - before[worker]) / WRITES for worker, now in cpu_ms(cluster).items()}
        parts = ", ".join(f"{worker} {cost:.2f}" for worker, cost in costs.items() if cost >= LEAST_SHOWN_MS)
        print(f"{line}; CPU {sum(costs.values()):.2f} ms a write: {parts}")


if __name__ == "__main__":
    with running(3) as cluster:
        run(cluster)
