# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 8d: live migration in place of stop and start."""

from __future__ import annotations

from ha.pe.core.actions import order_tasks
from ha.pe.core.operations import make_action, start_action, stop_action
from ha.pe.model.action import (
    FIRST_ELSE_THEN,
    MIGRATABLE,
    MIGRATION_ABORT,
    ORDERED,
    PSEUDO,
    UNMIGRATABLE_THEN_BLOCKS,
    Action,
)
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource


def can_migrate(resource: Resource, current: Node | None) -> bool:
    """Whether a move may be live: the resource allows it, is well, and neither node is unsafe."""
    return (
        resource.migratable
        and resource.managed
        and not resource.failed
        and not resource.start_pending
        and current is not None
        and not current.unclean
        and resource.assigned is not None
        and not resource.assigned.node.unclean
    )


def create_migration_actions(resource: Resource, current: Node) -> None:
    """Adds migrate_to and migrate_from; the stop follows them, and the start becomes a mark."""
    assert resource.assigned is not None
    target = resource.assigned
    start = start_action(resource, target, True)
    stop = stop_action(resource, current, True)
    migrate_to: Action | None = None
    if resource.migration_target is None:
        migrate_to = make_action(resource, resource.key("migrate_to"), "migrate_to", current, True)
    migrate_from = make_action(resource, resource.key("migrate_from"), "migrate_from", target, True)
    start.set(MIGRATABLE | PSEUDO)
    stop.set(MIGRATABLE)
    migrate_from.set(MIGRATABLE)
    if migrate_to is not None:
        migrate_to.set(MIGRATABLE)
        migrate_to.needs = start.needs
        order_tasks(resource, "monitor", resource, "migrate_to", ORDERED)
        order_tasks(resource, "migrate_to", resource, "migrate_from", ORDERED | UNMIGRATABLE_THEN_BLOCKS)
    else:
        migrate_from.needs = start.needs
        order_tasks(resource, "monitor", resource, "migrate_from", ORDERED)
    order_tasks(resource, "migrate_from", resource, "stop", ORDERED | UNMIGRATABLE_THEN_BLOCKS)
    order_tasks(resource, "migrate_from", resource, "start", ORDERED | UNMIGRATABLE_THEN_BLOCKS | FIRST_ELSE_THEN)
    if migrate_to is not None:
        _name_ends(migrate_to, current, target.node)
        if not resource.is_remote_connection:
            migrate_to.meta["record-pending"] = "true"
    _name_ends(migrate_from, current, target.node)


def _name_ends(action: Action, source: Node, target: Node) -> None:
    action.meta["migrate_source"] = source.name
    action.meta["migrate_target"] = target.name


def abort_dangling_migration(resource: Resource, source: Node) -> None:
    """Cleans up the source of a migration that ended on the target."""
    stop_action(resource, source, False).set(MIGRATION_ABORT)
