# SPDX-License-Identifier: GPL-2.0-or-later
"""Garbage on every entrance of a running cluster: no worker dies, memory stays bounded, the cluster stays up.

    python -m tests.real.garbage [--count 100000] [--seed 1]

On every UDP port: random bytes, truncated and mutated real packets, packets signed with a wrong key. On every unix
socket: random bytes, truncated and mutated real messages, messages of 10 MB. Prints what was sent and how memory moved.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
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

GIANTS = 100
GIANT_BYTES = 10 * 1024 * 1024
MAX_GROWTH_KB = 48 * 1024
"""A worker may keep buffers it grew; what it must not do is grow with what it is sent."""
SEND_TIMEOUT_S = 5
MESSAGES_PER_CONNECTION = 50

Source = Callable[[random.Random], bytes]


def real_packet(chance: random.Random, keys: str) -> bytes:
    """A status packet as a node sends it."""
    fields = [
        ("t", "status"), ("st", "active"), ("dt", "3e8"), ("protocol", "1"), ("src", chance.choice(["n1", "n2", "nx"])),
        ("seq", f"{chance.randrange(1, 5000):x}"), ("hg", f"{int(time.time()):x}"), ("ts", f"{int(time.time()):x}"),
        ("ld", "0.1 0.1 0.1 1/100 100"), ("ttl", "3"),
    ]  # fmt: skip
    return pack(Fields(fields), parse_authkeys(keys, "keys"))


def packets(keys: str) -> dict[str, Source]:
    wrong = "auth 1\n1 hmac-sha256 not-the-key\n"
    return {
        "random bytes": lambda chance: chance.randbytes(chance.randrange(1, 1500)),
        "truncated": lambda chance: truncated(chance, real_packet(chance, keys)),
        "mutated": lambda chance: mutated(chance, real_packet(chance, keys)),
        "wrong signature": lambda chance: real_packet(chance, wrong),
    }


def messages() -> dict[str, Source]:
    def real(chance: random.Random) -> bytes:
        return chance.choice(
            [
                codec.encode(Hello(protocol=PROTOCOL, kind="program", name="garbage")),
                codec.encode(GetState(request_id="x")),
                codec.encode(Query(request_id="x", xpath="//nvpair[@id='x']")),
            ]
        )

    return {
        "random bytes": lambda chance: chance.randbytes(chance.randrange(1, 1500)),
        "truncated": lambda chance: truncated(chance, frame(real(chance), MAX_FRAME_BYTES)),
        "mutated": lambda chance: mutated(chance, frame(real(chance), MAX_FRAME_BYTES)),
        "framed random bytes": lambda chance: frame(chance.randbytes(chance.randrange(1, 1500)), MAX_FRAME_BYTES),
    }


def truncated(chance: random.Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def mutated(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


# Sending -------------------------------------------------------------------------------------------------------------


def flood_udp(port: int, source: Source, count: int, chance: random.Random) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for _ in range(count):
            out.sendto(source(chance), ("127.0.0.1", port))


def flood_unix(path: Path, source: Source, count: int, chance: random.Random, *, greet: bool) -> None:
    """`count` messages, on connections that are renewed as soon as the worker hangs up."""
    left = count
    while left > 0:
        with contextlib.suppress(OSError), connected(path) as out:
            if greet and out.type == socket.SOCK_STREAM:
                hello = Hello(protocol=PROTOCOL, kind="program", name="garbage")
                out.sendall(frame(codec.encode(hello), MAX_FRAME_BYTES))
            for _ in range(min(left, MESSAGES_PER_CONNECTION)):
                left -= 1
                out.sendall(source(chance))
        left -= 1


@contextlib.contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    """A stream or a datagram socket, whichever the worker has there."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        out = socket.socket(socket.AF_UNIX, kind)
        out.settimeout(SEND_TIMEOUT_S)
        try:
            out.connect(str(path))
        except OSError:
            out.close()
            continue
        with out:
            yield out
        return
    raise ConnectionRefusedError(str(path))


def giants(path: Path, count: int) -> None:
    body = b"\0" * GIANT_BYTES
    for _ in range(count):
        with contextlib.suppress(OSError), connected(path) as out:
            out.sendall(len(body).to_bytes(4, "big") + body)


# Judging -------------------------------------------------------------------------------------------------------------


def sockets(c: cluster.TestCluster, node: str) -> list[Path]:
    folder = c.layout.root(node).run_dir
    return sorted(path for path in folder.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode))


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def run(c: cluster.TestCluster, count: int, seed: int, tell: Callable[[str], None], giants_each: int = GIANTS) -> None:
    """AssertionError as soon as a worker died or grew."""
    chance = random.Random(seed)
    c.settle()
    events = c.events()
    before = {node: c.workers(node) for node in c.layout.nodes}
    memory = {pid: resident_kb(pid) for workers in before.values() for pid in workers.values()}
    node = c.layout.nodes[0]
    keys = c.layout.root(node).authkeys.read_text()
    for name, source in packets(keys).items():
        for target in c.layout.nodes:
            flood_udp(c.layout.ports[target], source, count, chance)
        tell(f"udp, {name}: {count} to each of {len(c.layout.nodes)} ports")
        judge(c, before, memory)
    for path in sockets(c, node):
        for source in messages().values():
            flood_unix(path, source, count, chance, greet=chance.random() < 0.5)
            judge(c, before, memory)
        giants(path, giants_each)
        judge(c, before, memory)
        tell(f"{path.name}: {count} of each of {len(messages())} kinds, {giants_each} of {GIANT_BYTES} bytes")
    c.settle()
    assert c.events() == events, "the service noticed"
    grown = {(node, worker): resident_kb(pid) - memory[pid] for node in before for worker, pid in before[node].items()}
    worst = max(grown, key=lambda key: grown[key])
    tell(f"every worker lives; the most that one grew: {grown[worst]} kB ({worst[1]} on {worst[0]})")


def judge(c: cluster.TestCluster, before: dict[str, dict[str, int]], memory: dict[int, int]) -> None:
    for node, workers in before.items():
        for worker, pid in workers.items():
            assert Path(f"/proc/{pid}").exists(), f"{worker} on {node} died"
            assert resident_kb(pid) - memory[pid] < MAX_GROWTH_KB, f"{worker} on {node} grew to {resident_kb(pid)} kB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="of each kind, on each entrance")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(f"seed {options.seed}, pid {os.getpid()}")
    with cluster.running(3) as c:
        c.add_recorder("service")
        run(c, options.count, options.seed, lambda text: print(text, flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
