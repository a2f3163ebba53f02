# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 8b: how a primitive gets from its role and place to the wanted ones: stop, start, promote, demote, restart."""

from __future__ import annotations

from collections.abc import Callable

from ha.pe.core.actions import order_actions
from ha.pe.core.fencing import fence_action, order_after_unfencing
from ha.pe.core.migration import abort_dangling_migration, can_migrate, create_migration_actions
from ha.pe.core.operations import (
    demote_action,
    promote_action,
    set_next_role,
    start_action,
    stop_action,
)
from ha.pe.core.recurring import create_recurring_actions
from ha.pe.model.action import (
    ALWAYS_IN_GRAPH,
    FIRST_IMPLIES_THEN,
    OPTIONAL,
    PSEUDO,
    RUNNABLE,
    THEN_IMPLIES_FIRST,
)
from ha.pe.model.node import Node
from ha.pe.model.resource import MultiplyActive, Place, Resource
from ha.pe.model.roles import Role

U, X, S, N, P = Role.UNKNOWN, Role.STOPPED, Role.STARTED, Role.UNPROMOTED, Role.PROMOTED

# The next role on the way from one role (row) to another (column).
_STEP = {
    U: {U: U, X: X, S: X, N: X, P: X},
    X: {U: X, X: X, S: S, N: N, P: N},
    S: {U: X, X: X, S: S, N: N, P: P},
    N: {U: X, X: X, S: X, N: N, P: P},
    P: {U: X, X: N, S: N, N: N, P: P},
}


def create_role_actions(resource: Resource) -> None:
    """Creates a primitive's actions: the restart it may need, the change of role, monitors, migration."""
    if resource.next_role is Role.UNKNOWN:
        set_next_role(resource, X if resource.assigned is None else S, "assignment")
    current, all_active, clean_active = resource.active_nodes()
    for node in reversed(resource.dangling_sources):
        abort_dangling_migration(resource, node)
    target = resource.assigned
    moving = migrate = stop = False
    if current is not None and target is not None and target.node is not current and resource.next_role >= S:
        moving = stop = True
        migrate = can_migrate(resource, current)
    multiply_active = False
    if (
        resource.migration_source is not None
        and resource.migration_target is not None
        and migrate
        and all_active == 2
        and current is resource.migration_source
        and target is not None
        and target.node is resource.migration_target
    ):
        # A migration that is under way goes on.
        pass
    elif resource.migration_source is not None or resource.migration_target is not None:
        resource.migration_source = resource.migration_target = None
        stop, migrate = True, False
    else:
        multiply_active = (all_active if resource.needs_fencing else clean_active) > 1
    stop = _handle_multiply_active(resource, multiply_active) or stop
    if resource.start_pending:
        start_action(resource, target, True).set(ALWAYS_IN_GRAPH)
    promote = False
    if not moving:
        more, promote = _needs_restart(resource, current)
        stop = stop or more
    _schedule_restart(resource, current, stop, promote)
    _schedule_role_change(resource)
    create_recurring_actions(resource)
    if migrate:
        assert current is not None
        create_migration_actions(resource, current)


def _handle_multiply_active(resource: Resource, multiply_active: bool) -> bool:
    """Whether being active more than once asks for a stop."""
    resource.stop_unexpected = multiply_active and resource.multiply_active is MultiplyActive.UNEXPECTED
    return multiply_active and resource.multiply_active in (
        MultiplyActive.RESTART,
        MultiplyActive.UNEXPECTED,
    )


def _needs_restart(resource: Resource, current: Node | None) -> tuple[bool, bool]:
    """(whether it must be stopped, whether it must be promoted again) though it stays where it is."""
    if resource.failed:
        if resource.stop_if_failed:
            return True, False
        return False, resource.next_role is P
    if resource.blocked:
        return True, False
    if resource.orig_role > S and current is not None and resource.assigned is not None:
        # A start that became necessary means that a promoted instance has to be stopped, too.
        return not start_action(resource, resource.assigned, True).has(OPTIONAL), False
    return False, False


