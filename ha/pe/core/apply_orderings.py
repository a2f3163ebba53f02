# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 11, the way there: ordering constraints become relations between actions, then everything is updated."""

from __future__ import annotations

from ha.pe.core.actions import order_actions
from ha.pe.core.graph_inputs import would_loop
from ha.pe.core.operations import make_action
from ha.pe.core.probe_orderings import order_probes
from ha.pe.core.relations import block_colocation_dependents, update_for_orderings
from ha.pe.core.remote import corresponds_to_guest
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN,
    GUEST_ALLOWED,
    IF_ON_SAME_NODE_OR_TARGET,
    MIGRATION_ABORT,
    NONE,
    RUNNABLE,
    Action,
    Ordering,
    Relation,
    split_key,
)
from ha.pe.model.cluster import Cluster
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role


def apply_orderings(cluster: Cluster) -> None:
    """Ties all ordering constraints to actions in the order of their creation, and carries out what follows."""
    for ordering in cluster.orderings:
        if ordering.first_resource is not None:
            _tie_first(ordering.first_resource, ordering)
        elif ordering.then_resource is not None:
            _tie_then(ordering.first_action, ordering.then_resource, ordering)
        else:
            order_actions(ordering.first_action, ordering.then_action, ordering.flags)
    for action in reversed(cluster.actions):
        block_colocation_dependents(action)
    order_probes(cluster)
    for action in reversed(cluster.actions):
        update_for_orderings(action)
    for action in reversed(cluster.actions):
        for relation in reversed(action.before):
            if _is_invalid(action, relation):
                relation.flags = NONE


def _actions_for_key(resource: Resource, key: str) -> list[Action]:
    found = resource.actions_with_key(key, None)
    if not found:
        # The key may be written with the id of another instance.
        parts = split_key(key)
        if parts is not None:
            _, task, interval = parts
            found = resource.actions_with_key(f"{resource.id}_{task}_{interval}", None)
    return found


def _tie_first(resource: Resource, ordering: Ordering) -> None:
    if ordering.first_action is not None:
        firsts = [ordering.first_action]
    else:
        assert ordering.first_key is not None
        firsts = _actions_for_key(resource, ordering.first_key)
        if not firsts and resource is not ordering.then_resource:
            created = _create_first(resource, ordering.first_key)
            firsts = [] if created is None else [created]
    then_resource = ordering.then_resource
    if then_resource is None:
        if ordering.then_action is None:
            return
        then_resource = ordering.then_action.resource
    for first in firsts:
        if then_resource is None:
            order_actions(first, ordering.then_action, ordering.flags)
        else:
            _tie_then(first, then_resource, ordering)


def _create_first(resource: Resource, key: str) -> Action | None:
    parts = split_key(key)
    if parts is None:
        return None
    _, task, interval = parts
    role = resource.state(True)
    if (role is Role.STOPPED and task == "stop") or (role is Role.UNPROMOTED and task == "demote"):
        return None
    return make_action(resource, f"{resource.id}_{task}_{interval}", task, None, True)


def _tie_then(first: Action | None, resource: Resource, ordering: Ordering) -> None:
    if ordering.then_action is not None:
        thens = [ordering.then_action]
    else:
        assert ordering.then_key is not None
        thens = _actions_for_key(resource, ordering.then_key)
    flags = ordering.flags
    if first is not None and first.resource is resource and first.has(MIGRATION_ABORT):
        flags &= ~FIRST_IMPLIES_THEN
    if first is None and not flags & FIRST_IMPLIES_THEN:
        return
    for then in thens:
        if first is not None:
            order_actions(first, then, flags)
        else:
            then.clear(RUNNABLE)


def _is_invalid(action: Action, relation: Relation) -> bool:
    first = relation.action
    if (
        not relation.flags & GUEST_ALLOWED
        and first.resource is not None
        and corresponds_to_guest(action.resource, first.node)
    ):
        # A container does not wait for what runs inside it.
        return True
    return (
        relation.flags == IF_ON_SAME_NODE_OR_TARGET
        and action.resource is not None
        and action.task == "migrate_to"
        and would_loop(action, action, relation)
    )
