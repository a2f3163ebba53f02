# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of digits, however long: a CIB may hold what Python refuses to read as a number (4,300 digits), and what is far
from any limit need not be exact."""

from __future__ import annotations

MAX_DIGITS = 18
LARGEST = 10**MAX_DIGITS - 1
"""What has more digits counts as this, or as its negative."""


def number(text: str) -> int:
    """The integer that decimal digits, after a sign if there is one, stand for."""
    if len(text) <= MAX_DIGITS:
        return int(text)
    digits = text.lstrip("+-").lstrip("0")
    value = int(digits or "0") if len(digits) <= MAX_DIGITS else LARGEST
    return -value if text.startswith("-") else value
