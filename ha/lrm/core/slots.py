# SPDX-License-Identifier: GPL-2.0-or-later
"""All queues together: which waiting task gets a slot, and what follows from its end.

A task is eligible when it heads its queue and nothing of its resource runs. Slots go to orders first, by age, then to
recurring operations; one slot is kept free of these, so that hanging monitors cannot hold back a failover.
Operations of class stonith take no slot: stonithd runs them.
"""

from __future__ import annotations

import random
from collections import deque

from ha.ccm.msg import ViewId
from ha.lrm.core.ladder import CONFIRM, STOP, StopLadder
from ha.lrm.core.queue import KEEPS_RECURRING, Recurring, ResourceQueue, Task
from ha.lrm.core.results import cancelled_result, refused_result, result_of
from ha.lrm.core.watches import Watches
from ha.lrm.model import codes
from ha.lrm.model.execution import AgentResult, AwaitAgent, DropJob, KeepRecord, KillAgent, RunAgent
from ha.lrm.model.records import CALLS, RESOURCE_PREFIX, VIEW, Ticket, encode
from ha.lrm.msg import (
    Cancelled,
    CancelOperation,
    ForgetResource,
    Forgotten,
    OperationResult,
    RunOperation,
)
from ha.machine import Arm, Disarm, Effect, Execute, Instant, Local, Note, Send
from ha.stonith.msg import DeviceOperation, DeviceOperationDone

CRMD = Local("crmd")
STONITHD = Local("stonithd")

DEFAULT_TIMEOUT_MS = 20_000
"""For an order that names none. Source: Pacemaker's default-action-timeout."""
GUARD_MARGIN_MS = 5_000
"""How long after an operation's timeout its runner may still be silent before it is killed itself."""
MAX_RESOURCES = 20_000
MAX_WAITING_TASKS = 100
"""Per resource. An order beyond either limit is refused with status `invalid`."""
SLOTS_FREE_OF_MONITORS = 1


