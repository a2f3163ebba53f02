# SPDX-License-Identifier: GPL-2.0-or-later
"""One line for the log, and the orders logd takes."""

from __future__ import annotations

import ha.machine
from ha.machine import Level

RECORDS_SOCKET = "logd-records"
"""Root.socket of this name takes Record as datagrams; programs dial the stream socket `logd`."""


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"logd.{name}"):
    """Base of logd's messages."""


class Record(Message, frozen=True, kw_only=True):
    """One line from a worker: a datagram to logd, never waited for.

    `at_ms` is Unix time in milliseconds, `boot_ms` the Instant. `dropped` counts the lines lost before this one
    because the socket was full.
    """

    at_ms: int
    boot_ms: int
    module: str
    node: str
    pid: int
    level: Level
    text: str
    dropped: int = 0


class SetLevel(Message, frozen=True, kw_only=True):
    """From a program: write lines of `module` ("" = all) from `level` on. Answered by Levels."""

    module: str = ""
    level: Level


class GetLevels(Message, frozen=True, kw_only=True):
    """Answered by Levels."""


class Levels(Message, frozen=True, kw_only=True):
    levels: dict[str, Level]
    dropped: dict[str, int]


class Reopen(Message, frozen=True, kw_only=True):
    """From logrotate's script (or SIGHUP): close and open the files again."""
