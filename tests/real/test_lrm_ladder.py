# SPDX-License-Identifier: GPL-2.0-or-later
"""A stop that fails, with real processes: what is kept, who is killed and who is not."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.lrm.io.cgroups import Cgroups
from ha.root import Root
from tests.real.lrm_node import LrmNode, lrm_node
from tests.real.test_lrm_agents import is_alive
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

STUBBORN = """lives() {{ kill -0 $1 2>/dev/null && ! grep -q ') Z' /proc/$1/stat; }}
case $1 in
start) setsid sleep 100000 </dev/null >/dev/null 2>&1 & echo $! >>{pids}; {more} ;;
stop) for pid in $(cat {pids}); do lives $pid && exit 1; done ;;
monitor) for pid in $(cat {pids}); do lives $pid && exit 0; done; exit 7;;
esac
exit 0"""

ALLOWED = {"CRM_meta_kill_if_stop_fails": "true"}


@pytest.fixture
def node(short_path: Path) -> Iterator[LrmNode]:
    with lrm_node(short_path) as node:
        yield node
        for pid in pids(node):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def pids(node: LrmNode) -> list[int]:
    path = node.log.parent / "pids"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def stubborn(node: LrmNode, more: str = ":") -> None:
    path = node.log.parent / "pids"
    node.agent("Test", STUBBORN.format(pids=path, more=more.format(pids=path)))


def evidence(node: LrmNode) -> str:
    (path,) = (node.root.state_dir / "evidence").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    return path.read_text()


def test_without_permission_it_fails_and_evidence_tells_of_the_process(node: LrmNode) -> None:
    stubborn(node)
    node.run("start")
    assert node.run("stop", parameters={"password": "geheim"}).rc == 1
    (pid,) = pids(node)
    assert is_alive(pid)
    text = evidence(node)
    assert f"--- process {pid}: sleep 100000" in text
    assert "geheim" not in text


def test_with_permission_its_processes_are_killed_and_no_others(node: LrmNode) -> None:
    stubborn(node)
    node.run("start")
    (ours,) = pids(node)
    node.run("start", id="other")
    _, others = pids(node)
    (node.log.parent / "pids").write_text(str(ours))
    result = node.run("stop", meta=ALLOWED)
    assert result.rc == 0
    assert "1 processes were killed" in result.exit_reason
    assert not is_alive(ours)
    assert is_alive(others)
    os.kill(others, signal.SIGKILL)
    wait_for(lambda: node.files() == [], "nothing is left in the spool")


def test_a_stop_that_hangs(node: LrmNode) -> None:
    """Hangs while a process lives that its own group does not hold."""
    path = node.log.parent / "pids"
    node.agent("Test", STUBBORN.format(pids=path, more=":").replace("&& exit 1", "&& sleep 1000"))
    node.run("start")
    result = node.run("stop", meta=ALLOWED, timeout_ms=500)
    assert (result.rc, result.status) == (0, "done")


def test_a_process_that_cleaned_its_environment_is_found_by_its_control_group(node: LrmNode) -> None:
    probe = Cgroups(Root.choose("/nonexistent"), "probe")
    probe.close()
    if probe.directory is None:
        pytest.skip("control groups (v2) cannot be made here")
    stubborn(node, more="env -i /usr/bin/setsid sleep 100001 </dev/null >/dev/null 2>&1 & echo $! >>{pids}")
    node.run("start")
    assert len(pids(node)) == 2
    assert node.run("stop", meta=ALLOWED).rc == 0
    assert not any(is_alive(pid) for pid in pids(node))


def test_without_control_groups_the_marks_of_the_environment_do(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HA_CGROUPS", "no")
    with lrm_node(short_path) as node:
        stubborn(node)
        node.run("start")
        assert node.run("stop", meta=ALLOWED).rc == 0
        assert not is_alive(pids(node)[0])


def test_somebody_elses_process_with_a_like_mark_lives(node: LrmNode) -> None:
    with subprocess.Popen(["sleep", "1000"], env={"HA_RESOURCE": "r1", "HA_CURHOST": "n1"}) as stranger:
        stubborn(node)
        node.run("start")
        assert node.run("stop", meta=ALLOWED).rc == 0
        assert is_alive(stranger.pid)
        stranger.kill()
