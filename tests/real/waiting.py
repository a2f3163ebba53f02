# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for a condition of real processes: the one place where a test lets real time pass."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_MS = 5


def wait_for(condition: Callable[[], T], what: str, timeout_s: float = 20) -> T:
    """The first true value of `condition`; AssertionError naming `what` when it takes longer than `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"within {timeout_s} s it did not happen that {what}"
        select.select([], [], [], POLL_MS / 1000)
