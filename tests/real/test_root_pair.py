# SPDX-License-Identifier: GPL-2.0-or-later
"""rmd and apphbd watch each other: each may be killed or frozen, and there is always exactly one of each."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from ha.apphbd.core import MAX_SHORT_LIVES
from ha.apphbd.msg import Clients, GetClients
from ha.ipc.client import Connection
from ha.rmd.msg import ResetNode
from tests.real.rmd_node import FAST_PAIR, Node, alive, children_of, title_of
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

BEATING = {"command": "tests.real.workers:beating"}


def await_new_rmd(node: Node, former: int) -> int:
    def ready() -> int:
        pid = node.rmd_pid
        return pid if pid not in (None, former) and node.state("one") == "RUNNING" else 0

    return wait_for(ready, f"another rmd than {former} serves; log:\n{node.log()}")


def await_one_rmd(node: Node, pid: int) -> None:
    """A process has its title a moment after it has its work."""
    wait_for(lambda: rmds(node) == [pid], f"{pid} is the one rmd")


def rmds(node: Node) -> list[int]:
    """Every process that holds this node's title of rmd or apphbd and its log open."""
    log = str(node.root.log_dir / "rmd.log")
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and title_of(int(entry.name)) == "ha-rmd n1":
                links = [os.readlink(link) for link in (entry / "fd").iterdir()]
                found += [int(entry.name)] if log in links else []
        except (FileNotFoundError, ProcessLookupError, UnicodeDecodeError):
            continue
    return found


def test_a_killed_apphbd_is_back_and_the_workers_run_on() -> None:
    with Node({"one": BEATING}, rmd_cf=FAST_PAIR).start() as node:
        one, apphbd = node.pid("one"), node.pid("apphbd")
        os.kill(apphbd, signal.SIGKILL)
        node.await_replacement("apphbd", apphbd)
        assert node.pid("one") == one


def test_a_frozen_apphbd_is_replaced_and_then_notices_a_frozen_worker() -> None:
    with Node({"one": BEATING}, rmd_cf=FAST_PAIR).start() as node:
        one, apphbd = node.pid("one"), node.pid("apphbd")
        os.kill(apphbd, signal.SIGSTOP)
        node.await_replacement("apphbd", apphbd)
        assert node.pid("one") == one
        os.kill(one, signal.SIGSTOP)
        node.await_replacement("one", one)


def test_a_worker_that_froze_while_apphbd_was_away_is_found_by_the_new_one() -> None:
    with Node({"one": BEATING}).start() as node:
        one, apphbd = node.pid("one"), node.pid("apphbd")
        os.kill(one, signal.SIGSTOP)
        os.kill(apphbd, signal.SIGKILL)
        node.await_replacement("one", one)


def test_when_rmd_is_killed_its_workers_end_and_apphbd_becomes_the_new_rmd() -> None:
    with Node({"one": BEATING}, rmd_cf=FAST_PAIR).start() as node:
        rmd, one, apphbd = node.rmd_pid, node.pid("one"), node.pid("apphbd")
        assert rmd is not None
        os.kill(rmd, signal.SIGKILL)
        assert await_new_rmd(node, rmd) == apphbd
        assert not alive(one)
        await_one_rmd(node, apphbd)
        assert sorted(map(title_of, children_of(apphbd))) == ["ha-apphbd n1", "ha-one n1"]
        assert "the former one: it died" in node.log()


def test_when_rmd_is_frozen_it_is_killed_and_replaced() -> None:
    with Node({"one": BEATING}, rmd_cf=FAST_PAIR).start() as node:
        rmd, one = node.rmd_pid, node.pid("one")
        assert rmd is not None
        os.kill(rmd, signal.SIGSTOP)
        new = await_new_rmd(node, rmd)
        assert not alive(rmd)
        assert not alive(one)
        await_one_rmd(node, new)


def test_the_pair_survives_it_again_and_again() -> None:
    with Node({"one": BEATING}, rmd_cf=FAST_PAIR).start() as node:
        for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL, signal.SIGSTOP):
            rmd = node.rmd_pid
            assert rmd is not None
            os.kill(rmd, number)
            new = await_new_rmd(node, rmd)
            await_one_rmd(node, new)


def test_a_new_rmd_supervises_as_the_first_one_did() -> None:
    with Node({"one": BEATING}, rmd_cf=FAST_PAIR).start() as node:
        rmd = node.rmd_pid
        assert rmd is not None
        os.kill(rmd, signal.SIGKILL)
        await_new_rmd(node, rmd)
        one = node.pid("one")
        os.kill(one, signal.SIGSTOP)
        two = node.await_replacement("one", one)
        os.kill(two, signal.SIGKILL)
        node.await_replacement("one", two)


