# SPDX-License-Identifier: GPL-2.0-or-later
"""rmd and its workers as real processes: the dead, the frozen, the crashing, the unloadable."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.real.rmd_node import Node, alive, children_of, stat_of, title_of
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

BEATING = {"command": "tests.real.workers:beating"}


def test_a_killed_worker_is_back_and_nobody_else_is_touched() -> None:
    with Node({"one": BEATING, "two": BEATING}).start() as node:
        before = {name: node.pid(name) for name in ("apphbd", "one", "two")}
        os.kill(before["one"], signal.SIGKILL)
        assert node.await_replacement("one", before["one"])
        assert {name: node.pid(name) for name in ("apphbd", "two")} == {n: before[n] for n in ("apphbd", "two")}


def test_a_frozen_worker_is_killed_and_replaced_with_evidence() -> None:
    with Node({"one": BEATING}).start() as node:
        former = node.pid("one")
        os.kill(former, signal.SIGSTOP)
        node.await_replacement("one", former)
        assert not alive(former)
        assert f"one (pid {former}) is hung: no beat for" in node.log()
        assert "state T (stopped)" in node.log()


def test_a_wedged_worker_leaves_its_stacks() -> None:
    with Node({"one": {"command": "tests.real.workers:wedging"}}).start() as node:
        former = node.pid("one")
        os.kill(former, signal.SIGHUP)
        node.await_replacement("one", former)
        assert "in wedged_here" in (node.root.run_dir / "stacks" / "one").read_text()


def test_a_worker_that_never_beats_is_replaced_at_its_start_deadline() -> None:
    silent = {"command": "tests.real.workers:silent", "environment": 'HA_START_DEADLINE_MS="200"'}
    with Node({"two": BEATING}) as node:
        node.add_stanza("one", silent)
        node.start_without_waiting()
        first = wait_for(lambda: node.pid("one"), "the silent one is started")
        wait_for(lambda: node.pid("one") not in (0, first), "it is replaced")
        assert f"one (pid {first}) is hung: no beat for 20" in node.log()
        assert node.state("two") == "RUNNING"


def test_a_worker_that_was_ready_once_is_missed_soon_when_it_hangs_in_its_next_start() -> None:
    with Node({"one": {"command": "tests.real.workers:silent_when_told"}, "two": BEATING}).start() as node:
        silence = node.root.path("/silent")
        silence.touch()
        first = node.pid("one")
        os.kill(first, signal.SIGKILL)
        second = wait_for(lambda: node.pid("one") not in (0, first) and node.pid("one"), "it is started again")
        third = wait_for(lambda: node.pid("one") not in (0, second) and node.pid("one"), "its hang is noticed")
        silence.unlink()
        node.await_replacement("one", third)
        silences = [int(ms) for ms in re.findall(r"one \(pid \d+\) is hung: no beat for (\d+) ms", node.log())]
        assert 600 <= silences[0] < 10_000
        assert 1_200 <= silences[1] < 10_000


def test_dependants_are_started_anew_after_the_worker_that_died() -> None:
    dependant = {**BEATING, "environment": 'HA_RESTART_WITH="one"'}
    with Node({"one": BEATING, "two": dependant, "three": BEATING}).start() as node:
        before = {name: node.pid(name) for name in ("one", "two", "three")}
        os.kill(before["one"], signal.SIGKILL)
        one, two = (node.await_replacement(name, before[name]) for name in ("one", "two"))
        assert node.pid("three") == before["three"]
        assert "two is started anew with one (HA_RESTART_WITH)" in node.log()
        assert node.log().index(f"one (pid {one}) ready") < node.log().index(f"spawned: 'two' with pid {two}")
        os.kill(two, signal.SIGKILL)
        node.await_replacement("two", two)
        assert node.pid("one") == one


def test_a_dependant_of_nobody_is_refused() -> None:
    with Node({"one": {**BEATING, "environment": 'HA_RESTART_WITH="absent"'}}) as node:
        done = node.run("--foreground")
        assert done.returncode == 78
        assert "one: HA_RESTART_WITH names absent, which is in no stanza" in done.stderr


def test_a_crash_loop_slows_down_and_shows_its_trace() -> None:
    crashing = {"command": "tests.real.workers:crashing", "environment": 'HA_RESTARTS="1000/60"'}
    with Node({"two": BEATING}) as node:
        node.add_stanza("one", crashing)
        node.start_without_waiting()
        wait_for(lambda: node.log().count("exited: one") >= 5, "it has crashed five times")
        assert node.state("two") == "RUNNING"
        assert "BACKOFF" in {wait_for(lambda: node.state("one"), "it has a state") for _ in range(20)}
        assert "RuntimeError: this worker crashes" in node.log("one")


def test_too_many_restarts_make_the_node_leave() -> None:
    crashing = {"command": "tests.real.workers:crashing", "environment": 'HA_RESTARTS="2/60"'}
    with Node({"two": BEATING}) as node:
        node.add_stanza("one", crashing)
        node.start_without_waiting()
        assert node.process is not None
        assert node.process.wait(20) == 75
        assert "one was restarted more than 2 times in 60 s: this node leaves the cluster" in node.log()
        assert "stopped: two (exit status 0)" in node.log()


def test_a_worker_that_may_be_kept_is_restarted_for_ever() -> None:
    crashing = {
        "command": "tests.real.workers:crashing",
        "environment": 'HA_RESTARTS="2/60",HA_ESCALATION="keep"',
    }
    with Node({}) as node:
        node.add_stanza("one", crashing)
        node.start_without_waiting()
        wait_for(lambda: node.log().count("exited: one") >= 5, "it has crashed five times")
        assert "it is still restarted (HA_ESCALATION keep)" in node.log()


def test_a_worker_that_cannot_be_loaded_is_named_and_nothing_else_suffers() -> None:
    with Node({"one": {"command": "tests.real.nonexistent:main"}, "two": BEATING}).start() as node:
        assert node.state("one") == "FATAL"
        assert node.state("two") == "RUNNING"
        message = "cannot load tests.real.nonexistent:main: ModuleNotFoundError"
        assert message in node.log()
        assert "ERROR" in node.supervisorctl("start", "one")
        assert message in node.supervisorctl("status", "one")
        assert node.log().count(f"one: {message}") > 1  # each attempt says why


def test_status_100_means_do_not_start_me_again() -> None:
    with Node({"one": {"command": "tests.real.workers:leaving_for_good"}, "two": BEATING}).start() as node:
        wait_for(lambda: node.state("one") == "EXITED", "it has left")
        os.kill(node.pid("two"), signal.SIGKILL)
        wait_for(lambda: "ready after" in node.log().split("terminated by SIGKILL", 1)[-1], "rmd has gone on")
        assert node.state("one") == "EXITED"


def test_a_program_is_executed_and_dies_with_rmd() -> None:
    with Node({"prog": {"command": "/bin/sleep 1000"}}).start() as node:
        pid = node.pid("prog")
        assert title_of(pid).replace("\0", " ") == "/bin/sleep 1000"
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        blocked = next(line for line in status if line.startswith("SigBlk"))
        assert int(blocked.split()[1], 16) == 0
        rmd = node.rmd_pid
        assert rmd is not None
        os.kill(rmd, signal.SIGKILL)
        wait_for(lambda: not alive(pid), "the program has ended")


def test_every_process_names_its_module_and_node() -> None:
    with Node({"one": BEATING}).start() as node:
        rmd = node.rmd_pid
        assert rmd is not None
        assert title_of(rmd) == "ha-rmd n1"
        assert sorted(title_of(pid) for pid in children_of(rmd)) == ["ha-apphbd n1", "ha-one n1"]
        assert all(stat_of(pid)[1] == rmd for pid in children_of(rmd))


def test_a_worker_has_only_its_own_descriptors_and_signals() -> None:
    with Node({"one": BEATING, "two": BEATING}).start() as node:
        pid = node.pid("two")
        links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
        assert not any(node.root.prefix in link and "stacks" not in link for link in links), links
        assert len([link for link in links if link.startswith("socket:")]) <= 1, links  # the beat under way


def test_a_worker_that_cannot_be_configured_ends_the_start_with_its_own_words() -> None:
    with Node({"one": {"command": "tests.real.workers:misconfigured"}, "two": BEATING}) as node:
        done = node.run()
        assert done.returncode == 1
        assert done.stderr == "rmd: one cannot start: test.cf:1: this is a mistake\n"
        assert node.rmd_pid is None
        assert node.log("one").count("mistake") == 1


def test_the_node_goes_on_without_a_misconfigured_worker_that_may_be_kept() -> None:
    kept = {"command": "tests.real.workers:misconfigured", "environment": 'HA_ESCALATION="keep"'}
    with Node({"one": kept, "two": BEATING}).start() as node:
        wait_for(lambda: node.state("one") == "FATAL", "it is given up")
        assert "test.cf:1: this is a mistake" in node.supervisorctl("status", "one")
        assert node.state("two") == "RUNNING"
