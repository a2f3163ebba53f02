# SPDX-License-Identifier: GPL-2.0-or-later
"""Promotable clones: which instances get the promoted role.

The promotion score of an instance is a node attribute that its agent sets. Location constraints and colocations that
are about the promoted role join in; then the best instances are promoted.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import TYPE_CHECKING

from ha.pe.core.actions import order_tasks
from ha.pe.core.colocation import has_influence, this_with_colocations, with_this_colocations
from ha.pe.core.colocation_scores import intersect_nodes, place_value, report_change, same_value
from ha.pe.core.failcounts import base_name
from ha.pe.core.instance_search import find_compatible_instance
from ha.pe.core.instances import compare_instances
from ha.pe.core.location import node_attribute
from ha.pe.core.operations import set_next_role
from ha.pe.core.tickets import require_promotion_tickets
from ha.pe.model import scores
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN_GRAPHED,
    OPTIONAL,
    ORDERED,
    THEN_IMPLIES_FIRST_GRAPHED,
)
from ha.pe.model.constraint import Colocation, Location
from ha.pe.model.node import Candidate, Node, available
from ha.pe.model.resource import Place, Resource, Select
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY, MINUS_INFINITY

if TYPE_CHECKING:
    from ha.pe.core.kinds.clone import Clone


# Scores ------------------------------------------------------------------------------------------------------------


def _member_on(resource: Resource, base: str, node: Node | None) -> Resource | None:
    """The part cloned from `base`, if it is active on the node (any part, without a node)."""
    if base in (resource.id, resource.xml_id) and (node is None or node in resource.active):
        return resource
    for child in resource.children:
        found = _member_on(child, base, node)
        if found is not None:
            return found
    return None


def _score_counts(resource: Resource, node: Node) -> bool:
    """Whether a score on the node is meant for this instance, and it may go there."""
    base = base_name(resource.id)
    top = resource.top
    applies = False
    if not resource.unique:
        active = next((a for child in top.children if (a := _member_on(child, base, node)) is not None), None)
        known = any(
            (member := _member_on(child, base, None)) is not None and node.id in member.probed for child in top.children
        )
        applies = active is resource or (active is None and known)
    if not applies:
        nothing_known = not resource.active and not resource.probed
        applies = nothing_known or node.id in resource.probed or node in resource.active
    entry = resource.allowed.get(node.id)
    return applies and entry is not None and entry.score >= 0


def promotion_attribute(name: str) -> str:
    return f"master-{name}"


def _attribute(resource: Resource, node: Node, name: str) -> str | None:
    target = resource.meta.get("container-attribute-target")
    return node_attribute(node, promotion_attribute(name), target, assigned=not resource.unassigned)


def promotion_score(resource: Resource, node: Node) -> tuple[int, bool]:
    """(the promotion score on a node, whether nothing set one); that of a group is the sum of its members'."""
    if resource.children:
        total, is_default = 0, True
        for child in resource.children:
            score, child_default = promotion_score(child, node)
            total += score
            is_default = is_default and child_default
        return total, is_default
    if not _score_counts(resource, node):
        return 0, True
    text = _attribute(resource, node, resource.history_id or resource.id)
    if text is None and not resource.unique:
        base = base_name(resource.id)
        if base != resource.id:
            text = _attribute(resource, node, base)
    if text is None:
        return 0, True
    return scores.parse_or(text), False


def add_promotion_scores(clone: Clone) -> None:
    """Lets promotion scores draw instances to the nodes that have them."""
    if clone.promotion_scores_added:
        return
    clone.promotion_scores_added = True
    for instance in clone.children:
        for entry in instance.allowed.values():
            if not available(entry):
                continue
            score, _ = promotion_score(instance, entry.node)
            if score > 0:
                entry.score = scores.add(entry.score, score)
                clone.cluster.reporter.score(instance, entry.node, score, entry.score, "promotion score")
            instance.priority = max(instance.priority, score)


# Roles -------------------------------------------------------------------------------------------------------------


def assign_roles(clone: Clone) -> None:
    """Decides which of the placed instances are promoted."""
    for entry in clone.allowed.values():
        entry.count = 0
    for instance in clone.children:
        _set_priority(clone, instance)
    _sort_by_promotion(clone)
    promoted = 0
    for instance in clone.children:
        place = instance.location(assigned=True)
        node = None if place is None else place.node
        clone.cluster.reporter.promotion(instance, node, instance.promotion_priority)
        promoted += _set_role(clone, instance, promoted)


def _now_unpromoted(resource: Resource) -> None:
    if resource.orig_role is Role.STARTED:
        resource.orig_role = Role.UNPROMOTED
    for child in resource.children:
        _now_unpromoted(child)


