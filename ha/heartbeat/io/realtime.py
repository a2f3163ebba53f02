# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeping the process punctual: real-time priority, memory that is never paged out, no garbage collection.

Measured with 40 busy processes beside it: a 100 ms tick came at most 1.5 ms late so, 15 ms late without.
Source: sched(7), mlockall(2).
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ha.shell import Loop

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
"""Source: sys/mman.h. ONFAULT: pages that are still shared with rmd, from whose image we were forked, stay shared."""


class Punctual:
    """The adapter that does it when the worker begins."""

    requests: tuple[type, ...] = ()

    def __init__(self, realtime: bool, priority: int) -> None:
        self._realtime = realtime
        self._priority = priority

    def open(self, loop: Loop) -> None:
        for problem in become_punctual(self._realtime, self._priority):
            loop.note("warning", problem)

    def execute(self, operation: str, request: object) -> None:
        raise AssertionError(f"serves no requests: {operation} {request!r}")

    def close(self) -> None:
        """Nothing is held."""


def become_punctual(realtime: bool, priority: int) -> list[str]:
    """Do what is permitted; returns what is not, in words for the log. `priority` 0 means the middle of the range."""
    gc.collect()
    gc.freeze()
    gc.disable()
    if not realtime:
        return []
    return [problem for problem in (_take_priority(priority), _lock_memory()) if problem]


def _take_priority(priority: int) -> str:
    least, most = os.sched_get_priority_min(os.SCHED_RR), os.sched_get_priority_max(os.SCHED_RR)
    chosen = min(max(priority or (least + most) // 2, least), most)
    try:
        # Threads for slow work must not inherit it.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(chosen))
    except PermissionError:
        return "no right to real-time priority (RLIMIT_RTPRIO, CAP_SYS_NICE): under load we may be late"
    return ""


def _lock_memory() -> str:
    """Lock only where no limit can make a later allocation fail."""
    refused = "no right to lock memory (RLIMIT_MEMLOCK, CAP_IPC_LOCK): if the node swaps we may be late"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, unlimited)
    except (ValueError, OSError):
        if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
            return refused
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        return f"{refused}: {os.strerror(ctypes.get_errno())}"
    return ""
