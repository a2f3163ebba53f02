# SPDX-License-Identifier: GPL-2.0-or-later
"""Which process descends from which, as /proc has it at this moment. Source: proc_pid_stat(5)."""

from __future__ import annotations

MAX_GENERATIONS = 64
"""A longer line of parents is not followed."""


def descends(pid: int, ancestor: int) -> bool:
    """Whether `pid` lives and is `ancestor`, or its child, or a child's child. A process whose parent has ended has
    been given another one: of it that can no more be said."""
    for _ in range(MAX_GENERATIONS):
        if pid == ancestor:
            return True
        if pid <= 1:
            return False
        pid = _parent(pid)
    return False


def _parent(pid: int) -> int:
    """0 when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command's name stands in brackets, and may hold some itself.
            return int(file.read(4096).rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
