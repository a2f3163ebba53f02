# SPDX-License-Identifier: GPL-2.0-or-later
"""The stages of a decision, in order. This file is the table of contents of the engine."""

from __future__ import annotations

from ha.pe.core import kinds  # noqa: F401  (makes the kinds of resources known)
from ha.pe.core.actions import new_ordering, order_actions, order_after_each
from ha.pe.core.apply_orderings import apply_orderings
from ha.pe.core.assignment import assign_all
from ha.pe.core.changes import handle_changes, run_deferred_checks
from ha.pe.core.configuration import read_configuration
from ha.pe.core.constraints import read_constraints
from ha.pe.core.failcounts import clear_fail_count, fail_count, threshold_reached
from ha.pe.core.fencing import can_fence, fence_action
from ha.pe.core.fencing_order import fence_guest, order_resources_after
from ha.pe.core.health import apply_node_health
from ha.pe.core.location import apply_locations
from ha.pe.core.nodescores import add_node_score, ban_node
from ha.pe.core.probes import schedule_probes
from ha.pe.core.remote import order_remote_actions
from ha.pe.core.shutdown import shutdown_action
from ha.pe.core.status import read_status
from ha.pe.model.action import ORDERED, Action
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Discovery, Node
from ha.pe.model.resource import Resource
from ha.pe.model.scores import MINUS_INFINITY


def read_cluster(cluster: Cluster) -> None:
    """Stage 1: everything the CIB says."""
    read_configuration(cluster)
    read_status(cluster)


def decide(cluster: Cluster) -> None:
    """Stages 2 to 11: from what is to what is to be done. The cluster must have been read."""
    apply_node_health(cluster)
    read_constraints(cluster)
    apply_node_criteria(cluster)
    for resource in cluster.resources:
        resource.internal_constraints()
    handle_changes(cluster)
    assign_all(cluster)
    create_actions(cluster)
    order_remote_actions(cluster)
    schedule_fencing_and_shutdowns(cluster)
    apply_orderings(cluster)


# Stage 4: what speaks for and against single nodes -----------------------------------------------------------------


def apply_node_criteria(cluster: Cluster) -> None:
    if cluster.shutdown_lock:
        for resource in cluster.resources:
            resource.lock_to_shutdown_node()
    apply_locations(cluster)
    for resource in cluster.resources:
        _apply_stickiness(resource)
    for node in cluster.nodes:
        for resource in cluster.resources:
            _apply_failure_threshold(resource, node)
            _apply_exclusive_discovery(resource, node)


def _apply_stickiness(resource: Resource) -> None:
    if resource.children:
        for child in resource.children:
            _apply_stickiness(child)
        return
    if not resource.managed or resource.stickiness < 1 or len(resource.active) != 1:
        return
    node = resource.active[0]
    if not resource.cluster.symmetric and node.id not in resource.allowed:
        # It was started by hand where it may not run; do not hold it there.
        return
    add_node_score(resource, node, resource.stickiness, "resource-stickiness")


def _apply_failure_threshold(resource: Resource, node: Node) -> None:
    if resource.children:
        for child in resource.children:
            _apply_failure_threshold(child, node)
        return
    if resource.actions_exactly(resource.key("clear_failcount"), node):
        return
    banned = threshold_reached(resource, node)
    if banned is not None:
        add_node_score(banned, node, MINUS_INFINITY, "migration-threshold")


def _apply_exclusive_discovery(resource: Resource, node: Node) -> None:
    if not resource.exclusive_discovery and not resource.top.exclusive_discovery:
        return
    for child in resource.children:
        _apply_exclusive_discovery(child, node)
    entry = resource.allowed.get(node.id)
    if entry is not None and entry.discovery is not Discovery.EXCLUSIVE:
        ban_node(resource, entry, "resource-discovery=exclusive")


# Stage 8: actions of resources -------------------------------------------------------------------------------------


def create_actions(cluster: Cluster) -> None:
    run_deferred_checks(cluster)
    if cluster.probe_resources:
        schedule_probes(cluster)
    if cluster.stop_removed_resources:
        for resource in cluster.resources:
            if resource.removed:
                _forget_failures_of_removed(resource)
    for resource in cluster.resources:
        resource.create_actions()


def _forget_failures_of_removed(resource: Resource) -> None:
    for node in resource.cluster.nodes:
        if node.online and fail_count(node, resource, effective=True)[0]:
            clear = clear_fail_count(resource, node, "it is removed")
            new_ordering(resource.cluster, ORDERED, first=clear, then_resource=resource, then_key=resource.key("stop"))


# Stage 10: fencing and shutdown ------------------------------------------------------------------------------------


def _any_managed(resources: list[Resource]) -> bool:
    return any(resource.managed or _any_managed(resource.children) for resource in resources)


def schedule_fencing_and_shutdowns(cluster: Cluster) -> None:
    """Fences unsafe nodes and shuts leaving ones down, the DC last. Without anything to manage nobody is fenced."""
    managed = _any_managed(cluster.resources)
    dc_down: Action | None = None
    fencings: list[Action] = []
    shutdowns: list[Action] = []
    for node in cluster.nodes:
        if node.is_guest:
            if node.remote_reset and managed and can_fence(cluster, node):
                fence_guest(cluster, node)
            continue
        if managed and node.unclean and can_fence(cluster, node):
            fencing = fence_action(cluster, node, None, False, "node is unclean")
            order_resources_after(cluster, fencing)
            if node is cluster.dc:
                dc_down = fencing
            else:
                if not cluster.concurrent_fencing and fencings:
                    order_actions(fencings[0], fencing, ORDERED)
                fencings.insert(0, fencing)
        elif not node.is_remote_kind and node.online and node.shutdown:
            shutdown = shutdown_action(cluster, node)
            if node is cluster.dc:
                dc_down = shutdown
            else:
                shutdowns.insert(0, shutdown)
    if dc_down is None:
        return
    if dc_down.task == "do_shutdown":
        order_after_each(dc_down, shutdowns)
    if cluster.concurrent_fencing:
        order_after_each(dc_down, fencings)
    elif fencings:
        order_actions(fencings[0], dc_down, ORDERED)
