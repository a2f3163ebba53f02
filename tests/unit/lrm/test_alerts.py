# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls of alert agents: order, limits, what the log says of them, and what an agent finds in its environment."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from ha.lrm.core import build
from ha.lrm.core.alerts import GUARD_MARGIN_MS, MAX_PARALLEL, MAX_WAITING
from ha.lrm.io.alerts import alert_job, timestamp
from ha.lrm.model.execution import Adopted, AgentResult, KillAgent, RunAlertAgent
from ha.lrm.msg import RunAlert
from ha.machine import (
    Arm,
    Client,
    Effect,
    Execute,
    Finished,
    Fired,
    Local,
    Machine,
    Note,
    Received,
    Remote,
    Started,
    Wall,
)
from tests.unit.lrm.world import order

CRMD = Local("crmd")
AT_MS = 1_700_000_000_123


def lrm() -> Machine:
    machine = build(node="n1", processors=2)
    machine.step(Started(incarnation="i", seed=1), 1)
    machine.step(Wall(1_000), 1)
    machine.step(Finished("adopt", Adopted(records={}, jobs=())), 1)
    return machine


def alert(number: int = 0, **more: str) -> RunAlert:
    return RunAlert(alert="pager", path="/bin/page", timeout_ms=30_000, timestamp_format="%H", at_ms=AT_MS,
                    environment={"CRM_alert_kind": "node", "CRM_alert_node_sequence": str(number), **more})


def calls(effects: list[Effect]) -> dict[str, RunAlertAgent]:
    return {e.operation: e.request for e in effects if isinstance(e, Execute) and isinstance(e.request, RunAlertAgent)}


def notes(effects: list[Effect]) -> list[str]:
    return [effect.text for effect in effects if isinstance(effect, Note)]


def numbers(effects: list[Effect]) -> list[int]:
    return [int(call.environment["CRM_alert_node_sequence"]) for call in calls(effects).values()]


def test_a_few_at_once_in_the_order_asked() -> None:
    machine = lrm()
    begun: list[Effect] = []
    for number in range(MAX_PARALLEL + 2):
        begun += machine.step(Received(CRMD, alert(number)), 2)
    assert numbers(begun) == list(range(MAX_PARALLEL))
    first = next(iter(calls(begun)))
    assert numbers(machine.step(Finished(first, AgentResult(rc=0)), 3)) == [MAX_PARALLEL]


def test_an_alert_takes_no_slot_of_a_resource() -> None:
    machine = lrm()
    for number in range(100):
        machine.step(Received(CRMD, alert(number)), 2)
    effects = machine.step(Received(CRMD, order("web", "start")), 3)
    assert any(isinstance(e, Execute) and e.operation.startswith("run ") for e in effects)


def test_a_flood_is_bounded_and_what_is_left_out_is_counted() -> None:
    machine = lrm()
    effects: list[Effect] = []
    for number in range(MAX_PARALLEL + MAX_WAITING + 3):
        effects += machine.step(Received(CRMD, alert(number)), 2)
    assert notes(effects) == [f"alert pager is left out: {MAX_WAITING} calls of alert agents wait"]
    running = list(calls(effects))
    done = 0
    said: list[str] = []
    while running:
        effects = machine.step(Finished(running.pop(0), AgentResult(rc=0)), 3)
        done += 1
        running += calls(effects)
        said += [text for text in notes(effects) if "left out" in text]
    assert done == MAX_PARALLEL + MAX_WAITING
    assert said == ["3 calls of alert agents were left out: too many at once"]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (AgentResult(rc=0, exec_ms=7), "alert pager to ops (node): 7 ms"),
        (AgentResult(rc=3, output="x\nno route"), "alert pager to ops (node): /bin/page failed (done, rc 3): no route"),
        (AgentResult(rc=1, status="timeout", exit_reason="late"),
         "alert pager to ops (node): /bin/page failed (timeout, rc 1): late"),
        (AgentResult(rc=5, status="not installed"),
         "alert pager to ops (node): /bin/page failed (not installed, rc 5)"),
    ],
)  # fmt: skip
def test_what_the_log_says(outcome: AgentResult, said: str) -> None:
    machine = lrm()
    (operation,) = calls(machine.step(Received(CRMD, alert(CRM_alert_recipient="ops")), 2))
    assert notes(machine.step(Finished(operation, outcome), 9)) == [said]


def test_a_runner_that_stays_silent_is_killed() -> None:
    machine = lrm()
    effects = machine.step(Received(CRMD, alert()), 2)
    (guard,) = [effect for effect in effects if isinstance(effect, Arm)]
    assert guard.deadline == 2 + 30_000 + GUARD_MARGIN_MS
    (operation,) = calls(effects)
    effects = machine.step(Fired(guard.timer), guard.deadline)
    assert any(isinstance(effect, Execute) and isinstance(effect.request, KillAgent) for effect in effects)
    machine.step(Finished(operation, AgentResult(rc=1, status="error")), guard.deadline)
    assert machine.step(Fired(guard.timer), guard.deadline) == []


@pytest.mark.parametrize("sender", [Remote("n2", "crmd"), Client("evil", 1, 0), Local("attrd")])
def test_only_the_own_crmd_may_have_agents_called(sender: Remote | Client | Local) -> None:
    effects = lrm().step(Received(sender, alert()), 2)
    assert not calls(effects) and "ignored" in notes(effects)[0]


# The process ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("%H:%M:%S.%06N", "22:13:20.123000"),
        ("%Y-%m-%d %H:%M:%S.%3N%z", "2023-11-14 22:13:20.123+0000"),
        ("%s %N", "1700000000 123000000"),
        ("100%% %%N", "100% %N"),
        ("plain", "plain"),
        ("%99N", "123000000"),
        ("x" * 1000, "x" * 256),
    ],
)
@pytest.mark.usefixtures("utc")
def test_timestamps(form: str, text: str) -> None:
    assert timestamp(form, AT_MS) == text


@pytest.mark.parametrize("form", ["%", "%!%Q", "\udc80%H", "%0", "%-", "%E", "\x00%H", "%.N", "%123N"])
def test_no_form_of_a_timestamp_breaks_anything(form: str) -> None:
    assert isinstance(timestamp(form, AT_MS), str)


def test_the_environment_is_clean_and_the_cluster_has_the_last_word() -> None:
    request = RunAlertAgent(job="j", path="/bin/page", timeout_ms=5, timestamp_format="%s", at_ms=AT_MS,
                            environment={"debug": "1", "CRM_alert_kind": "node", "CRM_alert_timestamp": "forged"})
    job = alert_job(request, {"PATH": "/bin", "debug": "0"}, (1, 2), "title")
    assert job.environment == {
        "PATH": "/bin", "debug": "1", "CRM_alert_kind": "node", "CRM_alert_timestamp": "1700000000",
        "CRM_alert_timestamp_epoch": "1700000000", "CRM_alert_timestamp_usec": "123000",
    }
    assert (job.argv, job.timeout_ms, job.owner) == (("/bin/page",), 5, (1, 2))
    assert "HOME" in os.environ  # what a worker has and this agent does not
