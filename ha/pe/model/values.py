# SPDX-License-Identifier: GPL-2.0-or-later
"""Scalars as a CIB writes them: booleans, integers, durations, ranges, names with numbers in them."""

from __future__ import annotations

import re
from functools import lru_cache

from ha.pe.model.dates import duration_s
from ha.pe.model.digits import number

_TRUE = frozenset(("true", "on", "yes", "y", "1"))
_FALSE = frozenset(("false", "off", "no", "n", "0"))
_INTEGER = re.compile(r"\s*([+-]?\d+)")
_VERSION = re.compile(r"\s*(\d+(?:\.\d+)*)")
_RANGE = re.compile(r"^([+-]?\d+)?(?:(-)(\d+)?)?$")

MEMO_SIZE = 8192
"""How many texts a function remembers the meaning of: a CIB says the same few over and over."""
UINT_MAX = 2**32 - 1
INT_MAX = 2**31 - 1


def boolean(text: str | None) -> bool | None:
    """True or False for one of the words a CIB allows, in any case; None for anything else."""
    if text is None:
        return None
    word = text.lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    return None


def is_true(text: str | None) -> bool:
    return text is not None and text.lower() in _TRUE


@lru_cache(maxsize=MEMO_SIZE)
def integer(text: str | None) -> int | None:
    """The integer `text` begins with (what follows it is ignored), or None."""
    if text is None:
        return None
    if text.isdecimal() and text.isascii():
        return number(text)
    match = _INTEGER.match(text)
    return None if match is None else number(match.group(1))


def integer_at_least(text: str | None, minimum: int, default: int | None = None) -> int:
    """An integer of at least `minimum`; `default` (else the minimum) where there is none."""
    value = integer(text)
    if value is None:
        return minimum if default is None else default
    return min(max(value, minimum), INT_MAX)


def milliseconds(text: str | None) -> int | None:
    """A time with an optional unit, in ms. Without a unit it is in seconds. None if it is no time."""
    if text is None:
        return None
    match = _INTEGER.match(text)
    if match is None:
        return None
    unit = text[match.end() :].lstrip("0123456789.").lstrip().lower()
    value = number(match.group(1))
    if unit == "" or unit.startswith("s"):
        return value * 1000
    if unit.startswith("ms"):
        return value
    if unit.startswith("us"):
        return int(value / 1000)
    if unit.startswith("m"):
        return value * 60_000
    if unit.startswith("h"):
        return value * 3_600_000
    return None


def interval_ms(text: str | None) -> int:
    """An interval: a time with unit or an ISO 8601 duration, in ms. 0 where there is none or it is not one."""
    if text is None:
        return 0
    if text.startswith("P"):
        seconds = duration_s(text)
        return 0 if seconds is None else max(0, min(seconds * 1000, UINT_MAX))
    value = milliseconds(text)
    return 0 if value is None else max(0, min(value, UINT_MAX))


def ms_to_s(value_ms: int) -> int:
    """Whole seconds, half a second rounded up, and at least one for any time above 0."""
    return max(1, (value_ms + 500) // 1000) if value_ms else 0


def integer_range(text: str) -> tuple[int | None, int | None] | None:
    """(first, last) of a range such as 1-5, 3-, -4 or 7; None marks an open end. None if it is not a range."""
    match = _RANGE.match(text)
    if match is None or text in ("", "-"):
        return None
    low_text, dash, high_text = match.groups()
    if low_text is not None and low_text.startswith("-"):
        return None, number(low_text[1:])
    low = None if low_text is None else number(low_text)
    if dash is None:
        return low, low
    return low, None if high_text is None else number(high_text)


def compare_names(one: str, other: str) -> int:
    """-1, 0 or 1: letters without case, runs of digits by their value (node2 before node10)."""
    i = j = 0
    while i < len(one) and j < len(other):
        if one[i].isdecimal() and other[j].isdecimal():
            end_i, end_j = i, j
            while end_i < len(one) and one[end_i].isdecimal():
                end_i += 1
            while end_j < len(other) and other[end_j].isdecimal():
                end_j += 1
            key_i = (number(one[i:end_i]), end_i - i)
            key_j = (number(other[j:end_j]), end_j - j)
            if key_i != key_j:
                return -1 if key_i < key_j else 1
            i, j = end_i, end_j
        else:
            a, b = one[i].lower(), other[j].lower()
            if a != b:
                return -1 if a < b else 1
            i += 1
            j += 1
    if i >= len(one) and j < len(other):
        return -1
    return 1 if i < len(one) else 0


def _version(text: str) -> list[str]:
    match = _VERSION.match(text)
    return [] if match is None else match.group(1).split(".")


def compare_versions(one: str, other: str) -> int:
    """-1, 0 or 1 for dotted versions; parts that are not numbers count as 0."""
    left = [integer(part) or 0 for part in _version(one)]
    right = [integer(part) or 0 for part in _version(other)]
    size = max(len(left), len(right))
    left += [0] * (size - len(left))
    right += [0] * (size - len(right))
    return (left > right) - (left < right)
