# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 11: what the orderings do to the actions, until nothing changes any more.

Every relation between two actions has flags, and every flag is one rule that may make an end required or
unrunnable. A changed end is looked at again, with everything related to it. The walk is depth first in the order of
creation (the newest relation first), and the result depends on that order.
"""

from __future__ import annotations

from ha.pe.core.actions import order_actions
from ha.pe.core.colocation import with_this_colocations
from ha.pe.model.action import (
    ALWAYS_IN_GRAPH,
    ASYMMETRIC,
    FIRST_ELSE_THEN,
    FIRST_IMPLIES_SAME_NODE_THEN,
    FIRST_IMPLIES_THEN,
    FIRST_IMPLIES_THEN_GRAPHED,
    IF_ON_SAME_NODE,
    INTERMEDIATE_STOP,
    MIGRATABLE,
    MIN_RUNNABLE,
    NESTED_REMOTE_PROBE,
    NONE,
    OPTIONAL,
    ORDERED,
    PROMOTED_THEN_IMPLIES_FIRST,
    PSEUDO,
    RUNNABLE,
    TASK_DONE,
    THEN_CANCELS_FIRST,
    THEN_IMPLIES_FIRST,
    THEN_IMPLIES_FIRST_GRAPHED,
    UNMIGRATABLE_THEN_BLOCKS,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
    Relation,
    notify_key,
    operation_key,
    split_key,
)
from ha.pe.model.node import Node
from ha.pe.model.resource import Place, Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY

UPDATED_FIRST = 1
UPDATED_THEN = 2


# The ends of a relation --------------------------------------------------------------------------------------------


def _flags_for(action: Action, node: Node | None) -> int:
    """The flags of an action for an ordering with something on `node`: those of instances there, for a clone."""
    resource = action.resource
    if resource is None:
        return action.flags
    flags = resource.action_flags(action, None)
    if node is None or not resource.is_clone:
        return flags
    runnable = flags & RUNNABLE
    return resource.action_flags(action, node) | runnable


def _completion_key(action: Action, resource: Resource) -> str:
    """The key of what says that a group's or clone's task is done, where that is what an ordering is about."""
    key = action.uuid
    if "notify" in key:
        return key
    parts = split_key(key)
    if parts is None or parts[2] > 0:
        return key
    resource_id, task, _ = parts
    done = TASK_DONE.get(task) or (task if task in TASK_DONE.values() else None)
    if done is None:
        return key
    if resource.notify and (resource.is_clone or resource.is_bundled):
        return notify_key(resource_id, "confirmed-post", done)
    return operation_key(resource_id, done)


def _end_for_ordering(action: Action) -> Action:
    resource = action.resource
    if resource is None or resource.RANK < 2:
        return action
    return resource.first_action_with_key(_completion_key(action, resource)) or action


# One action --------------------------------------------------------------------------------------------------------


def update_for_orderings(then: Action) -> None:
    """Applies all orderings that end in an action; what changes is followed."""
    changed = 0
    last_flags = then.flags
    if then.required_runnable_before > 0:
        # It is runnable if enough of what comes before it is.
        then.runnable_before = 0
        then.clear(RUNNABLE)
    for relation in reversed(then.before):
        changed &= ~UPDATED_FIRST
        changed |= _apply_relation(relation, then)
        if changed & UPDATED_FIRST:
            first = relation.action
            replaced = _replaced_end(first, then)
            for after in reversed(replaced.after):
                update_for_orderings(after.action)
            update_for_orderings(replaced)
    if then.required_runnable_before > 0:
        if last_flags == then.flags:
            changed &= ~UPDATED_THEN
        else:
            changed |= UPDATED_THEN
    if changed & UPDATED_THEN:
        if last_flags & RUNNABLE and not then.has(RUNNABLE):
            block_colocation_dependents(then)
        update_for_orderings(then)
        for after in reversed(then.after):
            update_for_orderings(after.action)


def _replaced_end(first: Action, then: Action) -> Action:
    if (
        first.resource is not None
        and then.resource is not None
        and first.resource is not then.resource
        and not then.resource.is_within(first.resource)
    ):
        return _end_for_ordering(first)
    return first


def _group_node(action: Action) -> Node | None:
    resource = action.resource
    if resource is not None and resource.is_group and action.task == "start":
        place = resource.location(assigned=True)
        return None if place is None else place.node
    return action.node


def _apply_relation(relation: Relation, then: Action) -> int:
    first = relation.action
    first_node = _group_node(first)
    then_node = _group_node(then)
    if (
        relation.flags & IF_ON_SAME_NODE
        and first_node is not None
        and then_node is not None
        and first_node is not then_node
    ):
        relation.flags = NONE
        return 0
    if first.resource is not None and relation.flags & THEN_CANCELS_FIRST and not then.has(OPTIONAL):
        first.set(OPTIONAL)
        if first.task == "reload-agent":
            first.resource.reload = False
    replaced = _replaced_end(first, then)
    if replaced is first:
        first_flags = _flags_for(first, then_node)
        then_flags = _flags_for(then, first_node)
        return _apply_flags(first, then, first_flags, then_flags, relation)
    if order_actions(replaced, then, relation.flags):
        relation.flags = NONE
        return UPDATED_THEN
    return 0


def _apply_flags(first: Action, then: Action, first_flags: int, then_flags: int, relation: Relation) -> int:
    """Applies each rule of one relation; which ends changed."""
    changed = 0
    node = then.node
    if relation.flags & FIRST_IMPLIES_SAME_NODE_THEN:
        relation.flags = relation.flags & ~FIRST_IMPLIES_SAME_NODE_THEN | FIRST_IMPLIES_THEN
        node = first.node
    flags = relation.flags
    resource = then.resource
    if flags & FIRST_IMPLIES_THEN:
        if resource is not None:
            changed |= resource.update_ordered(first, then, node, first_flags & OPTIONAL, OPTIONAL, FIRST_IMPLIES_THEN)
        elif not first_flags & OPTIONAL and then.has(OPTIONAL):
            then.clear(OPTIONAL)
            changed |= UPDATED_THEN
    if flags & INTERMEDIATE_STOP and resource is not None:
        changed |= resource.update_ordered(first, then, node, first_flags, OPTIONAL | RUNNABLE, INTERMEDIATE_STOP)
    if flags & THEN_IMPLIES_FIRST:
        if first.resource is not None:
            changed |= first.resource.update_ordered(first, then, node, first_flags, OPTIONAL, THEN_IMPLIES_FIRST)
        elif not first_flags & OPTIONAL and first.has(RUNNABLE):
            first.clear(RUNNABLE)
            changed |= UPDATED_FIRST
    if flags & PROMOTED_THEN_IMPLIES_FIRST and resource is not None:
        changed |= resource.update_ordered(
            first, then, node, first_flags & OPTIONAL, OPTIONAL, PROMOTED_THEN_IMPLIES_FIRST
        )
    if flags & MIN_RUNNABLE:
        changed |= _count_runnable(first, then, node, first_flags)
    if flags & NESTED_REMOTE_PROBE and resource is not None:
        if not first_flags & RUNNABLE and first.resource is not None and first.resource.active:
            relation.flags = flags = NONE
        else:
            changed |= resource.update_ordered(first, then, node, first_flags, RUNNABLE, UNRUNNABLE_FIRST_BLOCKS)
    if flags & UNRUNNABLE_FIRST_BLOCKS:
        if resource is not None:
            changed |= resource.update_ordered(first, then, node, first_flags, RUNNABLE, UNRUNNABLE_FIRST_BLOCKS)
        elif not first_flags & RUNNABLE and then.has(RUNNABLE):
            then.clear(RUNNABLE)
            changed |= UPDATED_THEN
    if resource is not None:
        for kind, mask in _PLAIN_RULES:
            if flags & kind:
                changed |= resource.update_ordered(first, then, node, first_flags, mask, kind)
    return changed | _apply_graph_marks(first, then, first_flags, then_flags, flags)


_PLAIN_RULES = (
    (UNMIGRATABLE_THEN_BLOCKS, OPTIONAL),
    (FIRST_ELSE_THEN, OPTIONAL),
    (ORDERED, RUNNABLE),
    (ASYMMETRIC, RUNNABLE),
)


def _count_runnable(first: Action, then: Action, node: Node | None, first_flags: int) -> int:
    if then.resource is not None:
        return then.resource.update_ordered(first, then, node, first_flags, RUNNABLE, MIN_RUNNABLE)
    if first_flags & RUNNABLE:
        then.runnable_before += 1
        if then.runnable_before >= then.required_runnable_before and not then.has(RUNNABLE):
            then.set(RUNNABLE)
            return UPDATED_THEN
    return 0


def _apply_graph_marks(first: Action, then: Action, first_flags: int, then_flags: int, flags: int) -> int:
    if first.has(RUNNABLE) and flags & FIRST_IMPLIES_THEN_GRAPHED and not first_flags & OPTIONAL:
        then.set(ALWAYS_IN_GRAPH)
    if flags & THEN_IMPLIES_FIRST_GRAPHED and not then_flags & OPTIONAL:
        first.set(ALWAYS_IN_GRAPH)
    if (
        flags & (FIRST_IMPLIES_THEN | THEN_IMPLIES_FIRST | INTERMEDIATE_STOP)
        and first.resource is not None
        and not first.resource.managed
        and first.resource.blocked
        and not first.has(RUNNABLE)
        and first.task == "stop"
        and then.has(RUNNABLE)
    ):
        # What depends on a stop that cannot be done cannot be done.
        then.clear(RUNNABLE)
        return UPDATED_THEN
    return 0


# The rules for the actions of one resource -------------------------------------------------------------------------


_CONSEQUENCES = {RUNNABLE: "unrunnable", MIGRATABLE: "unmigrateable", OPTIONAL: "implied"}
"""What becomes of an action that loses a flag."""


def _clear_because(action: Action, flag: int, cause: Action) -> None:
    if not action.flags & flag:
        return
    action.clear(flag)
    if action.resource is not cause.resource:
        change = "required" if flag == OPTIONAL else _CONSEQUENCES[flag]
        name = "" if cause.resource is None else f" {cause.resource.id}"
        action.give_reason(f"{change}{name} {cause.task}")
    if action.resource is not None:
        action.resource.cluster.reporter.action(action, _CONSEQUENCES[flag], cause.uuid)


def _asymmetric(first: Action, then: Action) -> None:
    resource = then.resource
    if resource is None or first.has(RUNNABLE):
        return
    if then.has(OPTIONAL):
        role = resource.state(True)
        if role is Role.STOPPED and then.task == "stop":
            return
        if (
            role >= Role.STARTED
            and then.task == "start"
            and len(resource.active) == 1
            and resource.active[0] is then.node
        ):
            return
    _clear_because(then, OPTIONAL, first)
    _clear_because(then, RUNNABLE, first)


def _restart(first: Action, then: Action, mask: int) -> None:
    assert then.resource is not None
    wanted = bool(mask & OPTIONAL) and not then.has(OPTIONAL)
    impossible = (
        bool(mask & RUNNABLE) and not then.has(RUNNABLE) and then.resource.managed and first.resource is then.resource
    )
    if not wanted and not impossible:
        return
    if first.has(RUNNABLE) or not then.has(OPTIONAL):
        _clear_because(first, OPTIONAL, then)
    if not then.has(MIGRATABLE):
        _clear_because(first, MIGRATABLE, then)
    if not first.has(OPTIONAL) and not first.has(RUNNABLE):
        _clear_because(then, RUNNABLE, first)


def update_ordered_actions(first: Action, then: Action, flags: int, mask: int, kind: int) -> int:
    """Applies one rule (`kind`) to two actions; `flags` are the first's as the relation sees them."""
    then_flags, first_flags = then.flags, first.flags
    if kind & ASYMMETRIC:
        _asymmetric(first, then)
    if kind & THEN_IMPLIES_FIRST and not then_flags & OPTIONAL:
        if mask & OPTIONAL and not flags & OPTIONAL and first_flags & OPTIONAL:
            _clear_because(first, OPTIONAL, then)
        if flags & MIGRATABLE and not then.has(MIGRATABLE):
            _clear_because(first, MIGRATABLE, then)
    if (
        kind & PROMOTED_THEN_IMPLIES_FIRST
        and then.resource is not None
        and then.resource.orig_role is Role.PROMOTED
        and mask & OPTIONAL
        and not then.has(OPTIONAL)
    ):
        _clear_because(first, OPTIONAL, then)
        if first.has(MIGRATABLE) and not then.has(MIGRATABLE):
            _clear_because(first, MIGRATABLE, then)
    if kind & UNMIGRATABLE_THEN_BLOCKS and mask & OPTIONAL:
        if not then.has(MIGRATABLE | RUNNABLE):
            _clear_because(first, RUNNABLE, then)
        if not then.has(OPTIONAL):
            _clear_because(first, OPTIONAL, then)
    if kind & FIRST_ELSE_THEN and mask & OPTIONAL and not first.has(RUNNABLE):
        _clear_because(then, MIGRATABLE, first)
        then.clear(PSEUDO)
    if kind & UNRUNNABLE_FIRST_BLOCKS and mask & RUNNABLE and then.has(RUNNABLE) and not flags & RUNNABLE:
        _clear_because(then, RUNNABLE, first)
        _clear_because(then, MIGRATABLE, first)
    if (
        kind & FIRST_IMPLIES_THEN
        and mask & OPTIONAL
        and then.has(OPTIONAL)
        and not flags & OPTIONAL
        and not first.has(MIGRATABLE)
    ):
        _clear_because(then, OPTIONAL, first)
    if kind & INTERMEDIATE_STOP:
        _restart(first, then, mask)
    changed = 0
    if then_flags != then.flags:
        changed |= UPDATED_THEN
        if then.resource is not None and then.resource.parent is not None:
            update_for_orderings(then)
    if first_flags != first.flags:
        changed |= UPDATED_FIRST
    return changed


