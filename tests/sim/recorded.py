# SPDX-License-Identifier: GPL-2.0-or-later
"""Records every worker of a simulated cluster as the production shell records a real one."""

from __future__ import annotations

import inspect

from ha.machine import Effect, Event
from ha.recording import Header, Step, frame
from ha.sim.process import Process
from ha.sim.stack import BUILDERS, keys, settings
from ha.sim.world import Watcher, World


class Recorder(Watcher):
    """One recording per process, in the order in which the processes began."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.recordings: dict[Process, bytearray] = {}

    def spawned(self, process: Process) -> None:
        if process.name in BUILDERS:
            header = Header(process.name, process.node.name, self._settings(process))
            self.recordings[process] = bytearray(frame(header))

    def stepped(self, process: Process, event: Event, effects: list[Effect]) -> None:
        if process in self.recordings:
            now = process.node.clock.instant(self.world.agenda.now_us)
            self.recordings[process] += frame(Step(now, event, effects))

    def _settings(self, process: Process) -> dict[str, object]:
        setup = self.world.setup(process.node)
        ha_cf = settings(setup)
        known: dict[str, object] = {
            "node": setup.node,
            "nodes": setup.nodes,
            "boot_id": setup.boot_id,
            "ha_cf": ha_cf,
            "keys": keys(),
            "keepalive_ms": ha_cf.keepalive_ms,
            "deadtime_ms": ha_cf.deadtime_ms,
            "initdead_ms": ha_cf.initdead_ms,
        }
        wanted = inspect.signature(BUILDERS[process.name]).parameters
        return {name: value for name, value in known.items() if name in wanted}
