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
    for resource in cluster.resources:
        _order_starts_and_restarts(resource)
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


def _order_starts_and_restarts(resource: Resource) -> None:
    if not resource.is_primitive:
        for child in resource.children:
            _order_starts_and_restarts(child)
        return
    for probe in list(resource.actions_by_key.get(resource.key("monitor"), ())):
        for relation in reversed(probe.after):
            _order_instance_starts(probe, relation)
            _order_restarts(probe, relation.action, set())


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


def _order_restarts(probe: Action, after: Action, seen: set[int]) -> None:
    """If a probe finds the resource active, what depends on it may have to be restarted: after the probe."""
    resource = probe.resource
    if resource is None or not resource.is_primitive or probe.task != "monitor" or after.id in seen:
        return
    seen.add(after.id)
    other = after.resource
    if other is not None and other.is_primitive and other is not resource:
        task = {"start": "stop", "promote": "demote"}.get(after.task)
        if task is not None:
            for then in other.actions_by_key.get(other.key(task), ()):
                if not then.has(PSEUDO):
                    order_actions(probe, then, ORDERED)
    interleave = False
    compatible: Resource | None = None
    if other is not None and other.RANK > 2:
        interleave = is_true(other.meta.get("interleave"))
        if interleave:
            compatible = find_compatible_instance(resource, other, Role.UNKNOWN, False, None)
    for relation in reversed(after.after):
        if not relation.flags & FIRST_IMPLIES_THEN and not _leads_into(
            resource, other, relation.action.resource, interleave, compatible
        ):
            continue
        _order_restarts(probe, relation.action, seen)


def _leads_into(
    probed: Resource, outer: Resource | None, inner: Resource | None, interleave: bool, compatible: Resource | None
) -> bool:
    if outer is None or outer.RANK < 2 or probed.parent is outer or inner is None:
        return False
    if inner.RANK > 2 or inner.parent is not outer:
        return False
    return not (outer.RANK > 2 and interleave and inner is not compatible)
