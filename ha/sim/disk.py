# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of a node's disk: data is durable some time after it was written, or never, if the power goes first.

A write replaces the whole file (the production shell writes aside, syncs and renames), so a cut leaves the old or the
new data, never a mixture. Which of the two is chance: the rename may have reached the platter before the answer did.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ha.sim.agenda import MS, Ticket

if TYPE_CHECKING:
    from random import Random

    from ha.sim.process import Process

TYPICAL_SYNC_US = 2 * MS
SLOW_SYNC_US = 80 * MS


class Store(Protocol):
    """Files that a module's io adapter keeps besides Persist."""

    def process_died(self) -> None: ...

    def power_lost(self) -> None: ...


@dataclass
class Disk:
    """`slow_share` of the writes take up to SLOW_SYNC_US, the others up to TYPICAL_SYNC_US. While `full`, what the CIB
    writes fails; the small files of Persist still find room (the shell of a worker ends it when they do not)."""

    chance: Random
    slow_share: float = 0.0
    full: bool = False
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    stores: dict[str, Store] = field(default_factory=dict)
    """By the worker that owns them."""
    _under_way: dict[Process, tuple[str, bytes, Ticket]] = field(default_factory=dict)

    def persisted(self, module: str) -> dict[str, bytes]:
        return dict(self.files.get(module, {}))

    def write(self, process: Process, name: str, data: bytes) -> None:
        assert process not in self._under_way, f"{process!r} writes twice at once"
        assert name and "/" not in name, f"{process!r}: {name!r} is a path, not a name"
        ticket = process.world.agenda.after(self.sync_us(), lambda: self._synced(process))
        self._under_way[process] = (name, data, ticket)

    def sync_us(self) -> int:
        """What the next write to stable storage takes."""
        slow = self.chance.random() < self.slow_share
        return self.chance.randrange(MS // 5, SLOW_SYNC_US if slow else TYPICAL_SYNC_US)

    def _synced(self, process: Process) -> None:
        name, data, _ = self._under_way.pop(process)
        self.files.setdefault(process.name, {})[name] = data
        process.written()

    def interrupted(self, process: Process) -> None:
        """The process has died, with its power or without: its write may have reached the disk, or not."""
        if process.name in self.stores:
            self.stores[process.name].process_died()
        entry = self._under_way.pop(process, None)
        if entry is None:
            return
        name, data, ticket = entry
        ticket.cancel()
        if self.chance.random() < 0.5:
            self.files.setdefault(process.name, {})[name] = data

    def power_lost(self) -> None:
        for store in self.stores.values():
            store.power_lost()
