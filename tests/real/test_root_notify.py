# SPDX-License-Identifier: GPL-2.0-or-later
"""Services that speak the notify protocol, unmodified, under rmd and apphbd."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ha.rmd.io.notify import PLACE
from tests.real.rmd_node import FAST_PAIR, Node, alive, children_of
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

SERVICE = Path(__file__).with_name("notifying.py")
STRANGER_UID = 65_533
PATIENCE_MS = 60_000
"""Longer than any machine that runs these tests is held up."""


def stanza(*words: str, environment: str = "") -> dict[str, str]:
    made = {"command": f"{sys.executable} -I {SERVICE} {' '.join(words)}"}
    return {**made, "environment": environment} if environment else made


def client(node: Node, name: str) -> dict[str, object]:
    program = Path(sys.executable).with_name("ha")
    command = [str(program), "apphb", "status", "--output-as", "json", "--root", node.root.prefix]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = json.loads(done.stdout) if done.stdout else []
    return next((line for line in lines if line["module"] == name), {})


def test_a_service_is_ready_when_it_says_so_shown_with_its_status_and_replaced_when_it_is_frozen() -> None:
    watched = stanza("ready", "barrier", "beat", environment="HA_WATCHDOG_MS=1000,HA_START_DEADLINE_MS=60000")
    with Node({"player": watched}, rmd_cf=FAST_PAIR).start() as node:
        pid = node.pid("player")
        shown = client(node, "player")
        assert shown["kind"] == "program" and shown["status"] == "serving 7 players"
        wait_for(lambda: client(node, "player")["deadline_ms"] == 1000, "the watch has begun")
        wait_for(lambda: "the barrier is passed" in node.log("player"), "a barrier is passed")
        former = node.pid("apphbd")
        os.kill(former, signal.SIGKILL)
        node.await_replacement("apphbd", former)
        wait_for(lambda: client(node, "player").get("deadline_ms") == 1000, "a new apphbd watches it too")
        assert node.pid("player") == pid
        os.kill(pid, signal.SIGSTOP)
        node.await_replacement("player", pid)
        assert f"player (pid {pid}): no WATCHDOG=1 for" in node.log()
        assert f"player (pid {pid}) is hung: no beat for" in node.log()


def test_one_that_is_not_ready_in_time_or_says_that_it_hangs_is_replaced() -> None:
    stanzas = {
        "mute": stanza("deaf", environment="HA_START_DEADLINE_MS=300"),
        "frank": stanza("ready", "trigger", environment=f"HA_WATCHDOG_MS={PATIENCE_MS}"),
    }
    with Node(stanzas) as node:
        node.start_without_waiting()
        for name in stanzas:
            hung = re.compile(rf"{name} \(pid (\d+)\) is hung")
            wait_for(lambda hung=hung: len(set(hung.findall(node.log()))) >= 2, f"{name} is replaced, and that one too")


def test_who_says_that_it_stops_is_watched_no_more() -> None:
    watched = "HA_WATCHDOG_MS=100"
    stanzas = {"done": stanza("ready", "stop", environment=watched), "mute": stanza("ready", environment=watched)}
    with Node(stanzas).start() as node:
        wait_for(lambda: client(node, "done").get("deadline_ms") == 0, "the watch has ended")
        pid, other = node.pid("done"), node.pid("mute")
        node.await_replacement("mute", other)
        assert node.pid("done") == pid
        assert f"done (pid {pid}): it says that it stops, and is watched no more" in node.log()


def test_one_that_is_told_to_stop_has_its_own_time_for_it() -> None:
    watched = {**stanza("slow", "ready", "beat", environment="HA_WATCHDOG_MS=300"), "stopwaitsecs": "60"}
    with Node({"slow": watched}).start() as node:
        pid = node.pid("slow")
        node.rpc.stopProcess("slow")
        assert "stopped in order" in node.log("slow")
        assert f"slow (pid {pid}) is hung" not in node.log()


def test_a_main_process_that_was_named_speaks_also_after_apphbd_and_ends_with_the_program() -> None:
    watched = stanza("ready", "main", "beat", environment="HA_WATCHDOG_MS=1000")
    with Node({"wrapper": watched}, rmd_cf=FAST_PAIR).start() as node:
        pid = node.pid("wrapper")
        [main] = wait_for(lambda: children_of(pid), "it has forked")
        former = node.pid("apphbd")
        os.kill(former, signal.SIGKILL)
        node.await_replacement("apphbd", former)
        wait_for(lambda: client(node, "wrapper").get("deadline_ms") == 1000, "a new apphbd watches it")
        os.kill(main, signal.SIGSTOP)
        node.await_replacement("wrapper", pid)
        wait_for(lambda: not alive(main), "the former main process ended too")


def test_a_child_speaks_only_where_the_stanza_lets_it() -> None:
    stanzas = {
        "closed": stanza("child", "ready", environment=f"HA_START_DEADLINE_MS={PATIENCE_MS}"),
        "open": stanza("child", "deaf", environment=f"HA_NOTIFY=all,HA_START_DEADLINE_MS={PATIENCE_MS}"),
        "untold": stanza("deaf", environment="HA_NOTIFY=none"),
    }
    with Node(stanzas).start() as node:
        assert client(node, "open")["status"] == "by a child"
        assert client(node, "closed")["status"] == "serving 7 players"
        assert "may not speak for it (HA_NOTIFY main)" in node.log("apphbd")
        assert b"NOTIFY_SOCKET" not in Path(f"/proc/{node.pid('untold')}/environ").read_bytes()
        assert {path.name for path in node.root.path(PLACE).iterdir()} == {"closed", "open"}


@pytest.mark.skipif(os.geteuid() != 0, reason="processes of several users need root")
def test_a_flood_by_another_user_does_not_reach_the_socket() -> None:
    try:
        user = pwd.getpwnam("nobody")
    except KeyError:
        pytest.skip("there is no user nobody")
    environment = f"HA_WATCHDOG_MS=2000,HA_START_DEADLINE_MS={PATIENCE_MS},HA_NOTIFY_USER=nobody"
    with Node({"dropped": {}}) as node:
        place = Path(node.root.prefix)
        place.chmod(0o711)
        shutil.copy(SERVICE, place / "service.py")
        node.remove_stanza("dropped")
        command = f"/usr/bin/env python3 -I {place}/service.py --user {user.pw_uid} ready beat"
        node.add_stanza("dropped", {"command": command, "environment": environment})
        node.start()
        address = node.root.path(PLACE) / "dropped"
        assert stat.S_IMODE(address.stat().st_mode) == 0o600 and address.stat().st_uid == user.pw_uid
        assert said_by(STRANGER_UID, address) == "Permission denied"
        assert said_by(user.pw_uid, address) == "taken"
        wait_for(lambda: client(node, "dropped").get("deadline_ms") == 2000, "its own beats arrive")


def said_by(uid: int, address: Path) -> str:
    """What becomes of a notice that a process of this user sends."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setuid(uid)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
                out.sendto(b"STATUS=taken over", str(address))
            os.write(write, b"taken")
        except OSError as error:
            os.write(write, str(error.strerror).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read) as answer:
        return answer.read()
