# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a resource runs: noting it, and what follows if it runs on several nodes."""

from __future__ import annotations

from ha.pe.core.nodescores import add_node_score, replace_by_ban
from ha.pe.model.node import Node
from ha.pe.model.resource import MultiplyActive, Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY


def add_running(resource: Resource, node: Node, failed: bool) -> None:
    """Notes that a resource, and all it is part of, runs on a node."""
    if node in resource.active:
        return
    resource.active.append(node)
    if resource.is_primitive:
        node.running.append(resource)
        _add_priority(resource, node, failed)
        if node.maintenance:
            resource.managed = False
            resource.maintenance = True
    parent = resource.parent
    if not resource.managed:
        add_node_score(resource, node, INFINITY, "not managed")
        while parent is not None:
            parent.active.append(node)
            parent = parent.parent
        return
    if _is_multiply_active(resource):
        _apply_policy(resource)
    if parent is not None:
        add_running(parent, node, False)


def _add_priority(resource: Resource, node: Node, failed: bool) -> None:
    if resource.priority == 0 or failed:
        return
    priority = resource.priority + (1 if resource.orig_role is Role.PROMOTED else 0)
    node.priority += priority
    if node.remote is not None and node.remote.launcher is not None:
        for host in node.remote.launcher.active:
            host.priority += priority


def _is_multiply_active(resource: Resource) -> bool:
    if not resource.is_primitive:
        return False
    _, total, clean = resource.active_nodes()
    return (total if resource.needs_fencing else clean) > 1


def _apply_policy(resource: Resource) -> None:
    if resource.multiply_active is MultiplyActive.STOP:
        replace_by_ban(resource, "multiple-active=stop_only")
    elif resource.multiply_active is MultiplyActive.BLOCK:
        resource.managed = False
        resource.blocked = True
        parent = resource.parent
        if (
            parent is not None
            and (parent.is_group or parent.is_bundle)
            and (parent.multiply_active is MultiplyActive.BLOCK)
        ):
            for member in parent.children:
                member.managed = False
                member.blocked = True
