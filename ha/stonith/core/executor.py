# SPDX-License-Identifier: GPL-2.0-or-later
"""What this node's fence agents do: one action at a time for each device, fences before everything else.

    waiting ──begin──► running ──end──► over, or begun again (retries of a fence), or waiting again (preempted)

A monitor or list under way when a fence comes for the same device is killed and repeated afterwards: nobody waits for
a monitor to time out before a node is shot.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from ha.machine import Arm, Disarm, Effect, Execute, Fence, Instant, Note
from ha.stonith.core.registry import Registry
from ha.stonith.model.device import Device
from ha.stonith.model.execution import (
    AwaitFenceAgent,
    DropFenceJob,
    FenceAgentResult,
    KillFenceAgent,
    RunFenceAgent,
)
from ha.stonith.model.records import Kind, Ticket, encode

GUARD_MARGIN_MS = 5_000
"""How long after an action's timeout its runner may still be silent before it is killed itself."""
RETRY_SHARE = 0.3
"""A failed fence is tried again only with more than this share of its time left. Source: Pacemaker's fenced."""
MAX_WAITING_TASKS = 100
"""Per device. Beyond, a task fails at once."""

OnEnd = Callable[[FenceAgentResult, Instant], list[Effect]]
"""What is to be told when a task is over. For a fence: before its job is dropped."""


@dataclass(slots=True, eq=False)
class Task:
    """`key` names a fence among all nodes. `deadline_ms` bounds all tries together."""

    kind: Kind
    key: str
    device: Device
    action: str
    target: str
    timeout_ms: int
    requester: str
    on_end: OnEnd
    begun_ms: Instant = 0
    tries_left: int = 1
    job: str = ""
    preempted: bool = False

    @property
    def deadline_ms(self) -> Instant:
        return self.begun_ms + self.timeout_ms


@dataclass(slots=True)
class DeviceQueue:
    running: list[Task] = field(default_factory=list)
    waiting: list[Task] = field(default_factory=list)
    delayed: list[Task] = field(default_factory=list)


