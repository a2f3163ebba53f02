# SPDX-License-Identifier: GPL-2.0-or-later
"""The init script starts, stops and asks for rmd and nothing else, with LSB's exit statuses."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.rmd_node import REPOSITORY, Node
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

BEATING = {"command": "tests.real.workers:beating"}


def init(node: Node, action: str) -> subprocess.CompletedProcess[str]:
    wrapper = node.root.path("/rmd")
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -m ha.rmd --root {node.root.prefix} "$@"\n')
    wrapper.chmod(0o755)
    environment = {**node.environment, "RMD": str(wrapper)}
    return subprocess.run(
        [str(REPOSITORY / "init" / "heartbeat"), action],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_script_does_what_lsb_asks() -> None:
    with Node({"one": BEATING}) as node:
        assert init(node, "status").returncode == 3
        assert init(node, "force-reload").returncode == 7
        assert init(node, "try-restart").returncode == 0
        assert init(node, "start").returncode == 0
        assert init(node, "start").returncode == 0
        one = node.pid("one")
        assert init(node, "status").returncode == 0
        assert init(node, "restart").returncode == 0
        assert node.pid("one") not in (0, one)
        one = node.pid("one")
        assert init(node, "reload").returncode == 0
        wait_for(lambda: node.pid("one") not in (0, one), "the worker is started anew")
        assert init(node, "stop").returncode == 0
        assert init(node, "stop").returncode == 0
        assert node.rmd_pid is None


def test_a_broken_configuration_is_said_to_init() -> None:
    with Node({"one": BEATING}, rmd_cf="reset hard\n") as node:
        started = init(node, "start")
        assert started.returncode == 6
        assert "reset is one of" in started.stderr


def test_an_unknown_action_and_a_missing_program() -> None:
    with Node({}) as node:
        assert init(node, "dance").returncode == 2
    done = subprocess.run(
        [str(REPOSITORY / "init" / "heartbeat"), "start"],
        env={"RMD": "/nonexistent/rmd", "PATH": "/bin:/usr/bin"}, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_well_formed(tmp_path: Path) -> None:
    unit = (REPOSITORY / "init" / "heartbeat.service").read_text()
    copy = tmp_path / "heartbeat.service"
    copy.write_text(unit.replace("/usr/sbin/rmd", "/bin/true").replace("/usr/bin/supervisorctl", "/bin/true"))
    command = ["systemd-analyze", "--man=no", "verify", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "heartbeat.service" not in done.stderr, done.stderr
