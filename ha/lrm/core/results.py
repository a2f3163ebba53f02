# SPDX-License-Identifier: GPL-2.0-or-later
"""Results as the crmd gets them."""

from __future__ import annotations

from ha.lrm.core.queue import Task
from ha.lrm.model import codes
from ha.lrm.model.execution import AgentResult
from ha.lrm.msg import ExecutionStatus, OperationResult, RunOperation


def result_of(
    task: Task,
    outcome: AgentResult,
    previous: OperationResult | None,
    *,
    wall_offset_ms: int,
    newest_change_s: int,
    deleted: bool,
) -> OperationResult:
    """`previous` is the last reported result of the same recurring operation.

    `newest_change_s` is the latest `last_rc_change_s` of the resource. The scheduler tells by it which of two results
    is the newer one, so it never goes back, whatever was done to the wall clock meanwhile, and two results of one call
    id differ in it. After a clock was set back a failure may so expire late (failure-timeout), but is never hidden.
    """
    order = task.order
    started_ms = outcome.started_ms or task.begun_ms
    last_run_s = (started_ms + wall_offset_ms) // 1000
    rc: int = codes.ERR_GENERIC if task.killed else outcome.rc
    status: ExecutionStatus = "timeout" if task.killed else outcome.status
    last_rc_change_s = max(last_run_s, newest_change_s)
    if previous is not None and (previous.rc, previous.status) == (rc, status):
        last_rc_change_s = previous.last_rc_change_s
    elif previous is not None:
        last_rc_change_s = max(last_rc_change_s, previous.last_rc_change_s + 1)
    return OperationResult(
        resource=order.resource,
        operation=order.operation,
        interval_ms=order.interval_ms,
        call_id=task.call_id,
        rc=rc,
        status=status,
        exit_reason=outcome.exit_reason,
        output=outcome.output,
        parameters=order.parameters,
        meta=order.meta,
        user_data=order.user_data,
        last_run_s=last_run_s,
        last_rc_change_s=last_rc_change_s,
        queue_ms=max(0, started_ms - task.queued_ms),
        exec_ms=outcome.exec_ms,
        deleted=deleted,
    )


def refused_result(order: RunOperation, reason: str, *, stale: bool) -> OperationResult:
    """For an order that was not accepted: it never ran and is not in the history (call_id 0).

    A stale one, of an older view, counts as cancelled: that says nothing bad of the resource. Others are invalid.
    """
    status: ExecutionStatus = "cancelled" if stale else "invalid"
    return _unrun(order, call_id=0, reason=f"order refused: {reason}", status=status, deleted=False)


def cancelled_result(order: RunOperation, call_id: int) -> OperationResult:
    """For an order that waited when its resource was forgotten."""
    return _unrun(order, call_id=call_id, reason="the resource was forgotten", status="cancelled", deleted=True)


def _unrun(
    order: RunOperation, *, call_id: int, reason: str, status: ExecutionStatus, deleted: bool
) -> OperationResult:
    return OperationResult(
        resource=order.resource,
        operation=order.operation,
        interval_ms=order.interval_ms,
        call_id=call_id,
        rc=codes.ERR_GENERIC,
        status=status,
        exit_reason=reason,
        parameters=order.parameters,
        meta=order.meta,
        user_data=order.user_data,
        deleted=deleted,
    )
