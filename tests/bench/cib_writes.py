# SPDX-License-Identifier: GPL-2.0-or-later
"""Replicated, fsync'd writes of a 5 KB CIB on three nodes of this machine, and reading it.

Budgets (design section 11): configuration 400/s one caller, 1,500/s with 16; status 1,000/s; an unchanged CIB in 1 us,
a new 20 KB version in 0.3 ms. Peer: pacemaker's library 134/s (configuration), 291/s (status), query 0.13 to 0.25 ms.
"""

from __future__ import annotations

import select
import time

from ha.cib.io.reader import CibReader
from ha.cib.msg import Write, Written
from ha.ipc.client import Connection
from ha.root import Root
from tests.real.cluster import TestCluster, running

WRITES = 600
PRIMITIVES = 14


def primitives() -> str:
    return "".join(
        f'<primitive id="p{i}" class="ocf" provider="heartbeat" type="Dummy"><operations><op id="p{i}-m" name="monitor"'
        f' interval="10s" timeout="20s"/></operations><meta_attributes id="p{i}-meta"><nvpair id="p{i}-t"'
        ' name="target-role" value="Stopped"/></meta_attributes></primitive>'
        for i in range(PRIMITIVES)
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


def one_caller(root: Root, what: str) -> str:
    times: list[float] = []
    with Connection.open(root, "cib", program="bench") as cib:
        for number in range(WRITES):
            start = time.perf_counter()
            written = cib.ask(option(cib, number) if what == "configuration" else status(cib, number), 20_000)
            assert isinstance(written, Written)
            assert written.outcome == "committed", written
            times.append(time.perf_counter() - start)
    times.sort()
    return (
        f"{what}, one caller: {WRITES / sum(times):.0f}/s"
        f" (median {times[WRITES // 2] * 1000:.2f} ms, p99 {times[WRITES * 99 // 100] * 1000:.2f} ms)"
    )


def many_callers(root: Root, callers: int) -> str:
    """Each with one write under way."""
    links = [Connection.open(root, "cib", program="bench") for _ in range(callers)]
    start, sent, done = time.perf_counter(), 0, 0
    for link in links:
        link.send(option(link, sent))
        sent += 1
    while done < WRITES:
        for link in select.select(links, [], [], 20)[0]:
            written = link.receive(20_000)
            assert isinstance(written, Written)
            assert written.outcome == "committed", written
            done += 1
            link.send(option(link, sent))
            sent += 1
    took = time.perf_counter() - start
    for link in links:
        link.close()
    return f"configuration, {callers} callers: {done / took:.0f}/s"


def reading(root: Root) -> list[str]:
    reader = CibReader(root)
    reader.tree()
    rounds = 100_000
    start = time.perf_counter()
    for _ in range(rounds):
        reader.tree()
    unchanged_us = (time.perf_counter() - start) / rounds * 1e6
    times: list[float] = []
    with Connection.open(root, "cib", program="bench") as cib:
        for number in range(200):
            cib.ask(option(cib, number), 20_000)
            start = time.perf_counter()
            reader.tree()
            times.append(time.perf_counter() - start)
    times.sort()
    return [
        f"reading an unchanged CIB as a tree: {unchanged_us:.2f} us",
        f"reading a new version by its diff: median {times[100] * 1000:.3f} ms",
    ]


def run(cluster: TestCluster) -> None:
    cluster.load(f"<configuration><resources>{primitives()}</resources></configuration>")
    dc = cluster.layout.root(cluster.layout.nodes[0])
    print(one_caller(dc, "configuration"))
    print(one_caller(dc, "status"))
    print(many_callers(dc, 16))
    for line in reading(dc):
        print(line)


if __name__ == "__main__":
    with running(3) as cluster:
        run(cluster)
