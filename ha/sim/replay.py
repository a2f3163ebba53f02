# SPDX-License-Identifier: GPL-2.0-or-later
"""Give a core what a real process was given, and see whether it decides the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ha.machine import Effect, Machine
from ha.recording import Header, Step


@dataclass(frozen=True, slots=True)
class Difference:
    """The first step at which the replayed core decided otherwise; `number` counts steps from 1."""

    number: int
    step: Step
    replayed: list[Effect]

    def __str__(self) -> str:
        lines = [f"step {self.number} at {self.step.now} ms: {self.step.event}"]
        lines += [f"  - {effect}" for effect in self.step.effects if effect not in self.replayed]
        lines += [f"  + {effect}" for effect in self.replayed if effect not in self.step.effects]
        if len(lines) == 1:
            lines.append("  the same effects in another order")
        return "\n".join(lines)


def replay(entries: Iterable[Header | Step], build: Callable[[Header], Machine]) -> tuple[int, Difference | None]:
    """Steps replayed, and the first difference if there is one."""
    machine: Machine | None = None
    number = 0
    for entry in entries:
        if isinstance(entry, Header):
            machine = build(entry)
            continue
        assert machine is not None, "a recording begins with its header"
        number += 1
        effects = machine.step(entry.event, entry.now)
        if effects != entry.effects:
            return number, Difference(number, entry, effects)
    return number, None
