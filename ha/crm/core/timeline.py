# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of recent recoveries, with the time of each: what took how long (P8).

A recovery begins with a loss or a failure and ends when the cluster is idle; each phase is kept once per recovery
(`fencing`, `fenced`, `started` once per node or resource).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ha.crm.core.context import Context
from ha.crm.model.history import counts_as_failure
from ha.crm.msg import Phase
from ha.lrm.msg import OperationResult
from ha.te.msg import RequestAction

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

MAX_PHASES = 200
"""The oldest are dropped."""


class Timeline:
    def __init__(self, crmd: Crmd) -> None:
        self.context: Context = crmd.context
        self.phases: deque[Phase] = deque(maxlen=MAX_PHASES)
        self.open = False
        self.doubt_ms: int | None = None

    def begin(self, detail: str) -> None:
        """Something was lost: a new recovery, or one more loss in the open one."""
        self.open = True
        self._add("loss-seen", detail, self.doubt_ms)
        self.doubt_ms = None

    def doubt(self) -> None:
        """The view is in doubt: if it comes to a loss, this is when it was first seen."""
        self.doubt_ms = self.context.unix_ms()

    def failed(self, node: str, result: OperationResult) -> None:
        if counts_as_failure(result):
            self.begin(f"{result.resource.id} {result.operation} on {node} gave rc {result.rc}, {result.status}")

    def close(self) -> None:
        """The rest of the recovery is another node's to tell."""
        self.open = False

    def mark(self, what: str, detail: str) -> None:
        if not self.open:
            return
        self._add(what, detail, None)
        if what == "done":
            self.open = False

    def action(self, request: RequestAction) -> None:
        """An order leaves."""
        if request.task in ("start", "promote") and request.kind == "rsc_op":
            self.mark("start-ordered", f"{request.resource.get('id', '')} on {request.node}")

    def succeeded(self, request: RequestAction) -> None:
        if request.task in ("start", "promote"):
            self.mark("started", f"{request.resource.get('id', '')} on {request.node}")

    def _add(self, what: str, detail: str, at_ms: int | None) -> None:
        phase = Phase(at_ms=self.context.unix_ms() if at_ms is None else at_ms, what=what, detail=detail)
        self.phases.append(phase)
        self.context.note("notice", f"timeline {what} {phase.at_ms}: {detail}")
