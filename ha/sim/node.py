# SPDX-License-Identifier: GPL-2.0-or-later
"""One machine of the cluster: its power, clock, disk, shared memory, processes, and what its agents have running."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.ipc import links
from ha.machine import Started, Wall
from ha.sim.agents import Agents
from ha.sim.clock import NodeClock
from ha.sim.disk import Disk
from ha.sim.links import Connection
from ha.sim.network import PORT
from ha.sim.process import Process
from ha.sim.supervision import RmdTwin, Supervisor

if TYPE_CHECKING:
    from ha.sim.world import World

BOOT_US = 20_000_000
"""From power-on to rmd's start after a reset: a quick machine."""


class Node:
    """What survives a power cut is `disk` and `clock.skew_ms`; all else begins anew with each boot."""

    def __init__(self, world: World, name: str, number: int) -> None:
        self.world = world
        self.name = name
        self.number = number
        self.address = f"10.0.0.{number}"
        self.endpoint = f"{self.address}:{PORT}"
        self.clock = NodeClock()
        self.disk = Disk(world.chance(f"disk/{name}"))
        self.powered = False
        self.paused = False
        self.boot = 0
        self.tickled_us = 0
        self.processes: dict[str, Process] = {}
        self.memory: dict[str, object] = {}
        """Shared memory: outlives every worker, dies with the power."""
        self.agents = Agents(self)
        self.supervisor = Supervisor(self)
        self._spawned = 0

    # Power -----------------------------------------------------------------------------------------------------------

    def power_on(self) -> None:
        """Boot, and start the cluster at once (the machine has been booting before)."""
        if self.powered:
            return
        self.powered = True
        self.paused = False
        self.boot += 1
        self.clock.booted_us = self.world.agenda.now_us
        self.agents = Agents(self)
        self.supervisor = Supervisor(self)
        self.world.log(self.name, "power", "on")
        self.spawn_rmd()
        self.supervisor.start()

    def power_off(self, why: str) -> None:
        """The plug is pulled: processes, memory and unsynced data are gone in the same instant."""
        if not self.powered:
            return
        self.world.log(self.name, "power", f"off ({why})")
        self.powered = False
        self.paused = False
        self.agents.power_lost()
        for process in list(self.processes.values()):
            self.kill(process)
        self.disk.power_lost()
        self.memory.clear()
        self.world.powered_off(self)

    def power_cycle(self, why: str) -> None:
        if not self.powered:
            return
        self.power_off(why)
        boot = self.boot
        self.world.agenda.after(BOOT_US, lambda: self._booted(boot))

    def _booted(self, boot: int) -> None:
        if not self.powered and self.boot == boot and not self.world.stays_off(self.name):
            self.power_on()

    def pause(self) -> None:
        """The whole machine stands still (a suspended guest, an SMI): time goes on, nothing runs."""
        self.paused = True
        self.world.log(self.name, "power", "paused")

    def resume(self) -> None:
        if not self.paused:
            return
        self.paused = False
        self.world.log(self.name, "power", "resumed")
        for process in list(self.processes.values()):
            if not process.frozen:
                process.thaw()

    # Processes -------------------------------------------------------------------------------------------------------

    def may_link(self, one: str, other: str) -> bool:
        return links.linked(one, other)

    def spawn_rmd(self) -> None:
        self._start(Process(self, "rmd", RmdTwin(self.supervisor), self._incarnation("rmd")))

    def spawn(self, name: str) -> Process:
        kind = self.world.stack.kind(name)
        machine = kind.build(self.world.setup(self))
        process = Process(self, name, self.world.wrapped(self, name, machine), self._incarnation(name))
        self._start(process)
        return process

    def _incarnation(self, name: str) -> str:
        self._spawned += 1
        return f"{self.name}-{name}-{self._spawned}"

    def _start(self, process: Process) -> None:
        name = process.name
        assert name not in self.processes, f"two {name} on {self.name}"
        seed = self.world.chance("seeds").getrandbits(64)
        process.post(Started(process.incarnation, seed, self.disk.persisted(name)))
        process.post(Wall(self.clock.wall_offset_ms(self.world.agenda.now_us)))
        for peer in list(self.processes.values()):
            if links.allowed(name, peer.name):
                Connection(process, peer)
            elif links.allowed(peer.name, name):
                Connection(peer, process)
        self.processes[name] = process
        self.world.spawned(process)

    def kill(self, process: Process) -> None:
        self.disk.interrupted(process)
        process.die()

    def forget(self, process: Process) -> None:
        """Called by the dying process."""
        assert self.processes.get(process.name) is process
        del self.processes[process.name]

    def set_clock(self, skew_ms: int) -> None:
        """The wall clock jumps; every worker is told."""
        self.clock.skew_ms = skew_ms
        for process in self.processes.values():
            process.post(Wall(self.clock.wall_offset_ms(self.world.agenda.now_us)))
