# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 11: what is ordered after a resource's actions also waits for its probes."""

from __future__ import annotations

from ha.pe.core.actions import order_actions
from ha.pe.core.instance_search import find_compatible_instance
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN,
    IF_FIRST_UNMIGRATABLE,
    IF_ON_SAME_NODE,
    IF_ON_SAME_NODE_OR_TARGET,
    IF_REQUIRED_ON_SAME_NODE,
    NONE,
    ORDERED,
    PSEUDO,
    RUNNABLE,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
    Ordering,
    Relation,
)
from ha.pe.model.cluster import Cluster
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role
from ha.pe.model.values import is_true


def order_probes(cluster: Cluster) -> None:
    leading = _leading_to_restarts(cluster)
    for resource in cluster.resources:
        _order_starts_and_restarts(resource, leading)
    for ordering in cluster.orderings:
        _order_like_stop(ordering)


# Orderings after a stop also hold after a probe --------------------------------------------------------------------


def _is_task(action: Action | None, key: str | None, task: str) -> bool:
    if action is not None:
        return action.task == task
    return key is not None and key.endswith(f"_{task}_0")


def _order_like_stop(ordering: Ordering) -> None:
    first = ordering.first_resource
    if ordering.flags == NONE or first is None or first is ordering.then_resource:
        return
    if not _is_task(ordering.first_action, ordering.first_key, "stop"):
        return
    if ordering.then_action is None and ordering.then_key is None:
        return
    then_is_launcher = ordering.then_resource is not None and first.launcher is ordering.then_resource
    if then_is_launcher and _is_task(ordering.then_action, ordering.then_key, "stop"):
        # The stop of the container does not wait for probes inside it.
        return
    flags = ORDERED | ordering.flags & (IF_FIRST_UNMIGRATABLE | IF_ON_SAME_NODE)
    if ordering.flags in (IF_REQUIRED_ON_SAME_NODE, IF_ON_SAME_NODE_OR_TARGET):
        flags = ordering.flags
    probes = first.actions_by_key.get(first.key("monitor"))
    if not probes:
        return
    if ordering.then_action is not None:
        thens = [ordering.then_action]
    elif ordering.then_resource is not None and ordering.then_key is not None:
        thens = ordering.then_resource.actions_with_key(ordering.then_key, None)
    else:
        return
    for probe in probes:
        for then in thens:
            if _probe_matters(probe, then):
                order_actions(probe, then, flags)


def _probe_matters(probe: Action, then: Action) -> bool:
    if then.task == "stonith" and probe.node is then.node and then.meta.get("stonith_action") == "on":
        # A node is unfenced before anything is probed there.
        return False
    return not (
        then.task == "do_shutdown" and probe.node is not None and then.node is not None and probe.node is not then.node
    )


# Starts and restarts -----------------------------------------------------------------------------------------------


def _order_starts_and_restarts(resource: Resource, leading: set[int]) -> None:
    if not resource.is_primitive:
        for child in resource.children:
            _order_starts_and_restarts(child, leading)
        return
    for probe in list(resource.actions_by_key.get(resource.key("monitor"), ())):
        for relation in reversed(probe.after):
            _order_instance_starts(probe, relation)
            _order_restarts(probe, relation.action, leading)


def _order_instance_starts(probe: Action, relation: Relation) -> None:
    """A probe that cannot be done blocks the starts of the clone's instances, if it blocks the clone's."""
    assert probe.resource is not None
    clone = relation.action.resource
    if (
        clone is None
        or clone.RANK <= 2
        or probe.has(RUNNABLE)
        or relation.flags & UNRUNNABLE_FIRST_BLOCKS
        or probe.resource.top is not clone
        or relation.action.task != "start"
    ):
        return
    for other in reversed(relation.action.after):
        instance = other.action.resource
        if instance is None or instance.active or instance.top is not clone or other.action.task != "start":
            continue
        order_actions(probe, other.action, ORDERED | UNRUNNABLE_FIRST_BLOCKS)


def _order_restarts(probe: Action, after: Action, leading: set[int]) -> None:
    """If a probe finds the resource active, what depends on it may have to be restarted: after the probe.

    Only what is `leading` to a restart is followed: else each probe would look through all that depends on it.
    """
    resource = probe.resource
    if resource is None or not resource.is_primitive or probe.task != "monitor":
        return
    seen: set[int] = set()
    waiting = [after]
    while waiting:
        after = waiting.pop()
        if after.id in seen or after.id not in leading:
            continue
        seen.add(after.id)
        if after.resource is not resource:
            for ending in _endings(after):
                order_actions(probe, ending, ORDERED)
        waiting.extend(_dependents(resource, after))


def _endings(after: Action) -> list[Action]:
    """What a restart of that which an action starts (or promotes) would begin with."""
    resource = after.resource
    if resource is None or not resource.is_primitive:
        return []
    task = {"start": "stop", "promote": "demote"}.get(after.task)
    if task is None:
        return []
    return [ending for ending in resource.actions_by_key.get(resource.key(task), ()) if not ending.has(PSEUDO)]


def _leading_to_restarts(cluster: Cluster) -> set[int]:
    """The ids of all actions that have endings, or come before such in any ordering."""
    waiting = [action for action in cluster.actions if _endings(action)]
    found = {action.id for action in waiting}
    while waiting:
        for relation in waiting.pop().before:
            if relation.action.id not in found:
                found.add(relation.action.id)
                waiting.append(relation.action)
    return found


def _dependents(probed: Resource, after: Action) -> list[Action]:
    """What would have to follow a restart, of what is ordered after an action; the newest ordering last."""
    outer = after.resource
    interleave = False
    compatible: Resource | None = None
    if outer is not None and outer.RANK > 2:
        interleave = is_true(outer.meta.get("interleave"))
        if interleave:
            compatible = find_compatible_instance(probed, outer, Role.UNKNOWN, False, None)
    return [
        relation.action
        for relation in after.after
        if relation.flags & FIRST_IMPLIES_THEN
        or _leads_into(probed, outer, relation.action.resource, interleave, compatible)
    ]


def _leads_into(
    probed: Resource, outer: Resource | None, inner: Resource | None, interleave: bool, compatible: Resource | None
) -> bool:
    if outer is None or outer.RANK < 2 or probed.parent is outer or inner is None:
        return False
    if inner.RANK > 2 or inner.parent is not outer:
        return False
    return not (outer.RANK > 2 and interleave and inner is not compatible)
