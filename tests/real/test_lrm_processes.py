# SPDX-License-Identifier: GPL-2.0-or-later
"""A real lrmd learns of the end of a resource's process from the kernel, long before the next monitor."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.lrm.io.processes import read_pid_file
from ha.lrm.model.execution import ProcessFound, ProcessUnknown
from ha.lrm.msg import OperationResult
from tests.real.lrm_node import LrmNode, lrm_node
from tests.real.unit_manager import Manager, Unit, bus
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

INTERVAL_MS = 600_000
"""No test lives to see the second of two such monitors, unless something brings it forward."""

AGENT = """case $1 in
start) sleep 100000 </dev/null >/dev/null 2>&1 & echo $! >{pidfile} ;;
stop) kill -9 $(cat {pidfile}) ;;
monitor) say monitor; [ -d /proc/$(cat {pidfile}) ] && ! grep -q '(sleep) Z' /proc/$(cat {pidfile})/stat || exit 7 ;;
esac
exit 0"""


@pytest.fixture
def node(short_path: Path) -> Iterator[LrmNode]:
    with lrm_node(short_path) as node:
        yield node


def life(node: LrmNode, written_to: str, **parameters: str) -> int:
    """Start and monitor a resource; its pid once lrmd watches it."""
    node.agent("Test", AGENT.format(pidfile=written_to))
    assert node.run("start", parameters=parameters).rc == 0
    assert node.run("monitor", parameters=parameters, interval_ms=INTERVAL_MS).rc == 0
    path = written_to.replace('"$HA_PIDFILE"', str(node.root.run_dir / "rsctmp" / "r1.process"))
    pid = int(Path(path).read_text())
    wait_for(lambda: is_watched(node, pid), "lrmd watches the process")
    return pid


def is_watched(node: LrmNode, pid: int) -> bool:
    """Whether lrmd has a pidfd of that process (proc(5), fdinfo)."""
    assert node.process is not None
    infos = Path(f"/proc/{node.process.pid}/fdinfo")
    for descriptor in os.listdir(infos):
        try:
            text = (infos / descriptor).read_text()
        except OSError:
            continue
        if f"\nPid:\t{pid}\n" in text:
            return True
    return False


def failed(node: LrmNode) -> OperationResult:
    assert node.crmd is not None
    return node.crmd.receive(OperationResult)


def test_by_a_parameter(node: LrmNode) -> None:
    pidfile = str(node.log.parent / "pidfile")
    os.kill(life(node, pidfile, pidfile=pidfile), signal.SIGKILL)
    result = failed(node)
    assert (result.operation, result.rc, result.interval_ms) == ("monitor", 7, INTERVAL_MS)
    assert node.logged() == ["monitor", "monitor"]


def test_by_the_agent_itself(node: LrmNode) -> None:
    os.kill(life(node, '"$HA_PIDFILE"'), signal.SIGKILL)
    assert failed(node).rc == 7


def test_after_lrmd_died(node: LrmNode) -> None:
    pidfile = str(node.log.parent / "pidfile")
    pid = life(node, pidfile, pidfile=pidfile)
    node.kill()
    node.start()
    wait_for(lambda: is_watched(node, pid), "the new lrmd watches the process")
    os.kill(pid, signal.SIGKILL)
    assert failed(node).rc == 7


def test_a_stop_ends_the_watch(node: LrmNode) -> None:
    pidfile = str(node.log.parent / "pidfile")
    pid = life(node, pidfile, pidfile=pidfile)
    assert node.run("stop").rc == 0
    assert not is_watched(node, pid)
    assert node.logged() == ["monitor"]


def test_the_main_process_of_a_unit(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bus(short_path) as (address, _), subprocess.Popen(["sleep", "1000"]) as process:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        manager = Manager(address, {"web.service": Unit("active", main_pid=process.pid)})
        try:
            with lrm_node(short_path) as node:
                assert node.run("monitor", "web", "systemd", interval_ms=INTERVAL_MS).rc == 0
                wait_for(lambda: is_watched(node, process.pid), "lrmd watches the process")
                manager.units["web.service"].state = "failed"
                process.kill()
                assert failed(node).rc == 7
        finally:
            process.kill()
            manager.stop()


NO_PIDS = [b"", b"\n", b"x", b"0", b"1", b"-5", b"99999999999999999999", b"\xff" * 100_000, b"1 2"]


@pytest.mark.parametrize("content", NO_PIDS)
def test_files_that_name_no_process(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pid"
    path.write_bytes(content)
    found = read_pid_file(path)
    assert isinstance(found, ProcessUnknown)
    assert not found.dead


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    assert isinstance(read_pid_file(path), ProcessUnknown)
    os.mkfifo(path)
    assert isinstance(read_pid_file(path), ProcessUnknown)  # and does not wait for a writer
    assert isinstance(read_pid_file(tmp_path), ProcessUnknown)
    path.unlink()
    path.write_text(f"{os.getpid()} 123\n")
    found = read_pid_file(path)
    assert isinstance(found, ProcessFound)
    assert found.pid == os.getpid()
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    path.write_text(str(gone.pid))
    found = read_pid_file(path)
    assert isinstance(found, ProcessUnknown)
    assert found.dead
