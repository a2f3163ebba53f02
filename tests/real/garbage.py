# SPDX-License-Identifier: GPL-2.0-or-later
"""Garbage on every entrance of a running cluster: no worker dies, memory and logs stay bounded, the cluster stays up.

    python -m tests.real.garbage [--count 100000] [--seed 1] [--entrance udp] [--entrance cib.sock] ...

On every UDP port: random bytes, truncated and mutated real packets, packets signed with a wrong key; what the kernel
dropped before the worker could read it is sent again. On every unix socket of a node: random bytes, truncated and
mutated real messages, framed random bytes, each on a connection of its own, and messages of 10 MB. Prints how many a
second were taken, and how memory and logs grew.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import random
import socket
import stat
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ha.cib.msg import Query
from ha.crm.msg import GetState
from ha.heartbeat.model.authkeys import parse as parse_authkeys
from ha.heartbeat.model.wire.fields import Fields
from ha.heartbeat.model.wire.packet import pack
from ha.ipc import codec
from ha.ipc.frames import frame
from ha.ipc.hello import PROTOCOL, Hello
from ha.ipc.limits import MAX_FRAME_BYTES
from tests.real import cluster
from tests.real.waiting import wait_for

GIANTS = 100
GIANT_BYTES = 10 * 1024 * 1024
MAX_GROWTH_KB = 48 * 1024
"""A worker may keep buffers it grew; what it must not do is grow with what it is sent."""
MAX_LOG_GROWTH_BYTES = 1024 * 1024
"""By one entrance, of all the logs of a node: a flood of refusals is counted, not told one by one."""
SEND_TIMEOUT_S = 5
POOL = 256
"""Real packets that are made once: signing each would be most of the sender's time."""
UDP_BURST = 64
"""Packets between two looks at what the kernel had to drop."""

UDP = "udp"

Source = Callable[[random.Random], bytes]


def real_packet(chance: random.Random, keys: str, senders: Sequence[str]) -> bytes:
    """A status packet as a node sends it, from one of `senders`."""
    fields = [
        ("t", "status"), ("st", "active"), ("dt", "3e8"), ("protocol", "1"), ("src", chance.choice(senders)),
        ("seq", f"{chance.randrange(1, 5000):x}"), ("hg", f"{int(time.time()):x}"), ("ts", f"{int(time.time()):x}"),
        ("ld", "0.1 0.1 0.1 1/100 100"), ("ttl", "3"),
    ]  # fmt: skip
    return pack(Fields(fields), parse_authkeys(keys, "keys"))


def packets(keys: str, chance: random.Random) -> dict[str, Source]:
    wrong = "auth 1\n1 hmac-sha256 not-the-key\n"
    # Signed with the cluster's key, but of no node: a change that the signature does not cover must not make it the
    # word of a node that never said it. That is what only a holder of the key could do.
    real = [real_packet(chance, keys, ["nx"]) for _ in range(POOL)]
    forged = [real_packet(chance, wrong, ["n1", "n2", "nx"]) for _ in range(POOL)]
    return {
        "random bytes": lambda chance: chance.randbytes(chance.randrange(1, 1500)),
        "truncated": lambda chance: truncated(chance, chance.choice(real)),
        "mutated": lambda chance: mutated(chance, chance.choice(real)),
        "wrong signature": lambda chance: chance.choice(forged),
    }


HELLO = frame(codec.encode(Hello(protocol=PROTOCOL, kind="program", name="garbage")), MAX_FRAME_BYTES)
REAL = (
    HELLO,
    frame(codec.encode(GetState(request_id="x")), MAX_FRAME_BYTES),
    frame(codec.encode(Query(request_id="x", xpath="//nvpair[@id='x']")), MAX_FRAME_BYTES),
)
MESSAGES: dict[str, Source] = {
    "random bytes": lambda chance: chance.randbytes(chance.randrange(1, 1500)),
    "truncated": lambda chance: truncated(chance, chance.choice(REAL)),
    "mutated": lambda chance: mutated(chance, chance.choice(REAL)),
    "framed random bytes": lambda chance: frame(chance.randbytes(chance.randrange(1, 1500)), MAX_FRAME_BYTES),
}


