# SPDX-License-Identifier: GPL-2.0-or-later
"""One resource: its queue of operations, its recurring operations, its history. No effects are made here.

A task is in one of three places, and only these functions move it:

    queued ──begin──► running ──end──► gone (its result is history)
       └──────────────withdraw─────────► gone (cancelled)

Operations of one resource run one at a time, in the order in which they came.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ha.lrm.model import codes
from ha.lrm.model.records import RecurringRecord, ResourceRecord
from ha.lrm.msg import OperationResult, Resource, RunOperation

MAX_RECENT_RESULTS = 8
"""Results kept for orders that are repeated. The crmd repeats what it has no answer to, never older ones."""

KEEPS_RECURRING = frozenset({"monitor", "notify", "meta-data", "validate-all"})
"""Operations that leave the resource's state alone. Any other ends the recurring ones: a monitor of the old state
must not report a failure of the new one. The scheduler orders them anew. (Pacemaker's controller does likewise.)"""

RUN_ONCE = frozenset({"start", "stop"})
"""Operations that a second orderer need not have run again: what is under way does what it wants."""

RecurringKey = tuple[str, int]
"""Operation and interval_ms: what names a recurring operation of a resource."""


@dataclass(slots=True, eq=False)
class Recurring:
    """A repeated operation; `last` is the newest result that was reported.

    `alarmed`: it became due while a run of it was under way, which may have looked too early.
    """

    order: RunOperation
    call_id: int
    last: OperationResult | None = None
    alarmed: bool = False

    @property
    def key(self) -> RecurringKey:
        return (self.order.operation, self.order.interval_ms)


@dataclass(slots=True, eq=False)
class Task:
    """One run of an operation, waiting or under way.

    `job` is "" until it begins; an adopted task has one from the start. `recurring` is None for a one-shot order.
    `attempt`, `victims` and `evidence` are the stop ladder's (`ha.lrm.core.ladder`).
    `discard`: nobody wants the result any more, the queue only waits for the end.
    """

    order: RunOperation
    call_id: int
    queued_ms: int
    serial: int
    recurring: Recurring | None = None
    job: str = ""
    begun_ms: int = 0
    discard: bool = False
    killed: bool = False
    attempt: int = 1
    victims: int = 0
    evidence: str = ""

    @property
    def priority(self) -> tuple[bool, int]:
        """Orders before monitors, then by age."""
        return (self.order.interval_ms > 0, self.serial)


@dataclass(slots=True, eq=False)
class ResourceQueue:
    resource: Resource
    waiting: deque[Task] = field(default_factory=deque)
    running: Task | None = None
    recurring: dict[RecurringKey, Recurring] = field(default_factory=dict)
    last: OperationResult | None = None
    last_failure: OperationResult | None = None
    recent: deque[OperationResult] = field(default_factory=lambda: deque(maxlen=MAX_RECENT_RESULTS))
    last_call_id: int = 0
    forgetters: list[str] = field(default_factory=list)  # user_data of ForgetResource to be answered at the end

    # Tasks -----------------------------------------------------------------------------------------------------------

    def begin(self, job: str, now: int) -> Task:
        assert self.running is None
        task = self.waiting.popleft()
        assert task.job in ("", job)
        task.job = job
        task.begun_ms = now
        self.running = task
        return task

    def end(self) -> Task:
        task = self.running
        assert task is not None
        self.running = None
        return task

    def put_back(self) -> None:
        """The running task turned out not to have begun."""
        task = self.end()
        task.job = ""
        self.waiting.appendleft(task)

    def withdraw(self, recurring: Recurring) -> None:
        """Take a recurring operation out, wherever it is. A run under way goes on, its result is nobody's."""
        assert self.recurring.get(recurring.key) is recurring
        del self.recurring[recurring.key]
        self.waiting = deque(task for task in self.waiting if task.recurring is not recurring)
        if self.running is not None and self.running.recurring is recurring:
            self.running.discard = True

    def is_pending(self, recurring: Recurring) -> bool:
        """Whether a run of it is waiting or under way."""
        tasks = [*self.waiting, *([self.running] if self.running else [])]
        return any(task.recurring is recurring for task in tasks)

    def find_pending(self, order: RunOperation) -> Task | None:
        """The task of the same order, sent before and not ended yet."""
        if not order.user_data:
            return None
        tasks = [*([self.running] if self.running else []), *self.waiting]
        return next((task for task in tasks if same_order(task.order, order) and not task.discard), None)

    def take_over(self, order: RunOperation) -> bool:
        """Whether an equal operation is the last that was ordered and has not ended: its result is now the order's.

        The orderer before is a DC of the past: a DC orders nothing twice before it has an answer.
        """
        last = next((task for task in reversed(self.waiting) if task.recurring is None), self.running)
        if last is None or last.discard or order.operation not in RUN_ONCE or not equal_work(last.order, order):
            return False
        last.order = order
        return True

    # History ---------------------------------------------------------------------------------------------------------

    def find_result(self, order: RunOperation) -> OperationResult | None:
        """The result of the same order, sent before."""
        if not order.user_data:
            return None
        known = self.recurring.get((order.operation, order.interval_ms))
        if known is not None and known.last is not None and known.order.user_data == order.user_data:
            return known.last
        return next((result for result in reversed(self.recent) if same_order(result, order)), None)

    def remember(self, result: OperationResult, recurring: Recurring | None) -> None:
        if recurring is not None:
            recurring.last = result
        else:
            self.last = result
            self.recent.append(result)
        if is_failure(result):
            self.last_failure = result

    def clear_history(self) -> None:
        self.last = None
        self.last_failure = None
        self.recent.clear()

    def results(self) -> list[OperationResult]:
        """What is known, by call id: the last one-shot operation, the last failure, each recurring one."""
        known = [self.last, self.last_failure, *(recurring.last for recurring in self.recurring.values())]
        distinct: list[OperationResult] = []
        for result in known:
            if result is not None and result not in distinct:
                distinct.append(result)
        return sorted(distinct, key=lambda result: (result.call_id, result.operation, result.interval_ms))

    def newest_change_s(self) -> int:
        """The latest date of what is known, 0 when nothing is."""
        return max((result.last_rc_change_s for result in self.results()), default=0)

    def unreported(self) -> list[RunOperation]:
        """Orders without a result yet: waiting, under way, or repeated ones before their first end."""
        tasks = [*([self.running] if self.running else []), *self.waiting]
        orders = [task.order for task in tasks if task.recurring is None and not task.discard]
        return orders + [known.order for _, known in sorted(self.recurring.items()) if known.last is None]

    def record(self) -> ResourceRecord:
        return ResourceRecord(
            resource=self.resource,
            last=self.last,
            last_failure=self.last_failure,
            recurring=[
                RecurringRecord(order=known.order, call_id=known.call_id, last=known.last)
                for _, known in sorted(self.recurring.items())
            ],
            recent=list(self.recent),
            call_id=self.last_call_id,
        )

    @classmethod
    def restore(cls, record: ResourceRecord) -> ResourceQueue:
        queue = cls(record.resource, last=record.last, last_failure=record.last_failure, last_call_id=record.call_id)
        queue.recent.extend(record.recent)
        for kept in record.recurring:
            known = Recurring(kept.order, kept.call_id, kept.last)
            queue.recurring[known.key] = known
        return queue


def same_order(one: RunOperation | OperationResult, other: RunOperation) -> bool:
    """Whether both speak of the same order; user_data alone would do, were every orderer careful."""
    return (one.user_data, one.operation, one.interval_ms) == (other.user_data, other.operation, other.interval_ms)


def equal_work(one: RunOperation, other: RunOperation) -> bool:
    """Whether both have the same done, whoever ordered it."""
    return (one.operation, one.interval_ms, one.resource, one.parameters) == (
        other.operation, other.interval_ms, other.resource, other.parameters)  # fmt: skip


def is_failure(result: OperationResult) -> bool:
    """Whether the result is not what was expected; the scheduler says what is by meta attribute op_target_rc."""
    if result.status == "cancelled":
        return False
    if result.status != "done":
        return True
    expected = result.meta.get("op_target_rc") or result.meta.get("CRM_meta_op_target_rc", "")
    if expected.isascii() and expected.isdigit():
        return result.rc != int(expected)
    return result.rc not in codes.NO_FAILURES
