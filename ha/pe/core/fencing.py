# SPDX-License-Identifier: GPL-2.0-or-later
"""Fencing and unfencing: who may be fenced, who must be, and what has to wait for it."""

from __future__ import annotations

from ha.pe.core.actions import cluster_action, new_ordering, order_actions
from ha.pe.core.digests import Match, compare_fence_device
from ha.pe.model.action import (
    FIRST_IMPLIES_SAME_NODE_THEN,
    IF_ON_SAME_NODE,
    OPTIONAL,
    ORDERED,
    Action,
)
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.values import ms_to_s


def can_fence(cluster: Cluster, node: Node | None, guests: tuple[Node, ...] = ()) -> bool:
    """Whether this partition is able, and allowed, to fence the node.

    A guest is fenced with the hosts of its launcher. `guests` are those asked for already: where a status claims that a
    launcher runs on its own guest (or each on the other's), no host is known whose fencing would end it.
    """
    if node is not None and node.is_guest:
        assert node.remote is not None
        assert node.remote.launcher is not None
        if node in guests:
            return False
        hosts = node.remote.launcher.active
        return all(host.online or can_fence(cluster, host, (*guests, node)) for host in hosts)
    if not cluster.fencing_enabled or not cluster.have_fencing:
        return False
    if cluster.quorate or cluster.no_quorum_policy == "ignore":
        return True
    if node is None or not node.online:
        return False
    if node.is_remote_kind and not cluster.fence_remote_without_quorum and node.remote is not None:
        # Without quorum the other partition may hold the connection, unless we see all of its possible hosts.
        return all(entry.node.online for entry in node.remote.allowed.values())
    return True


def _unfencing_devices(resources: list[Resource]) -> list[Resource]:
    found: list[Resource] = []
    for resource in resources:
        if resource.children:
            found = _unfencing_devices(resource.children) + found
        elif resource.fence_device and (
            resource.needs_unfencing or resource.meta.get("provides", "").lower() == "unfencing"
        ):
            found.insert(0, resource)
    return found


def _priority_delay_s(cluster: Cluster, node: Node) -> int:
    # The half of a split cluster that runs the more important resources shoots first.
    if not cluster.priority_fencing_ms or node.is_remote_kind or node.online:
        return 0
    members = [member for member in cluster.nodes if not member.is_remote_kind]
    online = sum(member.online for member in members)
    if online > len(members) // 2:
        return 0
    priorities = [member.priority for member in members]
    if min(priorities) == max(priorities) or node.priority < max(priorities):
        return 0
    return ms_to_s(cluster.priority_fencing_ms)


def fence_action(
    cluster: Cluster,
    node: Node,
    operation: str | None,
    optional: bool,
    reason: str | None,
    priority_delay: bool = False,
) -> Action:
    """The fencing (or, with operation "on", unfencing) of a node; required unless `optional` or impossible."""
    operation = operation or cluster.fence_action
    key = f"stonith-{node.name}-{operation}"
    action = cluster.singletons.get(key)
    if action is None:
        action = cluster_action(cluster, key, "stonith", node, True)
        action.meta.update({"on_node": node.name, "on_node_uuid": node.id, "stonith_action": operation})
        if cluster.unfencing and _add_device_digests(cluster, node, action):
            optional = False
    if cluster.priority_fencing_ms and (priority_delay or "priority-fencing-delay" in action.meta):
        action.meta["priority-fencing-delay"] = str(_priority_delay_s(cluster, node))
    if not optional and can_fence(cluster, node):
        action.clear(OPTIONAL)
        action.give_reason(reason)
        cluster.reporter.action(action, "required", reason or "")
    elif reason is not None:
        action.give_reason(reason)
    return action


def _add_device_digests(cluster: Cluster, node: Node, action: Action) -> bool:
    everything, secure, changed = "", "", False
    for device in _unfencing_devices(cluster.resources):
        agent = device.meta.get("type")
        digests = compare_fence_device(device, agent, node)
        if digests.match is Match.OTHER:
            changed = True
            cluster.reporter.notice(f"notice: Unfencing node {node.name} because the definition of {device.id} changed")
        everything += f"{device.id}:{agent}:{digests.everything},"
        secure += f"{device.id}:{agent}:{digests.secure},"
    action.meta["digests-all"] = everything
    action.meta["digests-secure"] = secure
    return changed


def fence_node(cluster: Cluster, node: Node, reason: str, priority_delay: bool = False) -> None:
    """Declares a node unsafe. A guest is recovered through its container instead."""
    if node.is_guest:
        assert node.remote is not None
        guest = node.remote.launcher
        assert guest is not None
        if not guest.failed and guest.managed:
            node.remote_reset = True
            guest.failed = guest.stop_if_failed = True
    elif (
        node.is_remote_kind
        and node.remote is not None
        and node.remote.launcher is None
        and (node.remote.removed_launched)
    ):
        node.remote.failed = node.remote.stop_if_failed = True
    elif node.is_remote:
        if node.remote is None or node.remote.managed:
            node.remote_reset = True
        node.unclean = True
        fence_action(cluster, node, None, True, reason)
    elif not node.unclean:
        node.unclean = True
        fence_action(cluster, node, None, True, reason, priority_delay)


def trigger_unfencing(
    cluster: Cluster, resource: Resource | None, node: Node | None, reason: str, dependency: Action | None = None
) -> None:
    """Unfences a node (every suitable one of a device's table, if none is given) where unfencing is in use."""
    if not cluster.unfencing or (resource is not None and not resource.fence_device):
        return
    if node is not None and node.online and not node.unclean and not node.shutdown:
        order_actions(fence_action(cluster, node, "on", False, reason), dependency, ORDERED)
    elif resource is not None:
        for entry in list(resource.allowed.values()):
            other = entry.node
            if other.online and not other.unclean and not other.shutdown:
                trigger_unfencing(cluster, resource, other, reason, dependency)


def is_unfenced(node: Node) -> bool:
    return node.attributes.get("#node-unfenced", "0") != "0"


def order_after_unfencing(resource: Resource, node: Node, action: Action, flags: int) -> None:
    """Makes an action wait for the unfencing of its node, if the resource needs that."""
    cluster = resource.cluster
    if (resource.fence_device and cluster.unfencing) or resource.needs_unfencing:
        unfencing = fence_action(cluster, node, "on", True, None)
        order_actions(unfencing, action, flags)
        if not is_unfenced(node):
            trigger_unfencing(cluster, None, node, f"required by {resource.id} {action.task}")


def order_restart_with_unfencing(resource: Resource, node: Node) -> None:
    """A resource that needs unfencing stops before, and starts after, the unfencing of its node."""
    cluster = resource.cluster
    unfencing = fence_action(cluster, node, "on", True, None)
    new_ordering(
        cluster, ORDERED | IF_ON_SAME_NODE, first_resource=resource, first_key=resource.key("stop"), then=unfencing
    )
    new_ordering(
        cluster,
        FIRST_IMPLIES_SAME_NODE_THEN | IF_ON_SAME_NODE,
        first=unfencing,
        then_resource=resource,
        then_key=resource.key("start"),
    )
