# SPDX-License-Identifier: GPL-2.0-or-later
"""Instances of clones and bundles: their order, their places, and actions of the whole.

Instances of an anonymous clone are alike, so it matters only which nodes get one; but their numbers appear in
operation keys and must come out the same every time.
"""

from __future__ import annotations

from functools import cmp_to_key

from ha.pe.core.actions import order_actions
from ha.pe.core.assignment import assign_resource, top_allowed, unassign
from ha.pe.core.colocation import has_influence, this_with_colocations, with_this_colocations
from ha.pe.core.instance_search import find_compatible_instance
from ha.pe.core.nodescores import ban_everywhere, ban_node
from ha.pe.core.operations import resource_mark
from ha.pe.core.relations import UPDATED_FIRST, UPDATED_THEN, update_for_orderings, update_ordered_actions
from ha.pe.model import scores
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN,
    MIGRATABLE,
    OPTIONAL,
    PSEUDO,
    RUNNABLE,
    TASK_BEGUN,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
)
from ha.pe.model.node import Candidate, CandidateTable, Node, available, candidate_of, copy_table
from ha.pe.model.resource import Place, Resource, Select
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY
from ha.pe.model.values import integer, is_true

# The order of instances --------------------------------------------------------------------------------------------


def instance_number(resource: Resource) -> int:
    """The number of an instance, from its id."""
    id = resource.id
    position = id.rfind(":")
    if position < 0:
        position = id.rfind("-")
    return integer(id[position + 1 :]) or 0


def _allowed_node(resource: Resource, node: Node | None) -> tuple[Node | None, bool]:
    """(the node if it may run there, whether it is not kept from its node)."""
    if node is None:
        return None, True
    entry = resource.allowed.get(node.id)
    if entry is None or entry.score < 0:
        return None, False
    return node, True


def _by_truth(one: bool, other: bool) -> int:
    """The one that is true goes first."""
    return int(other) - int(one)


def compare_instances(one: Resource, other: Resource) -> int:
    """Which of two instances is to be placed first."""
    node, active, _ = one.active_nodes()
    other_node, other_active, _ = other.active_nodes()
    if active and other_active and active != other_active:
        return -1 if active < other_active else 1
    node, may = _allowed_node(one, node)
    other_node, other_may = _allowed_node(other, other_node)
    if may != other_may:
        return _by_truth(may, other_may)
    if one.priority != other.priority:
        return -1 if one.priority > other.priority else 1
    if node is None or other_node is None:
        return _by_truth(node is not None, other_node is not None)
    usable, other_usable = available(node), available(other_node)
    if usable != other_usable:
        return _by_truth(usable, other_usable)
    entry, other_entry = top_allowed(one, node), top_allowed(other, other_node)
    if entry is None or other_entry is None:
        return _by_truth(entry is not None, other_entry is not None)
    if entry.count != other_entry.count:
        return -1 if entry.count < other_entry.count else 1
    failed, other_failed = one.any_within("failed"), other.any_within("failed")
    if failed != other_failed:
        return _by_truth(other_failed, failed)
    result = _compare_by_colocations(one, other)
    return result if result else instance_number(one) - instance_number(other)


def _compare_by_colocations(one: Resource, other: Resource) -> int:
    node, other_node = one.current_node, other.current_node
    assert node is not None
    assert other_node is not None
    score, other_score = _wished_score(one, node), _wished_score(other, other_node)
    return (other_score > score) - (other_score < score)


def _wished_score(instance: Resource, node: Node) -> int:
    """What the relations of an instance say of its present node."""
    table: CandidateTable = {node.id: candidate_of(node)}
    for colocation in this_with_colocations(instance):
        factor = scores.factor_of(colocation.score)
        table = (
            colocation.primary.add_colocated_node_scores(instance, table, colocation, factor, Select.DEFAULT) or table
        )
    for colocation in with_this_colocations(instance):
        if has_influence(colocation, instance):
            factor = scores.factor_of(colocation.score)
            table = (
                colocation.dependent.add_colocated_node_scores(instance, table, colocation, factor, Select.NONNEGATIVE)
                or table
            )
    return table[node.id].score


def sort_instances(instances: list[Resource]) -> None:
    instances.sort(key=cmp_to_key(compare_instances))


# Places ------------------------------------------------------------------------------------------------------------


def _ban_full_nodes(instance: Resource, max_per_node: int) -> None:
    for key, entry in instance.allowed.items():
        top = top_allowed(instance, entry)
        if (
            not instance.removed
            and available(entry)
            and top is not None
            and top.score >= 0
            and top.count < max_per_node
        ):
            continue
        cause = _why_full(instance, entry, top, max_per_node) if instance.cluster.wants_tables else ""
        ban_node(instance, entry, cause)
        for child in instance.children:
            inner = child.allowed.get(key)
            if inner is not None:
                ban_node(child, inner, cause)