# Colocation dependents ---------------------------------------------------------------------------------------------


def block_colocation_dependents(action: Action) -> None:
    """What must be with something that cannot start (or be promoted) cannot either."""
    if action.has(RUNNABLE) or action.task not in ("start", "promote") or action.resource is None:
        return
    resource = action.resource.top
    if resource.parent is not None:
        resource = resource.parent
    for child in resource.children:
        child_action = child.first_action(action.task)
        if child_action is None or child_action.has(RUNNABLE):
            return
    for colocation in with_this_colocations(resource):
        if colocation.score < INFINITY:
            continue
        if action.task == "promote" and colocation.primary_role is not Role.PROMOTED:
            continue
        task = "promote" if colocation.dependent_role is Role.PROMOTED else "start"
        _block(colocation.dependent, task, action.resource)


def _block(resource: Resource, task: str, because: Resource) -> None:
    for action in resource.newest_actions():
        if action.has(RUNNABLE) and action.task == task:
            action.clear(RUNNABLE)
            action.give_reason(f"colocation with {because.id}")
            block_colocation_dependents(action)
            update_for_orderings(action)
    for child in resource.children:
        _block(child, task, because)


def same_node(one: Place | None, other: Place | None) -> bool:
    return one is not None and other is not None and one.node is other.node
