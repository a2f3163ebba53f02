# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of the unix sockets between the workers of a node.

A link is made soon after both ends live, carries bytes in order, and dies with either end: the survivor hears Lost
after what the dead end had already written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.machine import Local, Lost

if TYPE_CHECKING:
    from ha.sim.process import Process

DIAL_US = 1_000
"""From two living ends to a link that stands (both Hello and Welcome said)."""

CARRY_US = 30
"""From a write on one end to the event on the other."""


class Connection:
    """One link between two workers; `hang_up` ends it, and the next one is a new Connection."""

    __slots__ = ("_arrives_us", "dialler", "listener", "standing")

    def __init__(self, dialler: Process, listener: Process) -> None:
        self.dialler = dialler
        self.listener = listener
        self.standing = False
        self._arrives_us = {dialler.name: 0, listener.name: 0}
        dialler.world.agenda.after(DIAL_US, self._stand)

    def _stand(self) -> None:
        if self.dialler.alive and self.listener.alive:
            self.standing = True
            self.listener.linked(self, self.dialler.name)
            if self.dialler.alive:
                self.dialler.linked(self, self.listener.name)

    def other(self, end: Process) -> Process:
        return self.listener if end is self.dialler else self.dialler

    def send(self, sender: Process, data: bytes) -> None:
        target = self.other(sender)
        world = sender.world
        world.agenda.at(self._arrival(sender), lambda: target.post((Local(sender.name), data)))

    def hang_up(self, end: Process) -> None:
        """`end` has died."""
        self.standing = False
        survivor = self.other(end)
        survivor.unlinked(end.name)
        if survivor.alive:
            end.world.agenda.at(self._arrival(end), lambda: survivor.post(Lost(Local(end.name))))

    def _arrival(self, sender: Process) -> int:
        """In order per direction; the agenda keeps the order of equal times."""
        at_us = max(sender.world.agenda.now_us + CARRY_US, self._arrives_us[sender.name])
        self._arrives_us[sender.name] = at_us
        return at_us
