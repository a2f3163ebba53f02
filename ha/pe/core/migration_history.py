# SPDX-License-Identifier: GPL-2.0-or-later
"""Live migrations in the operation history: finished, under way, failed half-way.

A migration leaves a migrate_to on the source and a migrate_from on the target, each naming both.
"""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.pe.core import history_order
from ha.pe.core.failcounts import lrm_entries
from ha.pe.core.running import add_running
from ha.pe.model.history import NOT_RUNNING, OK, UNKNOWN_RESULT, Entry, Execution
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role
from ha.pe.model.values import integer


def _find(
    resource: Resource, task: str, node_name: str, other_node: str | None, exit_code: int | None
) -> Element | None:
    """The operation with this name (and other end of the migration), if there is exactly one and it went so."""
    peer = "migrate_target" if task == "migrate_to" else "migrate_source"
    found = [
        operation
        for operation in lrm_entries(resource, node_name, resource.id)
        if operation.get("operation") == task and (other_node is None or operation.get(peer) == other_node)
    ]
    if len(found) != 1:
        return None
    if exit_code is not None and (
        integer(found[0].get("rc-code")) != exit_code or integer(found[0].get("op-status")) != Execution.DONE
    ):
        return None
    return found[0]


def _unknown_on(resource: Resource, node_name: str) -> bool:
    return all(
        operation.get("rc-code") in (None, str(UNKNOWN_RESULT))
        for operation in lrm_entries(resource, node_name, resource.id)
    )


def _state_change_after(resource: Resource, node_name: str, operation: Element | None) -> bool:
    """Whether something other than a monitor was done there after `operation`."""
    if operation is None:
        return False
    return any(
        other is not operation
        and other.get("operation") in ("start", "stop", "migrate_to", "migrate_from")
        and history_order.compare_operations(other, operation) > 0
        for other in lrm_entries(resource, node_name, resource.id)
    )


def _newer_state(resource: Resource, node_name: str, migrate_to: Element | None, migrate_from: Element | None) -> bool:
    operation = migrate_from if migrate_from is not None else migrate_to
    if operation is None:
        return False
    source = operation.get("migrate_source") or ""
    if migrate_from is not None and migrate_to is not None and node_name.lower() == source.lower():
        operation = migrate_to
    if _state_change_after(resource, node_name, operation):
        return True
    monitor = _find(resource, "monitor", node_name, None, NOT_RUNNING)
    return monitor is not None and history_order.compare_operations(monitor, operation) > 0


def _ends(entry: Entry, source: Node | None, target: Node | None) -> tuple[str, str] | None:
    """(source, target) of a migration, if they are told and fit the node the entry is from."""
    names = (entry.element.get("migrate_source"), entry.element.get("migrate_target"))
    if names[0] is None or names[1] is None:
        return None
    for name, node in zip(names, (source, target), strict=True):
        if node is not None and name is not None and name.lower() != node.name.lower():
            return None
    return names[0], names[1]


def read_migration_source(entry: Entry) -> None:
    """A migrate_to that succeeded: the outcome depends on the migrate_from on the target."""
    resource = entry.resource
    cluster = resource.cluster
    ends = _ends(entry, entry.node, None)
    if ends is None:
        return
    source, target = ends
    source_changed = _state_change_after(resource, source, entry.element)
    migrate_from = _find(resource, "migrate_from", target, source, None)
    exit_code, status = OK, int(Execution.PENDING)
    if migrate_from is not None:
        if source_changed:
            return
        exit_code = integer(migrate_from.get("rc-code")) or 0
        found = integer(migrate_from.get("op-status"))
        status = status if found is None else found
    target_changed = _newer_state(resource, target, entry.element, migrate_from)
    if source_changed and target_changed:
        return
    if exit_code == OK and status == Execution.DONE:
        # Moved, but the source's stop has not been done.
        resource.orig_role = Role.STOPPED
        resource.dangling_sources.append(entry.node)
        return
    resource.orig_role = Role.STARTED
    node = cluster.node(target)
    active_on_target = not target_changed and node is not None and node.online
    if status != Execution.PENDING:
        if active_on_target:
            assert node is not None
            add_running(resource, node, failed=True)
        else:
            _lose(resource)
        return
    if node is not None and node.online and _unknown_on(resource, target):
        return
    if active_on_target:
        assert node is not None
        add_running(resource, node, failed=False)
        origin = cluster.node(source)
        if origin is not None and origin.online:
            resource.migration_target = node
            resource.migration_source = origin
    elif not source_changed:
        _lose(resource)


def _lose(resource: Resource) -> None:
    resource.failed = resource.stop_if_failed = True
    resource.migratable = False


def read_failed_migration_source(entry: Entry) -> None:
    """A migrate_to that failed: it may be active on both sides."""
    resource = entry.resource
    ends = _ends(entry, entry.node, None)
    if ends is None:
        return
    source, target = ends
    resource.orig_role = Role.STARTED
    migrate_from = _find(resource, "migrate_from", target, source, OK)
    if not _unknown_on(resource, target) and not _newer_state(resource, target, entry.element, migrate_from):
        node = resource.cluster.node(target)
        if node is not None and node.online:
            add_running(resource, node, failed=False)
    elif not _state_change_after(resource, source, entry.element):
        resource.dangling_sources.append(entry.node)


def read_failed_migration_target(entry: Entry) -> None:
    """A migrate_from that failed: the source may still have it."""
    resource = entry.resource
    ends = _ends(entry, None, entry.node)
    if ends is None:
        return
    source, target = ends
    resource.orig_role = Role.STARTED
    migrate_to = _find(resource, "migrate_to", source, target, OK)
    if not _unknown_on(resource, source) and not _newer_state(resource, source, migrate_to, entry.element):
        node = resource.cluster.node(source)
        if node is not None and node.online:
            add_running(resource, node, failed=True)
