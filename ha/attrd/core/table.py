# SPDX-License-Identifier: GPL-2.0-or-later
"""Every attribute of every node, as far as this attrd knows. Tables that have seen the same entries are equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ha.attrd.msg import ENTRIES_LIMIT, Entry, Stamp

Key = tuple[str, str]
"""Node and name."""


class AttributeTable:
    def __init__(self, writer: str) -> None:
        self.entries: dict[Key, Entry] = {}
        self.cleared: dict[str, Stamp] = {}
        self._writer = writer
        self._counter = 0

    def stamp(self) -> Stamp:
        """A new one, greater than any seen."""
        self._counter += 1
        return Stamp(self._counter, self._writer)

    def value(self, key: Key) -> str | None:
        entry = self.entries.get(key)
        return None if entry is None else entry.value

    def full(self) -> bool:
        return len(self.entries) >= ENTRIES_LIMIT

    def merge(self, entries: Iterable[Entry], cleared: Mapping[str, Stamp]) -> set[Key]:
        """Take in what is newer; which attributes have changed."""
        changed: set[Key] = set()
        for node, stamp in cleared.items():
            changed |= self.clear(node, stamp)
        for entry in entries:
            self._see(entry.stamp)
            key = entry.node, entry.name
            known = self.entries.get(key)
            if known is not None and known.stamp >= entry.stamp:
                continue
            gone = self.cleared.get(entry.node)
            if (gone is not None and gone >= entry.stamp) or (known is None and self.full()):
                continue
            self.entries[key] = entry
            changed.add(key)
        return changed

    def clear(self, node: str, stamp: Stamp) -> set[Key]:
        """Drop what the node had until then; what was dropped."""
        self._see(stamp)
        if self.cleared.get(node, Stamp()) >= stamp:
            return set()
        self.cleared[node] = stamp
        gone = {key for key, entry in self.entries.items() if key[0] == node and entry.stamp <= stamp}
        for key in gone:
            del self.entries[key]
        return gone

    def listed(self) -> list[Entry]:
        return [self.entries[key] for key in sorted(self.entries)]

    def _see(self, stamp: Stamp) -> None:
        self._counter = max(self._counter, stamp.counter)