def _set_priority(clone: Clone, instance: Resource) -> None:
    if instance.state(True) is Role.STARTED:
        _now_unpromoted(instance)
    place = instance.location(assigned=True)
    if place is None:
        return
    next_role = instance.state(False)
    if next_role in (Role.STARTED, Role.UNKNOWN):
        score, is_default = promotion_score(instance, place.node)
        instance.priority = -1 if is_default else score
        _tell(instance, instance.priority, "no promotion score" if is_default else "promotion score")
    elif next_role in (Role.UNPROMOTED, Role.STOPPED):
        instance.priority = MINUS_INFINITY
        _tell(instance, MINUS_INFINITY, f"role {next_role.text}")
    _apply_promoted_locations(instance, instance.locations, place)
    _apply_promoted_locations(instance, clone.locations, place)
    for colocation in this_with_colocations(instance):
        instance.colocate_as_dependent(colocation.primary, colocation)
    instance.promotion_priority = instance.priority
    if next_role is Role.PROMOTED:
        instance.promotion_priority = INFINITY
        _tell(instance, INFINITY, "role Promoted")


def _tell(instance: Resource, score: int, cause: str) -> None:
    instance.cluster.reporter.promotion_term(instance, score, score, cause, True)


def _apply_promoted_locations(instance: Resource, locations: list[Location], place: Place) -> None:
    for location in reversed(locations):
        if location.role is not Role.PROMOTED:
            continue
        for candidate in reversed(location.candidates):
            if candidate.node is place.node:
                instance.priority = scores.add(instance.priority, candidate.score)
                instance.cluster.reporter.promotion_term(instance, candidate.score, instance.priority, location.id)
                break


def _sort_by_promotion(clone: Clone) -> None:
    if clone.promotion_done:
        return
    clone.promotion_done = True
    clone.updating_nodes = True
    for instance in clone.children:
        if instance.promotion_priority >= 0:
            entry = _entry_of(clone, instance)
            if entry is not None:
                entry.score = scores.add(instance.promotion_priority, entry.score)
                clone.cluster.reporter.score(
                    clone, entry.node, instance.promotion_priority, entry.score, "promotion score"
                )
    for colocation in with_this_colocations(clone):
        _apply_to_clone(clone, colocation)
    require_promotion_tickets(clone)
    for instance in clone.children:
        place = instance.location(assigned=True)
        if not instance.managed and instance.next_role is Role.PROMOTED:
            instance.promotion_priority = INFINITY
            _tell(instance, INFINITY, "not managed")
        elif place is None:
            instance.promotion_priority = MINUS_INFINITY
            _tell(instance, MINUS_INFINITY, "no place")
        elif instance.promotion_priority >= 0:
            # Where the cluster is not symmetric, an unmanaged instance may be on a node the clone has no opinion of.
            entry = clone.allowed.get(place.node.id)
            if entry is not None:
                instance.promotion_priority = entry.score
                _tell(instance, entry.score, f"score of {clone.id}")
    clone.children.sort(key=cmp_to_key(_compare))
    clone.updating_nodes = False


def _entry_of(clone: Clone, instance: Resource) -> Candidate | None:
    place = instance.location(assigned=True)
    return None if place is None else clone.allowed.get(place.node.id)


def _apply_to_clone(clone: Clone, colocation: Colocation) -> None:
    if colocation.primary_role is not Role.PROMOTED or not has_influence(colocation):
        return
    result = colocation.dependent.add_colocated_node_scores(
        clone,
        clone.allowed,
        colocation,
        scores.factor_of(colocation.score),
        Select.ACTIVE | Select.NONNEGATIVE,
    )
    assert result is not None
    report_change(clone, result, colocation.id)
    clone.allowed = result


def _compare(one: Resource, other: Resource) -> int:
    if one.promotion_priority != other.promotion_priority:
        return -1 if one.promotion_priority > other.promotion_priority else 1
    role, other_role = one.state(True), other.state(True)
    if role is not other_role:
        return -1 if role > other_role else 1
    return compare_instances(one, other)


def _place_to_promote(clone: Clone, resource: Resource) -> Candidate | None:
    """The entry in the clone's table where the instance may be promoted, if it may."""
    for child in resource.children:
        if _place_to_promote(clone, child) is None:
            return None
    place = resource.location(assigned=True)
    if place is None:
        return None
    if not resource.managed:
        if resource.state(True) is not Role.PROMOTED:
            return None
    elif resource.priority < 0 or not available(place, False, True):
        return None
    entry = clone.allowed.get(place.node.id)
    if entry is not None and entry.count >= clone.promoted_node_max and resource.managed:
        return None
    return entry