def _why_full(instance: Resource, entry: Candidate, top: Candidate | None, max_per_node: int) -> str:
    if instance.removed:
        return "removed from the configuration"
    if not available(entry):
        return "node not available"
    assert instance.parent is not None
    if top is None or top.score < 0:
        return f"{instance.parent.id} may not run there"
    return f"{instance.parent.id} has {max_per_node} per node there already"


def _assign_instance(instance: Resource, prefer: Node | None, max_per_node: int) -> Place | None:
    if instance.assigning:
        return None
    _ban_full_nodes(instance, max_per_node)
    chosen = instance.assign(prefer, prefer is None)
    _count(instance, chosen)
    return chosen


def _count(instance: Resource, place: Place | None) -> None:
    entry = top_allowed(instance, place)
    if entry is not None:
        entry.count += 1


def _save_tables(resource: Resource, saved: list[tuple[Resource, CandidateTable]]) -> None:
    saved.append((resource, copy_table(resource.allowed)))
    resource.cluster.reporter.tentative(resource)
    for child in resource.children:
        _save_tables(child, saved)


def _assign_in_place(instance: Resource, current: Node, max_per_node: int, free: int) -> bool:
    """Keeps an instance on its node, if colocations do not send it elsewhere; whether it stays."""
    parent = instance.parent
    assert parent is not None
    if not available(instance.allowed.get(current.id), True):
        return False
    saved: list[tuple[Resource, CandidateTable]] = []
    _save_tables(instance, saved)
    parent_table = parent.allowed
    parent.allowed = copy_table(parent_table)
    reporter = parent.cluster.reporter
    reporter.tentative(parent)
    reserved = 0
    chosen: Place | None = None
    while reserved < free:
        chosen = _assign_instance(instance, current, max_per_node)
        if chosen is not None and chosen.node is current:
            break
        for resource, table in saved:
            resource.allowed = copy_table(table)
            reporter.settled(resource, False)
            reporter.tentative(resource)
        if chosen is None:
            instance.unassigned = True
            break
        # The node it wants may be kept for an instance to come: try the next.
        reserved += 1
        unassign(instance)
        chosen = None
    parent.allowed = parent_table
    reporter.settled(parent, False)
    for resource, _ in saved:
        reporter.settled(resource, True)
    if chosen is None:
        return False
    _count(instance, chosen)
    return True


def _preferred_node(instance: Resource, optimal_per_node: int) -> Node | None:
    if not instance.active or not instance.unassigned or instance.failed:
        return None
    node = instance.current_node
    if not available(node, True):
        return None
    entry = top_allowed(instance, node)
    if entry is not None and entry.count >= optimal_per_node:
        return None
    return node


