# SPDX-License-Identifier: GPL-2.0-or-later
"""A real stonithd with real fence agents: confirmation, lies, timeouts, kills, and the command line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.stonith.msg import DeviceOperation, DeviceOperationDone, Fenced, FenceNode
from tests.real.lrm_node import WorkerLink
from tests.real.stonith_node import VIEW, StonithNode, stonith_node
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real


@pytest.fixture
def node(short_path: Path) -> Iterator[StonithNode]:
    with stonith_node(short_path) as node:
        yield node


def fence(target: str = "n3", action: str = "off", key: str = "f1", timeout_ms: int = 20_000) -> FenceNode:
    return FenceNode(request_id=key, target=target, action=action, timeout_ms=timeout_ms, view=VIEW)  # type: ignore[arg-type]


def admin(node: StonithNode, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ha.cli.stonith_admin", "--root", node.root.prefix, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_node_is_fenced_when_the_switch_shows_it(node: StonithNode) -> None:
    node.crmd.send(fence())
    told = node.crmd.receive(Fenced)
    assert (told.ok, told.device, told.executor) == (True, "power", "n1")
    assert node.switch.power == {"n1": "on", "n2": "on", "n3": "off"}
    assert node.switch.orders == ["off n3", "status n3"]


def test_a_switch_that_lies_is_not_believed(node: StonithNode) -> None:
    node.switch.lies = True
    node.crmd.send(fence(timeout_ms=3_000))
    told = node.crmd.receive(Fenced)
    assert not told.ok
    assert "n3 is still on" in told.reason


def test_a_silent_switch_is_a_timeout(node: StonithNode) -> None:
    node.switch.released.clear()
    node.crmd.send(fence(timeout_ms=1_500))
    told = node.crmd.receive(Fenced)
    assert not told.ok


def test_stonithd_is_killed_while_the_agent_waits_for_the_switch(node: StonithNode) -> None:
    node.switch.released.clear()
    node.crmd.send(fence())
    wait_for(lambda: node.switch.orders, "the agent has given the order")
    for _ in range(3):
        node.kill()
        node.start()
    node.crmd.send(fence())
    node.switch.released.set()
    assert node.crmd.receive(Fenced).ok
    assert node.switch.orders == ["off n3", "status n3"]
    node.kill()
    node.start()
    node.crmd.send(fence())
    assert node.crmd.receive(Fenced).ok
    assert node.switch.orders == ["off n3", "status n3"]


def test_the_lrm_starts_and_monitors_the_device(node: StonithNode) -> None:
    lrmd = WorkerLink(node.root, "stonithd", "lrmd")
    parameters = {"socket": str(node.switch.path)}

    def operate(operation: str) -> DeviceOperationDone:
        request = DeviceOperation(request_id=operation, device="power", agent="fence_playground",
                                  operation=operation, timeout_ms=10_000, parameters=parameters)  # fmt: skip
        lrmd.send(request)
        return lrmd.receive(DeviceOperationDone)

    assert operate("monitor").rc == 7
    assert operate("start").rc == 0
    assert operate("monitor").rc == 0
    parameters["socket"] = "/nowhere"
    failed = operate("monitor")
    assert failed.rc == 1
    assert "connection lost (exit code 4)" in failed.exit_reason
    assert operate("stop").rc == 0
    lrmd.close()


def test_the_command_line(node: StonithNode) -> None:
    wait_for(lambda: "1 fence device found" in admin(node, "-L").stdout, "the device is registered")
    assert admin(node, "-l", "n3").stdout == " power\n1 fence device found\n"
    assert admin(node, "-l", "n9").stdout == "No fence devices found\n"
    done = admin(node, "--reboot", "n2", "--tag", "an-operator")
    assert (done.returncode, done.stderr) == (0, "")
    assert node.switch.orders == ["reboot n2"]
    history = admin(node, "--history", "*", "--verbose").stdout
    assert "n1 was able to reboot node n2 on behalf of an-operator from n1 at" in history
    assert history.endswith("1 event found\n")
    nowhere = admin(node, "-F", "n9", "-t", "5")
    assert nowhere.returncode == 105
    assert "none of 1 fence devices reaches n9" in nowhere.stderr
    assert admin(node, "--confirm", "n3").returncode == 0
    assert node.crmd.receive(Fenced).target == "n2"
    assert node.crmd.receive(Fenced).target == "n3"


def test_the_command_line_without_a_cluster(short_path: Path) -> None:
    command = [sys.executable, "-m", "ha.cli.stonith_admin", "--root", str(short_path), "-L", "--output-as", "xml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 102
    assert 'code="102"' in done.stdout
    assert subprocess.run([*command[:-3], "-t", "x"], capture_output=True, check=False).returncode == 64


@pytest.mark.parametrize("garbage", ["exit 0", "echo '<html>'", "head -c 3000000 /dev/urandom", "sleep 0; kill -9 $$"])
def test_agents_with_garbage_for_metadata_still_fence(short_path: Path, garbage: str) -> None:
    node = StonithNode(short_path)
    path = node.root.path("/usr/sbin/fence_playground")
    path.parent.mkdir(parents=True)
    log = short_path / "log"
    path.write_text(
        f'#!/bin/sh\ninput=$(cat)\ncase "$input" in *action=metadata*) {garbage};; *) echo "$input" >>{log};; esac\n'
    )
    path.chmod(0o755)
    node.start()
    try:
        node.crmd.send(fence())
        assert node.crmd.receive(Fenced).ok
        lines = log.read_text().splitlines()
        assert lines[0] == "action=off"
        assert {"nodename=n3", "port=n3", f"socket={node.switch.path}"} <= set(lines)
    finally:
        node.stop()
