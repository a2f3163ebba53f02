# SPDX-License-Identifier: GPL-2.0-or-later
"""The command rmd, stock supervisorctl, and what a mistake is answered with."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest

from ha.apphbd.io.links import MAX_STRANGERS
from ha.ipc import codec
from ha.ipc.client import Connection, NotConnected
from ha.ipc.frames import frame
from ha.ipc.hello import PROTOCOL, Hello
from ha.machine import Message
from ha.rmd.msg import GetWorkers, LeaveCluster, ResetNode, StartWorker, StopWorker, Workers
from tests.real.rmd_node import Node, alive, children_of, stat_of
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

BEATING = {"command": "tests.real.workers:beating"}
LATER = {**BEATING, "autostart": "false"}


def test_stock_supervisorctl_does_all_it_does() -> None:
    with Node({"one": BEATING, "two": LATER}).start() as node:
        ctl = node.supervisorctl
        assert "RUNNING" in ctl("status", "one")
        assert "STOPPED   Not started" in ctl("status", "two")
        assert ctl("start", "two") == "two: started\n"
        assert ctl("stop", "two") == "two: stopped\n"
        former = node.pid("one")
        assert ctl("restart", "one") == "one: stopped\none: started\n"
        assert node.pid("one") not in (0, former)
        assert ctl("pid", "one") == f"{node.pid('one')}\n"
        assert ctl("pid") == f"{node.rmd_pid}\n"
        assert ctl("signal", "HUP", "one") == "one: signalled\n"
        wait_for(lambda: "hup" in ctl("tail", "one"), "the worker's words are in its log")
        assert "spawned: 'one'" in ctl("maintail", "-2000")
        assert [line.split()[0] for line in ctl("avail").splitlines()] == ["apphbd", "one", "two"]
        assert ctl("stop", "all").count("stopped") == 2


def test_update_adds_removes_and_changes_programs() -> None:
    with Node({"one": BEATING, "two": BEATING}).start() as node:
        one = node.pid("one")
        node.remove_stanza("two")
        node.add_stanza("three", BEATING)
        answer = node.supervisorctl("update")
        assert "two: removed process group" in answer
        assert "three: added process group" in answer
        assert node.state("three") == "RUNNING"
        assert node.pid("one") == one


def test_a_broken_stanza_is_refused_by_update_and_changes_nothing() -> None:
    with Node({"one": BEATING}).start() as node:
        one = node.pid("one")
        node.add_stanza("two", {**BEATING, "environment": 'HA_RESTARTS="often"'})
        answer = node.supervisorctl("update")
        assert "HA_RESTARTS is restarts/seconds" in answer
        assert "two.conf" in answer
        assert node.pid("one") == one


def test_reload_runs_fresh_code_under_the_same_number() -> None:
    with Node({"one": BEATING}).start() as node:
        rmd, one = node.rmd_pid, node.pid("one")
        node.add_stanza("two", BEATING)
        assert "Restarted supervisord" in node.supervisorctl("reload")
        wait_for(lambda: node.state("one") == "RUNNING" and node.pid("one") != one, "the worker was started again")
        assert node.rmd_pid == rmd
        wait_for(lambda: node.state("two") == "RUNNING", "the new stanza is obeyed")


def test_supervisorctl_shutdown_is_an_orderly_stop() -> None:
    with Node({"one": BEATING}).start() as node:
        assert node.process is not None
        assert node.supervisorctl("shutdown") == "Shut down\n"
        assert node.process.wait(20) == 0
        assert "one stops" in node.log("one")


def test_it_detaches_when_the_workers_are_ready_and_is_stopped_by_command() -> None:
    with Node({"one": BEATING}) as node:
        assert node.run("--status").returncode == 3
        started = node.run()
        assert (started.returncode, started.stderr) == (0, "")
        assert node.state("one") == "RUNNING"
        assert node.run("--status").stdout == f"rmd is running with pid {node.rmd_pid}\n"
        again = node.run()
        assert again.returncode == 1
        assert f"rmd is already running with pid {node.rmd_pid}" in again.stderr
        assert node.run("--foreground").returncode == 1
        one = node.pid("one")
        assert node.run("--stop").returncode == 0
        assert not alive(one)
        assert node.run("--status").returncode == 3
        assert node.run("--stop").returncode == 0


@pytest.mark.parametrize(
    ("name", "text", "mistake"),
    [
        ("rmd.cf", "reset hard\n", "rmd.cf:1: reset is one of"),
        ("apphbd.cf", "nonsense\n", "apphbd.cf:1: 'nonsense' is no directive"),
        ("supervisor.d/900-bad.conf", "[program:bad]\n", "does not specify a command in section 'program:bad'"),
        ("supervisor.d/900-bad.conf", "no section\n", "no section headers"),
        ("supervisor.d/900-bad.conf", "[program:bad]\ncommand=a.b:c\nstartsecs=soon\n", "900-bad.conf"),
    ],
)
def test_a_mistake_in_a_file_is_named_and_nothing_is_started(name: str, text: str, mistake: str) -> None:
    with Node({"one": BEATING}) as node:
        (node.root.config_dir / name).write_text(text)
        done = node.run()
        assert done.returncode == 78
        assert mistake in done.stderr
        assert "Traceback" not in done.stderr
        assert node.rmd_pid is None


def test_a_root_that_cannot_be_used_is_named() -> None:
    with Node({"one": BEATING}) as node:
        node.root.path("/run").write_text("a file where a directory should be")
        done = node.run()
        assert done.returncode == 1
        assert f"{node.root.run_dir} cannot be made or used" in done.stderr
        node.root.path("/run").unlink()


# rmd.sock ------------------------------------------------------------------------------------------------------------


def test_workers_are_started_and_stopped_by_message_as_often_as_one_likes() -> None:
    with Node({"one": BEATING, "pengine": LATER}).start() as node:
        with Connection.open(node.root, "rmd", program="test") as rmd:
            for message in (StartWorker(worker="pengine"), StartWorker(worker="pengine")):
                rmd.send(message)
            first = node.await_replacement("pengine", 0)
            rmd.send(StopWorker(worker="pengine"))
            rmd.send(StartWorker(worker="pengine"))  # before it has stopped
            second = node.await_replacement("pengine", first)
            for message in (StopWorker(worker="pengine"), StopWorker(worker="pengine"), StopWorker(worker="unknown")):
                rmd.send(message)
            wait_for(lambda: node.state("pengine") == "STOPPED", "it is stopped")
            assert not alive(second)
            answer = rmd.ask(GetWorkers(), 5000)
            assert isinstance(answer, Workers)
            assert [(line.worker, line.state) for line in answer.workers] == [
                ("apphbd", "RUNNING"),
                ("one", "RUNNING"),
                ("pengine", "STOPPED"),
            ]
            assert answer.workers[1].pid == node.pid("one")
        assert "asks for unknown, which is in no stanza" in node.log()


def test_the_crmd_leaves_the_cluster_before_anyone_is_stopped() -> None:
    with Node({"one": BEATING, "crmd": {"command": "tests.real.workers:obedient_crmd"}}).start() as node:
        assert node.process is not None
        node.process.send_signal(signal.SIGTERM)
        wait_for(lambda: "asked to leave" in node.log("crmd"), "the crmd is asked")
        one, crmd = node.pid("one"), node.pid("crmd")
        os.kill(one, signal.SIGKILL)  # what the crmd needs to leave is still kept alive
        node.await_replacement("one", one)
        os.kill(crmd, signal.SIGKILL)  # and the crmd itself is asked anew
        node.await_replacement("crmd", crmd)
        wait_for(lambda: node.log("crmd").count("asked to leave") == 2, "the new crmd is asked too")
        node.root.path("/may-leave").touch()
        assert node.process.wait(20) == 0
        assert "the crmd has left the cluster" in node.log()


def test_a_crmd_that_does_not_leave_is_waited_for_only_so_long() -> None:
    stanzas = {"crmd": {"command": "tests.real.workers:obedient_crmd"}}
    with Node(stanzas, rmd_cf="leave_timeout_ms 200\n").start() as node:
        assert node.process is not None
        wait_for(lambda: node.pid("crmd") and node.state("crmd") == "RUNNING", "the crmd runs")
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(20) == 0
        assert "the crmd did not leave within 200 ms" in node.log()


def test_reset_without_leave_to_reset_ends_everything() -> None:
    with Node({"one": BEATING}).start() as node:
        assert node.process is not None
        rmd = node.rmd_pid
        assert rmd is not None
        everyone = children_of(rmd)
        with Connection.open(node.root, "rmd", program="test") as connection:
            connection.send(ResetNode(reason="the lease is lost"))
            assert node.process.wait(20) == 75
        assert "reset of this node: the lease is lost (rmd.cf: reset none)" in node.log()
        wait_for(lambda: not any(map(alive, everyone)), "every worker has ended")


def test_reset_by_sysrq_where_that_is_configured() -> None:
    with Node({"one": BEATING}, rmd_cf="reset sysrq\n").start() as node:
        trigger = node.root.path("/proc/sysrq-trigger")
        trigger.parent.mkdir()
        with Connection.open(node.root, "rmd", program="test") as connection:
            connection.send(ResetNode(reason="the lease is lost"))
            wait_for(trigger.exists, "sysrq is triggered")
        wait_for(lambda: trigger.read_text() == "b", "the trigger says b")


def test_only_the_crmd_links_as_a_worker() -> None:
    with Node({"one": BEATING}).start() as node:
        for hello in (
            Hello(protocol=PROTOCOL, kind="worker", name="cib"),
            Hello(protocol=PROTOCOL + 1, kind="program", name="x"),
            LeaveCluster(),
        ):
            assert "Refused" in dialogue(node, frame(codec.encode(hello), 4096))


def dialogue(node: Node, data: bytes) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(20)
        link.connect(str(node.root.socket("rmd")))
        link.sendall(data)
        return link.recv(4096).decode("latin-1")


def test_nonsense_on_the_sockets_ends_the_link_and_nothing_else() -> None:
    with Node({"one": BEATING}).start() as node:
        pids = {name: node.pid(name) for name in ("apphbd", "one")}
        for name in ("rmd", "apphbd"):
            for data in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\5nonse", b"GET / HTTP/1.0\r\n\r\n"):
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                    link.settimeout(20)
                    link.connect(str(node.root.socket(name)))
                    link.sendall(data)
                    wait_for(lambda link=link: link.recv(4096) == b"", "the link is closed")
        assert {name: node.pid(name) for name in ("apphbd", "one")} == pids


def test_those_who_say_nothing_do_not_keep_others_out() -> None:
    with Node({"one": BEATING}).start() as node:
        silent = []
        for _ in range(80):
            link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            link.connect(str(node.root.socket("rmd")))
            silent.append(link)
        with Connection.open(node.root, "rmd", program="test") as rmd:
            assert isinstance(rmd.ask(GetWorkers(), 5000), Workers)
        for link in silent:
            link.close()


def test_a_link_that_is_closed_in_the_turn_in_which_it_speaks_ends_nobody() -> None:
    """The one who comes last takes the place of the one who has waited longest, and that one has just said a word."""
    with Node({"one": BEATING}, rmd_cf="pair_deadline_ms 60000\n").start() as node, contextlib.ExitStack() as stack:
        pid = node.rmd_pid
        assert pid is not None

        def stranger() -> socket.socket:
            link = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            link.connect(str(node.root.socket("rmd")))
            return link

        silent = [stranger() for _ in range(MAX_STRANGERS)]
        node.infos()  # a turn later rmd has taken them in
        os.kill(pid, signal.SIGSTOP)
        wait_for(lambda: stat_of(pid)[0] == "T", "rmd sleeps")
        for link in silent:
            link.sendall(b"\0")
        stranger()
        os.kill(pid, signal.SIGCONT)
        silent[0].settimeout(20)
        with pytest.raises(ConnectionResetError):  # what it had said was not read any more
            silent[0].recv(1)
        assert node.infos()["one"]["statename"] == "RUNNING"
        assert node.rmd_pid == pid


def test_an_unknown_request_is_answered_by_nothing_but_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with Node({"one": BEATING}).start() as node, Connection.open(node.root, "rmd", program="test") as rmd:
        message: Message = LeaveCluster()
        rmd.send(message)
        wait_for(lambda: "said LeaveCluster, which rmd does not serve" in node.log(), "it is logged")
        assert isinstance(rmd.ask(GetWorkers(), 5000), Workers)


def test_without_rmd_a_program_is_told_so() -> None:
    with Node({}) as node, pytest.raises(NotConnected, match="the cluster is not running on this node"):
        Connection.open(node.root, "rmd", program="test")


@pytest.mark.parametrize("name", ["rmd", "apphbd"])
def test_a_hundred_messages_of_ten_megabytes_fill_no_memory(name: str) -> None:
    with Node({"one": BEATING}).start() as node:
        pid = node.rmd_pid if name == "rmd" else node.pid(name)
        assert pid is not None
        before = resident_kib(pid)
        data = b"\x00\x98\x96\x80" + b"x" * 10_000_000  # its length, truly
        for _ in range(100):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
                link.settimeout(20)
                link.connect(str(node.root.socket(name)))
                with pytest.raises((BrokenPipeError, ConnectionResetError)):
                    link.sendall(data)
        assert alive(pid)
        assert resident_kib(pid) < before + 8_000


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])


def test_a_node_whose_root_is_removed_ends() -> None:
    with Node({"one": BEATING}).start() as node:
        assert node.process is not None
        rmd = node.rmd_pid
        assert rmd is not None
        everyone = [rmd, *children_of(rmd)]
        shutil.rmtree(node.root.prefix)
        assert node.process.wait(20) == 75
        wait_for(lambda: not any(map(alive, everyone)), "everyone has ended")
        node.root.path("/").mkdir()


def test_a_log_that_cannot_be_opened_costs_no_descriptors() -> None:
    with Node({"two": BEATING}) as node:
        node.add_stanza("one", {**BEATING, "stdout_logfile": str(node.root.config_dir)})
        node.start_without_waiting()
        wait_for(lambda: node.log().count("one is not started: unknown error making dispatchers") > 1, "it is tried")
        rmd = node.rmd_pid
        assert rmd is not None
        before = len(os.listdir(f"/proc/{rmd}/fd"))
        tries = node.log().count("one is not started")
        wait_for(lambda: node.log().count("one is not started") > tries + 4, "it is tried four times more")
        assert len(os.listdir(f"/proc/{rmd}/fd")) <= before + 2


@pytest.mark.parametrize("opening", [b"\0", b"POST /RPC2 HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n"])
def test_an_endless_request_to_supervisorctls_socket_is_hung_up_on(opening: bytes) -> None:
    with Node({"one": BEATING}).start() as node, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(20)
        link.connect(str(node.root.socket("supervisor")))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            link.sendall(opening + b"\0" * 10_000_000)
        assert node.state("one") == "RUNNING"
