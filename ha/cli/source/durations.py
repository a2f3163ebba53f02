# SPDX-License-Identifier: GPL-2.0-or-later
"""Lengths of time as the tools take them: `30s`, `5min`, `2h`, or ISO 8601 (`PT5M`, `P1DT2H`)."""

from __future__ import annotations

import re

MAX_SECONDS = 10 * 366 * 86400

_SIMPLE = re.compile(r"(\d+)\s*(ms|msec|s|sec|m|min|h|hr|d)?", re.IGNORECASE)
_ISO = re.compile(
    r"P(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?)?"
)
_FACTORS = {"": 1, "ms": 0.001, "msec": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400}
_ISO_FACTORS = {"weeks": 604800, "days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}


class DurationError(ValueError):
    """The text is no length of time; it says what would be."""


def parse_duration(text: str) -> float:
    """Seconds. Raises DurationError."""
    text = text.strip()
    seconds: float
    if simple := _SIMPLE.fullmatch(text):
        seconds = int(simple[1]) * _FACTORS[(simple[2] or "").lower()]
    elif len(text) > 1 and text[-1] != "T" and (iso := _ISO.fullmatch(text)):
        seconds = sum(int(value) * _ISO_FACTORS[unit] for unit, value in iso.groupdict().items() if value)
    else:
        raise DurationError("not a length of time such as 30s, 5min, 2h or PT5M")
    if seconds > MAX_SECONDS:
        raise DurationError("longer than ten years")
    return seconds
