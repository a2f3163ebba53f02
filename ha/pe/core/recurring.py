# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 8c: recurring operations: started with the role they are for, cancelled with it."""

from __future__ import annotations

from dataclasses import dataclass

from lxml.etree import _Element as Element

from ha.pe.core.actions import new_ordering, order_actions
from ha.pe.core.fencing import trigger_unfencing
from ha.pe.core.operation_config import find_operation
from ha.pe.core.operations import expect_result, make_action, start_action
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN,
    OPTIONAL,
    ORDERED,
    RESCHEDULE,
    RUNNABLE,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
    operation_key,
)
from ha.pe.model.history import NOT_RUNNING, RUNNING_PROMOTED
from ha.pe.model.node import Candidate, Node
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role, parse_role
from ha.pe.model.values import interval_ms

_NEVER_RECURRING = frozenset((
    "stop", "start", "demote", "promote", "reload-agent", "migrate_to", "migrate_from",
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recurring:
    """A recurring operation of the configuration."""

    name: str
    interval_ms: int
    role: Role
    key: str


def _read(resource: Resource, element: Element) -> Recurring | None:
    interval = interval_ms(element.get("interval"))
    name = element.get("name")
    if interval == 0 or not element.get("id") or name is None or name in _NEVER_RECURRING:
        return None
    same = [
        other
        for other in resource.operations
        if other.get("name") == name and other.get("id") is not None and interval_ms(other.get("interval")) == interval
    ]
    if len(same) > 1:
        return None
    role = parse_role(element.get("role"))
    if role is Role.UNKNOWN and element.get("role") is not None:
        return None
    if find_operation(resource, name, interval, include_disabled=False) is None:
        return None
    return Recurring(name, interval, role, operation_key(resource.id, name, interval))


def create_recurring_actions(resource: Resource) -> None:
    """Creates a primitive's recurring operations for the role it will have, and cancels those of other roles."""
    if resource.blocked or resource.maintenance:
        return
    place = resource.assigned
    start: Action | None = None
    if (
        place is not None
        and not place.node.maintenance
        and (resource.next_role is not Role.STOPPED or not resource.managed)
    ):
        start = start_action(resource, place, True)
    for element in resource.operations:
        operation = _read(resource, element)
        if operation is None:
            continue
        if start is not None:
            _for_active(resource, start, place, operation)
        _for_inactive(resource, place, operation)


def _stays_as_is(resource: Resource, place: Candidate | None, key: str, start: Action) -> bool:
    if place is None or not resource.action_flags(start, None) & OPTIONAL:
        return False
    known = resource.actions_exactly(key, place)
    return bool(known) and not any(action.has(RESCHEDULE) for action in known)


def _for_active(resource: Resource, start: Action, place: Candidate | None, operation: Recurring) -> None:
    if operation.role is Role.STOPPED:
        return
    optional = _stays_as_is(resource, place, operation.key, start)
    if operation.role is Role.UNKNOWN:
        fits = resource.next_role is not Role.PROMOTED
    else:
        fits = resource.next_role is operation.role
    if not fits:
        if optional:
            _cancel_for_role(resource, place, operation)
        return
    monitor = make_action(resource, operation.key, operation.name, place, optional)
    node = None if place is None else place.node
    if not start.has(RUNNABLE) or node is None or not node.online or node.unclean:
        monitor.clear(RUNNABLE)
    if resource.next_role is Role.PROMOTED:
        expect_result(monitor, RUNNING_PROMOTED)
    if node is None or resource.managed:
        _order_after_role(resource, monitor)


def _order_after_role(resource: Resource, monitor: Action) -> None:
    cluster = resource.cluster
    implies = FIRST_IMPLIES_THEN | UNRUNNABLE_FIRST_BLOCKS
    for up in ("start", "reload-agent"):
        new_ordering(cluster, implies, first_resource=resource, first_key=resource.key(up), then=monitor)
    task: str | None = None
    if resource.next_role is Role.PROMOTED:
        task = "promote"
    elif resource.orig_role is Role.PROMOTED:
        task = "demote"
    if task is not None:
        new_ordering(
            cluster,
            ORDERED | UNRUNNABLE_FIRST_BLOCKS,
            first_resource=resource,
            first_key=resource.key(task),
            then=monitor,
        )


def _cancel_for_role(resource: Resource, place: Candidate | None, operation: Recurring) -> None:
    cancel = cancel_action(resource, operation.name, operation.interval_ms, None if place is None else place.node)
    task: str | None = None
    if resource.orig_role in (Role.UNPROMOTED, Role.STARTED):
        task = {Role.PROMOTED: "promote", Role.STOPPED: "stop"}.get(resource.next_role)
    elif resource.orig_role is Role.PROMOTED:
        task = "demote"
    if task is not None:
        new_ordering(
            resource.cluster,
            UNRUNNABLE_FIRST_BLOCKS,
            first=cancel,
            then_resource=resource,
            then_key=resource.key(task),
        )


def _for_inactive(resource: Resource, place: Candidate | None, operation: Recurring) -> None:
    """Monitors that watch that a resource stays stopped run on all nodes but its own."""
    if operation.role is not Role.STOPPED or not resource.unique:
        return
    for node in resource.cluster.nodes:
        if place is not None and node is place.node:
            _cancel_where_active(resource, node, operation)
            continue
        optional = bool(resource.actions_exactly(operation.key, node))
        monitor = make_action(resource, operation.key, operation.name, node, optional)
        expect_result(monitor, NOT_RUNNING)
        if resource.managed:
            for probe in resource.actions_with_key(resource.key("monitor"), node):
                order_actions(probe, monitor, UNRUNNABLE_FIRST_BLOCKS)
        _order_after_stops(resource, node, monitor)
        if not node.online or node.unclean:
            monitor.clear(RUNNABLE)


def _order_after_stops(resource: Resource, node: Node, monitor: Action) -> None:
    for stop in resource.actions_exactly(resource.key("stop"), node):
        if not stop.has(OPTIONAL) and not monitor.has(OPTIONAL) and not resource.managed:
            monitor.set(OPTIONAL)
        if not stop.has(RUNNABLE):
            monitor.clear(RUNNABLE)
        if resource.managed:
            new_ordering(resource.cluster, FIRST_IMPLIES_THEN | UNRUNNABLE_FIRST_BLOCKS, first=stop, then=monitor)


def _cancel_where_active(resource: Resource, node: Node, operation: Recurring) -> None:
    if not resource.actions_exactly(operation.key, node):
        return
    cancel = cancel_action(resource, operation.name, operation.interval_ms, node)
    if resource.next_role in (Role.STARTED, Role.UNPROMOTED):
        new_ordering(
            resource.cluster,
            UNRUNNABLE_FIRST_BLOCKS,
            first=cancel,
            then_resource=resource,
            then_key=resource.key("start"),
        )


# Changes of what runs ----------------------------------------------------------------------------------------------


def cancel_action(resource: Resource, task: str, interval: int, node: Node | None) -> Action:
    """The cancellation of a recurring operation."""
    cancel = make_action(resource, operation_key(resource.id, task, interval), "cancel", node, False)
    if cancel.task != "cancel":
        resource.rename_task(cancel, "cancel")
    cancel.cancel_task = task
    cancel.meta["operation"] = task
    cancel.meta["interval"] = str(interval)
    return cancel


def schedule_cancel(resource: Resource, call_id: str | None, task: str, interval: int, node: Node, reason: str) -> None:
    """Cancels a recurring operation that runs but should not."""
    cancel = cancel_action(resource, task, interval, node)
    if call_id is not None:
        cancel.meta["call-id"] = call_id
    resource.cluster.reporter.action(cancel, "required", reason)
    new_ordering(resource.cluster, ORDERED, first_resource=resource, first_key=resource.key("stop"), then=cancel)


def reschedule_recurring(resource: Resource, task: str, interval: int, node: Node) -> None:
    """Starts a recurring operation anew because its definition changed."""
    trigger_unfencing(resource.cluster, resource, node, "Device parameters changed (reschedule)")
    make_action(resource, operation_key(resource.id, task, interval), task, node, True).set(RESCHEDULE)
