# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 9: remote and guest nodes: actions on them depend on their connection."""

from __future__ import annotations

from enum import Enum, auto

from ha.pe.core.actions import new_ordering
from ha.pe.core.digests import meta_name
from ha.pe.core.fencing import fence_node
from ha.pe.core.operation_config import parameters
from ha.pe.core.status_facts import shutdown_requested
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN,
    GUEST_ALLOWED,
    KNOWN_TASKS,
    NONE,
    ORDERED,
    PSEUDO,
    THEN_IMPLIES_FIRST,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
)
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role


class Connection(Enum):
    """What becomes of a remote node's connection; RESTING: it is re-established elsewhere."""

    UNKNOWN = auto()
    ALIVE = auto()
    RESTING = auto()
    FAILED = auto()
    STOPPED = auto()


def connection_state(node: Node) -> Connection:
    connection = node.remote
    assert connection is not None
    host = connection.current_node
    if connection.next_role is Role.STOPPED or connection.assigned is None:
        if host is not None and host.unclean:
            return Connection.FAILED
        if not connection.failed:
            return Connection.STOPPED
        if (
            connection.next_role is Role.STOPPED
            and connection.remote_reconnect_ms > 0
            and node.remote_fenced
            and not shutdown_requested(node)
        ):
            # Fenced; the connection is tried again after its reconnect interval.
            return Connection.UNKNOWN
        return Connection.FAILED
    if host is None:
        return Connection.UNKNOWN
    if host.unclean or not host.online:
        return Connection.RESTING
    if (
        len(connection.active) > 1
        and connection.migration_source is not None
        and connection.migration_target is not None
    ):
        return Connection.RESTING
    return Connection.ALIVE


def is_failed_remote_node(node: Node) -> bool:
    return node.is_remote and node.remote is not None and connection_state(node) is Connection.FAILED


# Orderings ---------------------------------------------------------------------------------------------------------


def _after_start(connection: Resource, action: Action, extra: int) -> None:
    new_ordering(
        connection.cluster,
        GUEST_ALLOWED | UNRUNNABLE_FIRST_BLOCKS | extra,
        first_resource=connection,
        first_key=connection.key("start"),
        then=action,
    )


def _before_stop(action: Action, connection: Resource, extra: int) -> None:
    new_ordering(
        connection.cluster,
        GUEST_ALLOWED | extra,
        first=action,
        then_resource=connection,
        then_key=connection.key("stop"),
    )


def order_remote_actions(cluster: Cluster) -> None:
    """Orders the actions on remote and guest nodes with their connections' starts and stops."""
    if not cluster.have_remote_nodes:
        return
    for action in reversed(cluster.actions):
        resource = action.resource
        if resource is None:
            continue
        if resource.is_remote_connection and action.task == "clear_failcount":
            new_ordering(cluster, ORDERED, first=action, then_resource=resource, then_key=resource.key("start"))
            continue
        node = action.node
        if node is None or not node.is_remote_kind or action.has(PSEUDO) or node.remote is None:
            continue
        if action.task == "start":
            # Whatever it leaves behind elsewhere is stopped once it can come here.
            for other in resource.newest_actions():
                if other.node is not node and other.task == "stop":
                    new_ordering(
                        cluster,
                        ORDERED,
                        first_resource=node.remote,
                        first_key=node.remote.key("start"),
                        then_resource=resource,
                        then=other,
                    )
        if node.remote.launcher is not None:
            _order_on_guest(action, node, node.remote, node.remote.launcher)
        else:
            _order_on_remote(action, node, node.remote)


def _effective_task(action: Action) -> str:
    return "stop" if action.task in ("migrate_to", "migrate_from") else action.task


