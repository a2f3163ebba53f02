# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 1d: the operation history: what every resource is, and does, on every node."""

from __future__ import annotations

from lxml import etree
from lxml.etree import _Element as Element

from ha.pe.core.configuration import create_node, link_remote_node
from ha.pe.core.failcounts import base_name
from ha.pe.core.fencing import fence_node
from ha.pe.core.history_facts import histories_of, span_of
from ha.pe.core.history_results import Findings, read_operation
from ha.pe.core.instance_matching import find_anonymous_instance
from ha.pe.core.nodescores import add_node_score, ban_everywhere
from ha.pe.core.operations import (
    clear_resource_history,
    demote_action,
    make_action,
    set_next_role,
    stop_action,
)
from ha.pe.core.resources import contains_remote_connection, target_role, unpack_resource
from ha.pe.core.running import add_running
from ha.pe.model.action import OPTIONAL, OnFail, operation_key
from ha.pe.model.cluster import Cluster
from ha.pe.model.history import ResourceHistory
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import MINUS_INFINITY
from ha.pe.model.values import integer, ms_to_s


def read_node_history(cluster: Cluster, state: Element, node: Node) -> None:
    """Reads the operation history of one node."""
    orphaned_launch = False
    histories = histories_of(cluster, state)
    for history in histories:
        resource = _read_resource_history(cluster, node, history)
        orphaned_launch = orphaned_launch or (resource is not None and resource.removed_launched)
    if orphaned_launch:
        _adopt_removed_launched(cluster, histories)


# One resource on one node ------------------------------------------------------------------------------------------


def _read_resource_history(cluster: Cluster, node: Node, history: ResourceHistory) -> Resource | None:
    id, entry, operations = history.id, history.element, history.operations
    if id is None or (not operations and not cluster.shutdown_lock):
        return None
    resource = _find_resource(cluster, node, id)
    if resource is None:
        if not operations:
            return None
        resource = _removed_resource(cluster, entry, id)
        if resource is None:
            return None
    if cluster.shutdown_lock:
        _read_shutdown_lock(resource, node, entry)
    saved_role = resource.orig_role
    resource.orig_role = Role.UNKNOWN
    findings = Findings()
    for operation in operations:
        read_operation(resource, node, operation, findings)
    _note_recurring(resource, node, history)
    _conclude(resource, node, findings.on_fail)
    role = target_role(resource)
    if role is not None and (resource.next_role is Role.UNKNOWN or role < resource.next_role):
        set_next_role(resource, role, "target-role")
    resource.orig_role = max(resource.orig_role, saved_role)
    return resource


def _read_shutdown_lock(resource: Resource, node: Node, entry: Element) -> None:
    cluster = resource.cluster
    locked = integer(entry.get("shutdown-lock"))
    if not locked:
        return
    if cluster.shutdown_lock_ms and cluster.now > locked + ms_to_s(cluster.shutdown_lock_ms):
        clear_resource_history(resource, node)
    else:
        resource.lock_node = node
        resource.lock_time = locked


def _find_resource(cluster: Cluster, node: Node, id: str) -> Resource | None:
    resource = cluster.find(id)
    top: Resource | None = None
    if resource is None:
        first = cluster.find(base_name(id) + ":0")
        if first is not None and not first.unique:
            resource = first
            top = first.top
    elif resource.RANK > 1:
        return None
    else:
        top = resource.top
    if top is not None and top.is_anonymous_clone:
        resource = find_anonymous_instance(cluster, node, top, base_name(id))
    if resource is not None and id not in (resource.id, resource.history_id):
        cluster.set_history_id(resource, id)
    return resource


def _removed_resource(cluster: Cluster, entry: Element, id: str) -> Resource | None:
    """A stand-in for a resource that is in the history but no longer in the configuration."""
    element = etree.Element("primitive")
    for name, value in entry.attrib.items():
        element.set(str(name), str(value))
    element.set("id", id)
    resource = unpack_resource(cluster, element, None)
    if resource is None:
        return None
    if contains_remote_connection(element):
        node = cluster.node(id) or create_node(cluster, id, id, True, 0)
        link_remote_node(cluster, resource)
        node.shutdown = True
    resource.removed_launched = entry.get("container") is not None
    resource.removed = True
    cluster.resources.append(resource)
    if cluster.stop_removed_resources:
        ban_everywhere(resource, "removed from the configuration")
    else:
        resource.managed = False
    return resource


def _adopt_removed_launched(cluster: Cluster, histories: list[ResourceHistory]) -> None:
    for history in histories:
        launcher = cluster.find(history.element.get("container"))
        resource = cluster.find(history.id)
        if launcher is None or resource is None or resource.launcher is not None:
            continue
        if resource.removed_launched:
            resource.launcher = launcher
            launcher.launched.append(resource)


