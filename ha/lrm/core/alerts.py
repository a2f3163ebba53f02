# SPDX-License-Identifier: GPL-2.0-or-later
"""Alert agents: called in the order the crmd asked, a few at once, beside the slots of the resources' operations.

    RunAlert ──► waiting (bounded) ──► a place ──► runner ──► the log

An agent that hangs costs its place until its timeout, and no resource anything. What does not fit is left out, and the
log says how much.
"""

from __future__ import annotations

from collections import deque

from ha.lrm.model.execution import AgentResult, KillAgent, RunAlertAgent
from ha.lrm.msg import RunAlert
from ha.machine import Arm, Disarm, Effect, Execute, Instant, Note

MAX_PARALLEL = 4
MAX_WAITING = 1_000
MAX_TIMEOUT_MS = 24 * 3_600_000
GUARD_MARGIN_MS = 5_000
"""How long after an agent's timeout its runner may still be silent before it is killed itself."""
ALERT_TIMER = "alert "


class Alerts:
    def __init__(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self._serial = 0
        self._waiting: deque[RunAlert] = deque()
        self._running: dict[str, RunAlert] = {}
        self._left_out = 0

    def run(self, message: RunAlert, now: Instant) -> list[Effect]:
        if len(self._waiting) >= MAX_WAITING:
            self._left_out += 1
            if self._left_out > 1:
                return []
            return [Note("warning", f"alert {message.alert} is left out: {MAX_WAITING} calls of alert agents wait")]
        self._waiting.append(message)
        return self._pump(now)

    def _pump(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        while self._waiting and len(self._running) < MAX_PARALLEL:
            message = self._waiting.popleft()
            self._serial += 1
            job = f"alert-{self._incarnation}.{self._serial}"
            self._running[job] = message
            timeout_ms = min(max(message.timeout_ms, 1), MAX_TIMEOUT_MS)
            effects.append(Arm(f"{ALERT_TIMER}{job}", now + timeout_ms + GUARD_MARGIN_MS))
            effects.append(Execute(f"alert {job}", RunAlertAgent(
                job=job, path=message.path, timeout_ms=timeout_ms, timestamp_format=message.timestamp_format,
                at_ms=message.at_ms, environment=message.environment)))
        if self._left_out and not self._waiting:
            effects.append(Note("warning", f"{self._left_out} calls of alert agents were left out: too many at once"))
            self._left_out = 0
        return effects

    def ended(self, job: str, outcome: AgentResult, now: Instant) -> list[Effect]:
        message = self._running.pop(job)
        return [Disarm(f"{ALERT_TIMER}{job}"), _verdict(message, outcome), *self._pump(now)]

    def overdue(self, job: str) -> list[Effect]:
        """The guard's time is up: the runner is stuck."""
        if job not in self._running:
            return []  # the timer had run out when it was disarmed
        text = f"alert {self._running[job].alert}: its runner is silent {GUARD_MARGIN_MS} ms after the timeout and is "
        return [Note("error", text + "killed"), Execute(f"kill {job}", KillAgent(job=job))]


def _verdict(message: RunAlert, outcome: AgentResult) -> Note:
    recipient = message.environment.get("CRM_alert_recipient", "")
    name = f"alert {message.alert}" + (f" to {recipient}" if recipient else "")
    what = message.environment.get("CRM_alert_kind", "")
    if outcome.status == "done" and outcome.rc == 0:
        return Note("debug", f"{name} ({what}): {outcome.exec_ms} ms")
    said = outcome.exit_reason or outcome.output.rpartition("\n")[2]
    return Note("warning", f"{name} ({what}): {message.path} failed ({outcome.status}, rc {outcome.rc})"
                + (f": {said}" if said else ""))
