# SPDX-License-Identifier: GPL-2.0-or-later
"""logd as a real process under rmd: lines arrive, files rotate, levels change, floods and full disks are survived."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.ipc import codec
from ha.ipc.client import Connection
from ha.logd.msg import RECORDS_SOCKET, GetLevels, Levels, Record, Reopen, SetLevel
from ha.machine import Level, Message
from tests.real.rmd_node import Node
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

LOGD = {"logd": {"command": "ha.logd.daemon:main"}}


class Writer:
    """Sends lines as a worker does."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        wait_for(node.root.socket(RECORDS_SOCKET).exists, "logd takes lines")

    def send(self, message: Message | bytes) -> None:
        data = message if isinstance(message, bytes) else codec.encode(message)
        self.socket.sendto(data, str(self.node.root.socket(RECORDS_SOCKET)))

    def line(self, text: str, level: Level = "info", *, module: str = "cib", dropped: int = 0) -> None:
        self.send(
            Record(
                at_ms=1_700_000_000_000, boot_ms=1, module=module, node="n1", pid=os.getpid(), level=level,
                text=text, dropped=dropped,
            )
        )  # fmt: skip


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(LOGD).start() as node:
        yield node


def test_lines_of_a_worker_arrive_in_order(node: Node) -> None:
    writer, log = Writer(node), node.root.log_dir / "ha-log"
    for number in range(300):
        writer.line(f"line {number}")
    wait_for(lambda: "line 299" in read(log), "the last line is written")
    lines = [line for line in read(log).splitlines() if " cib[" in line]
    assert [line.rsplit(" ", 1)[1] for line in lines] == [str(number) for number in range(300)]


def test_the_root_pair_writes_its_own_lines_there_too(node: Node) -> None:
    log = node.root.log_dir / "ha-log"
    wait_for(lambda: "info: logd (pid" in read(log), "rmd's line is there")
    assert " n1 rmd[" in read(log)


def test_files_are_opened_again_when_they_were_moved_away(node: Node) -> None:
    writer, log = Writer(node), node.root.log_dir / "ha-log"
    writer.line("the former")
    wait_for(lambda: "the former" in read(log), "the first line is written")
    log.rename(log.with_suffix(".1"))
    writer.line("the latter")
    wait_for(lambda: "the latter" in read(log), "the new file is begun")
    assert "the former" not in read(log)
    assert "the latter" not in read(log.with_suffix(".1"))


@pytest.mark.parametrize("how", ["SIGHUP", "Reopen"])
def test_logrotate_may_ask_for_new_files(node: Node, how: str) -> None:
    writer, log = Writer(node), node.root.log_dir / "ha-log"
    writer.line("the former")
    wait_for(lambda: "the former" in read(log), "the first line is written")
    log.unlink()
    if how == "SIGHUP":
        os.kill(node.pid("logd"), signal.SIGHUP)
    else:
        with Connection.open(node.root, "logd", program="test") as logd:
            logd.send(Reopen())
    wait_for(log.exists, "the file is there again")


def test_levels_change_while_it_runs(node: Node) -> None:
    writer, debug = Writer(node), node.root.log_dir / "ha-debug"
    writer.line("unwanted", "debug")
    with Connection.open(node.root, "logd", program="test") as logd:
        answer = logd.ask(SetLevel(module="cib", level="debug"), 5000)
        assert answer == Levels(levels={"": "info", "cib": "debug"}, dropped={})
        writer.line("wanted", "debug")
        wait_for(lambda: "wanted" in read(debug), "the debug line is written")
        assert "unwanted" not in read(debug)
        writer.line("after a gap", dropped=5)
        wait_for(lambda: "after a gap" in read(node.root.log_dir / "ha-log"), "the line is written")
        assert "5 lines of cib were dropped" in read(node.root.log_dir / "ha-log")
        answer = logd.ask(GetLevels(), 5000)
        assert isinstance(answer, Levels)
        assert answer.dropped == {"cib": 5}


def test_a_killed_logd_is_back_and_takes_lines_again(node: Node) -> None:
    former = node.pid("logd")
    os.kill(former, signal.SIGKILL)
    node.await_replacement("logd", former)
    Writer(node).line("still here")
    wait_for(lambda: "still here" in read(node.root.log_dir / "ha-log"), "the line is written")


def test_nonsense_ends_nothing_and_is_not_logged(node: Node) -> None:
    writer, pid = Writer(node), node.pid("logd")
    for data in (b"", b"\xff" * 100, b"x" * 60_000, codec.encode(GetLevels())):
        writer.send(data)
    writer.line("fine")
    wait_for(lambda: "fine" in read(node.root.log_dir / "ha-log"), "the good line is written")
    assert node.pid("logd") == pid


def open_files(pid: int) -> list[str]:
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(link))
    return found


def test_a_full_disk_is_survived_and_confessed() -> None:
    with Node(LOGD) as node:
        node.root.log_dir.mkdir(parents=True)
        log = node.root.log_dir / "ha-log"
        log.symlink_to("/dev/full")
        node.start()
        writer, pid = Writer(node), node.pid("logd")
        writer.line("lost")
        wait_for(lambda: "/dev/full" in open_files(pid), "logd writes to the full disk")
        log.unlink()
        writer.line("written")
        wait_for(lambda: "written" in read(log), "writing works again")
        assert "lines were lost: No space left on device" in read(log)
        assert node.pid("logd") == pid


def test_json_lines_and_other_files_by_ha_cf() -> None:
    files = {"ha.cf": "logformat json\nlogfile /var/log/other\nlogfacility local1\n"}
    with Node(LOGD, files=files) as node:
        device = node.root.path("/dev/log")
        device.parent.mkdir()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
            syslog.bind(str(device))
            syslog.settimeout(20)
            node.start()
            Writer(node).line("to both", "error")
            log = node.root.path("/var/log/other")
            wait_for(lambda: "to both" in read(log), "the line is written")
            fields = [json.loads(line) for line in read(log).splitlines()]
            assert ("cib", "error", "to both") in [(f["module"], f["level"], f["text"]) for f in fields]
            while "to both" not in (said := syslog.recv(9000).decode()):
                continue
            assert said == f"<139>ha-cib[{os.getpid()}]: error: to both"


def test_a_mistake_in_logd_cf_is_named() -> None:
    with Node(LOGD, files={"logd.cf": "logfile relative\n"}) as node:
        node.start_without_waiting()
        wait_for(lambda: "logd.cf:1: logfile is an absolute path" in node.log("logd"), "logd says what is wrong")
