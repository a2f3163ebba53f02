# SPDX-License-Identifier: GPL-2.0-or-later
"""Tiny workers for tests of the root pair: they beat, and misbehave when told to."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time

from ha.apphbd.msg import BEATS_VARIABLE, Beat, Goodbye
from ha.ipc import codec
from ha.ipc.frames import FrameReader, frame
from ha.ipc.hello import PROTOCOL, Hello
from ha.ipc.limits import MAX_FRAME_BYTES
from ha.rmd.msg import LeaveCluster, LeftCluster
from ha.root import Root

INTERVAL_MS = 50
WARNTIME_MS = 250
DEADLINE_MS = 600


def beating(root: Root) -> int:
    """Beats until SIGTERM; says so on its standard output, and says "hup" for SIGHUP."""
    return _beat(root, os.environ["SUPERVISOR_PROCESS_NAME"])


def crashing(root: Root) -> int:
    """Beats once and dies."""
    _send(_beat_of(os.environ["SUPERVISOR_PROCESS_NAME"]))
    print("about to crash", flush=True)
    raise RuntimeError("this worker crashes")


def silent(root: Root) -> int:
    """Never beats."""
    signal.pause()
    return 0


def silent_when_told(root: Root) -> int:
    """Beats until SIGTERM, or never while there is a file /silent."""
    return silent(root) if root.path("/silent").exists() else beating(root)


def wedging(root: Root) -> int:
    """Beats until SIGHUP, then waits for ever in `wedged_here` without a beat."""
    name = os.environ["SUPERVISOR_PROCESS_NAME"]
    received: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, frame: received.append(number))
    while not received:
        _send(_beat_of(name))
        select.select([], [], [], INTERVAL_MS / 1000)
    return wedged_here()


def wedged_here() -> int:
    while True:
        signal.pause()


def obedient_crmd(root: Root) -> int:
    """As the crmd towards rmd: asked to leave the cluster, it does so once the file `may-leave` exists."""
    asked = False
    while True:
        with _link_to_rmd(root) as rmd:
            reader = FrameReader(MAX_FRAME_BYTES)
            while True:
                _send(_beat_of("crmd"))
                if asked and root.path("/may-leave").exists():
                    rmd.sendall(frame(codec.encode(LeftCluster()), MAX_FRAME_BYTES))
                    asked = False
                if not select.select([rmd], [], [], INTERVAL_MS / 1000)[0]:
                    continue
                data = rmd.recv(65536)
                if not data:
                    break
                for message in map(codec.decode, reader.feed(data)):
                    if isinstance(message, LeaveCluster):
                        print("asked to leave", flush=True)
                        asked = True


def _link_to_rmd(root: Root) -> socket.socket:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    link.connect(str(root.socket("rmd")))
    link.sendall(frame(codec.encode(Hello(protocol=PROTOCOL, kind="worker", name="crmd")), MAX_FRAME_BYTES))
    return link


def leaving_for_good(root: Root) -> int:
    """Ends with the status that means: do not start me again."""
    return 100


def _beat(root: Root, name: str) -> int:
    read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: received.append(number))
    signal.set_wakeup_fd(write)
    print(f"{name} starts", flush=True)
    while signal.SIGTERM not in received:
        _send(_beat_of(name))
        if signal.SIGHUP in received:
            received.clear()
            print("hup", flush=True)
        if select.select([read], [], [], INTERVAL_MS / 1000)[0]:
            os.read(read, 4096)
    _send(Goodbye(module=name, pid=os.getpid()))
    print(f"{name} stops", file=sys.stderr, flush=True)
    return 0


def _beat_of(name: str) -> Beat:
    return Beat(
        module=name, pid=os.getpid(), interval_ms=INTERVAL_MS, warntime_ms=WARNTIME_MS, deadline_ms=DEADLINE_MS,
        steps=int(time.monotonic()),
    )  # fmt: skip


def _send(message: Beat | Goodbye) -> None:
    with socket.socket(fileno=os.dup(int(os.environ[BEATS_VARIABLE]))) as line:
        try:
            line.send(codec.encode(message))
        except BlockingIOError:
            return  # apphbd is being restarted: the next beat arrives


def misconfigured(root: Root) -> int:
    """Cannot obey its configuration."""
    print("test.cf:1: this is a mistake", file=sys.stderr)
    return 78
