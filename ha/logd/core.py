# SPDX-License-Identifier: GPL-2.0-or-later
"""Which line goes where, in what form, and what becomes of those that cannot be written.

Rules of this file

* Each target (log file, debug file, syslog) has one write under way and one queue behind it: what comes meanwhile is
  one batch. A queue has a limit; beyond it new lines are dropped and counted.
* A write that fails loses its lines; they are counted, and the count is written when the target works again.
* logd says what it has to say about itself in its own lines, never in a Note: that would come back to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ha.logd.model import (
    LEVELS,
    SEVERITY,
    ReopenFiles,
    Settings,
    Target,
    Write,
    json_line,
    syslog_line,
    text_line,
)
from ha.logd.msg import GetLevels, Levels, Record, Reopen, SetLevel
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Execute,
    Finished,
    Fired,
    Instant,
    Level,
    Lost,
    Machine,
    Received,
    Reply,
    Started,
    Stopping,
    Wall,
)

MAX_QUEUED_LINES = 20_000
"""Waiting for one target. Beyond: dropped and counted."""

MAX_QUEUED_CHARACTERS = 16 * 1024 * 1024

MAX_BATCH_LINES = 2_000

MAX_MODULES = 200
"""Modules with a level or a count of their own; a name beyond that shares the level of all."""

RETRY_MS = 1_000
"""After a failed write the target is tried again by the next line, or by this."""


@dataclass(slots=True)
class Outlet:
    """One target's queue."""

    target: Target
    queue: list[str] = field(default_factory=list)
    characters: int = 0
    under_way: int = 0
    """Lines of the write that has not finished; 0: none."""
    dropped: int = 0
    lost: int = 0
    trouble: str = ""
    """The error of the last write, "" when it worked."""


