# SPDX-License-Identifier: GPL-2.0-or-later
"""A node with nothing but a real lrmd on it; the test itself plays the crmd."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from ha.ipc import codec
from ha.ipc.frames import FrameReader, frame
from ha.ipc.hello import PROTOCOL, Hello, Welcome
from ha.ipc.limits import MAX_FRAME_BYTES
from ha.lrm.msg import OperationResult, Resource, RunOperation
from ha.machine import Message
from ha.root import Root
from ha.runner.process import kill_session
from ha.runner.spool import Spool
from tests.real.waiting import wait_for

PATIENCE_S = 20.0

T = TypeVar("T", bound=Message)


class WorkerLink:
    """A link to a worker from a test that plays another worker."""

    def __init__(self, root: Root, worker: str, as_worker: str) -> None:
        self.stream = wait_for(lambda: _connect(root.socket(worker)), f"{worker} listens")
        self.reader = FrameReader(MAX_FRAME_BYTES)
        self.arrived: list[Message] = []
        self.send(Hello(protocol=PROTOCOL, kind="worker", name=as_worker, incarnation=f"test-{time.monotonic_ns()}"))
        self.receive(Welcome)

    def send(self, *messages: Message) -> None:
        for message in messages:
            self.stream.sendall(frame(codec.encode(message), MAX_FRAME_BYTES))

    def receive(self, kind: type[T], timeout_s: float = PATIENCE_S) -> T:
        """The next message of that kind; others stay for later."""
        deadline = time.monotonic() + timeout_s
        while True:
            for message in self.arrived:
                if isinstance(message, kind):
                    self.arrived.remove(message)
                    return message
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.stream], [], [], left)[0], f"no {kind.__name__} came"
            data = self.stream.recv(1 << 20)
            assert data, "the worker hung up"
            self.arrived.extend(codec.decode(body) for body in self.reader.feed(data))

    def close(self) -> None:
        self.stream.close()


def _connect(path: Path) -> socket.socket | None:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        stream.close()
        return None
    return stream


class LrmNode:
    """Agents are shell scripts written by the test; every one appends what it does to `log`."""

    def __init__(self, base: Path) -> None:
        self.root = Root.choose(base / "n1")
        self.log = base / "log"
        self.log.touch()
        self.root.config_dir.mkdir(parents=True)
        (self.root.config_dir / "nodeinfo").write_text("n1\n")
        self.process: subprocess.Popen[bytes] | None = None
        self.crmd: WorkerLink | None = None

    def agent(self, name: str, body: str, kind: str = "ocf") -> None:
        """A script below the node's root: `$0` its name, the action in $1 (OCF) or last; `say X` logs."""
        places = {
            "ocf": "/usr/lib/ocf/resource.d/test",
            "lsb": "/etc/init.d",
            "heartbeat": "/etc/ha.d/resource.d",
            "fence": "/usr/sbin",
        }
        path = self.root.path(places[kind]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\nsay() {{ echo "$*" >>{self.log}; }}\n{body}\n')
        path.chmod(0o755)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ha.shell", "ha.lrm.daemon:main", "--root", self.root.prefix],
            stderr=subprocess.PIPE,
        )
        self.crmd = WorkerLink(self.root, "lrmd", "crmd")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.reap()

    def reap(self) -> None:
        assert self.process is not None
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        if self.crmd is not None:
            self.crmd.close()
        self.process = self.crmd = None

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.reap()
        spool = Spool(self.root.run_dir / "lrm")
        for job_id in spool.jobs():
            holder = spool.claimant(job_id)
            if holder is not None and holder.pid > 0:
                kill_session(holder)

    def order(self, operation: str, agent: str = "Test", kind: str = "ocf", **more: object) -> RunOperation:
        resource = Resource(str(more.pop("id", "r1")), kind, agent, "test" if kind == "ocf" else "")
        more.setdefault("timeout_ms", 20_000)
        more.setdefault("user_data", f"{resource.id}:{operation}:{os.urandom(4).hex()}")
        return RunOperation(resource=resource, operation=operation, **more)  # type: ignore[arg-type]

    def run(self, operation: str, agent: str = "Test", kind: str = "ocf", **more: object) -> OperationResult:
        order = self.order(operation, agent, kind, **more)
        assert self.crmd is not None
        self.crmd.send(order)
        while True:
            result = self.crmd.receive(OperationResult)
            if result.user_data == order.user_data:
                return result

    def logged(self) -> list[str]:
        return self.log.read_text().splitlines()

    def files(self) -> list[str]:
        """What is left of jobs in the spool."""
        return sorted(path.name for path in (self.root.run_dir / "lrm").glob("*.*"))


@contextlib.contextmanager
def lrm_node(base: Path) -> Iterator[LrmNode]:
    node = LrmNode(base)
    node.start()
    try:
        yield node
    finally:
        node.stop()