def _set_role(clone: Clone, instance: Resource, promoted: int) -> int:
    """Sets the next role of an instance; 1 if it is promoted, else 0."""
    entry: Candidate | None = None
    if instance.promotion_priority >= 0 and (promoted < clone.promoted_max or not clone.managed):
        entry = _place_to_promote(clone, instance)
    cluster = clone.cluster
    if (
        entry is not None
        and instance.orig_role < Role.PROMOTED
        and not cluster.quorate
        and cluster.no_quorum_policy == "freeze"
    ):
        entry = None
    if entry is None:
        _next_unpromoted(instance)
        return 0
    entry.count += 1
    _next_promoted(instance)
    return 1


def _next_unpromoted(resource: Resource) -> None:
    if resource.places(assigned=True):
        set_next_role(resource, Role.UNPROMOTED, "unpromoted instance")
    else:
        set_next_role(resource, Role.STOPPED, "stopped instance")
    for child in resource.children:
        _next_unpromoted(child)


def _next_promoted(resource: Resource) -> None:
    if resource.next_role is Role.UNKNOWN:
        set_next_role(resource, Role.PROMOTED, "promoted instance")
    for child in resource.children:
        _next_promoted(child)


# Dependents --------------------------------------------------------------------------------------------------------


def update_dependent_with_promotable(clone: Clone, dependent: Resource, colocation: Colocation) -> None:
    """Draws (or binds) a resource without a place to the instances that will have the role it asks for."""
    places: list[Place] = []
    for instance in clone.children:
        place = instance.location(assigned=True)
        if place is None or instance.state(False) is not colocation.primary_role:
            continue
        if colocation.score < INFINITY:
            value = place_value(place, colocation.node_attribute, clone)
            for entry in dependent.allowed.values():
                if same_value(value, place_value(entry, colocation.node_attribute, dependent)):
                    entry.score = scores.add(entry.score, colocation.score)
                    clone.cluster.reporter.score(
                        dependent, entry.node, colocation.score, entry.score, colocation.id
                    )
        places.insert(0, place)
    if colocation.score >= INFINITY and not (
        colocation.dependent_role is Role.PROMOTED and colocation.primary_role is Role.PROMOTED
    ):
        intersect_nodes(dependent, colocation, places, True)


def update_promotable_dependent(clone: Clone, dependent: Resource, colocation: Colocation) -> int:
    """Adds to the promotion priority of a placed instance if one with the role it asks for is there."""
    instance = find_compatible_instance(dependent, clone, colocation.primary_role, False, colocation.node_attribute)
    if instance is not None:
        dependent.priority = scores.add(dependent.priority, colocation.score)
        clone.cluster.reporter.promotion_term(dependent, colocation.score, dependent.priority, colocation.id)
        return colocation.score
    if colocation.score >= INFINITY:
        dependent.priority = MINUS_INFINITY
        clone.cluster.reporter.promotion_term(dependent, MINUS_INFINITY, MINUS_INFINITY, colocation.id)
        return MINUS_INFINITY
    return 0


# Actions -----------------------------------------------------------------------------------------------------------


def check_for_role_change(resource: Resource, demoting: bool, promoting: bool) -> tuple[bool, bool]:
    """(whether anything is demoted, whether anything is promoted), carried on from earlier resources."""
    if resource.children:
        for child in resource.children:
            demoting, promoting = check_for_role_change(child, demoting, promoting)
        return demoting, promoting
    for action in resource.actions:
        if not action.has(OPTIONAL):
            demoting = demoting or action.task == "demote"
            promoting = promoting or action.task == "promote"
    return demoting, promoting


RESTART_ORDER = (
    ("stopped", "start"),
    ("stopped", "promote"),
    ("demoted", "stop"),
    ("demoted", "start"),
    ("demoted", "promote"),
    ("running", "promote"),
    ("demote", "demoted"),
)
"""The order of the tasks of a promotable clone (or bundle) as a whole."""


def order_promotable_instances(clone: Clone) -> None:
    for first, then in RESTART_ORDER:
        order_tasks(clone, first, clone, then, ORDERED)
    previous: Resource | None = None
    for instance in clone.children:
        order_tasks(instance, "demote", instance, "promote", ORDERED)
        order_tasks(clone, "promote", instance, "promote", ORDERED)
        order_tasks(instance, "promote", clone, "promoted", ORDERED)
        if previous is not None and clone.ordered:
            order_tasks(previous, "promote", instance, "promote", ORDERED)
        order_tasks(clone, "demote", instance, "demote", THEN_IMPLIES_FIRST_GRAPHED)
        order_tasks(instance, "demote", clone, "demoted", FIRST_IMPLIES_THEN_GRAPHED)
        if previous is not None and clone.ordered:
            order_tasks(instance, "demote", previous, "demote", ORDERED)
        previous = instance
