# SPDX-License-Identifier: GPL-2.0-or-later
"""Fail counts: transient attributes, kept by attrd, from which the policy engine takes migration-threshold's measure.

Names: Pacemaker's `fail-count-RESOURCE#OPERATION_INTERVAL` and `last-failure-…`. Scheduling waits for attrd's word, so
that a resource that has used up its failures is not first restarted where it failed. While attrd is away it waits
longer with each failure that cannot be counted: what fails for ever must not be tried for ever without a pause. The
loss of a node ends the wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.attrd.msg import ClearFailures, UpdateAttribute, Updated
from ha.crm.core.context import Context
from ha.crm.model.history import counts_as_failure
from ha.lrm.msg import OperationResult

if TYPE_CHECKING:
    from ha.crm.core.crmd import Crmd

REPEAT_MS = 500
WAIT_MS = 2_000
"""Scheduling waits for attrd no longer than this: a cluster without counts is better than one that does nothing."""
MAX_WAIT_MS = 30_000
INFINITY = "INFINITY"
MAX_PENDING = 1_000
"""Updates without an answer; more are not sent, and the log says so."""


class Failures:
    def __init__(self, crmd: Crmd) -> None:
        self.crmd = crmd
        self.context: Context = crmd.context
        self.pending: dict[str, UpdateAttribute | ClearFailures] = {}
        self.given_up = False
        self.uncounted = 0

    def count(self, node: str, result: OperationResult) -> None:
        """An operation failed for the first time we hear of it."""
        if not counts_as_failure(result):
            return
        if self.given_up:
            self._wait_again()
        suffix = f"{result.resource.id}#{result.operation}_{result.interval_ms}"
        name = f"fail-count-{suffix}"
        fatal = result.operation == "stop" or (
            result.operation == "start" and self.crmd.ground.configuration.start_failure_is_fatal
        )
        self.context.note(
            "warning",
            f"{result.resource.id}: {result.operation} on {node} failed (rc {result.rc}, {result.status})"
            + (f": {result.exit_reason}" if result.exit_reason else ""),
        )
        self._ask(UpdateAttribute(request_id=self.context.request_id(), name=name, node=node,
                                  value=INFINITY if fatal else f"{name}++"))
        at_s = result.last_rc_change_s or self.context.unix_s()
        self._ask(UpdateAttribute(request_id=self.context.request_id(), name=f"last-failure-{suffix}", node=node,
                                  value=str(at_s)))

    def _wait_again(self) -> None:
        self.given_up = False
        self.uncounted += 1
        self.context.arm("failures/wait", min(MAX_WAIT_MS, WAIT_MS << min(self.uncounted, 10)))

    def node_gone(self) -> None:
        """Its resources are to be recovered, counts or none."""
        self.given_up = bool(self.pending)

    def clear(self, resource_id: str, node: str, operation: str = "", interval_ms: int = 0) -> None:
        self._ask(ClearFailures(request_id=self.context.request_id(), resource_id=resource_id, node=node,
                                operation=operation, interval_ms=interval_ms))

    def set(self, node: str, name: str, value: str | None) -> None:
        """Any other transient attribute that the crmd sets on a node."""
        self._ask(UpdateAttribute(request_id=self.context.request_id(), name=name, node=node, value=value))

    def _ask(self, request: UpdateAttribute | ClearFailures) -> None:
        if len(self.pending) >= MAX_PENDING:
            self.context.note("error", f"attrd does not answer: {MAX_PENDING} updates wait; one is dropped")
            return
        if not self.pending:
            self.context.arm("failures/repeat", REPEAT_MS)
            self.context.arm("failures/wait", WAIT_MS)
            self.given_up = False
        self.pending[request.request_id] = request
        self.context.send("attrd", request)

    def updated(self, message: Updated) -> None:
        if self.pending.pop(message.request_id, None) is None:
            return
        if message.rc != 0:
            self.context.note("error", f"attrd refused an update: {message.reason} (rc {message.rc})")
        if not self.pending:
            self.uncounted = 0
            self.context.disarm("failures/repeat")
            self.context.disarm("failures/wait")

    def linked(self) -> None:
        for request in self.pending.values():
            self.context.send("attrd", request)

    def settled(self) -> bool:
        return not self.pending or self.given_up

    def forget(self) -> None:
        """Not DC any more. The counts asked for are attrd's business."""
        self.pending, self.uncounted = {}, 0
        self.context.disarm("failures/repeat")
        self.context.disarm("failures/wait")

    def fired(self, timer: str) -> None:
        if not self.pending:
            return
        if timer == "failures/repeat":
            self.linked()
            self.context.arm("failures/repeat", REPEAT_MS)
        else:
            self.given_up = True
            self.context.note("error", "attrd does not answer; scheduling goes on without the newest failure counts")
