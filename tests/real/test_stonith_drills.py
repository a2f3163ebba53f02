# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing drills with a real stonithd and real agents: what is wrong is flagged before the device is needed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lxml import etree

from tests.real.cluster import running
from tests.real.stonith_node import StonithNode
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

STRIP = """#!/bin/sh
# A strip of three outlets with labels, behind a password.
input=$(cat)
option() { printf '%s\\n' "$input" | sed -n "s/^$1=//p" | tail -n 1; }
case $(option action) in metadata) cat <<'END'
<resource-agent name="fence_strip"><parameters><parameter name="action"/><parameter name="plug"/>
<parameter name="password"/></parameters><actions><action name="on"/><action name="off"/><action name="reboot"/>
<action name="status"/><action name="list"/><action name="monitor"/></actions></resource-agent>
END
exit 0;; esac
[ "$(option password)" = right ] || { echo "Unable to connect/login to fencing device" >&2; exit 3; }
case $(option action) in
list) printf '1,n1\\n2,n2\\n3,n3\\n';;
status) [ "$(option plug)" != 3 ] || { echo "Status: OFF"; exit 2; }; echo "Status: ON";;
esac
"""
SOUND = {"password": "right", "pcmk_host_map": "n1:1;n2:2;n3:3"}


@contextmanager
def alone(base: Path, agent: str = "fence_strip", **parameters: str) -> Iterator[StonithNode]:
    """n1, whose stonithd drills on its own; n2 and n3 are configured and away."""
    node = StonithNode(base, present=("n1",), agent=agent, parameters=parameters)
    path = node.root.path("/usr/sbin/fence_strip")
    path.parent.mkdir(parents=True)
    path.write_text(STRIP)
    path.chmod(0o755)
    if found := shutil.which("fence_dummy", path="/usr/sbin"):
        (path.parent / "fence_dummy").symlink_to(found)
    node.start()
    try:
        wait_for(lambda: "power" in fencing(node.root.prefix, "status").stdout, "the device is registered")
        yield node
    finally:
        node.stop()


