# SPDX-License-Identifier: GPL-2.0-or-later
"""Orderings between actions, and actions of the cluster itself (fencing, shutdown, marks)."""

from __future__ import annotations

from ha.pe.model.action import (
    IF_FIRST_UNMIGRATABLE,
    OPTIONAL,
    ORDERED,
    PSEUDO,
    RUNNABLE,
    Action,
    Ordering,
    Relation,
    operation_key,
    split_key,
)
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource


def order_actions(first: Action | None, then: Action | None, flags: int) -> bool:
    """Relates two actions, unless such a relation is there already; whether it is new."""
    if not flags or first is None or then is None:
        return False
    known = first.after_flags.get(then.id)
    if known is None:
        first.after_flags[then.id] = [flags]
    else:
        for other in known:
            if other & flags:
                return False
        known.append(flags)
    first.after.append(Relation(then, flags))
    then.before.append(Relation(first, flags))
    return True


def order_after_each(after: Action, firsts: list[Action]) -> None:
    for first in firsts:
        order_actions(first, after, ORDERED)


def next_action_id(cluster: Cluster) -> int:
    number = cluster.next_action_id
    cluster.next_action_id += 1
    return number


def cluster_action(cluster: Cluster, uuid: str, task: str, node: Node | None, optional: bool) -> Action:
    """An action that is no resource's, created once per uuid."""
    action = cluster.singletons.get(uuid)
    if action is None:
        action = Action(next_action_id(cluster), uuid, task, None, node)
        action.set(RUNNABLE | OPTIONAL if optional else RUNNABLE)
        cluster.actions.append(action)
        cluster.singletons[uuid] = action
    if not optional:
        action.clear(OPTIONAL)
    return action


def pseudo_action(cluster: Cluster, name: str) -> Action:
    """A mark of the cluster's own, by name; optional until something requires it."""
    action = cluster.singletons.get(name)
    if action is None:
        action = cluster_action(cluster, name, name, None, True)
        action.set(PSEUDO | RUNNABLE)
    return action


def new_ordering(
    cluster: Cluster,
    flags: int,
    *,
    first_resource: Resource | None = None,
    first_key: str | None = None,
    first: Action | None = None,
    then_resource: Resource | None = None,
    then_key: str | None = None,
    then: Action | None = None,
) -> None:
    """Adds an ordering constraint; live migrations get the orderings that are their equivalent."""
    if first is not None:
        first_resource = first_resource or first.resource
        first_key = first_key or first.uuid
    if then is not None:
        then_resource = then_resource or then.resource
        then_key = then_key or then.uuid
    ordering = Ordering(first_resource, first_key, first, then_resource, then_key, then, flags)
    cluster.orderings.append(ordering)
    if (
        first_resource is not None
        and then_resource is not None
        and first_resource is not then_resource
        and (first_resource.migratable or then_resource.migratable)
    ):
        _order_migration_equivalents(cluster, ordering, first_resource, then_resource)


def order_tasks(first: Resource, first_task: str, then: Resource, then_task: str, flags: int) -> None:
    """Orders a task of one resource before a task of another."""
    new_ordering(
        first.cluster,
        flags,
        first_resource=first,
        first_key=operation_key(first.id, first_task),
        then_resource=then,
        then_key=operation_key(then.id, then_task),
    )


def order_starts(first: Resource, then: Resource, flags: int) -> None:
    order_tasks(first, "start", then, "start", flags)


def order_stops(first: Resource, then: Resource, flags: int) -> None:
    order_tasks(first, "stop", then, "stop", flags)


def _task_of(action: Action | None, key: str | None) -> str | None:
    if action is not None:
        return action.task
    parts = None if key is None else split_key(key)
    return None if parts is None else parts[1]


def _order_migration_equivalents(cluster: Cluster, ordering: Ordering, first: Resource, then: Resource) -> None:
    if first.is_within(then) or then.is_within(first):
        return
    tasks = (
        _task_of(ordering.first_action, ordering.first_key),
        _task_of(ordering.then_action, ordering.then_key),
    )
    guarded = ORDERED | (IF_FIRST_UNMIGRATABLE if first.migratable else 0)
    if tasks == ("start", "start"):
        if first.migratable and then.migratable:
            order_tasks(first, "migrate_from", then, "migrate_to", ORDERED)
        if then.migratable:
            order_tasks(first, "start", then, "migrate_to", guarded)
    elif tasks == ("stop", "stop"):
        if then.migratable:
            _order_before_migration(first, "stop", then, guarded)
    elif tasks == ("promote", "start"):
        if then.migratable:
            order_tasks(first, "promote", then, "migrate_to", ORDERED)
    elif tasks == ("demote", "stop") and then.migratable:
        _order_before_migration(first, "demote", then, ORDERED)


def _order_before_migration(first: Resource, task: str, then: Resource, flags: int) -> None:
    order_tasks(first, task, then, "migrate_to", flags)
    if then.migration_target is not None:
        order_tasks(first, task, then, "migrate_from", flags)
