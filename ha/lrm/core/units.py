# SPDX-License-Identifier: GPL-2.0-or-later
"""How each action on a systemd unit goes: a dialogue with the manager on the bus, decided here, carried out by io.

A dialogue is a generator: it yields a step, is sent what came of it, and returns a UnitOutcome (or what it was asked
for). A call that the manager refuses is thrown into it as Refused. It knows no time but Pause: io bounds the whole.

    start    LoadUnit, drop-in, Reload, StartUnit ──► JobRemoved ──► ActiveState
    stop     LoadUnit, no drop-in, Reload, StopUnit ──► JobRemoved
    monitor  GetUnit ──► ActiveState, again and again while it is passing

Source: org.freedesktop.systemd1(5). Answers are checked: whoever sits on the bus may say anything.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from ha.lrm.model import codes
from ha.lrm.model.units import LISTED_SUFFIXES, PASSING_STATES, drop_in, resource_name, state_code

MANAGER_PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "org.freedesktop.systemd1.Unit"
SERVICE = "org.freedesktop.systemd1.Service"
PROPERTIES = "org.freedesktop.DBus.Properties"
NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"

PASSING_PAUSE_MS = 100
JOB_PATIENCE_MS = 2_000
"""Then the unit's state is looked at: the end of a job is not told by a manager that was itself restarted."""
MAX_LISTED_UNITS = 20_000
OBJECT_PATH = re.compile(r"/|(/[A-Za-z0-9_]{1,255}){1,20}")


class Refused(Exception):
    """The manager, or the bus, answered a call with an error; `name` is the D-Bus name of it."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{text} ({name})" if text else name)
        self.name = name


class Nonsense(Exception):
    """An answer that is not of the form that the interface promises."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A method call; what is sent back is the answer's body, a tuple."""

    method: str
    signature: str = ""
    arguments: tuple[object, ...] = ()
    path: str = MANAGER_PATH
    interface: str = MANAGER


@dataclass(frozen=True, slots=True)
class DropIn:
    """Write the unit's drop-in (`text` None: remove it). Sent back: whether that changed anything."""

    unit: str
    text: str | None


@dataclass(frozen=True, slots=True)
class AwaitJob:
    """Sent back: the result that JobRemoved told, "" when it told none within `patience_ms`."""

    job: str
    patience_ms: int = JOB_PATIENCE_MS


@dataclass(frozen=True, slots=True)
class Pause:
    duration_ms: int


Step = Ask | DropIn | AwaitJob | Pause


@dataclass(frozen=True, slots=True)
class UnitOutcome:
    """An OCF code, and why when it is none of success."""

    rc: int
    reason: str = ""


Dialogue = Generator[Step, Any, UnitOutcome]


def action(operation: str, unit: str) -> Dialogue:
    """The dialogue of an operation of the LRM."""
    match operation:
        case "start":
            return _start(unit)
        case "stop":
            return _stop(unit)
        case "restart":
            return _restart(unit)
        case "monitor" | "status":
            return _monitor(unit)
        case _:
            return _not_implemented(operation)


def _start(unit: str) -> Dialogue:
    path = yield from _load(unit)
    if not path:
        return UnitOutcome(codes.ERR_INSTALLED, f"systemd knows no unit {unit}")
    yield from _set_drop_in(unit, drop_in(unit))
    result = yield from _job("StartUnit", unit, path, wanted=codes.SUCCESS)
    if result != "done":
        return UnitOutcome(codes.ERR_GENERIC, f"systemd's job to start {unit} ended as {result}")
    state = yield from _property(path, UNIT, "ActiveState", str)
    if state == "failed":  # a process that was started and died at once is a job well done
        return UnitOutcome(codes.ERR_GENERIC, f"{unit} was started and is in state failed")
    return UnitOutcome(codes.SUCCESS)


def _stop(unit: str) -> Dialogue:
    path = yield from _load(unit)
    if not path:
        yield DropIn(unit, None)
        return UnitOutcome(codes.SUCCESS)
    yield from _set_drop_in(unit, None)
    result = yield from _job("StopUnit", unit, path, wanted=codes.NOT_RUNNING)
    if result != "done":
        return UnitOutcome(codes.ERR_GENERIC, f"systemd's job to stop {unit} ended as {result}")
    return UnitOutcome(codes.SUCCESS)


def _restart(unit: str) -> Dialogue:
    path = yield from _load(unit)
    if not path:
        return UnitOutcome(codes.ERR_INSTALLED, f"systemd knows no unit {unit}")
    result = yield from _job("RestartUnit", unit, path, wanted=codes.SUCCESS)
    if result != "done":
        return UnitOutcome(codes.ERR_GENERIC, f"systemd's job to restart {unit} ended as {result}")
    return UnitOutcome(codes.SUCCESS)


