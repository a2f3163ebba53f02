# SPDX-License-Identifier: GPL-2.0-or-later
"""When a recovery script is run for an application that failed, and what has to happen before.

Rules of this file

* For one instance of an application one script runs at a time. What happens to it meanwhile is kept, the last event
  only, and answered afterwards.
* A process that failed is seen to have ended before its script runs, unless the stanza says `kill = no`: the script may
  start another one. Where the end is not seen, nothing is started.
* A hang-up of the process that is being killed is no failure of its own.
* A run that comes too soon waits; none is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ha.apphbd.msg import ClientEvent
from ha.machine import Instant, Level
from ha.rmd.model.recoverymgrd import RecoveryAction

MAX_TRACKED = 256
"""Instances that are remembered, with their latest runs; whoever is idle for the longest is forgotten."""

MAX_RUNNING = 16
"""Scripts at once, of all instances. One more waits."""

BUSY_RETRY_MS = 500

KILL_TIMEOUT_MS = 5_000
"""A killed process that has not ended by then hangs in the kernel."""

FAILURES = frozenset({"NOHB", "HUP"})
"""After which a process may be left that must not go on."""

Key: TypeAlias = tuple[int, str]
"""The action's place in the file, and the instance's name."""


@dataclass(frozen=True, slots=True)
class KillProcess:
    """End the process, if it is still one of this user; then say `ended`."""

    key: Key
    pid: int
    uid: int


@dataclass(frozen=True, slots=True)
class RunScript:
    """Then say `finished`."""

    key: Key
    action: RecoveryAction
    event: ClientEvent


@dataclass(frozen=True, slots=True)
class EndScript:
    """It has run for too long: kill its process group."""

    key: Key


@dataclass(frozen=True, slots=True)
class Tell:
    level: Level
    text: str


Order: TypeAlias = KillProcess | RunScript | EndScript | Tell


@dataclass(slots=True)
class _Instance:
    key: Key
    action: RecoveryAction
    event: ClientEvent
    state: Literal["idle", "killing", "waiting", "running", "ending"] = "idle"
    due: Instant | None = None
    next_event: ClientEvent | None = None
    killed_pid: int = 0
    """Its hang-up is still to come."""
    runs: deque[Instant] = field(default_factory=deque)
    """The begins of the latest runs within the period."""

    @property
    def label(self) -> str:
        return f"{self.event.module} (pid {self.event.pid})"

    def allowed_at(self, now: Instant) -> Instant:
        stanza = self.action.stanza
        while self.runs and self.runs[0] <= now - max(stanza.period_ms, stanza.interval_ms):
            self.runs.popleft()
        if not self.runs:
            return now
        at = self.runs[-1] + stanza.interval_ms
        if len(self.runs) >= stanza.max_runs:
            at = max(at, self.runs[-stanza.max_runs] + stanza.period_ms)
        return max(now, at)


class Recoveries:
    def __init__(self, actions: Sequence[RecoveryAction]) -> None:
        self._actions = tuple(actions)
        self._instances: dict[Key, _Instance] = {}

    @property
    def due(self) -> Instant | None:
        """When `fired` is to be called."""
        return min((one.due for one in self._instances.values() if one.due is not None), default=None)

    def heard(self, event: ClientEvent, now: Instant) -> list[Order]:
        """Something befell an application."""
        for index, action in enumerate(self._actions):
            if action.concerns(event.name, event.instance, event.uid, event.gid):
                return self._befell((index, event.instance), action, event, now)
        return []

    def _befell(self, key: Key, action: RecoveryAction, event: ClientEvent, now: Instant) -> list[Order]:
        if event.event not in action.stanza.arguments:
            return []
        instance = self._instances.get(key)
        if instance is None:
            if not self._make_room():
                return [Tell("error", f"{event.module} (pid {event.pid}) is not recovered: {MAX_TRACKED} others are")]
            instance = self._instances[key] = _Instance(key, action, event)
        if event.event == "HUP" and event.pid == instance.killed_pid:
            instance.killed_pid = 0
            return []
        if instance.state != "idle":
            if not (instance.event.pid == event.pid and {instance.event.event, event.event} <= FAILURES):
                instance.next_event = event
            return []
        return self._begin(instance, event, now)

    def _make_room(self) -> bool:
        if len(self._instances) < MAX_TRACKED:
            return True
        idle = [one for one in self._instances.values() if one.state == "idle"]
        if idle:
            del self._instances[min(idle, key=lambda one: one.runs[-1] if one.runs else 0).key]
        return bool(idle)

    def _begin(self, instance: _Instance, event: ClientEvent, now: Instant) -> list[Order]:
        instance.event = event
        if instance.action.stanza.kill and event.event in FAILURES:
            instance.state = "killing"
            instance.killed_pid = event.pid if event.event == "NOHB" else 0
            instance.due = now + KILL_TIMEOUT_MS
            return [KillProcess(instance.key, event.pid, event.uid)]
        return self._run_or_wait(instance, now)

    def ended(self, key: Key, now: Instant) -> list[Order]:
        """The process is gone, or is another user's by now."""
        instance = self._instances.get(key)  # one that ends late may be forgotten by then
        return [] if instance is None or instance.state != "killing" else self._run_or_wait(instance, now)

    def _run_or_wait(self, instance: _Instance, now: Instant) -> list[Order]:
        at = instance.allowed_at(now)
        if at > now:
            orders: list[Order] = []
            if instance.state != "waiting":
                orders.append(Tell("warning", f"{instance.label}: its recovery waits for {at - now} ms: throttled"))
            instance.state, instance.due = "waiting", at
            return orders
        if sum(one.state in {"running", "ending"} for one in self._instances.values()) >= MAX_RUNNING:
            instance.state, instance.due = "waiting", now + BUSY_RETRY_MS
            return []
        instance.runs.append(now)
        instance.state, instance.due = "running", now + instance.action.stanza.timeout_ms
        text = f"{instance.label}: {instance.event.event}: {instance.action.stanza.script} is run"
        return [Tell("notice", text), RunScript(instance.key, instance.action, instance.event)]

    def finished(self, key: Key, failure: str, now: Instant) -> list[Order]:
        """The script has ended; `failure` is "" or says how."""
        instance = self._instances[key]
        assert instance.state in {"running", "ending"}, instance.state
        orders: list[Order] = []
        if failure:
            orders.append(Tell("error", f"{instance.label}: {instance.action.stanza.script} failed: {failure}"))
        return orders + self._rest(instance, now)

    def _rest(self, instance: _Instance, now: Instant) -> list[Order]:
        instance.state, instance.due = "idle", None
        event, instance.next_event = instance.next_event, None
        return [] if event is None else self._begin(instance, event, now)

    def fired(self, now: Instant) -> list[Order]:
        """Time has passed."""
        orders: list[Order] = []
        for instance in list(self._instances.values()):
            if instance.due is None or now < instance.due:
                continue
            match instance.state:
                case "waiting":
                    orders += self._run_or_wait(instance, now)
                case "killing":
                    text = f"{instance.label} was killed and does not end: nothing is started in its place"
                    orders += [Tell("error", text), *self._rest(instance, now)]
                case "running":
                    script = instance.action.stanza.script
                    limit = f"{instance.action.stanza.timeout_ms} ms"
                    orders += [Tell("error", f"{instance.label}: {script} runs for more than {limit}: killed")]
                    orders += [EndScript(instance.key)]
                    instance.state, instance.due = "ending", None
                case state:
                    raise AssertionError(f"{instance.label}: nothing is due while {state}")
        return orders
