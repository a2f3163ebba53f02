# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat alone: messages between two real processes on loopback, detection of a killed node, cost at rest.

python -m tests.bench.heartbeat_messages [--rounds N]

5 MB          one message of that size from module to module, with the wire as it is and with packets lost
small         300-byte messages, one after another (answered before the next) and as fast as they go
detection     SIGKILL of a node's heartbeat -> its peer's ccm is told `dead`, by profile
at rest       processor time and resident memory of one idle heartbeat
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import selectors
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ha.heartbeat.msg import NodeStatus
from tests.real.heartbeat_node import HeartbeatNode, Module, all_active, free_ports

SMALL_BYTES = 300
BURST = 3_000
REST_S = 5
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class LossyRelay(threading.Thread):
    """Between two nodes: forwards datagrams and loses some. In a thread of its own, so that nobody waits for it."""

    def __init__(self, ports: tuple[int, int], loss: float) -> None:
        super().__init__(daemon=True)
        self.loss = loss
        self._dice = random.Random(1)
        self._done = False
        self.uplinks = []
        self._selector = selectors.DefaultSelector()
        for target in reversed(ports):
            uplink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            uplink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            uplink.bind(("127.0.0.1", 0))
            uplink.setblocking(False)
            self.uplinks.append(uplink)
            self._selector.register(uplink, selectors.EVENT_READ, target)

    def run(self) -> None:
        while not self._done:
            for key, _ in self._selector.select(0.1):
                uplink = key.fileobj
                assert isinstance(uplink, socket.socket)
                with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                    while True:
                        data = uplink.recv(65536)
                        if self._dice.random() >= self.loss:
                            uplink.sendto(data, ("127.0.0.1", key.data))

    def end(self) -> None:
        self._done = True
        self.join()


@contextlib.contextmanager
def cluster(config: str, loss: float | None = None) -> Iterator[list[HeartbeatNode]]:
    with tempfile.TemporaryDirectory(prefix="hb", dir="/tmp") as folder:
        ports = free_ports(2)
        relay = LossyRelay((ports[0], ports[1]), loss) if loss is not None else None
        ways = [uplink.getsockname()[1] for uplink in relay.uplinks] if relay else ports[::-1]
        nodes = [
            HeartbeatNode(
                Path(folder), f"n{number + 1}", ["n1", "n2"],
                [f"bindaddr 127.0.0.1:{ports[number]}", f"ucast lo 127.0.0.1:{ways[number]}"], config,
            )
            for number in range(2)
        ]  # fmt: skip
        if relay:
            relay.start()
        try:
            for node in nodes:
                node.start()
            all_active(nodes)
            yield nodes
        finally:
            for node in nodes:
                node.kill()
            if relay:
                relay.end()


def large(rounds: int, loss: float | None, config: str) -> list[float]:
    body = os.urandom(5 * 1024 * 1024)
    took = []
    with cluster(config, loss) as nodes:
        here, there = Module(nodes[0].root, "cib"), Module(nodes[1].root, "cib")
        here.wait_for_namesake("n2")
        for _ in range(rounds):
            start = time.perf_counter()
            here.transmit("n2", "cib", body)
            assert there.next_delivery().body == body
            took.append((time.perf_counter() - start) * 1000)
    return took


def small(rounds: int) -> tuple[list[float], float]:
    body = os.urandom(SMALL_BYTES)
    with cluster("") as nodes:
        here, there = Module(nodes[0].root, "cib"), Module(nodes[1].root, "cib")
        here.wait_for_namesake("n2")
        there.wait_for_namesake("n1")
        trips = []
        for _ in range(rounds * 50):
            start = time.perf_counter()
            here.transmit("n2", "cib", body)
            there.next_delivery()
            there.transmit("n1", "cib", body)
            here.next_delivery()
            trips.append((time.perf_counter() - start) * 1000)
        start = time.perf_counter()
        for _ in range(BURST):
            here.transmit("n2", "cib", body)
        for _ in range(BURST):
            there.next_delivery()
        return trips, BURST / (time.perf_counter() - start)


def detection(rounds: int, config: str) -> list[float]:
    took = []
    with cluster(config) as nodes:
        ccm = Module(nodes[0].root, "ccm")
        for _ in range(rounds):
            while not _is(ccm.receive(), "active"):
                pass
            pass_time(random.random() * 0.2)  # anywhere in the interval between two keepalives
            start = time.perf_counter()
            nodes[1].kill()
            while not _is(ccm.receive(), "dead"):
                pass
            took.append((time.perf_counter() - start) * 1000)
            (nodes[1].root.run_dir / "boot_id").write_text(f"boot-{len(took)}\n")
            nodes[1].start()
    return took


def pass_time(seconds: float) -> None:
    threading.Event().wait(seconds)


def _is(message: object, state: str) -> bool:
    return isinstance(message, NodeStatus) and message.node == "n2" and message.state == state


def rest(config: str) -> tuple[float, float]:
    with cluster(config) as nodes:
        process = nodes[0].process
        assert process is not None

        def ticks() -> int:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        before = ticks()
        pass_time(REST_S)
        percent = (ticks() - before) / TICKS_PER_S / REST_S * 100
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
        return percent, int(resident) / 1024


def show(what: str, figures: list[float], unit: str = "ms") -> None:
    print(
        f"{what:44} median {statistics.median(figures):8.2f} {unit}   "
        f"min {min(figures):8.2f}   max {max(figures):8.2f}   n={len(figures)}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    show("5 MB, loopback fragments (32 KB)", large(rounds, None, ""))
    show("5 MB, Ethernet fragments (1200 B)", large(rounds, None, "fragment_size 1200"))
    show("5 MB, Ethernet fragments, 1 % lost", large(rounds, 0.01, "fragment_size 1200"))
    show("5 MB, Ethernet fragments, 10 % lost", large(rounds, 0.10, "fragment_size 1200\ndeadtime 5"))
    trips, rate = small(rounds)
    show("300 bytes there and back", trips)
    print(f"{'300 bytes, one way, as fast as they go':44} {rate:8.0f} messages/s", flush=True)
    show("SIGKILL -> dead, default (deadtime 1000 ms)", detection(rounds, ""))
    show("SIGKILL -> dead, fast (deadtime 150 ms)", detection(rounds, "profile fast"))
    for profile in ("default", "fast"):
        percent, megabytes = rest(f"profile {profile}")
        print(f"{'at rest, ' + profile:44} {percent:8.2f} % of a core   {megabytes:.1f} MB resident", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