def fencing(prefix: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from ha.cli.ha import main; main()", "fencing", *arguments, "--root", prefix]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_sound_device_is_proved(short_path: Path) -> None:
    with alone(short_path, **SOUND) as node:
        before = fencing(node.root.prefix, "status")
        assert (before.returncode, "power was not tried yet from n1" in before.stdout) == (1, True)
        drilled = fencing(node.root.prefix, "drill", "power")
        assert "n3 " in drilled.stdout and "FAILED" not in drilled.stdout, drilled.stdout
        assert drilled.returncode == 0, drilled.stdout
        after = fencing(node.root.prefix, "status", "--output-as", "xml")
        root = etree.fromstring(after.stdout)
        checks = [(c.get("action"), c.get("target", ""), c.get("ok")) for c in root.iter("check")]
        assert ("status", "n3", "true") in checks, "the outlet of a node that is away may be off"
        assert {verdict for _, _, verdict in checks} == {"true"}
        assert [int(level.get("proved-at", "0")) > 0 for level in root.iter("level")] == [False, True, True]
        node.kill()
        node.start()
        wait_for(lambda: fencing(node.root.prefix, "status").returncode == 0, "the proof outlives the worker")
        told = json.loads(fencing(node.root.prefix, "status", "--output-as", "json").stdout)
        assert [drill["device"] for drill in told["drills"]] == ["power"]


@pytest.mark.parametrize(
    ("changes", "what", "remedy"),
    [
        ({"password": "wrong"}, "monitor failed: login denied (exit code 3)", "correct login and password of power"),
        ({"pcmk_host_map": "n1:2;n2:1;n3:3"}, "n1 is mapped to outlet 2, which calls itself n2: exchanged?",
         "correct pcmk_host_map"),
        ({"pcmk_host_map": "n1:7;n2:2;n3:3"}, "n1 is mapped to outlet 7, which it does not have",
         "correct pcmk_host_map"),
        ({"pcmk_host_map": "n1:3;n2:2"}, "n1 is mapped to outlet 3, which calls itself n3: exchanged?",
         "correct pcmk_host_map"),
    ],
    ids=["wrong password", "exchanged outlets", "no such outlet", "another node's outlet"],
)  # fmt: skip
def test_what_is_wrong_is_flagged_with_its_remedy(
    short_path: Path, changes: dict[str, str], what: str, remedy: str
) -> None:
    with alone(short_path, **{**SOUND, **changes}) as node:
        drilled = fencing(node.root.prefix, "drill")
        assert drilled.returncode == 1
        assert what in drilled.stdout
        assert remedy in drilled.stdout


def test_a_dead_device_is_flagged(short_path: Path) -> None:
    with alone(short_path, agent="fence_playground") as node:
        assert fencing(node.root.prefix, "drill").returncode == 0
        node.switch.path.unlink()
        drilled = fencing(node.root.prefix, "drill")
        assert drilled.returncode == 1
        assert "connection lost (exit code 4)" in drilled.stdout
        assert "check the address of power, its network and its own power" in drilled.stdout


def test_debians_dummy_agent(short_path: Path) -> None:
    if shutil.which("fence_dummy", path="/usr/sbin") is None:
        pytest.skip("Debian's fence_dummy (package fence-agents) is not installed")
    state = short_path / "state"
    state.write_text("on")
    with alone(short_path, agent="fence_dummy", status_file=str(state), pcmk_host_list="n1") as node:
        assert fencing(node.root.prefix, "drill").returncode == 1, "nothing reaches n2"
        assert "is off, but n1 is a member" not in fencing(node.root.prefix, "status").stdout
        state.write_text("off")
        drilled = fencing(node.root.prefix, "drill")
        assert "outlet n1 is off, but n1 is a member: it is not its outlet" in drilled.stdout


def admin(node: StonithNode, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ha.cli.stonith_admin", "--root", node.root.prefix, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_stonith_admin_asks_what_a_device_reaches_and_tries_it(short_path: Path) -> None:
    with alone(short_path, **SOUND) as node:
        assert admin(node, "--list-targets", "power").stdout == " n1\n n2\n n3\n3 fence targets found\n"
        assert admin(node, "--list-targets", "nothing").returncode == 105
        sound = admin(node, "--query", "power")
        assert (sound.returncode, sound.stderr) == (0, "")
        assert admin(node, "--query", "nothing").returncode == 105
        assert "external/" in admin(node, "-I").stdout or not Path("/usr/lib/stonith/plugins/external").is_dir()


def test_stonith_admin_says_what_is_wrong_with_a_device(short_path: Path) -> None:
    with alone(short_path, password="wrong") as node:
        wrong = admin(node, "--query", "power")
        assert wrong.returncode == 1
        assert "power: monitor failed: login denied (exit code 3)" in wrong.stderr


def test_usage_and_absence(short_path: Path) -> None:
    assert fencing(str(short_path), "status").returncode == 102
    assert fencing(str(short_path), "disarm", "--for", "soon").returncode == 64
    assert fencing(str(short_path), "disarm", "--for", "2d").returncode == 64
    with alone(short_path, **SOUND) as node:
        assert fencing(node.root.prefix, "drill", "nothing").returncode == 105


def test_while_fencing_is_disarmed_a_lost_nodes_resources_stay_where_they_were() -> None:
    with running(3) as cluster:
        cluster.add_recorder("web")
        cluster.settle()
        home = cluster.where("web")[0]
        other = next(node for node in cluster.layout.nodes if node != home)
        disarmed = cluster.run(other, "ha", "fencing", "disarm", "--for", "10min")
        assert "DISARMED" in disarmed.stdout
        assert "FENCING IS DISARMED" in cluster.run(other, "ha", "status").stdout
        cluster.order(f"off {home}")
        logs = [cluster.layout.root(n).path("/var/log/heartbeat/ha-log") for n in cluster.layout.nodes if n != home]

        def refused() -> bool:
            return any(f"of {home} refused: fencing is disarmed" in log.read_text() for log in logs)

        wait_for(refused, "the DC asks for a fence and is refused")
        assert cluster.where("web") == []
        cluster.run(other, "ha", "fencing", "arm")
        wait_for(lambda: cluster.where("web") not in ([], [home]), "once armed, it is fenced and the service moves")
        cluster.order(f"on {home}")
        cluster.settle()
        shown = cluster.run(home, "crm_mon", "-1", "--fence-history=3").stdout
        assert f"off of {home} successful" in shown, "also on the node that was away"
        assert "Fencing History" not in cluster.run(other, "crm_mon", "-1", "-m", "0").stdout
        events = etree.fromstring(cluster.run(other, "crm_mon", "--output-as=xml").stdout).findall(".//fence_event")
        assert [(e.get("target"), e.get("action"), e.get("status")) for e in events] == [(home, "off", "success")]
