# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing drills: each node tries each device that it may use, before it is needed.

    due ──► monitor ──► list ──► status of each target ──► report to all nodes
               │ fails
               └──────────────────────────────────────► report (the rest would only wait for the same dead device)

Nobody is harmed: the three calls read. They wait in the device's queue like a monitor does, and a fence goes first.
The first drill comes a minute after a device was configured or changed, later ones every `fencing-drill-interval`,
the nodes one after the other so that a device has few guests at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from ha.machine import Arm, Disarm, Effect, Everyone, Instant, Note, Persist, Send
from ha.stonith.core.executor import Executor, Task
from ha.stonith.core.registry import Registry
from ha.stonith.model.device import Device
from ha.stonith.model.drill import definition, judge_call, judge_list, judge_status, takes_outlet
from ha.stonith.model.execution import FenceAgentResult
from ha.stonith.model.records import DRILLS, Drills, RecordError, decode, encode
from ha.stonith.msg import DeviceDrill, DrillCheck, DrillReport

EVERY_STONITHD = Everyone("stonithd")
FIRST_DRILL_MS = 60_000
"""After a device was configured: the cluster has come to rest by then."""
STAGGER_MS = 5_000
"""Between the first drills of two nodes."""
CALL_TIMEOUT_MS = 20_000
"""Of one call, where the device has no pcmk_*_timeout of its own."""
MAX_DRILLS = 10_000
"""Kept, of all nodes and devices."""
MAX_ORDERS = 1_000
"""Answers that are remembered; and orders that wait for one drill, beyond which an order is not answered."""
MAX_TARGETS = 256
"""Of one device whose status is asked in a drill; ha.cf allows no more nodes."""


@dataclass(slots=True, eq=False)
class Course:
    """One drill under way."""

    device: Device
    began: Instant
    targets: list[str]
    orders: list[str] = field(default_factory=list)
    checks: list[DrillCheck] = field(default_factory=list)
    to_ask: list[str] = field(default_factory=list)