class Slots:
    def __init__(
        self,
        *,
        incarnation: str,
        chance: random.Random,
        max_parallel: int,
    ) -> None:
        assert max_parallel > SLOTS_FREE_OF_MONITORS
        self.wall_offset_ms = 0  # told before anything is run
        self.queues: dict[str, ResourceQueue] = {}
        self.chance = chance
        self.next_call_id = 1
        self._incarnation = incarnation
        self._max_parallel = max_parallel
        self.newest_view: ViewId | None = None
        self._tasks: dict[str, ResourceQueue] = {}  # job -> where it runs
        self._taken = 0
        self._refusal = ""  # why no order is taken any more
        self._candidates: dict[str, None] = {}  # resources with a waiting task and nothing running
        self._serial = 0
        self._jobs = 0
        self.watches = Watches()
        self.ladder = StopLadder(self)

    # Orders ----------------------------------------------------------------------------------------------------------

    def run(self, order: RunOperation, now: Instant) -> list[Effect]:
        effects, stale = self._check_view(order)
        refusal = stale = stale or self._refusal
        queue = self.queues.get(order.resource.id)
        if refusal == "" and queue is not None:
            if (known := queue.find_result(order)) is not None:
                return [*effects, Send(CRMD, known)]
            if queue.find_pending(order) is not None or self._is_first_run_due(queue, order):
                return effects
            if queue.take_over(order):
                return [*effects, Note("info", f"{_name(order)} is under way already; its end answers this order too")]
        refusal = refusal or self._check_limits(order, queue)
        if refusal:
            note = Note("warning", f"{_name(order)} refused: {refusal}")
            return [*effects, note, Send(CRMD, refused_result(order, refusal, stale=bool(stale)))]
        if queue is None:
            queue = self.queues[order.resource.id] = ResourceQueue(order.resource)
        queue.resource = order.resource
        call_id = self._new_call_id(queue)
        if order.interval_ms > 0:
            effects += self._set_recurring(queue, order, call_id, now)
        else:
            if order.operation not in KEEPS_RECURRING:
                effects += self._end_recurring(queue)
            self.enqueue(queue, order, call_id, now)
        return effects + self.pump(now)

    def refuse_all(self, reason: str) -> list[Effect]:
        """Take no order from now on, and give back those that wait. What runs, runs on; nothing is repeated."""
        self._refusal = reason
        effects: list[Effect] = []
        for _, queue in sorted(self.queues.items()):
            effects += self._end_recurring(queue)
            queue.forgetters.clear()  # its end is still to be seen to; the crmd asks again
            waiting = [task for task in queue.waiting if task.job == ""]
            effects += [Send(CRMD, refused_result(task.order, reason, stale=True)) for task in waiting]
            queue.waiting = deque(task for task in queue.waiting if task.job != "")
            self._reconsider(queue)
        return effects

    def order(self, queue: ResourceQueue, order: RunOperation, now: Instant) -> None:
        """The LRM's own order, which waits for what runs."""
        self.enqueue(queue, order, self._new_call_id(queue), now)

    def _check_view(self, order: RunOperation) -> tuple[list[Effect], str]:
        """Effects that record a new view, and why the order is refused, "" when it isn't."""
        if order.view is None or order.view == self.newest_view:
            return [], ""
        if self.newest_view is not None and order.view < self.newest_view:
            return [], f"its view {order.view.instance} is older than {self.newest_view.instance}"
        self.newest_view = order.view
        # No fsync on the way to a start: orders come from this node's crmd alone, which a power cut ends too.
        return [Execute("keep view", KeepRecord(name=VIEW, data=encode(order.view)))], ""

    def _check_limits(self, order: RunOperation, queue: ResourceQueue | None) -> str:
        if order.interval_ms < 0 or order.timeout_ms < 0 or order.start_delay_ms < 0:
            return "a negative time"
        if queue is None and len(self.queues) >= MAX_RESOURCES:
            return f"{MAX_RESOURCES} resources are known already"
        if queue is not None and len(queue.waiting) >= MAX_WAITING_TASKS:
            return f"{MAX_WAITING_TASKS} operations of it wait already"
        return ""

    def _is_first_run_due(self, queue: ResourceQueue, order: RunOperation) -> bool:
        """A repeated order of a recurring operation that waits for its start delay."""
        known = queue.recurring.get((order.operation, order.interval_ms))
        return known is not None and order.user_data != "" and known.order.user_data == order.user_data

    def _new_call_id(self, queue: ResourceQueue) -> int:
        queue.last_call_id = self.next_call_id
        self.next_call_id += 1
        return queue.last_call_id

    def enqueue(
        self,
        queue: ResourceQueue,
        order: RunOperation,
        call_id: int,
        now: Instant,
        recurring: Recurring | None = None,
    ) -> Task:
        self._serial += 1
        task = Task(order, call_id, now, self._serial, recurring)
        queue.waiting.append(task)
        self._reconsider(queue)
        return task

    # Recurring operations --------------------------------------------------------------------------------------------

    def _set_recurring(self, queue: ResourceQueue, order: RunOperation, call_id: int, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        former = queue.recurring.get((order.operation, order.interval_ms))
        if former is not None:
            effects += self._withdraw(queue, former)
        known = Recurring(order, call_id)
        queue.recurring[known.key] = known
        effects.append(self._keep(queue))
        if order.start_delay_ms > 0:
            effects.append(Arm(recurring_timer(queue, known), now + order.start_delay_ms))
        else:
            self.enqueue(queue, order, call_id, now, known)
        return effects

    def _end_recurring(self, queue: ResourceQueue) -> list[Effect]:
        if not queue.recurring:
            return []
        effects: list[Effect] = []
        for known in list(queue.recurring.values()):
            effects += self._withdraw(queue, known)
        return [*effects, self._keep(queue)]

    def _withdraw(self, queue: ResourceQueue, known: Recurring) -> list[Effect]:
        queue.withdraw(known)
        self._reconsider(queue)
        timer = recurring_timer(queue, known)
        self.watches.forget(timer)
        return [Disarm(timer), *self.watches.end(queue, known)]

    def cancel(self, message: CancelOperation) -> list[Effect]:
        effects: list[Effect] = []
        queue = self.queues.get(message.resource_id)
        known = queue.recurring.get((message.operation, message.interval_ms)) if queue else None
        if queue is not None and known is not None:
            effects += self._withdraw(queue, known)
            effects.append(self._keep(queue))
        answer = Cancelled(
            resource_id=message.resource_id,
            operation=message.operation,
            interval_ms=message.interval_ms,
            user_data=message.user_data,
        )
        return [*effects, Send(CRMD, answer)]

    def fired(self, timer: str, now: Instant) -> list[Effect]:
        kind, _, name = timer.partition(" ")
        if kind == "guard":
            return self._overdue(name, now)
        assert kind == "recur", timer
        operation, interval, resource_id = name.split(" ", 2)
        queue = self.queues.get(resource_id)
        known = queue.recurring.get((operation, int(interval))) if queue else None
        if queue is None or known is None:
            return []  # the timer had run out when it was disarmed
        if queue.is_pending(known):
            known.alarmed = True
            return []
        self.enqueue(queue, known.order, known.call_id, now, known)
        return self.pump(now)

    # Forgetting ------------------------------------------------------------------------------------------------------

    def forget(self, message: ForgetResource, now: Instant) -> list[Effect]:
        queue = self.queues.get(message.resource_id)
        if queue is None:
            return [Send(CRMD, Forgotten(resource_id=message.resource_id, user_data=message.user_data))]
        effects: list[Effect] = []
        for known in list(queue.recurring.values()):
            effects += self._withdraw(queue, known)
        for task in queue.waiting:
            effects.append(Send(CRMD, cancelled_result(task.order, task.call_id)))
        queue.waiting.clear()
        queue.clear_history()
        self._reconsider(queue)
        queue.forgetters.append(message.user_data)
        if queue.running is not None:
            return effects  # its end is awaited: it must not run on beside what is ordered next
        return effects + self._forgotten(queue)

    def _forgotten(self, queue: ResourceQueue, drop: str = "") -> list[Effect]:
        """Nothing of it runs any more. What was ordered after the forgetting stays."""
        assert queue.running is None
        resource_id = queue.resource.id
        answers = [Send(CRMD, Forgotten(resource_id=resource_id, user_data=who)) for who in queue.forgetters]
        queue.forgetters.clear()
        if queue.waiting or queue.recurring:
            return [self._keep(queue, drop), *answers]
        del self.queues[resource_id]
        self._candidates.pop(resource_id, None)
        return [
            Execute("keep calls", KeepRecord(name=CALLS, data=encode(self.next_call_id - 1))),
            Execute(f"keep {resource_id}", KeepRecord(name=RESOURCE_PREFIX + resource_id, data=None, drop=drop)),
            *answers,
        ]

    # Slots -----------------------------------------------------------------------------------------------------------

    def _reconsider(self, queue: ResourceQueue) -> None:
        if queue.waiting and queue.running is None:
            self._candidates[queue.resource.id] = None
        else:
            self._candidates.pop(queue.resource.id, None)

    def pump(self, now: Instant) -> list[Effect]:
        """Begin all that may begin."""
        effects: list[Effect] = []
        waiting = [self.queues[resource_id] for resource_id in self._candidates]
        for queue in sorted(waiting, key=lambda queue: queue.waiting[0].priority):
            if self._may_begin(queue.waiting[0]):
                effects += self.begin(queue, now)
        return effects

    def _may_begin(self, task: Task) -> bool:
        if _is_device(task) or task.job:
            return True  # stonithd's affair; or it runs already, and we only take it up
        free = self._max_parallel - self._taken
        return free > (SLOTS_FREE_OF_MONITORS if task.recurring is not None else 0)

    def begin(self, queue: ResourceQueue, now: Instant) -> list[Effect]:
        task = queue.waiting[0]
        adopted = task.job != ""
        if not adopted:
            self._jobs += 1
        job = task.job or f"{self._incarnation}.{self._jobs}"
        queue.begin(job, now)
        self._reconsider(queue)
        self._tasks[job] = queue
        guard = Arm(f"guard {job}", now + timeout_ms(task.order) + (0 if _is_device(task) else GUARD_MARGIN_MS))
        if _is_device(task):
            return [guard, Send(STONITHD, _device_operation(task))]
        self._taken += 1
        order = task.order
        if adopted:
            operation = "monitor" if task.attempt == CONFIRM else order.operation
            request: RunAgent | AwaitAgent = AwaitAgent(job=job, resource=order.resource, operation=operation)
        else:
            request = _request(task, job, order.operation, timeout_ms(order))
        return [guard, Execute(f"run {job}", request)]

    def try_again(self, job: str, operation: str, attempt: int, timeout_ms: int, now: Instant) -> list[Effect]:
        """For the stop ladder: the task that runs as `job` goes on as another one, in its place and slot."""
        queue = self._tasks.pop(job)
        task = queue.running
        assert task is not None
        self._jobs += 1
        task.job, task.attempt = f"{self._incarnation}.{self._jobs}", attempt
        self._tasks[task.job] = queue
        # Dropped before the next is written: of one order there is one job at any instant. Should we die between the
        # two, nothing has answered the order, and the crmd repeats it.
        return [
            Execute(f"drop {job}", DropJob(job=job)),
            Arm(f"guard {task.job}", now + timeout_ms + GUARD_MARGIN_MS),
            Execute(f"run {task.job}", _request(task, task.job, operation, timeout_ms)),
        ]

    # Ends ------------------------------------------------------------------------------------------------------------

    def ended(self, job: str, outcome: AgentResult, now: Instant) -> list[Effect]:
        queue = self._tasks[job]
        task = queue.running
        assert task is not None
        if outcome.revoked:
            self._release(job)
            return self._begin_again(queue, task, now)
        if not task.discard and (climbing := self.ladder.climb(job, task, outcome, now)) is not None:
            return [Disarm(f"guard {job}"), *climbing]
        return self.settle(job, self.ladder.verdict(task, outcome), now)

    def settle(self, job: str, outcome: AgentResult, now: Instant) -> list[Effect]:
        """The task's place and slot are free; its outcome is final."""
        queue = self._release(job)
        task = queue.end()
        self._reconsider(queue)
        return [Disarm(f"guard {job}"), *self._conclude(queue, task, outcome, now), *self.pump(now)]

    def _release(self, job: str) -> ResourceQueue:
        queue = self._tasks.pop(job)
        task = queue.running
        assert task is not None
        assert task.job == job
        if not _is_device(task):
            self._taken -= 1
            assert self._taken >= 0
        return queue

    def _begin_again(self, queue: ResourceQueue, task: Task, now: Instant) -> list[Effect]:
        """An adopted job that no runner had begun: the order still stands, unless nobody wants it any more."""
        job = task.job
        task.attempt = STOP
        queue.put_back()
        if task.discard or queue.forgetters:
            queue.waiting.popleft()
        self._reconsider(queue)
        effects: list[Effect] = [Disarm(f"guard {job}"), Execute(f"drop {job}", DropJob(job=job))]
        if queue.forgetters:
            effects += self._forgotten(queue)
        return effects + self.pump(now)

    def _conclude(self, queue: ResourceQueue, task: Task, outcome: AgentResult, now: Instant) -> list[Effect]:
        """Tell, record, drop: in this order."""
        drop = "" if _is_device(task) else task.job
        previous = task.recurring.last if task.recurring else None
        result = result_of(
            task, outcome, previous, wall_offset_ms=self.wall_offset_ms, newest_change_s=queue.newest_change_s(),
            deleted=bool(queue.forgetters),
        )  # fmt: skip
        if queue.forgetters:
            told: list[Effect] = [] if task.discard else [Send(CRMD, result)]
            return told + self._forgotten(queue, drop)
        if task.discard:
            return _drop(drop)
        if task.recurring is None:
            return self._report(queue, result, None, drop)
        known = task.recurring
        timer = recurring_timer(queue, known)
        again = Arm(timer, now + (0 if known.alarmed else task.order.interval_ms))
        known.alarmed = False
        changed = previous is None or (previous.rc, previous.status) != (result.rc, result.status)
        told = self._report(queue, result, known, drop) if changed else _drop(drop)
        return [again, *told, *self.watches.looked(queue, known, timer, result, changed)]

    def _report(
        self, queue: ResourceQueue, result: OperationResult, recurring: Recurring | None, drop: str
    ) -> list[Effect]:
        queue.remember(result, recurring)
        level = "info" if result.status == "done" and result.rc in codes.NO_FAILURES else "warning"
        said = result.exit_reason or (result.output.rpartition("\n")[2] if level == "warning" else "")
        reason = f" ({said})" if said else ""
        text = f"{_name(result)}: {result.status}, rc {result.rc}{reason}, {result.exec_ms} ms"
        return [Send(CRMD, result), self._keep(queue, drop), Note(level, text)]  # type: ignore[arg-type]

    def _keep(self, queue: ResourceQueue, drop: str = "") -> Execute:
        resource_id = queue.resource.id
        record = KeepRecord(name=RESOURCE_PREFIX + resource_id, data=encode(queue.record()), drop=drop)
        return Execute(f"keep {resource_id}", record)

    def _overdue(self, job: str, now: Instant) -> list[Effect]:
        """The guard's time is up: the runner is stuck, or stonithd is silent."""
        queue = self._tasks.get(job)
        if queue is None:
            return []  # the timer had run out when it was disarmed
        task = queue.running
        assert task is not None
        if _is_device(task):
            late = AgentResult(
                rc=codes.ERR_GENERIC,
                status="timeout",
                exit_reason=f"stonithd did not answer within {timeout_ms(task.order)} ms",
                exec_ms=now - task.begun_ms,
                started_ms=task.begun_ms,
            )
            return self.ended(job, late, now)
        task.killed = True
        text = f"{_name(task.order)}: its runner is silent {GUARD_MARGIN_MS} ms after the timeout and is killed"
        return [Note("error", text), Execute(f"kill {job}", KillAgent(job=job))]

    # stonithd --------------------------------------------------------------------------------------------------------

    def stonithd_connected(self) -> list[Effect]:
        """Say again what a stonithd that went away may not have heard."""
        running = [queue.running for queue in self._tasks.values()]
        return [Send(STONITHD, _device_operation(task)) for task in running if task is not None and _is_device(task)]

    def device_done(self, message: DeviceOperationDone, now: Instant) -> list[Effect]:
        queue = self._tasks.get(message.request_id)
        if queue is None:
            return []  # answered twice, or after its timeout
        assert queue.running is not None
        outcome = AgentResult(
            rc=message.rc,
            status="timeout" if message.timed_out else "done",
            exit_reason=message.exit_reason,
            started_ms=queue.running.begun_ms,
            exec_ms=message.exec_ms,
        )
        return self.ended(message.request_id, outcome, now)

    # History ---------------------------------------------------------------------------------------------------------

    def history(self) -> tuple[list[OperationResult], list[RunOperation]]:
        results: list[OperationResult] = []
        running: list[RunOperation] = []
        for _, queue in sorted(self.queues.items()):
            results += queue.results()
            running += queue.unreported()
        return results, running


def _request(task: Task, job: str, operation: str, timeout_ms: int) -> RunAgent:
    order = task.order
    ticket = Ticket(
        order=order, call_id=task.call_id, queued_ms=task.queued_ms, attempt=task.attempt, victims=task.victims,
        evidence=task.evidence,
    )  # fmt: skip
    return RunAgent(
        job=job,
        resource=order.resource,
        operation=operation,
        interval_ms=order.interval_ms,
        timeout_ms=timeout_ms,
        parameters=order.parameters,
        meta=order.meta,
        ticket=encode(ticket),
    )


def timeout_ms(order: RunOperation) -> int:
    return order.timeout_ms or DEFAULT_TIMEOUT_MS


def recurring_timer(queue: ResourceQueue, known: Recurring) -> str:
    return f"recur {known.order.operation} {known.order.interval_ms} {queue.resource.id}"


def _is_device(task: Task) -> bool:
    return task.order.resource.agent_class == "stonith"


def _device_operation(task: Task) -> DeviceOperation:
    order = task.order
    return DeviceOperation(
        request_id=task.job,
        device=order.resource.id,
        agent=order.resource.agent_type,
        operation=order.operation,
        timeout_ms=timeout_ms(order),
        parameters=order.parameters,
    )


def _drop(job: str) -> list[Effect]:
    return [Execute(f"drop {job}", DropJob(job=job))] if job else []


def _name(of: RunOperation | OperationResult) -> str:
    every = f" every {of.interval_ms} ms" if of.interval_ms else ""
    return f"{of.operation} of {of.resource.id}{every}"