class Logd:
    def __init__(self, *, node: str, pid: int, settings: Settings) -> None:
        self._node = node
        self._pid = pid
        self._settings = settings
        self._level: Level = settings.level
        self._levels: dict[str, Level] = {}
        self._dropped: dict[str, int] = {}
        self._offset_ms = 0
        wanted: dict[Target, str] = {
            "log": settings.logfile,
            "debug": settings.debugfile,
            "syslog": settings.facility,
        }
        self._outlets = {target: Outlet(target) for target, place in wanted.items() if place}

    def step(self, event: Event, now: Instant) -> list[Effect]:
        effects: list[Effect] = []
        match event:
            case Received(message=Record() as record):
                self._take(record, now, effects)
            case Received(sender=Client() as program, message=SetLevel() as order):
                self._set_level(order, program, now, effects)
                effects.append(Reply(program, self._state()))
            case Received(sender=Client() as program, message=GetLevels()):
                effects.append(Reply(program, self._state()))
            case Received(message=Reopen()):
                effects.append(Execute("reopen", ReopenFiles()))
            case Finished("reopen"):
                pass
            case Finished(operation, outcome):
                self._written(self._outlet(operation), outcome, now, effects)
            case Fired(timer):
                self._push(self._outlet(timer), now, effects)
            case Wall(offset_ms):
                self._offset_ms = offset_ms
            case Started():
                for warning in self._settings.warnings:
                    self._say("warning", warning, now, effects)
            case Received(sender=sender, message=message):
                self._say("warning", f"{sender} said {type(message).__name__}, which logd does not serve", now, effects)
            case Stopping():
                self._push_all(now, effects)
            case Connected() | Lost():
                pass
        return effects

    # Lines -----------------------------------------------------------------------------------------------------------

    def _take(self, record: Record, now: Instant, effects: list[Effect]) -> None:
        if record.dropped:
            self._count(record.module, record.dropped)
            text = f"{record.dropped} lines of {record.module} were dropped: its queue was full"
            self._say("warning", text, now, effects)
        if LEVELS.index(record.level) >= LEVELS.index(self._levels.get(record.module, self._level)):
            self._route(record, now, effects)

    def _route(self, record: Record, now: Instant, effects: list[Effect]) -> None:
        targets: Iterable[Target] = ("debug",) if record.level == "debug" else ("log", "syslog")
        for target in targets:
            outlet = self._outlets.get(target)
            if outlet is not None:
                self._queue(outlet, self._line(record, target))
                self._push(outlet, now, effects)

    def _line(self, record: Record, target: Target) -> str:
        if target == "syslog":
            return syslog_line(record, self._settings.facility)
        return json_line(record) if self._settings.format == "json" else text_line(record)

    def _queue(self, outlet: Outlet, line: str) -> None:
        if len(outlet.queue) >= MAX_QUEUED_LINES or outlet.characters + len(line) > MAX_QUEUED_CHARACTERS:
            outlet.dropped += 1
            return
        outlet.queue.append(line)
        outlet.characters += len(line)

    def _push(self, outlet: Outlet, now: Instant, effects: list[Effect]) -> None:
        if outlet.under_way:
            return
        lines = [*self._confession(outlet, now), *outlet.queue[:MAX_BATCH_LINES]]
        if not lines:
            return
        del outlet.queue[:MAX_BATCH_LINES]
        outlet.characters = sum(map(len, outlet.queue))
        outlet.under_way = len(lines)
        effects.append(Disarm(outlet.target))
        effects.append(Execute(outlet.target, Write(outlet.target, tuple(lines))))

    def _push_all(self, now: Instant, effects: list[Effect]) -> None:
        """Last words: behind the write that is under way, whatever its outcome will be."""
        for outlet in self._outlets.values():
            outlet.under_way = 0
            while outlet.queue:
                self._push(outlet, now, effects)
                outlet.under_way = 0

    def _confession(self, outlet: Outlet, now: Instant) -> list[str]:
        """What is missing in the target, said at the place where it is missing."""
        lines = []
        if outlet.lost:
            text = f"{outlet.lost} lines were lost: {outlet.trouble or 'the target could not be written'}"
            lines.append(self._line(self._own("error", text, now), outlet.target))
        if outlet.dropped:
            text = f"{outlet.dropped} lines were dropped: they came faster than they could be written"
            lines.append(self._line(self._own("warning", text, now), outlet.target))
            self._count("logd", outlet.dropped)
            outlet.dropped = 0
        return lines

    def _written(self, outlet: Outlet, outcome: object, now: Instant, effects: list[Effect]) -> None:
        lines, outlet.under_way = outlet.under_way, 0
        if isinstance(outcome, OSError):
            # The line that told of earlier losses is among the lines, and is told anew.
            outlet.lost += lines - (1 if outlet.lost else 0)
            outlet.trouble = outcome.strerror or type(outcome).__name__
            effects.append(Arm(outlet.target, now + RETRY_MS))
            return
        if outlet.lost:
            self._count("logd", outlet.lost)
            outlet.lost = 0
            outlet.trouble = ""
        self._push(outlet, now, effects)

    def _outlet(self, name: str) -> Outlet:
        for target, outlet in self._outlets.items():
            if target == name:
                return outlet
        raise AssertionError(f"{name} is no target that was written to")

    # Levels and counts -----------------------------------------------------------------------------------------------

    def _set_level(self, order: SetLevel, program: Client, now: Instant, effects: list[Effect]) -> None:
        if not order.module:
            former, self._level = self._level, order.level
            self._levels.clear()
            what = "every module"
        elif order.module in self._levels or len(self._levels) < MAX_MODULES:
            former = self._levels.get(order.module, self._level)
            self._levels[order.module] = order.level
            what = order.module
        else:
            return
        who = f"{program.program}, uid {program.uid}"
        self._say("notice", f"level of {what}: {former} => {order.level} ({who})", now, effects)

    def _state(self) -> Levels:
        return Levels(levels={"": self._level, **self._levels}, dropped=dict(self._dropped))

    def _count(self, module: str, number: int) -> None:
        if module in self._dropped or len(self._dropped) < MAX_MODULES:
            self._dropped[module] = self._dropped.get(module, 0) + number

    # logd's own words ------------------------------------------------------------------------------------------------

    def _say(self, level: Level, text: str, now: Instant, effects: list[Effect]) -> None:
        self._route(self._own(level, text, now), now, effects)

    def _own(self, level: Level, text: str, now: Instant) -> Record:
        assert level in SEVERITY, level
        at_ms = now + self._offset_ms
        return Record(
            at_ms=at_ms, boot_ms=now, module="logd", node=self._node, pid=self._pid, level=level, text=text
        )


def build(*, node: str, pid: int, settings: Settings) -> Machine:
    return Logd(node=node, pid=pid, settings=settings)
