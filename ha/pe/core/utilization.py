# SPDX-License-Identifier: GPL-2.0-or-later
"""Utilization: what resources take of the capacities of nodes (option placement-strategy)."""

from __future__ import annotations

from ha.pe.core.actions import new_ordering, pseudo_action
from ha.pe.core.nodescores import add_node_score
from ha.pe.model.action import IF_ON_SAME_NODE_OR_TARGET, OPTIONAL, Action
from ha.pe.model.node import Node, available
from ha.pe.model.resource import Resource
from ha.pe.model.scores import MINUS_INFINITY
from ha.pe.model.table_order import walked


def compare_capacities(one: Node, other: Node) -> int:
    """Below 0 if `one` has more left, above 0 if `other` has, counted over all kinds of capacity."""
    result = 0
    for name, value in one.utilization.items():
        rest = other.utilization.get(name, 0)
        result += (value < rest) - (value > rest)
    for name, rest in other.utilization.items():
        if name not in one.utilization:
            result += (rest > 0) - (rest < 0)
    return result


def consume(node: Node, resource: Resource) -> None:
    for name, value in resource.utilization.items():
        node.utilization[name] = node.utilization.get(name, 0) - value


def release(utilization: dict[str, int], resource: Resource) -> None:
    """Adds what a resource takes: back to a node's capacity, or to a sum."""
    for name, value in resource.utilization.items():
        utilization[name] = utilization.get(name, 0) + value


def _suffices(node: Node, wanted: dict[str, int]) -> bool:
    return all(value <= node.utilization.get(name, 0) for name, value in wanted.items())


def ban_insufficient_capacity(resource: Resource) -> Node | None:
    """Bans the nodes too small for a resource and all that must be with it, if any node is big enough for that.

    Otherwise bans those too small for it alone and returns the node with most left, which is then preferred.
    """
    if resource.cluster.placement_strategy == "default":
        return None
    together = resource.colocated_resources(None, [])
    if not together:
        return None
    if all(other is not resource for other in together):
        together.append(resource)
    total: dict[str, int] = {}
    for other in together:
        other.add_utilization(resource, together, total)
    most_free: Node | None = None
    any_capable = False
    for node_id in walked(resource.allowed):
        entry = resource.allowed[node_id]
        if not available(entry, True):
            continue
        any_capable = any_capable or _suffices(entry.node, total)
        if most_free is None or compare_capacities(entry.node, most_free) < 0:
            most_free = entry.node
    wanted = total if any_capable else resource.utilization
    for entry in list(resource.allowed.values()):
        if available(entry, True) and not _suffices(entry.node, wanted):
            add_node_score(resource, entry, MINUS_INFINITY, "utilization: not enough capacity")
    return None if any_capable else most_free


def _load_stopped(resource: Resource, node: Node) -> Action:
    action = pseudo_action(resource.cluster, f"load_stopped_{node.name}")
    if action.node is None:
        action.node = node
        action.clear(OPTIONAL)
    return action


def order_stops_before_load(resource: Resource, nodes: list[Node]) -> None:
    """Capacity is freed before it is taken again: stops come before starts and migrations onto a node."""
    cluster = resource.cluster
    for node in resource.active:
        new_ordering(
            cluster,
            IF_ON_SAME_NODE_OR_TARGET,
            first_resource=resource,
            first_key=resource.key("stop"),
            then=_load_stopped(resource, node),
        )
    for node in nodes:
        stopped = _load_stopped(resource, node)
        for task in ("start", "migrate_to"):
            new_ordering(
                cluster,
                IF_ON_SAME_NODE_OR_TARGET,
                first=stopped,
                then_resource=resource,
                then_key=resource.key(task),
            )
