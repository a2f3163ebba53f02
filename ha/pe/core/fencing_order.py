# SPDX-License-Identifier: GPL-2.0-or-later
"""What has to wait for a fencing, and what happens by it."""

from __future__ import annotations

from ha.pe.core.actions import order_actions
from ha.pe.core.fencing import fence_action
from ha.pe.core.notifications import order_notifications_after_fencing
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN,
    GUEST_ALLOWED,
    ORDERED,
    PSEUDO,
    RUNNABLE,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
    Requires,
)
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource


def order_resources_after(cluster: Cluster, fencing: Action) -> None:
    """Starts wait for the fencing; stops and demotions on the fenced node happen by it."""
    for resource in cluster.resources:
        _order_resource_after(resource, fencing)


def _order_resource_after(resource: Resource, fencing: Action) -> None:
    if resource.children:
        for child in resource.children:
            _order_resource_after(child, fencing)
    elif resource.managed:
        _order_starts_after(resource, fencing)
        _order_stops_after(resource, fencing)


def _is_known_on(resource: Resource, node: Node) -> bool:
    parent = resource.parent
    if node.id in resource.probed:
        return True
    return resource.is_primitive and parent is not None and parent.is_anonymous_clone and node.id in parent.probed


def _order_starts_after(resource: Resource, fencing: Action) -> None:
    target = fencing.node
    assert target is not None
    for action in resource.newest_actions():
        if action.needs is Requires.FENCING:
            order_actions(fencing, action, ORDERED)
        elif (
            action.needs is Requires.QUORUM
            and action.task == "start"
            and target.id in resource.allowed
            and not _is_known_on(resource, target)
        ):
            # It may be active there, and only the fencing makes sure that it is not.
            order_actions(fencing, action, ORDERED | UNRUNNABLE_FIRST_BLOCKS)


def _order_stops_after(resource: Resource, fencing: Action) -> None:
    target = fencing.node
    assert target is not None
    stops = resource.actions_with_key(resource.key("stop"), target)
    implicit = resource.needs_fencing or target.is_guest
    parent_stop = resource.top.first_action("stop") if stops and implicit else None
    for stop in stops:
        # The fencing is the stop.
        stop.set(PSEUDO | RUNNABLE)
        if implicit:
            if not resource.is_bundled:
                order_actions(fencing, stop, GUEST_ALLOWED)
            order_actions(fencing, parent_stop, GUEST_ALLOWED)
        if resource.notify:
            order_notifications_after_fencing(stop, resource, fencing)
    for demote in resource.actions_with_key(resource.key("demote"), target):
        node = demote.node
        assert node is not None
        if not node.online or node.unclean or resource.failed:
            demote.set(PSEUDO | RUNNABLE)
            if implicit and not resource.is_bundled:
                order_actions(fencing, demote, GUEST_ALLOWED | ORDERED)


def fence_guest(cluster: Cluster, node: Node) -> None:
    """Marks a guest as fenced by the stop of its container (or by the fencing of the container's host)."""
    assert node.remote is not None
    container = node.remote.launcher
    stop: Action | None = None
    operation = "off"
    if container is not None:
        stop = container.first_action("stop")
        if container.first_action("start") is not None:
            operation = "reboot"
    fencing = fence_action(cluster, node, operation, False, "guest is unclean")
    fencing.set(PSEUDO | RUNNABLE)
    implies = UNRUNNABLE_FIRST_BLOCKS | FIRST_IMPLIES_THEN
    if stop is not None and stop.has(PSEUDO):
        assert stop.node is not None
        order_actions(fence_action(cluster, stop.node, None, False, None), fencing, implies)
    elif stop is not None:
        order_actions(stop, fencing, implies)
    else:
        order_actions(node.remote.first_action("stop"), fencing, ORDERED)
    order_resources_after(cluster, fencing)