def _order_on_remote(action: Action, node: Node, connection: Resource) -> None:
    state = connection_state(node)
    task = _effective_task(action)
    cluster = connection.cluster
    if task in ("start", "promote"):
        _after_start(connection, action, FIRST_IMPLIES_THEN if state is Connection.FAILED else NONE)
    elif task == "stop":
        if state is Connection.FAILED:
            fence_node(cluster, node, "resources are active but connection is unrecoverable")
        elif state is Connection.ALIVE or connection.next_role is Role.STOPPED:
            _before_stop(action, connection, THEN_IMPLIES_FIRST)
        else:
            _after_start(connection, action, NONE)
    elif task == "demote":
        if state in (Connection.RESTING, Connection.UNKNOWN):
            _after_start(connection, action, NONE)
    elif action.interval_ms > 0:
        _after_start(connection, action, FIRST_IMPLIES_THEN)
    else:
        if task == "monitor" and state is Connection.FAILED:
            fence_node(cluster, node, "resources are in unknown state and connection is unrecoverable")
        if connection.current_node is not None and state is Connection.STOPPED:
            _before_stop(action, connection, UNRUNNABLE_FIRST_BLOCKS)
        else:
            _after_start(connection, action, NONE)


def _order_on_guest(action: Action, node: Node, connection: Resource, container: Resource) -> None:
    if container.failed:
        fence_node(connection.cluster, node, "container failed")
    task = _effective_task(action)
    if task in ("start", "promote"):
        _after_start(container, action, FIRST_IMPLIES_THEN)
        _after_start(connection, action, NONE)
    elif task in ("stop", "demote"):
        if not container.failed:
            _before_stop(action, connection, NONE)
    elif action.interval_ms > 0:
        if task in KNOWN_TASKS:
            _after_start(connection, action, FIRST_IMPLIES_THEN)
    else:
        _after_start(connection, action, NONE)


# Graph -------------------------------------------------------------------------------------------------------------


def corresponds_to_guest(resource: Resource | None, node: Node | None) -> bool:
    """Whether `node` is the guest that the resource launches."""
    return (
        resource is not None
        and bool(resource.launched)
        and node is not None
        and node.remote is not None
        and node.remote.launcher is resource
    )


def router_of(action: Action) -> Node | None:
    """The cluster node through which an action on a remote node goes."""
    node = action.node
    if action.task == "stonith" or node is None or not node.is_remote_kind or node.remote is None:
        return None
    connection = node.remote
    began = connection.current_node
    ended = None if connection.assigned is None else connection.assigned.node
    if began is None or ended is None:
        return began or ended
    if began is ended:
        return began
    task = action.meta.get("notify_operation") if action.task == "notify" else action.task
    partial = connection.launcher is None and connection.migration_target is not None
    if task in ("cancel", "stop", "demote", "migrate_from", "migrate_to") and not partial:
        return began
    return ended


_UP_OR_UNKNOWN = frozenset(("start", "running", "monitor", "promote", "promoted"))
_DOWN = frozenset(("stop", "stopped", "demote", "demoted"))


def add_guest_meta(action: Action, attributes: dict[str, str]) -> None:
    """Tells an agent on a guest which host the guest is on."""
    node = action.node
    if node is None or not node.is_guest:
        return
    assert node.remote is not None
    container = node.remote.launcher
    assert container is not None
    assert action.resource is not None
    task: str | None = action.task
    if task in ("notify", "notified"):
        task = action.meta.get("notify_operation")
    host: Node | None = None
    if task in _DOWN:
        host = container.current_node
    elif task in _UP_OR_UNKNOWN:
        host = None if container.assigned is None else container.assigned.node
    if host is not None:
        target = action.resource.meta.get("container-attribute-target")
        if target is not None:
            attributes.setdefault(meta_name("container-attribute-target"), target)
        attributes.setdefault(meta_name("physical-host"), host.name)


def with_connection_address(resource: Resource, values: dict[str, str]) -> dict[str, str]:
    """Parameters with the address of a connection written out where it is given as #uname."""
    if values.get("addr") == "#uname":
        address = parameters(resource, None).get("addr")
        if address is not None:
            return values | {"addr": address}
    return values