class DrillMaster:
    def __init__(self, *, node: str, registry: Registry, hands: Callable[[], Executor]) -> None:
        self._node = node
        self._registry = registry
        self._hands = hands
        self.known: dict[tuple[str, str], DeviceDrill] = {}  # by device, node
        self.answered: list[tuple[str, str, str]] = []  # order, device, node
        self._courses: dict[str, Course] = {}
        self._due: dict[str, Instant] = {}
        self._definitions: dict[str, str] = {}  # as scheduled
        self._interval_ms = 0
        self._serial = 0
        self.members: tuple[str, ...] = ()
        self.wall_offset_ms = 0

    def restore(self, data: bytes | None) -> list[Effect]:
        if data is None:
            return []
        try:
            for drill in decode(data, Drills).drills[-MAX_DRILLS:]:
                self.known[drill.device, drill.node] = drill
        except RecordError as error:
            return [Note("warning", f"the results of former drills are lost: {error}")]
        return []

    # The schedule ----------------------------------------------------------------------------------------------------

    def configured(self, now: Instant) -> list[Effect]:
        """The configuration was read: drop what is gone, arm what is new or changed."""
        if not self._registry.known:
            return []
        options = self._registry.configuration.options
        usable = {d.id: d for d in self._registry.configuration.devices.values() if d.may_run_on(self._node)}
        on = options.enabled and options.drill_interval_ms > 0
        fresh = {name: definition(device) for name, device in usable.items()} if on else {}
        effects: list[Effect] = []
        for name in [name for name in self._due if name not in fresh]:
            del self._due[name]
            effects.append(Disarm(f"drill {name}"))
        changed = options.drill_interval_ms != self._interval_ms
        for name, number in fresh.items():
            if changed or name not in self._due or self._definitions.get(name) != number:
                effects += self._arm(name, self._first_due(name, number, options.drill_interval_ms, now))
        self._definitions, self._interval_ms = fresh, options.drill_interval_ms
        return effects + self._forget_gone()

    def _first_due(self, name: str, number: str, interval_ms: int, now: Instant) -> Instant:
        """A minute from now, or when the last drill of the very same definition is old enough."""
        rank = sorted(self.members).index(self._node) if self._node in self.members else 0
        first = now + min(FIRST_DRILL_MS, interval_ms) + rank * STAGGER_MS
        last = self.known.get((name, self._node))
        if last is None or last.definition != number:
            return first
        age_ms = now + self.wall_offset_ms - last.at_s * 1_000
        return max(first, now + min(interval_ms, interval_ms - age_ms))

    def _arm(self, name: str, due: Instant) -> list[Effect]:
        self._due[name] = due
        return [Arm(f"drill {name}", due)]

    def _forget_gone(self) -> list[Effect]:
        devices = self._registry.configuration.devices
        gone = [key for key in self.known if key[0] not in devices]
        for key in gone:
            del self.known[key]
        return [self._persist()] if gone else []

    def fired(self, name: str, now: Instant) -> list[Effect]:
        if name not in self._due:
            return []  # the timer had run out when it was disarmed
        return [*self._arm(name, now + self._interval_ms), *self._begin(name, "", now)]

    def expected(self, device_id: str) -> list[tuple[str, str]]:
        """Which drills an order of now will bring: device and node."""
        devices = self._registry.configuration.devices.values()
        return [
            (device.id, member)
            for device in devices
            if device_id in ("", device.id)
            for member in self.members
            if device.may_run_on(member)
        ]

    def ordered(self, order: str, device_id: str, now: Instant) -> list[Effect]:
        """A person wants to know now."""
        effects: list[Effect] = []
        for name, node in self.expected(device_id):
            if node == self._node:
                effects += self._begin(name, order, now)
        return effects

    # The course of one drill -----------------------------------------------------------------------------------------

    def _begin(self, name: str, order: str, now: Instant) -> list[Effect]:
        device = self._registry.device(name)
        if device is None:
            return []
        course = self._courses.get(name)
        if course is not None:
            if order and len(course.orders) < MAX_ORDERS:
                course.orders.append(order)
            return []
        nodes = sorted({*self._registry.configuration.node_attributes, *self.members})
        targets = [node for node in nodes if self._registry.reach(device, node) is not False][:MAX_TARGETS]
        course = Course(device, now, targets, [order] if order else [])
        self._courses[name] = course
        return self._call(course, "monitor", "", now)

    def _call(self, course: Course, action: str, target: str, now: Instant) -> list[Effect]:
        self._serial += 1
        device = course.device

        def on_end(result: FenceAgentResult, at: Instant) -> list[Effect]:
            return self._called(course, action, target, result, at)

        task = Task(
            kind="drill", key=f"drill {device.id} {self._serial}", device=device, action=action, target=target,
            timeout_ms=device.timeout_ms(action, CALL_TIMEOUT_MS), requester=self._node, on_end=on_end,
        )  # fmt: skip
        return self._hands().submit(task, now)

    def _called(self, course: Course, action: str, target: str, result: FenceAgentResult, now: Instant) -> list[Effect]:
        device = course.device
        traits = self._registry.traits(device.agent)
        match action:
            case "monitor":
                reason, remedy = judge_call(device, "monitor", result)
                course.checks.append(DrillCheck("monitor", not reason, "", reason, remedy, result.exec_ms))
                if reason:
                    return self._end(course, now)
                if "list" in traits.actions and takes_outlet(device, traits):
                    return self._call(course, "list", "", now)
            case "list":
                reason, remedy = judge_call(device, "list", result)
                course.checks.append(DrillCheck("list", not reason, "", reason, remedy, result.exec_ms))
                if not reason:
                    if device == self._registry.device(device.id) and device.id in self._registry.lists:
                        self._registry.listed(device.id, result.output)  # what it reaches may have changed
                    nodes = {*self._registry.configuration.node_attributes, *self.members}
                    course.checks += judge_list(device, result.output, course.targets, nodes)
            case _:
                is_member = target in self.members
                course.checks.append(judge_status(device, target, result, is_member=is_member))
        if action != "status" and "status" in traits.actions:
            missing = {check.target for check in course.checks if not check.ok}
            course.to_ask = [target for target in course.targets if target not in missing]
        return self._ask_next(course, now)

    def _ask_next(self, course: Course, now: Instant) -> list[Effect]:
        if not course.to_ask:
            return self._end(course, now)
        return self._call(course, "status", course.to_ask.pop(0), now)

    def _end(self, course: Course, now: Instant) -> list[Effect]:
        device = course.device
        del self._courses[device.id]
        at_s = (now + self.wall_offset_ms) // 1_000
        number = definition(device)
        former = self.known.get((device.id, self._node))
        was_proved_s = former.proved_at_s if former is not None and former.definition == number else 0
        ok = all(check.ok for check in course.checks)
        drill = DeviceDrill(
            device=device.id, node=self._node, definition=number, at_s=at_s,
            exec_ms=sum(check.exec_ms for check in course.checks), checks=course.checks,
            proved_at_s=at_s if ok else was_proved_s,
        )  # fmt: skip
        orders = course.orders or [""]
        effects: list[Effect] = [
            Note("error", f"drill of fence device {device.id}: {_subject(check)}{check.reason}; {check.remedy}")
            for check in course.checks
            if not check.ok
        ]
        if ok and (former is None or not former.ok):
            level: Literal["notice", "info"] = "notice" if former is not None else "info"
            effects.append(Note(level, f"drill of fence device {device.id}: all is well ({drill.exec_ms} ms)"))
        effects += self.reported(drill, "", now)
        for order in orders:
            self._count(order, drill)
            effects.append(Send(EVERY_STONITHD, DrillReport(drill=drill, order=order)))
        return effects

    # What is known ---------------------------------------------------------------------------------------------------

    def reported(self, drill: DeviceDrill, order: str, now: Instant) -> list[Effect]:
        """A drill of ours or another node's; an older one than is known says nothing."""
        key = (drill.device, drill.node)
        known = self.known.get(key)
        self._count(order, drill)
        stale = known is not None and (known.at_s > drill.at_s or known == drill)
        full = known is None and len(self.known) >= MAX_DRILLS
        if stale or full or drill.device not in self._registry.configuration.devices:
            return []
        self.known[key] = drill
        return [self._persist()]

    def _count(self, order: str, drill: DeviceDrill) -> None:
        entry = (order, drill.device, drill.node)
        if order and entry not in self.answered:
            self.answered = [*self.answered[1 - MAX_ORDERS :], entry]

    def own(self) -> list[DrillReport]:
        """For a node that has just come."""
        return [DrillReport(drill=drill) for (_, node), drill in self.known.items() if node == self._node]

    def _persist(self) -> Persist:
        return Persist(DRILLS, encode(Drills([self.known[key] for key in sorted(self.known)])))


def _subject(check: DrillCheck) -> str:
    return f"{check.action} of {check.target}: " if check.target and check.action == "status" else f"{check.action}: "
