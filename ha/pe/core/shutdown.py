# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that leave in good order: their resources stop first, or wait for their return (option shutdown-lock)."""

from __future__ import annotations

from ha.pe.core.actions import cluster_action, new_ordering
from ha.pe.core.nodescores import add_node_score
from ha.pe.core.operations import clear_resource_history
from ha.pe.model.action import OPTIONAL, ORDERED, UNRUNNABLE_FIRST_BLOCKS, Action
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.scores import MINUS_INFINITY
from ha.pe.model.values import integer, ms_to_s


def shutdown_action(cluster: Cluster, node: Node) -> Action:
    """The shutdown of a node, after the stops of what runs there."""
    action = cluster_action(cluster, f"do_shutdown-{node.name}", "do_shutdown", node, False)
    for stop in reversed(cluster.actions):
        resource = stop.resource
        if stop.node is not node or stop.task != "stop" or resource is None:
            continue
        if resource.maintenance or node.maintenance or not (resource.managed or resource.blocked):
            continue
        stop.clear(OPTIONAL)
        new_ordering(cluster, ORDERED | UNRUNNABLE_FIRST_BLOCKS, first=stop, then=action)
    action.meta["op_no_wait"] = "true"
    return action


def lock_to_node(resource: Resource) -> None:
    """Locks a primitive to the node that is shutting down with it, or keeps such a lock."""
    cluster = resource.cluster
    if resource.fence_device or resource.is_remote_connection:
        return
    if resource.lock_node is not None:
        if resource.active:
            # It was started by hand in spite of the lock.
            clear_resource_history(resource, resource.lock_node)
            resource.lock_node = None
            resource.lock_time = 0
    elif len(resource.active) == 1:
        node = resource.active[0]
        if node.shutdown and not node.unclean:
            resource.lock_node = node
            resource.lock_time = integer(node.attributes.get("shutdown")) or cluster.now
    if resource.lock_node is None:
        return
    if cluster.shutdown_lock_ms > 0:
        cluster.recheck_at(resource.lock_time + ms_to_s(cluster.shutdown_lock_ms) + 1)
    for node in cluster.nodes:
        if node is not resource.lock_node:
            add_node_score(resource, node, MINUS_INFINITY, "shutdown-lock")