def _schedule_restart(resource: Resource, current: Node | None, stop: bool, promote: bool) -> None:
    """Takes the resource down and up to its present role, as options unless a stop is needed."""
    role = resource.orig_role
    resource.restarting = True
    while role is not X:
        step = _STEP[role][X]
        act = _ACT[role][step]
        if act is None:
            break
        act(resource, current, not stop)
        role = step
    while resource.orig_role <= resource.next_role and role is not resource.orig_role and not resource.blocked:
        step = _STEP[role][resource.orig_role]
        act = _ACT[role][step]
        if act is None:
            break
        required = stop or (step is P and promote)
        act(resource, resource.assigned, not required)
        role = step
    resource.restarting = False


def _schedule_role_change(resource: Resource) -> None:
    role = resource.orig_role
    while role is not resource.next_role:
        step = _STEP[role][resource.next_role]
        act = _ACT[role][step]
        if act is None:
            break
        act(resource, resource.assigned, False)
        role = step


# The steps ---------------------------------------------------------------------------------------------------------


def _is_expected(resource: Resource, node: Node | None) -> bool:
    # With multiple-active=stop_unexpected the instance that may stay is not stopped.
    return (
        resource.stop_unexpected
        and resource.restarting
        and resource.next_role > X
        and resource.assigned is not None
        and node is not None
        and resource.assigned.node is node
    )


def _stop(resource: Resource, place: Place | None, optional: bool) -> None:
    for node in resource.active:
        if _is_expected(resource, node):
            continue
        if resource.migration_target is not None:
            if node is resource.migration_target and resource.assigned is not None and (resource.assigned.node is node):
                continue
            optional = False
        stop = stop_action(resource, node, optional)
        if resource.assigned is None:
            stop.give_reason("node availability", overwrite=True)
        elif resource.restarting and resource.stop_unexpected:
            stop.give_reason("being multiply active", overwrite=True)
        if not resource.managed:
            stop.clear(RUNNABLE)
        if resource.needs_unfencing:
            unfencing = fence_action(resource.cluster, node, "on", True, None)
            order_actions(stop, unfencing, THEN_IMPLIES_FIRST)


def _start(resource: Resource, place: Place | None, optional: bool) -> None:
    start = start_action(resource, place, True)
    if place is not None:
        order_after_unfencing(resource, place.node, start, FIRST_IMPLIES_THEN)
    if start.has(RUNNABLE) and not optional:
        start.clear(OPTIONAL)
    if _is_expected(resource, None if place is None else place.node):
        start.set(PSEUDO)


def _promote(resource: Resource, place: Place | None, optional: bool) -> None:
    starts = resource.actions_exactly(resource.key("start"), place)
    if all(start.has(RUNNABLE) for start in starts):
        promote = promote_action(resource, place, optional)
        if _is_expected(resource, None if place is None else place.node):
            promote.set(PSEUDO)
    else:
        for promote in resource.actions_exactly(resource.key("promote"), place):
            promote.clear(RUNNABLE)


def _demote(resource: Resource, place: Place | None, optional: bool) -> None:
    for node in resource.active:
        if not _is_expected(resource, node):
            demote_action(resource, node, optional)


def _nothing(resource: Resource, place: Place | None, optional: bool) -> None:
    pass


Act = Callable[[Resource, "Place | None", bool], None]

# What takes a resource one step from a role (row) to the next (column); None where there is nothing to do.
_ACT: dict[Role, dict[Role, Act | None]] = {
    U: {U: _nothing, X: _stop, S: _nothing, N: _nothing, P: _nothing},
    X: {U: _nothing, X: None, S: _start, N: _start, P: _nothing},
    S: {U: _nothing, X: _stop, S: None, N: None, P: _promote},
    N: {U: _nothing, X: _stop, S: _stop, N: None, P: _promote},
    P: {U: _nothing, X: _demote, S: _demote, N: _demote, P: None},
}
