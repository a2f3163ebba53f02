# SPDX-License-Identifier: GPL-2.0-or-later
"""What rmd, the root supervisor, is asked by the crmd and by programs, beside supervisorctl."""

from __future__ import annotations

from typing import Literal

import ha.machine


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"rmd.{name}"):
    """Base of rmd's messages."""


class StartWorker(Message, frozen=True, kw_only=True):
    """From the crmd on becoming DC: `pengine` or `tengine` shall run. Repeatable."""

    worker: str


class StopWorker(Message, frozen=True, kw_only=True):
    """From the crmd on ceasing to be DC. Repeatable."""

    worker: str


class GetWorkers(Message, frozen=True, kw_only=True):
    """Answered by Workers."""


class WorkerLine(ha.machine.Message, frozen=True, kw_only=True, tag="rmd.WorkerLine"):
    worker: str
    pid: int
    state: str
    restarts: int
    ready_ms: int


class Workers(Message, frozen=True, kw_only=True):
    workers: list[WorkerLine]


class WatchdogArmed(Message, frozen=True, kw_only=True):
    """To the crmd, when it links and when it changes: apphbd pets a watchdog that resets the node `timeout_ms` after
    its last pet."""

    timeout_ms: int


class RenewLease(Message, frozen=True, kw_only=True):
    """From the crmd: this node has quorum, or nothing is active on it, so that its watchdog may be petted until then
    (an Instant, ms). The first one puts the lease in force: from then on it is petted by leave only."""

    until: int


class ReleaseLease(Message, frozen=True, kw_only=True):
    """From the crmd: the watchdog is petted without it (again), for nothing runs here, or nobody counts on it.
    Repeatable."""


class LeaveCluster(Message, frozen=True, kw_only=True):
    """To the crmd when the node is to stop in good order: stop resources, leave, then answer LeftCluster."""


class LeftCluster(Message, frozen=True, kw_only=True):
    """From the crmd: it has left. Nothing of the cluster's runs here any more, and the workers may end; unless
    `nothing_runs` is false: then it could not get that done."""

    nothing_runs: bool = True


class StopResources(Message, frozen=True, kw_only=True):
    """To the lrmd when the crmd can no longer do it: stop whatever may be active here, then answer ResourcesStopped.

    From then on the lrmd runs no more orders. Repeatable.
    """


class ResourcesStopped(Message, frozen=True, kw_only=True):
    """From the lrmd. `failed`: resources that may still be active, because their stop failed or took too long."""

    failed: list[str] = []


class ResetNode(Message, frozen=True, kw_only=True):
    """From a worker whose duty cannot be done safely: reset this machine as configured. There is no answer."""

    reason: str
    how: Literal["watchdog", "sysrq", "reboot"] = "watchdog"
