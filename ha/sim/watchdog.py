# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of a node's watchdog and of the part of apphbd that pets it, under the lease that production code decides on.

The device is hardware: it does not stand still with its machine. apphbd itself never dies here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.apphbd.core.lease import LeaseWatch
from ha.apphbd.msg import Lease
from ha.machine import Effect, Instant, Note
from ha.sim.agenda import MS, SECOND, Ticket

if TYPE_CHECKING:
    from ha.sim.node import Node

INTERVAL_US = SECOND
"""Between two pets, as apphbd.cf has it by default."""


class WatchdogTwin:
    """From power-on to power-off of one machine."""

    def __init__(self, node: Node, timeout_ms: int) -> None:
        self.node = node
        self.timeout_ms = timeout_ms
        self._agenda = node.world.agenda
        self._lease = LeaseWatch(None, timeout_ms)
        self._boot = node.boot
        self._reset: Ticket | None = None
        self._turn()

    def told(self, until: Instant | None) -> None:
        effects: list[Effect] = []
        now = self._now()
        was_allowed = self._lease.allows(now)
        self._lease.told(Lease(until=until), now, effects)
        if not was_allowed and self._lease.allows(now):
            self._pet()
        self._say(effects)

    def _now(self) -> Instant:
        return self.node.clock.instant(self._agenda.now_us)

    def _turn(self) -> None:
        if not self.node.powered or self.node.boot != self._boot:
            if self._reset is not None:
                self._reset.cancel()
            return
        if not self.node.paused:
            effects: list[Effect] = []
            if self._lease.allows(self._now()):
                self._pet()
            else:
                self._lease.fired(self._now(), effects)
            self._say(effects)
        self._agenda.after(INTERVAL_US, self._turn)

    def _pet(self) -> None:
        if self._reset is not None:
            self._reset.cancel()
        self._reset = self._agenda.after(self.timeout_ms * MS, self._expired)

    def _expired(self) -> None:
        if self.node.powered and self.node.boot == self._boot:
            self.node.power_cycle("reset by its watchdog")

    def _say(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Note):
                self.node.world.log(f"{self.node.name}/apphbd", effect.level, effect.text)