def assign_instances(collection: Resource, instances: list[Resource], max_total: int, max_per_node: int) -> None:
    """Places up to `max_total` instances: first those that can stay, then the others; bans the rest."""
    usable = 0
    for entry in collection.allowed.values():
        entry.count = 0
        usable += available(entry)
    optimal = max(1, max_total // usable) if usable else 1
    assigned = 0
    for instance in instances:
        if assigned >= max_total:
            break
        if instance.unassigned:
            current = _preferred_node(instance, optimal)
            if current is not None and _assign_in_place(instance, current, max_per_node, max_total - assigned):
                assigned += 1
    for instance in instances:
        if not instance.unassigned:
            continue
        if assigned >= max_total:
            ban_everywhere(instance, f"{collection.id} has all of its instances")
        elif _assign_instance(instance, None, max_per_node) is not None:
            assigned += 1


# Actions of the whole ----------------------------------------------------------------------------------------------


class InstanceStates:
    """What the instances of a collection are about to do."""

    __slots__ = ("active", "restarting", "starting", "stopping")

    def __init__(self) -> None:
        self.active = self.restarting = self.starting = self.stopping = False

    def add(self, instance: Resource) -> None:
        if not instance.is_primitive:
            for child in instance.children:
                self.add(child)
            return
        self.active = self.active or bool(instance.active)
        starting = any(
            not action.has(OPTIONAL) and action.has(RUNNABLE) for action in instance.actions_by_task.get("start", ())
        )
        stopping = any(
            not action.has(OPTIONAL) and action.flags & (PSEUDO | RUNNABLE)
            for action in instance.actions_by_task.get("stop", ())
        )
        self.starting = self.starting or starting
        self.stopping = self.stopping or stopping
        self.restarting = self.restarting or (starting and stopping)


def create_instance_actions(collection: Resource, instances: list[Resource]) -> tuple[Action, Action, Action, Action]:
    """Creates the actions of all instances, and the marks (start, running, stop, stopped) of the collection."""
    states = InstanceStates()
    for instance in instances:
        instance.create_actions()
        states.add(instance)
    start = resource_mark(collection, "start", not states.starting, True)
    started = resource_mark(collection, "running", not states.starting, False)
    started.priority = INFINITY
    if states.active or states.starting:
        started.set(RUNNABLE)
    stop = resource_mark(collection, "stop", not states.stopping, True)
    stopped = resource_mark(collection, "stopped", not states.stopping, True)
    stopped.priority = INFINITY
    if not states.restarting:
        stop.set(MIGRATABLE)
    return start, started, stop, stopped


def instance_task(action: Action) -> str:
    """The task of instances that a task of the collection stands for."""
    resource = action.resource
    assert resource is not None
    task = action.task
    if task in ("notify", "notified"):
        _, _, rest = action.uuid.rpartition("_notify_")
        task = rest.rpartition("_")[0]
    child = resource.children[0]
    return TASK_BEGUN.get(task, task) if child.is_primitive else task


def collective_flags(action: Action, instances: list[Resource], node: Place | None) -> int:
    """The flags of a collection's action: optional if all instances' are, runnable if any is (on `node`)."""
    task = instance_task(action)
    flags = OPTIONAL | RUNNABLE | PSEUDO
    any_runnable = False
    for instance in instances:
        found = instance.first_action(task, node if instance.is_primitive else None)
        if found is None:
            continue
        instance_flags = instance.action_flags(found, node)
        if flags & OPTIONAL and not instance_flags & OPTIONAL:
            flags &= ~OPTIONAL
            action.clear(OPTIONAL)
        any_runnable = any_runnable or bool(instance_flags & RUNNABLE)
    if not any_runnable:
        flags &= ~RUNNABLE
        if node is None:
            action.clear(RUNNABLE)
    return flags


# Orderings ---------------------------------------------------------------------------------------------------------


def _interleaves(first: Action, then: Action) -> bool:
    one, other = first.resource, then.resource
    if one is None or other is None or one is other or one.RANK < 3 or other.RANK < 3:
        return False
    decides = one if then.uuid.endswith(("_stop_0", "_demote_0")) else other
    return is_true(decides.meta.get("interleave"))


def _action_of(action: Action, instance: Resource, task: str, node: Place | None, as_first: bool) -> Action | None:
    """An instance's action; of a bundle's container, the action inside where that is what counts."""
    inside: Resource | None = None
    if (as_first and action.task not in ("stop", "stopped")) or (
        not as_first and action.task in ("promote", "promoted", "demote", "demoted")
    ):
        inside = instance.resource_in_container()
    if inside is not None:
        return inside.first_action(task, None)
    return instance.first_action(task, node)


def _update_interleaved(first: Action, then: Action, node: Place | None, mask: int, kind: int) -> int:
    assert first.resource is not None
    assert then.resource is not None
    changed = 0
    task = instance_task(first)
    current = first.uuid.endswith(("_stopped_0", "_demoted_0"))
    for instance in list(then.resource.instances()):
        partner = find_compatible_instance(instance, first.resource, Role.UNKNOWN, current, None)
        if partner is None:
            mandatory = kind & (UNRUNNABLE_FIRST_BLOCKS | FIRST_IMPLIES_THEN)
            if not current and mandatory and assign_resource(instance, None, True, True):
                changed |= UPDATED_THEN
                instance.cluster.reporter.refused(instance, f"no instance of {first.resource.id} to start after")
            continue
        first_action = _action_of(first, partner, task, node, True)
        if first_action is None:
            continue
        then_action = _action_of(then, instance, then.task, node, False)
        if then_action is None:
            continue
        if order_actions(first_action, then_action, kind):
            changed |= UPDATED_FIRST | UPDATED_THEN
        flags = partner.action_flags(first_action, node)
        changed |= instance.update_ordered(first_action, then_action, node, flags, mask, kind)
    return changed


def update_ordered_instances(first: Action, then: Action, node: Place | None, flags: int, mask: int, kind: int) -> int:
    """Carries one rule to the instances of a collection: pairwise if interleaved, else to each."""
    if then.resource is None:
        return 0
    if _interleaves(first, then):
        return _update_interleaved(first, then, node, mask, kind)
    changed = update_ordered_actions(first, then, flags, mask, kind)
    for instance in list(then.resource.instances()):
        found = instance.first_action(then.task, node)
        if found is None or not instance.action_flags(found, node) & RUNNABLE:
            continue
        result = instance.update_ordered(first, found, node, flags, mask, kind)
        if result & UPDATED_THEN:
            for after in reversed(found.after):
                update_for_orderings(after.action)
        changed |= result
    return changed
