# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 8a: probes: what is active where nothing is known, and what has to wait for the answer."""

from __future__ import annotations

from ha.pe.core.actions import new_ordering
from ha.pe.core.fencing import fence_node, order_after_unfencing
from ha.pe.core.operations import expect_result, make_action
from ha.pe.core.remote import is_failed_remote_node
from ha.pe.model.action import OPTIONAL, ORDERED, RUNNABLE, UNRUNNABLE_FIRST_BLOCKS, Action
from ha.pe.model.cluster import Cluster
from ha.pe.model.history import NOT_RUNNING, RUNNING_PROMOTED
from ha.pe.model.node import Discovery, Node
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role


def schedule_probes(cluster: Cluster) -> None:
    """Creates the probes of all resources on all usable nodes."""
    for node in cluster.nodes:
        if not node.online:
            if is_failed_remote_node(node):
                fence_node(cluster, node, "the connection is unrecoverable")
            continue
        if not node.unclean and node.probes_allowed:
            probe_each(cluster.resources, node)


def probe_each(resources: list[Resource], node: Node) -> bool:
    created = False
    for resource in resources:
        created = resource.create_probe(node) or created
    return created


def probe_on_node(resource: Resource, node: Node) -> bool:
    """Creates the probe of a primitive, or those of all members of a group."""
    if not resource.cluster.probe_resources or not _may_run_agent(resource, node):
        return False
    if resource.children:
        return probe_each(resource.children, node)
    if resource.launcher is not None and not resource.is_remote_connection:
        return False
    if resource.removed or node.id in resource.probed or not _is_discovered(resource, node):
        return False
    if node.is_guest and not _guest_stays(resource, node):
        return False
    probe = _probe_action(resource, node)
    top = resource.top if resource.top.is_clone else resource
    flags = ORDERED
    if not probe.has(RUNNABLE) and not top.active:
        flags |= UNRUNNABLE_FIRST_BLOCKS
    cluster = resource.cluster
    new_ordering(cluster, flags, first=probe, then_resource=top, then_key=top.key("start"))
    new_ordering(cluster, ORDERED, first=probe, then_resource=top, then_key=resource.key("reload-agent"))
    return True


def _may_run_agent(resource: Resource, node: Node) -> bool:
    if not node.is_remote_kind:
        return True
    if resource.fence_device or resource.is_remote_connection:
        return False
    return not (node.is_guest and any(inner.is_remote_connection for inner in resource.launched))


def _is_discovered(resource: Resource, node: Node) -> bool:
    entry = resource.allowed.get(node.id)
    if resource.exclusive_discovery or resource.top.exclusive_discovery:
        return entry is not None and entry.discovery is Discovery.EXCLUSIVE
    return (node.discovery if entry is None else entry.discovery) is not Discovery.NEVER


def _guest_stays(resource: Resource, node: Node) -> bool:
    """Whether a guest is up and stays so; if not, the resource's start waits for what happens to it."""
    assert node.remote is not None
    guest = node.remote.launcher
    assert guest is not None
    top = resource.top
    cluster = resource.cluster
    if guest.orig_role is Role.STOPPED:
        place = guest.assigned
        if place is not None and place.node.id not in guest.probed:
            new_ordering(
                cluster,
                ORDERED,
                first_resource=guest,
                first_key=guest.key("monitor"),
                then_resource=top,
                then_key=top.key("start"),
            )
        return False
    will_stop = (
        node.remote_reset
        or node.unclean
        or guest.failed
        or guest.next_role is Role.STOPPED
        or (guest.orig_role > Role.STOPPED and guest.assigned is not None and guest.assigned.node not in guest.active)
    )
    if will_stop:
        new_ordering(
            cluster,
            ORDERED,
            first_resource=guest,
            first_key=guest.key("stop"),
            then_resource=top,
            then_key=top.key("start"),
        )
    return not will_stop


def _probe_action(resource: Resource, node: Node) -> Action:
    probe = make_action(resource, resource.key("monitor"), "monitor", node, False)
    probe.clear(OPTIONAL)
    order_after_unfencing(resource, node, probe, ORDERED)
    if node not in resource.active:
        expect_result(probe, NOT_RUNNING)
    elif resource.orig_role is Role.PROMOTED:
        expect_result(probe, RUNNING_PROMOTED)
    return probe
