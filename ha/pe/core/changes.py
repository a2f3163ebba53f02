# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 6: what changed in the configuration since the history was written: removed, or other parameters."""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.pe.core.actions import new_ordering, order_tasks
from ha.pe.core.digests import Digests, Match, compare_with_history, needs_host_address
from ha.pe.core.failcounts import clear_fail_count, fail_count
from ha.pe.core.fencing import trigger_unfencing
from ha.pe.core.history_facts import histories_of, span_of
from ha.pe.core.operation_config import find_operation
from ha.pe.core.operations import delete_action, make_action, stop_action
from ha.pe.core.recurring import reschedule_recurring, schedule_cancel
from ha.pe.model.action import FIRST_IMPLIES_THEN, ORDERED, THEN_CANCELS_FIRST, operation_key
from ha.pe.model.cluster import Cluster, ParameterCheck
from ha.pe.model.history import ResourceHistory
from ha.pe.model.node import Node, available
from ha.pe.model.resource import Resource
from ha.pe.model.values import integer


def handle_changes(cluster: Cluster) -> None:
    """Compares the history of every usable node with the configuration."""
    states: dict[str, Element] = {}
    for element in cluster.document.root.iterfind("status/node_state"):
        states.setdefault(element.get("uname") or "", element)
    for node in cluster.nodes:
        if not node.maintenance and not available(node):
            continue
        state = states.get(node.name)
        if state is None:
            continue
        for history in histories_of(cluster, state):
            if history.operations or len(history.element):
                for resource in cluster.named(history.id or ""):
                    if resource.is_primitive:
                        _check_history(resource, node, history)


def _check_history(resource: Resource, node: Node, history: ResourceHistory) -> None:
    if resource.removed:
        if not resource.top.is_anonymous_clone:
            schedule_cleanup(resource, node, False)
        return
    active = node in resource.active
    if _agent_changed(resource, node, history, active):
        schedule_cleanup(resource, node, False)
    if not active:
        return
    start, stop = span_of(history)
    if start < stop:
        return
    for recorded in history.operations[max(start, 0) :]:
        operation, task, interval = recorded.element, recorded.task, recorded.interval_ms
        if interval > 0 and (resource.maintenance or node.maintenance):
            schedule_cancel(resource, operation.get("call-id"), task, interval, node, "maintenance mode")
        elif interval > 0 or task.lower() in ("monitor", "start", "promote", "migrate_from"):
            if needs_host_address(resource):
                resource.cluster.parameter_checks.append(ParameterCheck(operation, resource, node, False))
            elif check_definition(resource, node, operation) and fail_count(node, resource, effective=True)[0]:
                clear_fail_count(resource, node, "action definition changed")


def schedule_cleanup(resource: Resource, node: Node, optional: bool) -> None:
    """Makes the node forget a resource, after its stop."""
    if resource.failed or node.unclean or not node.online:
        return
    delete_action(resource, node, optional)
    flags = FIRST_IMPLIES_THEN if optional else ORDERED
    order_tasks(resource, "stop", resource, "delete", flags)
    order_tasks(resource, "delete", resource, "start", flags)


def _agent_changed(resource: Resource, node: Node, history: ResourceHistory, active: bool) -> bool:
    if resource.agent == history.agent:
        return False
    for defined, used in zip(resource.agent, history.agent, strict=True):
        if defined != used:
            trigger_unfencing(resource.cluster, resource, node, "Device definition changed")
    if active:
        stop_action(resource, node, False)
        resource.start_pending = True
    return True


# One operation -----------------------------------------------------------------------------------------------------


def check_definition(resource: Resource, node: Node, operation: Element) -> bool:
    """Cancels, restarts or reloads according to how the definition of an operation changed; whether it did."""
    cluster = resource.cluster
    task = operation.get("operation") or ""
    interval = integer(operation.get("interval")) or 0
    if interval > 0 and find_operation(resource, task, interval, include_disabled=False) is None:
        if cluster.cancel_removed_actions:
            schedule_cancel(resource, operation.get("call-id"), task, interval, node, "removed")
        return True
    if interval == 0 and task in ("monitor", "migrate_from", "promote"):
        task = "start"
    parent = operation.getparent()
    owner = "" if parent is None else parent.get("id") or ""
    marked = (node.id, owner, operation.get("id") or "") in cluster.restart_marks
    digests = compare_with_history(resource, operation, node, marked)
    if _only_private_changed(resource, operation, digests):
        cluster.reporter.notice(
            f"Only 'private' parameters to {readable_interval(interval)}-interval {task} for {resource.id} "
            f"on {node.name} changed: {operation.get('transition-magic')}"
        )
        return False
    if digests.match is Match.SAME:
        return False
    if digests.match is Match.RESTART:
        _force_restart(resource, task, interval, node)
    elif interval > 0:
        reschedule_recurring(resource, task, interval, node)
    elif operation.get("op-restart-digest") is not None:
        trigger_unfencing(cluster, resource, node, "Device parameters changed (reload)")
        _schedule_reload(resource, node)
    else:
        _force_restart(resource, task, interval, node)
    return True


def _only_private_changed(resource: Resource, operation: Element, digests: Digests) -> bool:
    recorded = operation.get("op-secure-digest")
    return (
        resource.cluster.sanitized
        and digests.match is not Match.SAME
        and recorded is not None
        and digests.secure == recorded
    )


def _force_restart(resource: Resource, task: str, interval: int, node: Node) -> None:
    required = make_action(resource, operation_key(resource.id, task, interval), task, None, False)
    required.give_reason("resource definition change", overwrite=True)
    trigger_unfencing(resource.cluster, resource, node, "Device parameters changed")


def _schedule_reload(resource: Resource, node: Node) -> None:
    if not resource.managed or resource.failed:
        return
    if resource.start_pending:
        # It is just starting, with the old parameters.
        stop_action(resource, node, False)
        return
    resource.reload = True
    reload = make_action(resource, resource.key("reload-agent"), "reload-agent", node, False)
    reload.give_reason("resource definition change")
    for task in ("stop", "demote"):
        new_ordering(
            resource.cluster,
            ORDERED | THEN_CANCELS_FIRST,
            first=reload,
            then_resource=resource,
            then_key=resource.key(task),
        )


def run_deferred_checks(cluster: Cluster) -> None:
    """The comparisons that had to wait until the hosts of bundles are known."""
    for check in reversed(cluster.parameter_checks):
        if _deferred_changed(check):
            reason = "resource parameters have changed" if check.is_last_failure else "action definition changed"
            clear_fail_count(check.resource, check.node, reason)
    cluster.parameter_checks = []


def _deferred_changed(check: ParameterCheck) -> bool:
    if check.is_last_failure:
        digests = compare_with_history(check.resource, check.operation, check.node)
        return digests.match not in (Match.UNKNOWN, Match.SAME)
    return check_definition(check.resource, check.node, check.operation) and bool(
        fail_count(check.node, check.resource, effective=True)[0]
    )


def readable_interval(interval_ms: int) -> str:
    """An interval as people write it: 1m30s, 500ms, 0s."""
    days, rest = divmod(interval_ms, 86_400_000)
    hours, rest = divmod(rest, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    seconds, rest = divmod(rest, 1000)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"), (rest, "ms"))
    return "".join(f"{value}{unit}" for value, unit in parts if value) or "0s"
