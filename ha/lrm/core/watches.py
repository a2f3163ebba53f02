# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes of resources, watched beside the polling: when one ends, the monitor that would have come later runs now.

    monitor well ──► FindProcess ──► WatchProcess ──► ProcessEnded ──► monitor at once ──► its word is the result

The end of a process is a sign, never a result: what the crmd is told is what the agent then says. A resource whose
process cannot be named is polled, as ever. A watch belongs to one recurring operation and goes with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ha.lrm.core.queue import Recurring, RecurringKey, ResourceQueue
from ha.lrm.model import codes
from ha.lrm.model.execution import FindProcess, ProcessFound, ProcessUnknown, UnwatchProcess, WatchProcess
from ha.lrm.model.processes import pid_file
from ha.lrm.msg import OperationResult
from ha.machine import Arm, Effect, Execute, Instant, Note

MIN_ALARM_GAP_MS = 1_000
"""Between two monitors of a resource that the end of a process caused: a daemon whose processes come and go while its
monitor finds it well costs one a second at most."""

RUNNING = frozenset({codes.SUCCESS, codes.RUNNING_PROMOTED, codes.DEGRADED, codes.DEGRADED_PROMOTED})


@dataclass(slots=True, eq=False)
class Watch:
    """`adopted`: begun by a restarted LRM, whose resource may have died while nobody looked."""

    resource_id: str
    key: RecurringKey
    timer: str
    named: bool
    adopted: bool
    pid: int = 0


class Watches:
    def __init__(self) -> None:
        self._serial = 0
        self._watches: dict[int, Watch] = {}
        self._by_operation: dict[tuple[str, RecurringKey], int] = {}
        self._alarms: dict[str, Instant] = {}  # timer -> the last time that it was set off

    def resume(self, queue: ResourceQueue, known: Recurring, timer: str) -> list[Effect]:
        """After a restart of the LRM."""
        if known.last is None or not is_well(known.last):
            return []
        return self._find(queue, known, timer, adopted=True)

    def looked(
        self, queue: ResourceQueue, known: Recurring, timer: str, result: OperationResult, changed: bool
    ) -> list[Effect]:
        """A run of the recurring operation ended; `changed`: otherwise than the one before."""
        serial = self._by_operation.get((queue.resource.id, known.key))
        if not is_well(result):
            return self.end(queue, known)
        if serial is not None:
            return []
        if not changed and not _names_process(known) and timer not in self._alarms:
            return []  # it was not to be found before
        return self._find(queue, known, timer, adopted=False)

    def end(self, queue: ResourceQueue, known: Recurring) -> list[Effect]:
        serial = self._by_operation.pop((queue.resource.id, known.key), None)
        if serial is None:
            return []
        watch = self._watches.pop(serial)
        return [Execute(f"unwatch {serial}", UnwatchProcess(watch=f"watch {serial}"))] if watch.pid else []

    def forget(self, timer: str) -> None:
        self._alarms.pop(timer, None)

    def found(self, serial: int, outcome: ProcessFound | ProcessUnknown, now: Instant) -> list[Effect]:
        watch = self._watches.get(serial)
        if watch is None:
            return []  # no longer wanted
        if isinstance(outcome, ProcessFound):
            watch.pid = outcome.pid
            return [Execute(f"watch {serial}", WatchProcess(pid=outcome.pid, start_ticks=outcome.start_ticks))]
        self._remove(serial)
        if outcome.dead and watch.adopted:
            return [Note("info", f"{watch.resource_id}: {outcome.reason}: it is looked at"), Arm(watch.timer, now)]
        return [Note("info" if watch.named else "debug", f"{watch.resource_id} is polled only: {outcome.reason}")]

    def ended(self, serial: int, now: Instant) -> list[Effect]:
        watch = self._watches.get(serial)
        if watch is None:
            return []  # its end was on the way when the watch was given up
        self._remove(serial)
        due = max(now, self._alarms.get(watch.timer, now - MIN_ALARM_GAP_MS) + MIN_ALARM_GAP_MS)
        self._alarms[watch.timer] = due
        text = f"{watch.resource_id}: its process {watch.pid} has ended: {watch.key[0]} is run"
        return [Note("warning", text), Arm(watch.timer, due)]

    def _find(self, queue: ResourceQueue, known: Recurring, timer: str, *, adopted: bool) -> list[Effect]:
        if queue.resource.agent_class == "stonith" or (queue.resource.id, known.key) in self._by_operation:
            return []
        self._serial += 1
        self._watches[self._serial] = Watch(queue.resource.id, known.key, timer, _names_process(known), adopted)
        self._by_operation[queue.resource.id, known.key] = self._serial
        what = FindProcess(resource=queue.resource, pid_file=pid_file(known.order.parameters))
        return [Execute(f"find {self._serial}", what)]

    def _remove(self, serial: int) -> None:
        watch = self._watches.pop(serial)
        del self._by_operation[watch.resource_id, watch.key]


def is_well(result: OperationResult) -> bool:
    return result.status == "done" and result.rc in RUNNING


def _names_process(known: Recurring) -> bool:
    return known.order.resource.agent_class == "systemd" or pid_file(known.order.parameters) != ""