def _note_recurring(resource: Resource, node: Node, history: ResourceHistory) -> None:
    """Notes the recurring operations that run now, as optional actions."""
    if not node.online:
        return
    for index, recorded in enumerate(history.operations):
        interval = recorded.interval_ms
        if interval <= 0 or recorded.element.get("op-status") == "-1":
            continue
        start, stop = span_of(history)
        if (start < stop and index <= stop) or index < start:
            continue
        task = recorded.task
        make_action(resource, operation_key(resource.id, task, interval), task, node, True)


# What it amounts to ------------------------------------------------------------------------------------------------


def _conclude(resource: Resource, node: Node, on_fail: OnFail) -> None:
    known_active = resource.orig_role > Role.STOPPED
    if resource.orig_role is not Role.UNKNOWN:
        level: Resource | None = resource
        while level is not None:
            level.probed.setdefault(node.id, node)
            if level.unique:
                break
            level = level.parent
    if known_active and not node.online and not node.maintenance and resource.managed:
        _fence_for(resource, node)
    reaction = OnFail.IGNORE if node.unclean else on_fail
    _react(resource, node, reaction, known_active)
    if resource.failed and resource.is_remote_connection:
        remote = resource.cluster.node(resource.id)
        if remote is not None and remote.unclean:
            remote.seen = True
    if known_active:
        add_running(resource, node, failed=on_fail is not OnFail.IGNORE)
        if reaction in (OnFail.DEMOTE, OnFail.BLOCK):
            resource.failed = True
        elif reaction is not OnFail.IGNORE:
            resource.failed = resource.stop_if_failed = True
    elif resource.history_id is not None and ":" in resource.history_id:
        resource.cluster.set_history_id(resource, None)
    else:
        for stop in resource.actions_with_key(resource.key("stop"), node):
            stop.set(OPTIONAL)
    if (
        resource.orig_role is Role.STOPPED
        and resource.active
        and resource.migration_target is not None
        and resource.migration_source is node
    ):
        resource.orig_role = Role.STARTED


def _fence_for(resource: Resource, node: Node) -> None:
    reason = f"{resource.id} is thought to be active there"
    if node.is_guest:
        resource.failed = resource.stop_if_failed = True
    elif resource.cluster.fencing_enabled:
        if node.is_remote and node.remote is not None and not node.remote.failed:
            node.seen = False
            reason = (
                f"{resource.id} is active there (fencing will be revoked if remote connection can be "
                "re-established elsewhere)"
            )
    else:
        return
    fence_node(resource.cluster, node, reason)


def _react(resource: Resource, node: Node, on_fail: OnFail, known_active: bool) -> None:
    cluster = resource.cluster
    if on_fail is OnFail.DEMOTE:
        resource.failed = True
        demote_action(resource, node, False)
    elif on_fail is OnFail.FENCE_NODE:
        fence_node(cluster, node, f"{resource.id} failed there")
    elif on_fail is OnFail.STANDBY_NODE:
        node.standby = node.fail_standby = True
    elif on_fail is OnFail.BLOCK:
        resource.managed = False
        resource.blocked = True
    elif on_fail is OnFail.BAN:
        add_node_score(resource, node, MINUS_INFINITY, "on-fail=migrate")
    elif on_fail is OnFail.STOP:
        set_next_role(resource, Role.STOPPED, "on-fail=stop")
    elif on_fail is OnFail.RESTART:
        if known_active:
            resource.failed = resource.stop_if_failed = True
            stop_action(resource, node, False)
    elif on_fail is OnFail.RESTART_CONTAINER:
        _restart_container(resource, node, known_active)
    elif on_fail is OnFail.RESET_REMOTE:
        _reset_remote(resource, node, known_active)


def _restart_container(resource: Resource, node: Node, known_active: bool) -> None:
    resource.failed = resource.stop_if_failed = True
    if resource.launcher is not None and resource.is_bundled:
        # Where the container is may not be known yet.
        resource.cluster.stop_needed.append(resource.launcher)
    elif resource.launcher is not None:
        stop_action(resource.launcher, node, False)
    elif known_active:
        stop_action(resource, node, False)


def _reset_remote(resource: Resource, node: Node, known_active: bool) -> None:
    cluster = resource.cluster
    resource.failed = resource.stop_if_failed = True
    if cluster.fencing_enabled and resource.is_remote_connection:
        remote = cluster.node(resource.id)
        if remote is not None and remote.is_remote and not remote.remote_fenced:
            fence_node(cluster, remote, "remote connection is unrecoverable")
    if known_active:
        stop_action(resource, node, False)
    if resource.remote_reconnect_ms > 0:
        set_next_role(resource, Role.STOPPED, "remote reset")
