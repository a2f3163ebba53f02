# SPDX-License-Identifier: GPL-2.0-or-later
"""The order in which Pacemaker walks a table of nodes, and the sort it uses.

"More free capacity" is no order when there are several kinds of capacity: with two, a node can be as good as two
others of which one is better. Then the outcome depends on where a sort begins, so to decide alike we begin alike:
with a table of GLib's (open addressing, found through a prime) and a merge sort that halves from the front.
Source: observed decisions; the documented behaviour of GLib's hash tables and of g_list_sort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")
_PRIMES = (1, 2, 3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521)
_SMALLEST_SHIFT = 3
_WORD = 0xFFFFFFFF


def string_hash(text: str) -> int:
    """The hash of GLib's early days, which Pacemaker keeps, in 32 bits; 0 and 1 are taken for empty places."""
    value = 0
    for byte in text.encode():
        value = (value * 31 + (byte - 256 if byte > 127 else byte)) & _WORD
    return max(value, 2)


class _Table:
    def __init__(self) -> None:
        self.shift = _SMALLEST_SHIFT
        self.slots: list[str | None] = [None] * (1 << self.shift)
        self.used = 0

    def _home(self, key: str) -> int:
        return (string_hash(key) * 11 & _WORD) % _PRIMES[self.shift]

    def add(self, key: str) -> None:
        place, step, mask = self._home(key), 0, len(self.slots) - 1
        while self.slots[place] is not None:
            if self.slots[place] == key:
                return
            step += 1
            place = (place + step) & mask
        self.slots[place] = key
        self.used += 1
        if len(self.slots) <= self.used + self.used // 16:
            self._grow()

    def _grow(self) -> None:
        """Moves every key to its place in a larger table, driving out what is in the way."""
        old_size = len(self.slots)
        self.shift = max(int(self.used * 1.333).bit_length(), _SMALLEST_SHIFT)
        self.slots.extend([None] * ((1 << self.shift) - old_size))
        settled = bytearray(len(self.slots))
        mask = len(self.slots) - 1
        for start in range(old_size):
            key = self.slots[start]
            if key is None or settled[start]:
                continue
            self.slots[start] = None
            while key is not None:
                place, step = self._home(key), 0
                while settled[place]:
                    step += 1
                    place = (place + step) & mask
                settled[place] = 1
                self.slots[place], key = key, self.slots[place]


def walked(keys: Iterable[str]) -> list[str]:
    """The keys of a table in the order in which it is walked."""
    table = _Table()
    for key in keys:
        table.add(key)
    return [key for key in table.slots if key is not None]


def merge_sorted(items: list[T], compare: Callable[[T, T], int]) -> list[T]:
    """`items` sorted by merging halves, the first half being the shorter one."""
    if len(items) < 2:
        return items
    middle = len(items) // 2
    left, right = merge_sorted(items[:middle], compare), merge_sorted(items[middle:], compare)
    merged: list[T] = []
    i = j = 0
    while i < len(left) and j < len(right):
        if compare(left[i], right[j]) <= 0:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]
