# SPDX-License-Identifier: GPL-2.0-or-later
"""One client as apphbd knows it: a worker, rmd, an application, or a program of a stanza."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ha.apphbd.msg import Register
from ha.machine import Instant

FORGET_MS = 60_000
"""A hung client that rmd does not know (an application) is forgotten after this silence."""

Key: TypeAlias = tuple[str, int]
Kind: TypeAlias = Literal["worker", "application", "program"]
ClientState: TypeAlias = Literal["starting", "well", "late", "hung"]
EventName: TypeAlias = Literal["HBREG", "HBWARN", "NOHB", "HBAGAIN", "HUP", "HBUNREG"]

ON_BEAT: dict[ClientState, EventName | None] = {"starting": "HBREG", "well": None, "late": None, "hung": "HBAGAIN"}
"""What a beat reports, by the state in which it finds the client; it is well afterwards."""


@dataclass(slots=True)
class Watched:
    module: str
    pid: int
    state: ClientState
    since: Instant
    """The last beat, or the last moment at which silence could not be held against it."""
    interval_ms: int = 0
    warntime_ms: int = 0
    deadline_ms: int = 0
    expected: bool = False
    """Somebody else says when it has ended: rmd of a worker, its connection of an application."""
    reset: bool = False
    """The node is to be reset when it fails."""
    kind: Kind = "worker"
    registered: Register | None = None
    """Of an application: its request, whose identity the kernel has confirmed."""
    status: str = ""
    """What a program says of itself, for people."""

    def due(self) -> Instant | None:
        """When its state has to be judged again if it stays silent; None: never."""
        match self.state:
            case "well":
                limits = [limit for limit in (self.warntime_ms, self.deadline_ms) if limit]
                return self.since + min(limits) if limits else None
            case "hung":
                return None if self.expected else self.since + FORGET_MS
        return self.since + self.deadline_ms if self.deadline_ms else None

    def beat(self, now: Instant) -> EventName | None:
        """It is well. Returns what there is to report."""
        report = ON_BEAT[self.state]
        self.state = "well"
        self.since = now
        return report

    @property
    def label(self) -> str:
        return f"{self.module} (pid {self.pid})"