class Executor:
    def __init__(self, *, node: str, incarnation: str, chance: random.Random, registry: Registry) -> None:
        self._node = node
        self._incarnation = incarnation
        self._chance = chance
        self._registry = registry
        self._queues: dict[str, DeviceQueue] = {}
        self._running: dict[str, Task] = {}  # by job
        self._delays: dict[str, Task] = {}  # by timer
        self._jobs = 0
        self._delay_serial = 0

    def find(self, key: str) -> Task | None:
        """The task of that key, wherever it is."""
        for queue in self._queues.values():
            for task in [*queue.running, *queue.waiting, *queue.delayed]:
                if task.key == key:
                    return task
        return None

    def submit(self, task: Task, now: Instant) -> list[Effect]:
        queue = self._queues.setdefault(task.device.id, DeviceQueue())
        if len(queue.waiting) >= MAX_WAITING_TASKS:
            full = FenceAgentResult(ok=False, fate="error", reason=f"{MAX_WAITING_TASKS} actions of the device wait")
            return task.on_end(full, now)
        if task.kind != "fence":
            queue.waiting.append(task)
            return self._pump(queue, now)
        task.tries_left = task.device.tries(task.action)
        delay_ms = self._delay_ms(task)
        if delay_ms > 0:
            self._delay_serial += 1
            timer = f"delay {self._delay_serial}"
            self._delays[timer] = task
            queue.delayed.append(task)
            text = f"{task.action} of {task.target} by {task.device.id} is delayed by {delay_ms} ms as configured"
            return [Arm(timer, now + delay_ms), Note("info", text)]
        return self._submit_fence(queue, task, now)

    def delay_over(self, timer: str, now: Instant) -> list[Effect]:
        task = self._delays.pop(timer)  # never disarmed
        queue = self._queues[task.device.id]
        queue.delayed.remove(task)
        return self._submit_fence(queue, task, now)

    def _delay_ms(self, task: Task) -> int:
        """A base, and up to the maximum by chance, so that halves of a split do not shoot each other at once."""
        if task.action == "on":
            return 0
        base = task.device.delay_base_ms(task.target)
        return base + self._chance.randint(0, max(0, task.device.delay_max_ms - base))

    def _submit_fence(self, queue: DeviceQueue, task: Task, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        behind = next((i for i, waiting in enumerate(queue.waiting) if waiting.kind != "fence"), len(queue.waiting))
        queue.waiting.insert(behind, task)
        for running in queue.running:
            if running.kind != "fence" and not running.preempted:
                running.preempted = True
                effects.append(Execute(f"kill {running.job}", KillFenceAgent(job=running.job)))
        return effects + self._pump(queue, now)

    # Begin and end ---------------------------------------------------------------------------------------------------

    def _pump(self, queue: DeviceQueue, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        while queue.waiting and self._may_begin(queue):
            task = queue.waiting.pop(0)
            task.begun_ms = now
            queue.running.append(task)
            effects += self._call(task, now)
        return effects

    def _may_begin(self, queue: DeviceQueue) -> bool:
        text = queue.waiting[0].device.parameters.get("pcmk_action_limit", "1")
        if text == "-1":
            return True
        limit = int(text) if text.isascii() and text.isdigit() else 1
        return len(queue.running) < max(1, limit)

    def _call(self, task: Task, now: Instant) -> list[Effect]:
        self._jobs += 1
        task.job = f"{self._incarnation}.{self._jobs}"
        task.tries_left -= 1
        task.preempted = False
        self._running[task.job] = task
        device = task.device
        left_ms = max(1, task.deadline_ms - now)
        ticket = Ticket(
            kind=task.kind, key=task.key, device=device.id, action=task.action, target=task.target,
            requester=task.requester,
        )  # fmt: skip
        request = RunFenceAgent(
            job=task.job,
            device=device.id,
            agent=device.agent,
            action=device.action_name(task.action),
            target=task.target,
            options=device.options(task.action, task.target, self._registry.traits(device.agent)),
            timeout_ms=left_ms,
            ticket=encode(ticket),
        )
        effect = Fence if task.kind == "fence" else Execute
        return [Arm(f"guard {task.job}", now + left_ms + GUARD_MARGIN_MS), effect(f"run {task.job}", request)]

    def adopt(self, job: str, task: Task, now: Instant) -> list[Effect]:
        """Await a fence that an earlier incarnation began."""
        task.job = job
        task.begun_ms = now
        task.tries_left = 0
        self._queues.setdefault(task.device.id, DeviceQueue()).running.append(task)
        self._running[job] = task
        guard = Arm(f"guard {job}", now + task.timeout_ms + GUARD_MARGIN_MS)
        return [guard, Fence(f"run {job}", AwaitFenceAgent(job=job))]

    def overdue(self, job: str) -> list[Effect]:
        task = self._running.get(job)
        if task is None:
            return []  # the timer had run out when it was disarmed
        text = f"{task.action} by {task.device.id}: its runner is silent and is killed"
        return [Note("error", text), Execute(f"kill {job}", KillFenceAgent(job=job))]

    def ended(self, job: str, result: FenceAgentResult, now: Instant) -> list[Effect]:
        task = self._running.pop(job)
        queue = self._queues[task.device.id]
        effects: list[Effect] = [Disarm(f"guard {job}")]
        if self._should_retry(task, result, now):
            text = f"{task.action} of {task.target} by {task.device.id} failed ({result.reason}) and is tried again"
            effects += [Note("warning", text), Execute(f"drop {job}", DropFenceJob(job=job))]
            return effects + self._call(task, now)
        queue.running.remove(task)
        if task.preempted:
            queue.waiting.append(task)
            effects.append(Execute(f"drop {job}", DropFenceJob(job=job)))
        elif task.kind == "fence":
            effects += task.on_end(result, now)  # which records the outcome, and drops the job
        else:
            effects += [Execute(f"drop {job}", DropFenceJob(job=job)), *task.on_end(result, now)]
        return effects + self._pump(queue, now)

    def _should_retry(self, task: Task, result: FenceAgentResult, now: Instant) -> bool:
        if task.kind != "fence" or result.ok or task.tries_left <= 0 or result.fate not in ("done", "error"):
            return False
        return task.deadline_ms - now > RETRY_SHARE * task.timeout_ms
