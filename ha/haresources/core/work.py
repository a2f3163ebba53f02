# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking and releasing groups, one script at a time.

A piece of work is a generator: it yields what is to be done and is sent how it ended. A group counts as active from
before its first start until its last stop has succeeded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ha.haresources.model.execution import RunScript, ScriptEnd, SettleScripts
from ha.haresources.model.haresources import Group, Haresources, Resource
from ha.machine import Arm, Effect, Execute, Instant, Note

STOP_RETRIES = 10  # HA_STOPRETRYMAX of Heartbeat 3.0.6
STOP_RETRY_MS = 1_000
PAUSE = "work"
NO_SCRIPT = -1


@dataclass(frozen=True, slots=True)
class Pause:
    ms: int


Step: TypeAlias = RunScript | SettleScripts | Pause
Piece: TypeAlias = Generator[Step, ScriptEnd, None]
Done: TypeAlias = Callable[[], None]


class Work:
    """`states` by group key: stopped, starting, running, stopping, failed, stuck, or unknown before the first look."""

    def __init__(self, haresources: Haresources, effects: list[Effect]) -> None:
        self.haresources = haresources
        self.effects = effects
        self.now: Instant = 0
        self.states = {group.key: "unknown" for group in haresources.groups}
        self.queue: deque[tuple[Piece, Done]] = deque()
        self.current: tuple[Piece, Done] | None = None
        self.serial = 0

    @property
    def idle(self) -> bool:
        return self.current is None and not self.queue

    def active(self, groups: Iterable[Group]) -> list[Group]:
        """Those that may be active here."""
        return [group for group in groups if self.states[group.key] not in ("stopped", "failed")]

    # The engine ------------------------------------------------------------------------------------------------------

    def begin(self, piece: Piece, done: Done) -> None:
        """After whatever is under way. `done` is called when it has ended, well or not: `states` tell."""
        self.queue.append((piece, done))
        if self.current is None:
            self._next()

    def _next(self) -> None:
        if self.queue:
            self.current = self.queue.popleft()
            self._advance(None)

    def ended(self, operation: str, end: ScriptEnd) -> None:
        assert operation == f"script:{self.serial}", (operation, self.serial)
        self._advance(end)

    def resumed(self) -> None:
        """The pause is over."""
        self._advance(ScriptEnd(0))

    def _advance(self, end: ScriptEnd | None) -> None:
        assert self.current is not None
        piece, done = self.current
        try:
            step = next(piece) if end is None else piece.send(end)
        except StopIteration:
            self.current = None
            done()
            if self.current is None:
                self._next()
            return
        if isinstance(step, Pause):
            self.effects.append(Arm(PAUSE, self.now + step.ms))
        else:
            self.serial += 1
            self.effects.append(Execute(f"script:{self.serial}", step))

    def _note(self, level: str, text: str) -> None:
        self.effects.append(Note(level, text))  # type: ignore[arg-type]

    # Pieces ----------------------------------------------------------------------------------------------------------

    def look(self) -> Piece:
        """What runs here? First what an earlier life of this worker began is waited for."""
        yield SettleScripts()
        for group in self.haresources.groups:
            running, perhaps = True, False
            for resource in group.resources:
                end = yield RunScript(resource, "status")
                running &= end.running
                perhaps |= end.running or end.code == NO_SCRIPT
            self._become(group, "running" if running else "starting" if perhaps else "stopped")

    def take(self, groups: Iterable[Group]) -> Piece:
        for group in groups:
            if self.states[group.key] == "running":
                continue
            self._note("notice", f"group {group.key}: acquired here")
            self._become(group, "starting")
            for resource in group.resources:
                end = yield RunScript(resource, "status")
                if end.running:
                    continue
                end = yield RunScript(resource, "start")
                if end.code != 0:
                    self._note("error", f"group {group.key}: start of {resource.text} failed ({_why(end)}): released")
                    yield from self.release([group])
                    if self.states[group.key] == "stopped":
                        self._become(group, "failed")
                    break
            else:
                self._become(group, "running")

    def release(self, groups: Iterable[Group]) -> Piece:
        """Those of them that are active when their turn comes. A group that had failed counts as stopped then."""
        for group in groups:
            if not self.active([group]):
                self._become(group, "stopped")
                continue
            self._become(group, "stopping")
            for resource in reversed(group.resources):
                yield from self._stop(group, resource)
                if self.states[group.key] == "stuck":
                    break
            else:
                self._become(group, "stopped")
                self._note("notice", f"group {group.key}: released")

    def _stop(self, group: Group, resource: Resource) -> Piece:
        end = yield RunScript(resource, "stop")
        for _ in range(STOP_RETRIES):
            if end.code == 0:
                return
            yield Pause(STOP_RETRY_MS)
            end = yield RunScript(resource, "stop")
        if end.code == 0:
            return
        why = _why(end)
        status = yield RunScript(resource, "status")
        if status.code == NO_SCRIPT or status.running:
            self._become(group, "stuck")
            self._note("critical", f"group {group.key}: {resource.text} cannot be stopped ({why}): it stays here, and "
                       "so does what is below it; stop it by hand, then restart the worker")  # fmt: skip
        else:
            text = f"group {group.key}: stop of {resource.text} failed ({why}) although it does not run"
            self._note("error", f"{text}: a script must succeed in stopping what is stopped")

    def _become(self, group: Group, state: str) -> None:
        self.states[group.key] = state


def _why(end: ScriptEnd) -> str:
    return f"exit code {end.code}" if end.code != NO_SCRIPT else end.text
