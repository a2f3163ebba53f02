# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything is stopped at rmd's order, when the crmd can no longer do it (P1).

The latest started resource is stopped first, one after another: a start is ordered only when those it has to wait for
have ended, so dependencies hold in the reverse order. (The constraints themselves are the scheduler's knowledge.) Each
stop has its timeout. One that fails is tried once more when all others are stopped; what fails again is told.

What is not known to be stopped is stopped: agents take a stop of what does not run for a success. Fence devices run
nowhere.
"""

from __future__ import annotations

from ha.lrm.core.queue import ResourceQueue
from ha.lrm.core.slots import DEFAULT_TIMEOUT_MS, Slots
from ha.lrm.model import codes
from ha.lrm.msg import OperationResult, RunOperation
from ha.machine import Effect, Instant, Local, Note, Send
from ha.rmd.msg import ResourcesStopped

RMD = Local("rmd")

REFUSAL = "this node leaves the cluster: its resources are being stopped"

CHANGES_STATE = frozenset(
    {"start", "stop", "promote", "demote", "monitor", "migrate_to", "migrate_from", "reload", "reload-agent"}
)
"""Operations after which it is known whether a resource runs."""

OURS = "0:0:0:00000000-0000-0000-0000-000000000000"
"""The transition key of the LRM's own orders: of no transition, and 0 is what they are to end with. Without a key the
scheduler would take their results for failures."""

OF_ONE_OPERATION = frozenset(
    {"op_target_rc", "timeout", "interval", "name", "on_fail", "start_delay", "record_pending"}
)
"""Meta attributes that a stop does not take over from the operation before it."""


class Departure:
    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._begun = False
        self._left: list[str] = []
        """Resources still to be stopped, the next one last."""
        self._current = ""
        self._retried: set[str] = set()
        self._failed: list[str] = []

    def begin(self, now: Instant) -> list[Effect]:
        """StopResources has come; repeated, it is answered when all is done."""
        if self._begun:
            return [] if self._left or self._current else [self._answer()]
        self._begun = True
        active = sorted(
            (queue for queue in self._slots.queues.values() if may_be_active(queue)),
            key=lambda queue: (_started_by_call(queue), queue.resource.id),
        )
        self._left = [queue.resource.id for queue in active]
        effects: list[Effect] = [Note("warning", f"{len(active)} resources are stopped: rmd has this node leave")]
        effects += self._slots.refuse_all(REFUSAL)
        if not active:
            return [*effects, self._answer()]
        return effects + self.proceed(now)

    def proceed(self, now: Instant) -> list[Effect]:
        """Some operation has ended."""
        if not self._begun or not self._is_idle(self._current):
            return []
        was_stopping = self._current != ""
        if was_stopping:
            self._judge(self._current)
            self._current = ""
        if self._left:
            self._current = self._left.pop()
            return self._stop(self._slots.queues[self._current], now)
        return [self._answer()] if was_stopping else []

    @property
    def has_begun(self) -> bool:
        return self._begun

    def _is_idle(self, resource_id: str) -> bool:
        queue = self._slots.queues.get(resource_id)
        return queue is None or (queue.running is None and not queue.waiting)

    def _stop(self, queue: ResourceQueue, now: Instant) -> list[Effect]:
        for operation in ("demote", "stop") if _is_promoted(queue) else ("stop",):
            self._slots.order(queue, _order(queue, operation), now)
        return self._slots.pump(now)

    def _judge(self, resource_id: str) -> None:
        if not may_be_active(self._slots.queues[resource_id]):
            return
        if resource_id in self._retried:
            self._failed.append(resource_id)
        else:
            self._retried.add(resource_id)
            self._left.insert(0, resource_id)

    def _answer(self) -> Effect:
        return Send(RMD, ResourcesStopped(failed=list(self._failed)))


def may_be_active(queue: ResourceQueue) -> bool:
    """False for what is known not to run here."""
    if queue.resource.agent_class == "stonith":
        return False
    if queue.running is not None and queue.running.recurring is None:
        return True
    latest = _latest(queue)
    if latest is None:
        return True
    if latest.status != "done":
        return True
    match latest.operation:
        case "stop":
            return latest.rc != codes.SUCCESS
        case "monitor":
            return latest.rc not in {codes.NOT_RUNNING, codes.ERR_INSTALLED}
    return True


def _latest(queue: ResourceQueue) -> OperationResult | None:
    """Of the one-shot operations that tell whether it runs."""
    known = [result for result in (*queue.recent, queue.last) if result is not None]
    return max((r for r in known if r.operation in CHANGES_STATE), key=lambda r: r.call_id, default=None)


def _started_by_call(queue: ResourceQueue) -> int:
    """The call that made it run here, as far as that is remembered."""
    calls = [result.call_id for result in queue.recent if result.operation in {"start", "migrate_from"}]
    latest = _latest(queue)
    if queue.running is not None and queue.running.recurring is None:
        return queue.running.call_id
    return max(calls, default=latest.call_id if latest is not None else queue.last_call_id)


def _is_promoted(queue: ResourceQueue) -> bool:
    latest = _latest(queue)
    return latest is not None and (
        latest.operation == "promote" or (latest.operation == "monitor" and latest.rc == codes.RUNNING_PROMOTED)
    )


def _order(queue: ResourceQueue, operation: str) -> RunOperation:
    """With the parameters of what was done last. Its timeout is not known here: the start's, and not less than the
    default."""
    source: OperationResult | RunOperation | None = _latest(queue)
    if source is None:
        source = next((known.order for known in queue.recurring.values()), None)
    if queue.running is not None:
        source = queue.running.order
    meta = {} if source is None else source.meta
    timeout = meta.get("timeout", "")
    known_ms = int(timeout) if timeout.isascii() and timeout.isdigit() and len(timeout) < 10 else 0
    return RunOperation(
        resource=queue.resource,
        operation=operation,
        timeout_ms=max(known_ms, DEFAULT_TIMEOUT_MS),
        parameters={} if source is None else source.parameters,
        user_data=OURS,
        meta={name: value for name, value in meta.items() if name.removeprefix("CRM_meta_") not in OF_ONE_OPERATION},
    )
