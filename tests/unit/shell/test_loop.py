# SPDX-License-Identifier: GPL-2.0-or-later
"""The loop's promises about timers, in one process and without waiting: two timers that run out in the same turn."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

from ha.machine import Arm, Disarm, Effect, Event, Fired, Instant, Started
from ha.root import Root
from ha.shell import run_worker


@dataclass
class Alarm:
    """Arms `first` and `second` for the same moment; what it does on `first` decides whether `second` may fire."""

    on_first: list[Effect]
    fired: list[str] = field(default_factory=list)

    def step(self, event: Event, now: Instant) -> list[Effect]:
        match event:
            case Started():
                return [Arm("first", now), Arm("second", now), Arm("end", now + 30)]
            case Fired("end"):
                os.kill(os.getpid(), signal.SIGTERM)
                return []
            case Fired(timer):
                self.fired.append(timer)
                return self.on_first if timer == "first" else []
        return []


def fired(short_path: Path, on_first: list[Effect]) -> list[str]:
    root = Root.choose(short_path)
    root.config_dir.mkdir(parents=True)
    (root.config_dir / "nodeinfo").write_text("n1\n")
    machine = Alarm(on_first)
    assert run_worker("pengine", machine, root=root) == 0
    return machine.fired


def test_both_fire(short_path: Path) -> None:
    assert fired(short_path, []) == ["first", "second"]


def test_a_timer_disarmed_in_the_turn_in_which_it_ran_out_does_not_fire(short_path: Path) -> None:
    assert fired(short_path, [Disarm("second")]) == ["first"]