def test_an_orderly_stop_leaves_nothing_and_nobody_is_raised_again() -> None:
    with Node({"one": BEATING, "two": BEATING}).start() as node:
        assert node.process is not None
        rmd = node.rmd_pid
        assert rmd is not None
        everyone = [rmd, *children_of(rmd)]
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(20) == 0
        assert not any(map(alive, everyone))
        assert node.rmd_pid is None
        left = {path.name for path in node.root.run_dir.iterdir() if path.is_socket() or path.suffix == ".pid"}
        assert not left
        stopped = [line.split("stopped: ")[1].split()[0] for line in node.log().splitlines() if "stopped: " in line]
        assert stopped == ["two", "one", "apphbd"]


def test_the_fake_watchdog_is_petted_and_disarmed_by_an_orderly_stop_only() -> None:
    with Node({"one": BEATING}, environment={"HA_WATCHDOG": "/nonexistent"}) as node:
        device = node.root.path("/watchdog")
        device.touch()
        node.environment["HA_WATCHDOG"] = str(device)
        (node.root.config_dir / "apphbd.cf").write_text("watchdog_interval_ms 20\n")
        node.start()
        wait_for(lambda: device.read_bytes().count(b"1") > 5, "it is petted")
        rmd = node.rmd_pid
        assert rmd is not None
        os.kill(rmd, signal.SIGKILL)
        await_new_rmd(node, rmd)
        assert b"V" not in device.read_bytes()
        assert node.run("--stop").returncode == 0
        assert device.read_bytes().endswith(b"V")


def test_a_watchdog_that_cannot_be_had_is_named() -> None:
    with Node({"one": BEATING}, environment={"HA_WATCHDOG": "/nonexistent"}) as node:
        done = node.run()
        assert done.returncode == 1
        assert done.stderr == "rmd: apphbd cannot start: watchdog /nonexistent: No such file or directory\n"


def test_apphbd_answers_programs() -> None:
    with Node({"one": BEATING}).start() as node:
        with Connection.open(node.root, "apphbd", program="test") as apphbd:
            answer = apphbd.ask(GetClients(), 5000)
        assert isinstance(answer, Clients)
        assert {(line.module, line.pid, line.state) for line in answer.clients} == {
            ("rmd", node.rmd_pid, "well"),
            ("one", node.pid("one"), "well"),
        }


def test_systemd_is_told_who_is_ready_and_fed_by_the_new_rmd_too(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(20)
        environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"}
        with Node({"one": BEATING}, environment=environment).start() as node:
            rmd = node.rmd_pid
            assert rmd is not None
            assert await_words(systemd, "READY=1") == f"READY=1\nMAINPID={rmd}\nSTATUS=every worker has started"
            await_words(systemd, "WATCHDOG=1")
            second = node.run("--foreground")  # as systemd would, had it been slower than apphbd
            assert second.returncode == 0, second.stderr
            assert f"MAINPID={rmd}\n" in await_words(systemd, "taken over")
            os.kill(rmd, signal.SIGKILL)
            new = await_new_rmd(node, rmd)
            assert f"MAINPID={new}\n" in await_words(systemd, "READY=1")
            await_words(systemd, "WATCHDOG=1")
            node.run("--stop")
            await_words(systemd, "STOPPING=1")


def await_words(systemd: socket.socket, words: str) -> str:
    while words not in (text := systemd.recv(4096).decode()):
        continue
    return text


def test_a_reset_by_watchdog_ends_all_without_disarming_it() -> None:
    with Node({"one": BEATING}, rmd_cf="reset watchdog\n") as node:
        device = node.root.path("/watchdog")
        device.touch()
        node.environment["HA_WATCHDOG"] = str(device)
        node.start()
        assert node.process is not None
        rmd = node.rmd_pid
        assert rmd is not None
        everyone = children_of(rmd)
        with Connection.open(node.root, "rmd", program="test") as connection:
            connection.send(ResetNode(reason="the lease is lost"))
            assert node.process.wait(20) == 75
        wait_for(lambda: not any(map(alive, everyone)), "everyone has ended")
        assert set(device.read_bytes()) == {ord("1")}


def test_an_rmd_that_dies_again_and_again_is_not_replaced_for_ever() -> None:
    with Node({"one": BEATING}).start() as node:
        lives = 0
        while True:
            rmd, apphbd = node.rmd_pid, node.pid("apphbd")
            assert rmd is not None
            lives += 1
            os.kill(rmd, signal.SIGKILL)
            wait_for(
                lambda apphbd=apphbd: not alive(apphbd) or (node.rmd_pid == apphbd and node.state("one") == "RUNNING"),
                "apphbd has become the new rmd, or has ended",
            )
            if not alive(apphbd):
                break
            assert lives <= MAX_SHORT_LIVES
        assert lives == MAX_SHORT_LIVES + 1
        assert node.rmd_pid is None
