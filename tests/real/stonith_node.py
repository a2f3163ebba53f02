# SPDX-License-Identifier: GPL-2.0-or-later
"""A node with nothing but a real stonithd on it; the test plays cib, ccm, heartbeat, crmd, lrmd, and the switch."""

from __future__ import annotations

import contextlib
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from ha.ccm.msg import Member, MembershipEvent, View, ViewId
from ha.cib.msg import Changed, Subscribe, Version
from ha.ipc import codec
from ha.ipc.frames import FrameReader, frame
from ha.ipc.hello import PROTOCOL, Hello, Welcome
from ha.ipc.limits import MAX_FRAME_BYTES
from ha.machine import Message
from ha.root import Root
from tests.real.lrm_node import WorkerLink

VIEW = ViewId(1, "test")


class Stand:
    """Stands in for a worker that stonithd dials: says Welcome, then `greeting` to every connection."""

    def __init__(self, root: Root, worker: str, greeting: Message | None = None, after: type | None = None) -> None:
        self.worker = worker
        self.greeting = greeting
        self.after = after
        self.heard: list[Message] = []
        path = root.socket(worker)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.wake, self.stop_end = socket.socketpair()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        readers: dict[socket.socket, FrameReader] = {}
        while True:
            ready, _, _ = select.select([self.listener, self.wake, *readers], [], [])
            if self.wake in ready:
                for stream in [self.listener, self.wake, *readers]:
                    stream.close()
                return
            for stream in ready:
                if stream is self.listener:
                    readers[stream.accept()[0]] = FrameReader(MAX_FRAME_BYTES)
                    continue
                try:
                    data = stream.recv(1 << 20)
                except ConnectionError:
                    data = b""
                if not data:
                    stream.close()
                    del readers[stream]
                    continue
                for body in readers[stream].feed(data):
                    self._answer(stream, codec.decode(body))

    def _answer(self, stream: socket.socket, message: Message) -> None:
        self.heard.append(message)
        with contextlib.suppress(OSError):
            if isinstance(message, Hello):
                welcome = Welcome(protocol=PROTOCOL, name=self.worker, node="n1", incarnation="stand")
                stream.sendall(frame(codec.encode(welcome), MAX_FRAME_BYTES))
            if self.greeting is not None and isinstance(message, self.after or Hello):
                stream.sendall(frame(codec.encode(self.greeting), MAX_FRAME_BYTES))

    def close(self) -> None:
        self.stop_end.close()
        self.thread.join()


class Switch:
    """The power switch of a playground, as far as the fence agent sees. While `held`, it does not answer."""

    def __init__(self, path: Path, nodes: tuple[str, ...]) -> None:
        self.path = path
        self.power = dict.fromkeys(nodes, "on")
        self.orders: list[str] = []
        self.released = threading.Event()
        self.released.set()
        self.lies = False
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = self.listener.accept()
                threading.Thread(target=self._talk, args=(stream,), daemon=True).start()

    def _talk(self, stream: socket.socket) -> None:
        with contextlib.suppress(OSError), stream, stream.makefile("rw") as lines:
            for line in lines:
                self.orders.append(line.strip())
                self.released.wait(20)
                lines.write(self._obey(line.split()) + "\n")
                lines.flush()

    def _obey(self, words: list[str]) -> str:
        if words == ["list"]:
            return "ok " + " ".join(self.power)
        verb, node = words
        if node not in self.power:
            return f"error there is no node {node!r}"
        if verb == "status":
            return f"ok {self.power[node]}"
        if not self.lies:
            self.power[node] = "off" if verb == "off" else "on"
        return f"ok {verb}"

    def close(self) -> None:
        self.released.set()
        self.listener.close()


def configuration(resources: str, members: tuple[str, ...]) -> str:
    nodes = "".join(f'<node id="{name}" uname="{name}"/>' for name in members)
    sections = f"<nodes>{nodes}</nodes><resources>{resources}</resources><constraints/>"
    return f"<cib><configuration>{sections}</configuration></cib>"


class StonithNode:
    """`present` are in the view; `parameters` are the device's, beside its socket and hosts."""

    def __init__(
        self, base: Path, members: tuple[str, ...] = ("n1", "n2", "n3"), present: tuple[str, ...] = ("n1", "n2"),
        agent: str = "fence_playground", parameters: dict[str, str] | None = None,
        resources: str = "",
    ) -> None:
        self.root = Root.choose(base / "n1")
        self.root.config_dir.mkdir(parents=True)
        (self.root.config_dir / "nodeinfo").write_text("n1\n")
        self.switch = Switch(base / "switch", members)
        pairs = {"socket": str(self.switch.path), "pcmk_host_list": " ".join(members), **(parameters or {})}
        self.resources = resources or (
            f'<primitive id="power" class="stonith" type="{agent}"><instance_attributes id="i">'
            + "".join(f'<nvpair id="i-{name}" name="{name}" value="{value}"/>' for name, value in pairs.items())
            + "</instance_attributes></primitive>"
        )
        view = View(VIEW, tuple(Member(name, 1) for name in present), True)
        changed = Changed(
            generation=1, version=Version(0, 1, 0), digest="", whole=configuration(self.resources, members)
        )
        self.stands = [
            Stand(self.root, "ccm", MembershipEvent(event="NEW_MEMBERSHIP", view=view)),
            Stand(self.root, "cib", changed, after=Subscribe),
            Stand(self.root, "heartbeat"),
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ha.shell", "ha.stonith.daemon:main", "--root", self.root.prefix],
            stderr=subprocess.PIPE,
        )
        self.crmd = WorkerLink(self.root, "stonithd", "crmd")

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        assert self.process is not None and self.process.stderr is not None
        self.process.wait()
        self.process.stderr.close()
        self.crmd.close()
        self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self._reap()
        self.switch.close()
        for stand in self.stands:
            stand.close()


@contextlib.contextmanager
def stonith_node(base: Path) -> Iterator[StonithNode]:
    node = StonithNode(base)
    try:
        node.start()
        yield node
    finally:
        node.stop()
