# SPDX-License-Identifier: GPL-2.0-or-later
"""Times and truths as ha.cf writes them."""

from __future__ import annotations

import re

MAX_TIME_MS = 7 * 24 * 3600 * 1000
_TIME = re.compile(r"(\d{1,12}(?:\.\d{0,9})?|\.\d{1,9})(ms|msec|us|usec)?", re.ASCII)
_TRUE = ("yes", "y", "1", "true", "on")
_FALSE = ("no", "n", "0", "false", "off")


def parse_time_ms(word: str) -> int:
    """Seconds with fractions, or a number with ms, msec, us or usec. Raises ValueError with a text for people.

    The result is whole milliseconds, rounded up, so that a positive time never becomes none.
    """
    match = _TIME.fullmatch(word)
    if match is None:
        raise ValueError(f"{word!r} is no time: a number of seconds, or with ms or us after it (2, 0.5, 500ms)")
    whole, _, fraction = match[1].partition(".")
    nanounits = int(whole or "0") * 10**9 + int(fraction.ljust(9, "0")[:9] or "0")
    per_ms = {None: 10**6, "ms": 10**9, "msec": 10**9, "us": 10**12, "usec": 10**12}[match[2]]
    milliseconds = -(-nanounits // per_ms)
    if milliseconds > MAX_TIME_MS:
        raise ValueError(f"{word!r} is longer than a week")
    return milliseconds


def parse_boolean(word: str) -> bool:
    lowered = word.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError(f"{word!r} is neither {'/'.join(_TRUE)} nor {'/'.join(_FALSE)}")


def parse_number(word: str, least: int, most: int) -> int:
    if not re.fullmatch(r"-?\d{1,10}", word, re.ASCII) or not least <= int(word) <= most:
        raise ValueError(f"{word!r} is no whole number from {least} to {most}")
    return int(word)
