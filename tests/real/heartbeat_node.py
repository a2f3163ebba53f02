# SPDX-License-Identifier: GPL-2.0-or-later
"""Real heartbeat processes on loopback, each with a root of its own, and a stand-in for a module of a node."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from ha.heartbeat.io.api_client import ApiClient, ApiError
from ha.heartbeat.msg import Deliver, ModuleStatus, NodeStatus, Transmit
from ha.ipc import codec
from ha.ipc.frames import FrameReader, frame
from ha.ipc.hello import PROTOCOL, Hello, Welcome
from ha.ipc.limits import MAX_FRAME_BYTES
from ha.machine import Message
from ha.root import Root
from tests.real.waiting import wait_for

AUTHKEYS = "auth 1\n1 hmac-sha256 a-secret-of-the-tests\n"


def free_ports(count: int) -> list[int]:
    """UDP ports that nobody has now."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for udp in sockets:
        udp.bind(("127.0.0.1", 0))
    ports = [udp.getsockname()[1] for udp in sockets]
    for udp in sockets:
        udp.close()
    return ports


class HeartbeatNode:
    """One heartbeat, started and stopped at will. `media` are the lines of ha.cf that name them."""

    def __init__(self, folder: Path, name: str, nodes: list[str], media: list[str], config: str = "") -> None:
        self.name = name
        self.root = Root.choose(folder / name)
        self.root.config_dir.mkdir(parents=True)
        (self.root.config_dir / "nodeinfo").write_text(f"{name}\n")
        self.root.ha_cf.write_text("\n".join([f"node {' '.join(nodes)}", config, *media]) + "\n")
        self.root.authkeys.touch(mode=0o600)
        self.root.authkeys.write_text(AUTHKEYS)
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ha.shell", "ha.heartbeat.daemon:main", "--root", self.root.prefix],
                stderr=log,
                stdout=log,
            )

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(10)
        self.process = None
        return status

    def state_of(self, node: str) -> str:
        """As the register socket tells it; "" when heartbeat does not answer."""
        with contextlib.suppress(ApiError), ApiClient(self.root) as heartbeat:
            return heartbeat.ask("nodestatus", node=node)[0].text("st")
        return ""

    def said(self) -> str:
        return self.log.read_text()


class Module:
    """A worker of the node, signed on with heartbeat."""

    def __init__(self, root: Root, name: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(str(root.socket("heartbeat")))
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._arrived: list[Message] = []
        self._send(Hello(protocol=PROTOCOL, kind="worker", name=name))
        assert isinstance(self.receive(), Welcome)

    def _send(self, message: Message) -> None:
        self._socket.sendall(frame(codec.encode(message), MAX_FRAME_BYTES))

    def transmit(self, node: str | None, module: str, body: bytes) -> None:
        self._send(Transmit(to_node=node, to_module=module, body=body))

    def receive(self, timeout_s: float = 20) -> Message:
        deadline = time.monotonic() + timeout_s
        while not self._arrived:
            left_s = deadline - time.monotonic()
            assert left_s > 0, "nothing came"
            if select.select([self._socket], [], [], left_s)[0]:
                data = self._socket.recv(1 << 20)
                assert data, "heartbeat hung up"
                self._arrived += [codec.decode(body) for body in self._reader.feed(data)]
        return self._arrived.pop(0)

    def next_delivery(self) -> Deliver:
        while not isinstance(message := self.receive(), Deliver):
            assert isinstance(message, (ModuleStatus, NodeStatus)), message
        return message

    def wait_for_namesake(self, node: str) -> None:
        """Until the module of the same name on that node has signed on."""
        while True:
            message = self.receive()
            if isinstance(message, ModuleStatus) and message.node == node and message.up:
                return

    def close(self) -> None:
        self._socket.close()


def all_active(nodes: list[HeartbeatNode]) -> None:
    names = [node.name for node in nodes]
    wait_for(
        lambda: all(node.state_of(name) == "active" for node in nodes for name in names),
        "all nodes are active for all",
    )