def _monitor(unit: str) -> Dialogue:
    path = yield from _loaded(unit)
    if not path:
        path = yield from _load(unit)
    if not path:
        return UnitOutcome(codes.ERR_INSTALLED, f"systemd knows no unit {unit}")
    while (state := (yield from _property(path, UNIT, "ActiveState", str))) in PASSING_STATES:
        yield Pause(PASSING_PAUSE_MS)
    return UnitOutcome(state_code(state), f"{unit} is in state failed" if state == "failed" else "")


def _not_implemented(operation: str) -> Dialogue:
    return UnitOutcome(codes.ERR_UNIMPLEMENTED, f"systemd units have no action {operation}")
    yield Pause(0)  # a generator, as the others


def exists(unit: str) -> Generator[Step, Any, bool]:
    path = yield from _load(unit)
    return path != ""


def main_pid(unit: str) -> Generator[Step, Any, int]:
    """The process that makes out the service, 0 for none."""
    path = yield from _loaded(unit)
    if not path or not unit.endswith(".service"):
        return 0
    pid: int = yield from _property(path, SERVICE, "MainPID", int)
    return pid


def list_units() -> Generator[Step, Any, tuple[str, ...]]:
    """All units of the kinds that make sense as resources, by their names as resources, sorted."""
    names: set[str] = set()
    for method in ("ListUnits", "ListUnitFiles"):
        body = yield Ask(method)
        rows = body[0] if isinstance(body, tuple) and len(body) == 1 and isinstance(body[0], list) else None
        if rows is None:
            raise Nonsense(f"{method} was not answered by a list")
        for row in rows[:MAX_LISTED_UNITS]:
            if not isinstance(row, tuple) or not row or not isinstance(row[0], str):
                raise Nonsense(f"{method} lists {row!r}")
            name = row[0].rpartition("/")[2]
            if name.endswith(LISTED_SUFFIXES):
                names.add(resource_name(name))
    return tuple(sorted(names))


# What dialogues have in common -------------------------------------------------------------------------------------


def _load(unit: str) -> Generator[Step, Any, str]:
    """The unit's object, "" when systemd knows no such unit."""
    try:
        path = _object((yield Ask("LoadUnit", "s", (unit,))))
    except Refused as refusal:
        if refusal.name == NO_SUCH_UNIT:
            return ""
        raise
    state = yield from _property(path, UNIT, "LoadState", str)
    return "" if state == "not-found" else path


def _loaded(unit: str) -> Generator[Step, Any, str]:
    """The object of a unit that systemd has in memory (every running one is), else ""."""
    try:
        return _object((yield Ask("GetUnit", "s", (unit,))))
    except Refused as refusal:
        if refusal.name == NO_SUCH_UNIT:
            return ""
        raise


def _property(path: str, interface: str, name: str, kind: type) -> Generator[Step, Any, Any]:
    body = yield Ask("Get", "ss", (interface, name), path=path, interface=PROPERTIES)
    variant = _one(body, tuple)
    if len(variant) != 2 or type(variant[1]) is not kind:
        raise Nonsense(f"property {name} is {variant!r}")
    return variant[1]


def _set_drop_in(unit: str, text: str | None) -> Generator[Step, Any, None]:
    changed = yield DropIn(unit, text)
    if changed:
        yield Ask("Reload")


def _job(method: str, unit: str, path: str, *, wanted: int) -> Generator[Step, Any, str]:
    """Have the manager do it; the job's result as JobRemoved tells it, or "done" by the state that was `wanted`."""
    job = _object((yield Ask(method, "ss", (unit, "replace"))))
    while not (result := (yield AwaitJob(job))):
        state = yield from _property(path, UNIT, "ActiveState", str)
        if state not in PASSING_STATES and state_code(state) == wanted:
            return "done"  # "failed" tells nothing yet: it may be left of the life before, while the job still waits
    return str(result)


def _object(body: object) -> str:
    path: str = _one(body, str)
    if not OBJECT_PATH.fullmatch(path):
        raise Nonsense(f"{path[:80]!r} is no object of the bus")
    return path


def _one(body: object, kind: type) -> Any:
    if not isinstance(body, tuple) or len(body) != 1 or not isinstance(body[0], kind):
        raise Nonsense(f"{str(body)[:80]} is not one {kind.__name__}")
    return body[0]
