# SPDX-License-Identifier: GPL-2.0-or-later
"""lrmd, its fork server and its runners are killed while agents run (P4): by the agents' own log nothing runs twice."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.lrm.msg import GetHistory, History, OperationResult, RunAlert
from ha.runner.model import Holder
from ha.runner.process import start_ticks
from ha.runner.spool import Spool
from tests.real.lrm_node import LrmNode, lrm_node
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

GATED = 'echo $$ >{gate}.pid; say $1 begins; while [ ! -e {gate} ]; do sleep 0.02; done; say $1 ends; exit 0'
"""An agent that ends when the test opens the gate."""


@pytest.fixture
def node(short_path: Path) -> Iterator[LrmNode]:
    with lrm_node(short_path) as node:
        node.agent("Test", GATED.format(gate=short_path / "gate"))
        yield node
        (short_path / "gate").touch()


def open_gate(node: LrmNode) -> None:
    (node.log.parent / "gate").touch()


def agent_of(node: LrmNode) -> Holder:
    pid = int((node.log.parent / "gate.pid").read_text())
    ticks = start_ticks(pid)
    assert ticks is not None
    return Holder(pid, ticks)


def spool(node: LrmNode) -> Spool:
    return Spool(node.root.run_dir / "lrm")


def test_an_agent_goes_on_while_lrmd_is_dead_and_its_result_is_adopted(node: LrmNode) -> None:
    order = node.order("start")
    assert node.crmd is not None
    node.crmd.send(order)
    wait_for(node.logged, "the agent has begun")
    node.kill()
    open_gate(node)
    wait_for(lambda: any(name.endswith(".result") for name in node.files()), "the runner has written the result")
    node.start()
    node.crmd.send(order)
    result = node.crmd.receive(OperationResult)
    assert (result.rc, result.user_data) == (0, order.user_data)
    assert node.logged() == ["start begins", "start ends"]
    wait_for(lambda: node.files() == [], "the job is dropped")


def test_a_running_agent_is_adopted(node: LrmNode) -> None:
    order = node.order("start")
    stop = node.order("stop")
    assert node.crmd is not None
    node.crmd.send(order)
    wait_for(node.logged, "the agent has begun")
    for _ in range(3):
        node.kill()
        node.start()
    node.crmd.send(GetHistory())
    assert [running.user_data for running in node.crmd.receive(History).running] == [order.user_data]
    node.crmd.send(order, stop)
    open_gate(node)
    assert node.crmd.receive(OperationResult).user_data == order.user_data
    assert node.crmd.receive(OperationResult).user_data == stop.user_data
    assert node.logged() == ["start begins", "start ends", "stop begins", "stop ends"]


def test_killed_at_every_moment_of_an_order(node: LrmNode) -> None:
    """The kill comes 0, 1, 2 ... ms after the order: before, while and after it is taken up."""
    open_gate(node)
    for round_number in range(12):
        order = node.order("start", id=f"r{round_number}")
        assert node.crmd is not None
        node.crmd.send(order)
        select.select([], [], [], round_number * 2 / 1000)  # the moment of the kill is what the test varies
        node.kill()
        node.start()
        node.crmd.send(order)
        while (result := node.crmd.receive(OperationResult)).user_data != order.user_data:
            pass
        assert result.rc == 0
        assert len(node.logged()) == 2 * (round_number + 1), node.logged()


def test_monitors_go_on_after_a_kill(node: LrmNode) -> None:
    open_gate(node)
    assert node.run("monitor", interval_ms=50).rc == 0
    node.kill()
    before = len(node.logged())
    node.start()
    wait_for(lambda: len(node.logged()) > before + 6, "the monitor goes on")


def test_an_alert_under_way_is_told_to_its_end_and_never_again(node: LrmNode) -> None:
    agent = node.log.parent / "alert"
    body = GATED.format(gate=node.log.parent / "gate")
    agent.write_text(f'#!/bin/sh\nsay() {{ echo "$*" >>{node.log}; }}\n{body}\n')
    agent.chmod(0o755)
    assert node.crmd is not None
    node.crmd.send(RunAlert(alert="a", path=str(agent), timeout_ms=60_000, timestamp_format="%s", at_ms=1))
    wait_for(node.logged, "the agent has begun")
    for _ in range(2):
        node.kill()
        node.start()
    node.crmd.send(GetHistory())
    assert node.crmd.receive(History).running == []
    open_gate(node)
    wait_for(lambda: node.files() == [], "the job is dropped")
    assert [line.strip() for line in node.logged()] == ["begins", "ends"]


def test_an_alert_agent_that_hangs_is_killed_at_its_timeout_and_holds_up_nothing(node: LrmNode) -> None:
    agent = node.log.parent / "alert"
    agent.write_text(f"#!/bin/sh\necho hangs >>{node.log}\nexec sleep 600\n")
    agent.chmod(0o755)
    assert node.crmd is not None
    for _ in range(8):
        node.crmd.send(RunAlert(alert="a", path=str(agent), timeout_ms=1_000, timestamp_format="%s", at_ms=1))
    missing = RunAlert(alert="b", path="/no/such/agent", timeout_ms=1_000, timestamp_format="%s", at_ms=1)
    node.crmd.send(missing)
    wait_for(lambda: len(node.logged()) >= 4, "four agents hang")
    open_gate(node)
    assert node.run("start").rc == 0
    wait_for(lambda: node.files() == [], "all jobs are dropped")
    assert node.logged().count("hangs") == 8


def test_a_dead_runner_takes_its_agent_along(node: LrmNode) -> None:
    order = node.order("start")
    assert node.crmd is not None
    node.crmd.send(order)
    wait_for(node.logged, "the agent has begun")
    (job,) = spool(node).jobs()
    holder, agent = spool(node).claimant(job), agent_of(node)
    assert holder is not None
    os.kill(holder.pid, signal.SIGKILL)
    result = node.crmd.receive(OperationResult)
    assert (result.rc, result.status) == (1, "error")
    wait_for(lambda: start_ticks(agent.pid) != agent.start_ticks, "the agent is gone")
    assert node.logged() == ["start begins"]


def test_a_runner_that_died_while_lrmd_was_dead(node: LrmNode) -> None:
    order = node.order("start")
    assert node.crmd is not None
    node.crmd.send(order)
    wait_for(node.logged, "the agent has begun")
    (job,) = spool(node).jobs()
    holder, agent = spool(node).claimant(job), agent_of(node)
    assert holder is not None
    node.kill()
    os.kill(holder.pid, signal.SIGKILL)
    node.start()
    assert node.crmd is not None
    assert node.crmd.receive(OperationResult).status == "error"
    wait_for(lambda: start_ticks(agent.pid) != agent.start_ticks, "the agent is gone")


def test_a_frozen_runner_is_overruled(node: LrmNode) -> None:
    assert node.crmd is not None
    node.agent("Test", "say $1; sleep 1000")
    order = node.order("start", timeout_ms=600)
    node.crmd.send(order)
    wait_for(node.logged, "the agent has begun")
    (job,) = spool(node).jobs()
    holder = spool(node).claimant(job)
    assert holder is not None
    os.kill(holder.pid, signal.SIGSTOP)
    result = node.crmd.receive(OperationResult)
    assert (result.rc, result.status) == (1, "timeout")


def test_lrmd_ends_when_its_fork_server_dies_and_nothing_is_lost(node: LrmNode) -> None:
    order = node.order("start")
    assert node.crmd is not None and node.process is not None
    node.crmd.send(order)
    wait_for(node.logged, "the agent has begun")
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    for pid in children:
        os.kill(int(pid), signal.SIGKILL)
    assert node.process.wait(20) != 0
    node.reap()
    node.start()
    open_gate(node)
    assert node.crmd.receive(OperationResult).user_data == order.user_data
    assert node.logged() == ["start begins", "start ends"]


def test_a_frozen_fork_server_ends_lrmd_and_the_order_is_carried_out_by_the_next(node: LrmNode) -> None:
    assert node.process is not None and node.crmd is not None
    open_gate(node)
    for pid in Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split():
        os.kill(int(pid), signal.SIGSTOP)
    order = node.order("start")
    node.crmd.send(order)
    assert node.process.wait(20) != 0
    node.reap()
    node.start()
    assert node.crmd.receive(OperationResult).user_data == order.user_data
    assert node.logged() == ["start begins", "start ends"]


def test_after_a_boot_nothing_of_the_former_life_counts(node: LrmNode) -> None:
    open_gate(node)
    node.run("start")
    node.run("monitor", interval_ms=50)
    node.kill()
    (node.root.run_dir / "lrm" / "boot").write_text("another-kernel-boot-id x")
    node.start()
    assert node.crmd is not None
    node.crmd.send(GetHistory())
    history = node.crmd.receive(History)
    assert history == History(results=[], running=[])
