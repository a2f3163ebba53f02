# SPDX-License-Identifier: GPL-2.0-or-later
"""Scores: the arithmetic of preference.

INFINITY is 1,000,000 and absorbs; minus infinity wins over plus infinity. Colocation factors are single-precision
floats, as in Pacemaker, so that our roundings are equal to its roundings.
Source: Pacemaker Explained, "Scores"; observed behaviour.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from functools import lru_cache

from ha.pe.model.digits import number
from ha.pe.model.values import MEMO_SIZE

INFINITY = 1_000_000
MINUS_INFINITY = -INFINITY

UNUSABLE = -100 * INFINITY
"""Marks a node inside one colocation computation as made unusable. It never leaves that computation."""

_SINGLE = struct.Struct("f")
_INTEGER = re.compile(r"\s*([+-]?\d+)")
_COLOURS = ("red", "yellow", "green")


def add(one: int, other: int) -> int:
    """The sum of two scores; -INFINITY beats +INFINITY, and both absorb."""
    if one <= MINUS_INFINITY or other <= MINUS_INFINITY:
        return MINUS_INFINITY
    if one >= INFINITY or other >= INFINITY:
        return INFINITY
    total = one + other
    if total >= INFINITY:
        return INFINITY
    return max(total, MINUS_INFINITY)


def readable(score: int) -> str:
    """The score as operators write it: INFINITY, -INFINITY or the number."""
    if score >= INFINITY:
        return "INFINITY"
    if score <= MINUS_INFINITY:
        return "-INFINITY"
    return str(score)


def parse(text: str | None, default: int = 0, colours: Mapping[str, int] | None = None) -> int | None:
    """The score written in `text`, clipped to the infinities; `default` without a text; None if it is not a score.

    `colours` are the scores of the node health words red, yellow and green (all 0 where not given).
    """
    if text is None:
        return default
    if text == "-INFINITY":
        return MINUS_INFINITY
    if text in ("INFINITY", "+INFINITY"):
        return INFINITY
    word = text.lower()
    if word in _COLOURS:
        return 0 if colours is None else colours[word]
    match = _INTEGER.match(text)
    if match is None:
        return None
    return max(MINUS_INFINITY, min(INFINITY, number(match.group(1))))


def parse_or(text: str | None, default: int = 0) -> int:
    """Like `parse`, with the default also for what is not a score."""
    score = parse(text, default)
    return default if score is None else score


def single(value: float) -> float:
    """`value` rounded to a single-precision float."""
    result: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    return result


def factor_of(score: int) -> float:
    """What part of infinity a colocation score is, in single precision."""
    return single(score / INFINITY)


def scaled_factor(factor: float, score: int) -> float:
    """A factor passed on through one more colocation of `score`."""
    return single(single(factor * score) / INFINITY)


@lru_cache(maxsize=MEMO_SIZE)
def scaled(factor: float, score: int) -> int:
    """`score` scaled by a colocation factor: rounded half away from zero, and never 0 unless the score is."""
    product = single(factor * score)
    delta = int(product - 0.5) if product < 0 else int(product + 0.5)
    if delta == 0 and score != 0:
        if factor > 0:
            return 1
        if factor < 0:
            return -1
    return delta
