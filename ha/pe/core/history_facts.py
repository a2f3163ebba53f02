# SPDX-License-Identifier: GPL-2.0-or-later
"""What the status section says of every resource on a node, before anybody asks what it means.

These facts depend on nothing but the text. A worker that decides again and again keeps them (`core.kept`), and works
them out anew only where a diff has touched the text.
"""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.pe.core.failcounts import expected_exit_code
from ha.pe.core.history_order import active_span, sorted_operations
from ha.pe.core.operation_config import is_probe
from ha.pe.model.cluster import Cluster
from ha.pe.model.history import (
    INVALID_PARAMETER,
    MAX_EXIT_CODE,
    NOT_INSTALLED,
    NOT_RUNNING,
    Execution,
    Recorded,
    ResourceHistory,
)
from ha.pe.model.values import integer

STATE_TASKS = frozenset((
    "monitor", "start", "stop", "promote", "demote", "migrate_to", "migrate_from", "asyncmon",
))  # fmt: skip
"""Operations whose results tell something about the state of a resource."""
LAST_FAILURE = "_last_failure_0"
"""How the id of an entry ends that keeps the latest failure of a resource."""
_EXECUTIONS = {int(execution): execution for execution in Execution if execution is not Execution.CANCELLED}


def histories_of(cluster: Cluster, state: Element) -> list[ResourceHistory]:
    """The history of every resource on the node that a node_state is of, in document order."""
    known = cluster.histories.get(state)
    if known is None:
        entries = state.find("lrm/lrm_resources")
        known = [] if entries is None else [_read(entry) for entry in entries.iterchildren("lrm_resource")]
        cluster.histories[state] = known
    return known


def span_of(history: ResourceHistory) -> tuple[int, int]:
    """(index where the present run of the resource begins, index of the last stop); -1 for none."""
    if history.span is None:
        history.span = active_span([recorded.element for recorded in history.operations])
    return history.span


def _read(entry: Element) -> ResourceHistory:
    operations = [_read_operation(operation) for operation in sorted_operations(entry)]
    agent = (entry.get("type"), entry.get("class"), entry.get("provider"))
    return ResourceHistory(entry.get("id"), entry, operations, agent)


def _read_operation(operation: Element) -> Recorded:
    """One operation; `execution` is None for an entry that cannot be used or tells nothing."""
    id = operation.get("id")
    task = operation.get("operation")
    interval_ms = integer(operation.get("interval")) or 0
    exit_code = integer(operation.get("rc-code"))
    status = integer(operation.get("op-status"))
    execution = None if status is None else _EXECUTIONS.get(status)
    if id is None or task not in STATE_TASKS or exit_code is None or not 0 <= exit_code <= MAX_EXIT_CODE:
        execution = None
    return Recorded(
        operation,
        id or "",
        history_key(operation),
        task or "",
        interval_ms,
        expected_exit_code(operation),
        exit_code or 0,
        execution,
        masks_probe_failure(operation),
        execution is Execution.DONE
        and exit_code == NOT_RUNNING
        and is_probe(task, interval_ms)
        and not (id or "").endswith(LAST_FAILURE),
    )


def history_key(operation: Element) -> str:
    """The operation key of an entry (older entries have it as their id)."""
    return operation.get("operation_key") or operation.get("id") or ""


def masks_probe_failure(operation: Element) -> bool:
    """Whether a probe found that the agent cannot work on the node: as good as "not running", with a ban."""
    exit_code = integer(operation.get("rc-code"))
    status = integer(operation.get("op-status"))
    if exit_code not in (NOT_INSTALLED, INVALID_PARAMETER) and status != Execution.NOT_INSTALLED:
        return False
    return is_probe(operation.get("operation"), integer(operation.get("interval")) or 0)
