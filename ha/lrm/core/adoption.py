# SPDX-License-Identifier: GPL-2.0-or-later
"""A restarted LRM takes up what its predecessor left: records of resources, and jobs that run or have ended.

For each job found, by what the resource's record says:

    its result is recorded          the predecessor died before dropping it: drop it
    otherwise, a one-shot order     await it; the result goes to the crmd, which may have heard it before
    a recurring operation's run     await it; discard the result when the operation was cancelled meanwhile

Recurring operations go on: the first within one interval, at a random moment, so that a node's monitors do not all
start at once. Orders that waited in a queue are gone: the crmd repeats what it has no answer to.
"""

from __future__ import annotations

from ha.ccm.msg import ViewId
from ha.lrm.core.queue import Recurring, ResourceQueue
from ha.lrm.core.slots import Slots, recurring_timer
from ha.lrm.model.execution import Adopted, AdoptedJob, DropJob
from ha.lrm.model.records import CALLS, RESOURCE_PREFIX, VIEW, RecordError, ResourceRecord, Ticket, decode
from ha.machine import Arm, Effect, Execute, Instant, Note


class Adoption:
    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def take_up(self, adopted: Adopted, now: Instant) -> list[Effect]:
        effects: list[Effect] = [Note("error", complaint) for complaint in adopted.complaints]
        effects += self._restore_records(adopted.records)
        effects += self._enqueue_jobs(adopted.jobs, now)
        effects += self._resume_recurring(now)
        effects += self._slots.pump(now)
        if adopted.records or adopted.jobs:
            text = f"took up {len(self._slots.queues)} resources and {len(adopted.jobs)} jobs of an earlier lrmd"
            effects.append(Note("info", text))
        return effects

    def _restore_records(self, records: dict[str, bytes]) -> list[Effect]:
        effects: list[Effect] = []
        for name, data in sorted(records.items()):
            try:
                if name == CALLS:
                    self._raise_call_id(decode(data, int))
                elif name == VIEW:
                    self._slots.newest_view = decode(data, ViewId)
                elif name.startswith(RESOURCE_PREFIX):
                    queue = ResourceQueue.restore(decode(data, ResourceRecord))
                    self._slots.queues[queue.resource.id] = queue
                    self._raise_call_id(queue.last_call_id)
            except RecordError as error:
                effects.append(Note("error", f"record {name} is lost: {error}"))
        return effects

    def _raise_call_id(self, used: int) -> None:
        self._slots.next_call_id = max(self._slots.next_call_id, used + 1)

    def _enqueue_jobs(self, jobs: tuple[AdoptedJob, ...], now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        tickets: list[tuple[int, int, str, Ticket]] = []
        for job in jobs:
            try:
                ticket = decode(job.ticket, Ticket)
            except RecordError as error:
                effects.append(Note("error", f"job {job.job} is none of ours and is dropped: {error}"))
                effects.append(Execute(f"drop {job.job}", DropJob(job=job.job)))
                continue
            tickets.append((ticket.call_id, ticket.queued_ms, job.job, ticket))
        for call_id, _, job_id, ticket in sorted(tickets, key=lambda entry: entry[:3]):
            self._raise_call_id(call_id)
            effects += self._enqueue(job_id, ticket, now)
        return effects

    def _enqueue(self, job: str, ticket: Ticket, now: Instant) -> list[Effect]:
        order = ticket.order
        queue = self._slots.queues.get(order.resource.id)
        if queue is None:
            queue = self._slots.queues[order.resource.id] = ResourceQueue(order.resource)
        queue.last_call_id = max(queue.last_call_id, ticket.call_id)
        recurring = _recurring_of(queue, ticket)
        if recurring is None and any(result.call_id == ticket.call_id for result in queue.recent):
            return [Execute(f"drop {job}", DropJob(job=job))]
        task = self._slots.enqueue(queue, order, ticket.call_id, now, recurring)
        task.queued_ms = min(ticket.queued_ms, now)
        task.job = job
        task.attempt, task.victims, task.evidence = ticket.attempt, ticket.victims, ticket.evidence
        task.discard = order.interval_ms > 0 and recurring is None
        return []

    def _resume_recurring(self, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        for _, queue in sorted(self._slots.queues.items()):
            for key, known in sorted(queue.recurring.items()):
                if not queue.is_pending(known):
                    within_ms = known.order.start_delay_ms if known.last is None else key[1]
                    due = now + self._slots.chance.randint(0, max(1, within_ms))
                    effects.append(Arm(recurring_timer(queue, known), due))
                effects += self._slots.watches.resume(queue, known, recurring_timer(queue, known))
        return effects


def _recurring_of(queue: ResourceQueue, ticket: Ticket) -> Recurring | None:
    """The recurring operation whose run the job is; None for a one-shot order, or when it was cancelled since."""
    known = queue.recurring.get((ticket.order.operation, ticket.order.interval_ms))
    return known if known is not None and known.call_id == ticket.call_id else None


