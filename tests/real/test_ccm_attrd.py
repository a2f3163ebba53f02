# SPDX-License-Identifier: GPL-2.0-or-later
"""Real heartbeat, ccm and attrd processes on loopback: views, restarts of a worker, attributes on every node."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.ccm.msg import GetMembership, MembershipEvent, View
from ha.cli import attrd_updater
from ha.cli.exit_codes import Exit
from ha.ipc.client import Connection, NotConnected
from tests.real.heartbeat_node import HeartbeatNode, free_ports
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real
CONFIG = "keepalive 100ms\ndeadtime 600ms\ninitdead 10"
NAMES = ["n1", "n2", "n3"]


class ClusterNode:
    """One node's heartbeat, ccm and attrd."""

    def __init__(self, heartbeat: HeartbeatNode) -> None:
        self.heartbeat = heartbeat
        self.root = heartbeat.root
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        self.heartbeat.start()
        for worker in ("ccm", "attrd"):
            self.start_worker(worker)

    def start_worker(self, worker: str) -> None:
        with self.heartbeat.log.open("ab") as log:
            self.workers[worker] = subprocess.Popen(
                [sys.executable, "-m", "ha.shell", f"ha.{worker}.daemon:main", "--root", self.root.prefix],
                stderr=log,
                stdout=log,
            )

    def kill_worker(self, worker: str) -> None:
        self.workers[worker].kill()
        self.workers.pop(worker).wait()

    def kill(self) -> None:
        self.heartbeat.kill()
        for worker in list(self.workers):
            self.kill_worker(worker)

    def view(self) -> View | None:
        """As ccm tells programs; None while it does not answer or has none."""
        with contextlib.suppress(NotConnected), Connection.open(self.root, "ccm", program="test") as ccm:
            answer = ccm.ask(GetMembership(), 5_000)
            assert isinstance(answer, MembershipEvent)
            return answer.view
        return None


@pytest.fixture
def nodes(short_path: Path) -> Iterator[list[ClusterNode]]:
    ports = free_ports(len(NAMES))
    lines = [f"ucast lo 127.0.0.1:{port}" for port in ports]
    found = [
        ClusterNode(HeartbeatNode(short_path, name, NAMES, [f"bindaddr 127.0.0.1:{port}", *lines], CONFIG))
        for name, port in zip(NAMES, ports, strict=True)
    ]
    try:
        for node in found:
            node.start()
        yield found
    finally:
        for node in found:
            node.kill()


def wait_for_view(nodes: list[ClusterNode], names: set[str]) -> View:
    view = wait_for(lambda: agreed(nodes, names), f"{', '.join(sorted(names))} agree on a view")
    assert view is not None
    return view


def agreed(nodes: list[ClusterNode], names: set[str]) -> View | None:
    """The quorate view of exactly `names` that all of `nodes` hold."""
    views = [node.view() for node in nodes]
    first = views[0]
    same = all(view is not None and first is not None and view.id == first.id for view in views)
    return first if same and first is not None and first.quorate and set(first.names()) == names else None


def test_views_follow_nodes_and_outlive_workers(nodes: list[ClusterNode], capsys: pytest.CaptureFixture[str]) -> None:
    first = wait_for_view(nodes, set(NAMES))
    for node in nodes:
        node.kill_worker("ccm")
        node.start_worker("ccm")
        again = wait_for_view(nodes, set(NAMES))
        assert again.id == first.id

    def updater(node: ClusterNode, *arguments: str) -> tuple[int, str]:
        code = attrd_updater.main([f"--root={node.root.prefix}", *arguments])
        return code, capsys.readouterr().out

    wait_for(lambda: updater(nodes[0], "-Q", "-A", "-n", "x")[0] == Exit.NO_SUCH_OBJECT, "attrd answers")
    assert updater(nodes[0], "-n", "load", "-U", "7", "-p", "-N", "n2") == (Exit.OK, "")
    assert updater(nodes[2], "-n", "load", "-U", "load++", "-p", "-N", "n2") == (Exit.OK, "")
    line = 'name="load" host="n2" value="8"\n'
    wait_for(lambda: updater(nodes[0], "-Q", "-n", "load", "-A") == (Exit.OK, line), "n1 knows the value")
    nodes[1].kill_worker("attrd")
    nodes[1].start_worker("attrd")
    wait_for(lambda: updater(nodes[1], "-Q", "-n", "load") == (Exit.OK, line), "the restarted attrd knows it")

    nodes[0].kill()
    left = nodes[1:]
    after = wait_for_view(left, {"n2", "n3"})
    assert after.lost == ("n1",)
    assert after.evidence["n1"]
    assert updater(nodes[2], "-Q", "-n", "load", "-N", "n2") == (Exit.OK, line)
