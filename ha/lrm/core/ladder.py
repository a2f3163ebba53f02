# SPDX-License-Identifier: GPL-2.0-or-later
"""What is tried when a stop has failed, before its failure is told and the node is fenced for it.

    stop fails ──► evidence kept ──► SIGKILL to its processes, when allowed ──► stop ──► monitor says 7: stopped
                        │                     │                                  │           │
                        └──── not allowed ────┴──── some survive ────────────────┴───────────┴──► the failure is told

The kill must be allowed by the stop operation's attribute `kill-if-stop-fails` (default no): only who knows the
service can say that its processes may be killed. Whatever is tried, what is told in the end is an agent's word. All of
it is one operation to the crmd, and ends well within the cluster-delay (60 s) that the transition engine grants beyond
the timeout.
"""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from ha.lrm.core.queue import Task
from ha.lrm.model import codes
from ha.lrm.model.execution import AgentResult, EvidenceKept, GatherEvidence, KillProcesses, ProcessesKilled
from ha.machine import Effect, Execute, Instant, Note

MAX_RETRY_TIMEOUT_MS = 10_000
"""Of the second stop and of the monitor after it: what was slow to end has been killed."""

POLICY = "kill_if_stop_fails"
TRUE_WORDS = frozenset({"true", "yes", "on", "y", "1"})

STOP, STOP_AGAIN, CONFIRM = 1, 2, 3
"""The rungs (`Task.attempt`) of a task whose order is a stop; every other task is on the first always."""


def is_failed_stop(task: Task, outcome: AgentResult) -> bool:
    order = task.order
    if order.operation != "stop" or order.interval_ms or order.resource.agent_class in ("stonith", "systemd"):
        return False  # systemd climbs a ladder of its own
    if outcome.status in ("not installed", "invalid", "cancelled") or outcome.revoked:
        return False
    return task.killed or outcome.status != "done" or outcome.rc != codes.SUCCESS


def may_kill(task: Task) -> bool:
    return any(
        name.removeprefix("CRM_meta_").replace("-", "_") == POLICY and value.lower() in TRUE_WORDS
        for given in (task.order.meta, task.order.parameters)
        for name, value in sorted(given.items())
    )


def evidence_text(task: Task, outcome: AgentResult) -> str:
    """The head of the evidence file. Parameters are left out: they hold passwords."""
    return (
        f"stop of {task.order.resource.id} failed: {outcome.status}, rc {outcome.rc}, {outcome.exec_ms} ms\n"
        f"reason: {outcome.exit_reason or '-'}\noutput:\n{outcome.output or '-'}"
    )


class Retrier(Protocol):
    """What the ladder needs of the slots."""

    def try_again(self, job: str, operation: str, attempt: int, timeout_ms: int, now: Instant) -> list[Effect]: ...

    def settle(self, job: str, outcome: AgentResult, now: Instant) -> list[Effect]: ...


class StopLadder:
    def __init__(self, slots: Retrier) -> None:
        self._slots = slots
        self._failed: dict[str, tuple[Task, AgentResult]] = {}  # job -> its failed stop, while evidence is taken

    def climb(self, job: str, task: Task, outcome: AgentResult, now: Instant) -> list[Effect] | None:
        """The next rung after the end of a job; None when there is none and `verdict` is to be told."""
        if task.attempt == STOP and is_failed_stop(task, outcome):
            self._failed[job] = (task, outcome)
            text = evidence_text(task, outcome)
            return [Execute(f"evidence {job}", GatherEvidence(resource_id=task.order.resource.id, text=text))]
        if task.attempt == STOP_AGAIN and not is_failed_stop(task, outcome):
            return self._slots.try_again(job, "monitor", CONFIRM, _retry_timeout_ms(task), now)
        return None

    def verdict(self, task: Task, outcome: AgentResult) -> AgentResult:
        """What is told of a job's end at the rung where it ended."""
        if task.attempt == STOP:
            return outcome
        text = f"its {task.victims} processes were killed after a failed stop; evidence in {task.evidence}"
        if task.attempt == CONFIRM and outcome.status == "done" and outcome.rc == codes.NOT_RUNNING:
            return replace(outcome, rc=codes.SUCCESS, exit_reason=f"stopped only when {text}")
        said = f"{outcome.status}, rc {outcome.rc}" + (f" ({outcome.exit_reason})" if outcome.exit_reason else "")
        asked = "monitor" if task.attempt == CONFIRM else "stop"
        rc = outcome.rc if asked == "stop" else codes.ERR_GENERIC
        return replace(outcome, rc=rc, exit_reason=f"not stopped, though {text}: {asked} says {said}")

    def evidence_kept(self, job: str, kept: EvidenceKept | OSError, now: Instant) -> list[Effect]:
        task, outcome = self._failed[job]
        resource_id = task.order.resource.id
        if isinstance(kept, OSError):
            note = Note("error", f"no evidence of the failed stop of {resource_id} can be kept: {kept}")
        else:
            task.evidence = kept.path
            text = f"stop of {resource_id} failed: it has {kept.members} processes; evidence in {kept.path}"
            note = Note("warning", text)
        if not may_kill(task):
            del self._failed[job]
            return [note, *self._slots.settle(job, outcome, now)]
        return [note, Execute(f"slay {job}", KillProcesses(resource_id=resource_id))]

    def killed(self, job: str, result: ProcessesKilled | OSError, now: Instant) -> list[Effect]:
        task, outcome = self._failed.pop(job)
        resource_id = task.order.resource.id
        if isinstance(result, OSError) or result.left:
            text = str(result) if isinstance(result, OSError) else f"{result.killed} killed, {result.left} are left"
            note = Note("error", f"the processes of {resource_id} cannot all be killed: {text}")
            return [note, *self._slots.settle(job, outcome, now)]
        task.victims = result.killed
        task.killed = False
        note = Note("warning", f"{result.killed} processes of {resource_id} were killed: it is stopped once more")
        return [note, *self._slots.try_again(job, "stop", STOP_AGAIN, _retry_timeout_ms(task), now)]


def _retry_timeout_ms(task: Task) -> int:
    return min(task.order.timeout_ms or MAX_RETRY_TIMEOUT_MS, MAX_RETRY_TIMEOUT_MS)
