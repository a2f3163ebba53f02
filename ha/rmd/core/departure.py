# SPDX-License-Identifier: GPL-2.0-or-later
"""How the node leaves the cluster: who is asked to stop its resources, and when the workers may end (P1).

    HERE ──begin, given up──► LEAVING ──the crmd has left──────────────────────────────► GONE: the workers end
      │                          │ no crmd any more, too late, asked to stop again         ▲
      └──────────────────────────┴────► STOPPING ──the lrmd has stopped them, one by one───┘
                                            └──it cannot──► reset of the node

Rules of this file

* The crmd's way is the better one: resources move off first, and heartbeat says goodbye. It needs other workers: when
  one of those was given up, or the crmd itself, the lrmd stops what is active, and the node leaves without a goodbye.
* The node stays a member of the cluster, and its peers start nothing of what it has, until its resources are stopped.
* Resources that may be active and cannot be stopped are answered by a reset.
* A node without an lrmd has no resources.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from ha.machine import Instant, Level

NEEDED_TO_LEAVE = frozenset({"heartbeat", "ccm", "cib", "lrmd", "attrd", "crmd"})
"""Without one of these the crmd cannot have its resources moved off and say goodbye."""


class Phase(Enum):
    HERE = "here"
    LEAVING = "leaving"
    STOPPING = "stopping"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Alive:
    """Which of the two that can be asked has a process, or will have one soon. `lrmd` None: the node has no lrmd."""

    crmd: bool
    lrmd: bool | None


@dataclass(frozen=True, slots=True)
class AskCrmd:
    """LeaveCluster, now or when its link stands; then say `left`."""


@dataclass(frozen=True, slots=True)
class AskLrmd:
    """StopResources, now or when its link stands; then say `stopped`."""


@dataclass(frozen=True, slots=True)
class EndWorkers:
    """In the reverse of their start order; then rmd ends."""


@dataclass(frozen=True, slots=True)
class ResetNode:
    reason: str


@dataclass(frozen=True, slots=True)
class Tell:
    level: Level
    text: str


Order: TypeAlias = AskCrmd | AskLrmd | EndWorkers | ResetNode | Tell


class Departure:
    """`timeout_ms` bounds the crmd's way, and then the lrmd's."""

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self.phase = Phase.HERE
        self.due: Instant | None = None
        """When `fired` is to be called."""

    def asked(self, alive: Alive, now: Instant) -> list[Order]:
        """An operator, or init, has the node stop; said again, it is in a hurry."""
        match self.phase:
            case Phase.HERE if alive.crmd:
                return self._become_leaving(now)
            case Phase.HERE if not alive.lrmd:
                return [Tell("info", "no crmd runs: nothing has to leave the cluster"), *self._become_gone()]
            case Phase.HERE:
                return self._become_stopping("there is no crmd", alive, now)
            case Phase.LEAVING:
                return self._become_stopping("asked to stop again", alive, now)
            case Phase.STOPPING:
                text = "asked to stop once more: the workers are ended although resources may be active"
                return [Tell("critical", text), *self._become_gone()]
            case Phase.GONE:
                return []

    def given_up(self, worker: str, alive: Alive, now: Instant, *, at_once: bool) -> list[Order]:
        """A worker died too often. `at_once`: its stanza wants the resources stopped without the crmd."""
        match self.phase:
            case Phase.HERE if alive.crmd and worker not in NEEDED_TO_LEAVE and not at_once:
                return self._become_leaving(now)
            case Phase.HERE:
                return self._become_stopping(f"{worker} is given up", alive, now)
            case Phase.LEAVING if at_once or not alive.crmd or worker in NEEDED_TO_LEAVE:
                return self._become_stopping(f"{worker} is given up", alive, now)
            case Phase.STOPPING if alive.lrmd is False:
                return [ResetNode("the lrmd, which was to stop the resources, is given up"), *self._become_gone()]
        return []

    def left(self, alive: Alive, now: Instant, *, nothing_runs: bool) -> list[Order]:
        """The crmd has left; does it vouch for it that nothing of the cluster's runs here any more?"""
        if self.phase is not Phase.LEAVING:
            return []
        if not nothing_runs:
            return self._become_stopping("the crmd has left, and resources may be active", alive, now)
        return [Tell("info", "the crmd has left the cluster"), *self._become_gone()]

    def stopped(self, failed: tuple[str, ...]) -> list[Order]:
        """The lrmd: all are stopped but these."""
        if self.phase is not Phase.STOPPING:
            return []
        if failed:
            return [ResetNode(f"{', '.join(failed)} could not be stopped"), *self._become_gone()]
        return [Tell("notice", "every resource is stopped: the node leaves the cluster"), *self._become_gone()]

    def fired(self, alive: Alive, now: Instant) -> list[Order]:
        """Time has passed."""
        if self.due is None or now < self.due:
            return []
        within = f"within {self._timeout_ms} ms"
        if self.phase is Phase.LEAVING:
            return self._become_stopping(f"the crmd did not leave {within}", alive, now)
        return [ResetNode(f"the resources were not stopped {within}"), *self._become_gone()]

    def _become_leaving(self, now: Instant) -> list[Order]:
        self.phase, self.due = Phase.LEAVING, now + self._timeout_ms
        return [Tell("info", "asked the crmd to leave the cluster"), AskCrmd()]

    def _become_stopping(self, why: str, alive: Alive, now: Instant) -> list[Order]:
        if alive.lrmd is None:
            return [Tell("info", f"{why}; this node has no lrmd, and so no resources"), *self._become_gone()]
        if not alive.lrmd:
            return [ResetNode(f"{why}, and no lrmd runs that could stop the resources"), *self._become_gone()]
        self.phase, self.due = Phase.STOPPING, now + self._timeout_ms
        return [Tell("warning", f"{why}: the lrmd stops every resource of this node"), AskLrmd()]

    def _become_gone(self) -> list[Order]:
        self.phase, self.due = Phase.GONE, None
        return [EndWorkers()]