def truncated(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def mutated(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
    return bytes(changed) if changed != data else mutated(chance, data)


# Sending -------------------------------------------------------------------------------------------------------------


def flood_udp(port: int, source: Source, count: int, chance: random.Random) -> None:
    """`count` packets that the worker really reads."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        _, dropped = inbox(port)
        left = count
        while left > 0:
            burst = min(left, UDP_BURST)
            for _ in range(burst):
                out.sendto(source(chance), ("127.0.0.1", port))
            waiting, now_dropped = inbox(port)
            left -= max(0, burst - (now_dropped - dropped))
            if now_dropped > dropped:
                await_reader(port, waiting)
            dropped = now_dropped


def await_reader(port: int, waiting: int) -> None:
    wait_for(lambda: inbox(port)[0] <= waiting // 2, "the worker reads on")


def inbox(port: int) -> tuple[int, int]:
    """Bytes that wait on the port's socket, and packets the kernel had no room for (proc(5), /proc/net/udp)."""
    wanted = f":{port:04X}"
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(wanted):
            return int(words[4].partition(":")[2], 16), int(words[-1])
    raise AssertionError(f"nobody listens on UDP port {port}")


def flood_unix(path: Path, source: Source, count: int, chance: random.Random) -> None:
    """`count` messages: datagrams, or each on a connection of its own, one in two of them after a proper greeting."""
    kind = kind_of(path)
    if kind == socket.SOCK_DGRAM:
        with connected(path, kind) as out:
            for _ in range(count):
                out.send(source(chance) or b"\0")
        return
    for number in range(count):
        # The worker may hang up before it was sent all.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), connected(path, kind) as out:
            out.sendall((HELLO if number % 2 else b"") + source(chance))


def kind_of(path: Path) -> int:
    try:
        with connected(path, socket.SOCK_STREAM):
            return socket.SOCK_STREAM
    except OSError as error:
        if error.errno != errno.EPROTOTYPE:
            raise
    return socket.SOCK_DGRAM


@contextlib.contextmanager
def connected(path: Path, kind: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as out:
        # The kernel's own limit of time: with Python's, a full backlog would be an error instead of a wait.
        out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT_S, 0))
        out.connect(str(path))
        yield out


def giants(path: Path, count: int) -> None:
    """A datagram of that size is refused by the kernel, a stream's by the worker's limit."""
    body = GIANT_BYTES.to_bytes(4, "big") + b"\0" * GIANT_BYTES
    kind = kind_of(path)
    for _ in range(count):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError), connected(path, kind) as out:
            try:
                out.sendall(body)
            except OSError as error:
                if error.errno != errno.EMSGSIZE:
                    raise


# Judging -------------------------------------------------------------------------------------------------------------


def sockets(c: cluster.TestCluster, node: str) -> list[Path]:
    folder = c.layout.root(node).run_dir
    return sorted(path for path in folder.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode))


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Judge:
    """AssertionError as soon as a worker died, grew, or the log did."""

    def __init__(self, c: cluster.TestCluster) -> None:
        self.c = c
        self.workers = {node: c.workers(node) for node in c.layout.nodes}
        self.memory = {pid: resident_kb(pid) for workers in self.workers.values() for pid in workers.values()}
        self.logs = self.log_bytes()

    def judge(self) -> None:
        for node, workers in self.workers.items():
            for worker, pid in workers.items():
                assert Path(f"/proc/{pid}").exists(), f"{worker} on {node} died"
                grown = resident_kb(pid) - self.memory[pid]
                assert grown < MAX_GROWTH_KB, f"{worker} on {node} grew by {grown} kB"

    def judge_logs(self) -> None:
        now = self.log_bytes()
        for node, size in now.items():
            grown = size - self.logs[node]
            assert grown < MAX_LOG_GROWTH_BYTES, f"the logs of {node} grew by {grown} bytes"
        self.logs = now

    def log_bytes(self) -> dict[str, int]:
        folders = {node: self.c.layout.root(node).log_dir for node in self.c.layout.nodes}
        return {node: sum(path.stat().st_size for path in folder.iterdir()) for node, folder in folders.items()}

    def most_grown(self) -> str:
        grown = {
            f"{worker} on {node}": resident_kb(pid) - self.memory[pid]
            for node, workers in self.workers.items()
            for worker, pid in workers.items()
        }
        worst = max(grown, key=lambda name: grown[name])
        return f"{worst} by {grown[worst]} kB"


def run(
    c: cluster.TestCluster,
    count: int,
    seed: int,
    tell: Callable[[str], None],
    giants_each: int = GIANTS,
    entrances: Sequence[str] = (),
) -> None:
    """`count` of each kind on each entrance: "udp" and the names of the first node's sockets; all when none is named.

    AssertionError as soon as a promise breaks.
    """
    chance = random.Random(seed)
    c.settle()
    events = c.events()
    judge = Judge(c)
    node = c.layout.nodes[0]
    if not entrances or UDP in entrances:
        for name, source in packets(c.layout.root(node).authkeys.read_text(), chance).items():
            began = time.monotonic()
            for target in c.layout.nodes:
                flood_udp(c.layout.ports[target], source, count, chance)
            judge.judge()
            tell(f"udp, {name}: {count} to each of {len(c.layout.nodes)} ports, {rate(3 * count, began)}")
        judge.judge_logs()
    for path in sockets(c, node):
        if entrances and path.name not in entrances:
            continue
        began = time.monotonic()
        for source in MESSAGES.values():
            flood_unix(path, source, count, chance)
            judge.judge()
        speed = rate(len(MESSAGES) * count, began)
        giants(path, giants_each)
        judge.judge()
        judge.judge_logs()
        tell(f"{path.name}: {count} of each of {len(MESSAGES)} kinds, {speed}; {giants_each} of {GIANT_BYTES} bytes")
        assert c.events() == events, f"{path.name}: the service noticed"
    c.settle()
    judge.judge()
    assert c.events() == events, "the service noticed"
    tell(f"every worker lives; the most that one grew: {judge.most_grown()}")


def rate(count: int, began: float) -> str:
    return f"{count / (time.monotonic() - began):.0f} a second"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="of each kind, on each entrance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--entrance", action="append", default=[], help="udp or a socket's name; may be repeated")
    options = parser.parse_args()
    print(f"seed {options.seed}, pid {os.getpid()}", flush=True)
    with cluster.running(3) as c:
        c.add_recorder("service")
        # Who sends garbage has a machine of his own: his work is not to be what keeps the nodes from theirs.
        os.nice(19)
        run(c, options.count, options.seed, lambda text: print(text, flush=True), entrances=options.entrance)
    return 0


if __name__ == "__main__":
    sys.exit(main())
