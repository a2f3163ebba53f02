# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of the fence devices: one power switch that every node reaches over a network of its own.

It may fail, be slow, or lie (say yes and cut nothing), by rules as for agents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ha.sim.agenda import MS

if TYPE_CHECKING:
    from ha.sim.node import Node
    from ha.sim.world import World

SWITCH_MS = 150
"""What the switch takes from the order to the confirmed cut."""

LOOK_MS = 20
"""What it takes to say that it is there."""


@dataclass
class SwitchFault:
    """ "" as node matches every target; `count` None means for ever."""

    kind: Literal["fails", "hangs", "slow", "lies"]
    node: str = ""
    extra_ms: int = 0
    count: int | None = None


@dataclass(frozen=True, slots=True)
class SwitchOutcome:
    ok: bool
    timed_out: bool
    exec_ms: int


class PowerSwitch:
    def __init__(self, world: World) -> None:
        self.world = world
        self.faults: list[SwitchFault] = []

    def order(
        self, executor: Node, target: str, action: str, timeout_ms: int, finish: Callable[[SwitchOutcome], None]
    ) -> None:
        """Cut, restore or cycle the power of `target`; `finish` hears of it while the executor has power."""
        self.world.log(executor.name, "fence", f"{action} {target}")
        fault = self._fault(target)
        duration_ms = SWITCH_MS + (fault.extra_ms if fault and fault.kind == "slow" else 0)
        timed_out = bool(fault and fault.kind == "hangs") or duration_ms >= timeout_ms
        duration_ms = min(duration_ms, timeout_ms) if not (fault and fault.kind == "hangs") else timeout_ms
        ok = not timed_out and not (fault and fault.kind == "fails")
        lies = fault is not None and fault.kind == "lies"
        boot = executor.boot

        def end() -> None:
            if not executor.powered or executor.boot != boot:
                return
            if ok and not lies:
                self._act(self.world.nodes[target], action)
            result = "confirmed" if ok else "timed out" if timed_out else "failed"
            self.world.log(executor.name, "fence", f"{action} {target}: {result} after {duration_ms} ms")
            finish(SwitchOutcome(ok, timed_out, duration_ms))

        self.world.agenda.after(duration_ms * MS, end)

    def look(self, executor: Node, timeout_ms: int, finish: Callable[[SwitchOutcome], None]) -> None:
        """Ask the switch whether it is there; hears nothing of a switch that hangs until the timeout."""
        fault = self._fault("")
        boot = executor.boot
        hangs = fault is not None and fault.kind == "hangs"
        duration_ms = timeout_ms if hangs else LOOK_MS

        def end() -> None:
            if executor.powered and executor.boot == boot:
                finish(SwitchOutcome(not hangs and not (fault and fault.kind == "fails"), hangs, duration_ms))

        self.world.agenda.after(duration_ms * MS, end)

    def _fault(self, target: str) -> SwitchFault | None:
        for fault in self.faults:
            if fault.node in ("", target) and fault.count != 0:
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None

    def _act(self, node: Node, action: str) -> None:
        match action:
            case "off":
                node.power_off("fenced")
            case "reboot":
                was_on = node.powered
                node.power_cycle("fenced")
                if not was_on:
                    self.world.boot_later(node)
            case "on":
                self.world.boot_later(node)
            case "monitor" | "status" | "list":
                pass
            case _:
                raise AssertionError(f"the power switch knows no {action!r}")
