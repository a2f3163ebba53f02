# SPDX-License-Identifier: GPL-2.0-or-later
"""How colocations work during assignment: on node scores, on promotion priorities, and through chains.

A resource adds to another's table by `factor`: its best score among the nodes that share the colocation's attribute
value, scaled; then it lets its own relations add theirs by their share of the factor. `updating_nodes` breaks loops;
the work is thrown away if it would leave no usable node.
"""

from __future__ import annotations

from enum import Enum, auto

from ha.pe.core.colocation import (
    has_influence,
    this_with_colocations,
    with_this_colocations,
)
from ha.pe.core.location import node_attribute
from ha.pe.core.nodescores import ban_node
from ha.pe.model import scores
from ha.pe.model.constraint import Colocation
from ha.pe.model.node import CandidateTable, any_available, available, copy_table
from ha.pe.model.resource import Place, Resource, Select
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY, MINUS_INFINITY, UNUSABLE


class Affects(Enum):
    NOTHING = auto()
    LOCATION = auto()
    ROLE = auto()


def place_value(place: Place | None, attribute: str, resource: Resource | None) -> str | None:
    """The value by which a colocation compares places: a node attribute, of the host where that is meant.

    None also for the name of a remote node whose status was never read, as in Pacemaker: its attributes, #uname among
    them, come with its status.
    """
    if place is None:
        return None
    node = place.node
    target: str | None = None
    if resource is not None:
        inside = node.is_remote_kind and node.is_bundle_node and resource.is_bundled
        if inside and resource.top is resource.outermost.bundled_resource:
            target = "host"
        else:
            target = resource.meta.get("container-attribute-target")
    if target is None:
        return node.attributes.get(attribute)
    return node_attribute(node, attribute, target, assigned=True)


def same_value(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return one is other
    return one == other or one.lower() == other.lower()


def role_resource(resource: Resource) -> Resource:
    """Whose role counts: that of what a bundle's container contains."""
    if resource.replica_container:
        inside = resource.resource_in_container()
        if inside is not None:
            return inside
    return resource


def affects(dependent: Resource, primary: Resource, colocation: Colocation, preview: bool) -> Affects:
    """What a colocation has a say in now: with `preview`, as if nothing were assigned."""
    if not preview and primary.unassigned:
        return Affects.NOTHING
    dependent_role = role_resource(dependent)
    primary_role = role_resource(primary)
    if (
        colocation.dependent_role >= Role.UNPROMOTED
        and dependent_role.parent is not None
        and dependent_role.parent.promotable
        and not dependent_role.unassigned
    ):
        return Affects.ROLE
    if not preview and not dependent.unassigned:
        return Affects.NOTHING
    for wanted, resource in (
        (colocation.dependent_role, dependent_role),
        (colocation.primary_role, primary_role),
    ):
        if wanted is not Role.UNKNOWN and wanted is not resource.next_role:
            return Affects.NOTHING
    return Affects.LOCATION


def apply_to_scores(dependent: Resource, primary: Resource, colocation: Colocation) -> None:
    """Adds the colocation to the dependent's table, now that the primary has its place (or has none)."""
    value: str | None = None
    place = primary.assigned
    if place is not None:
        value = place_value(place, colocation.node_attribute, primary)
    elif colocation.score < 0:
        return
    work = copy_table(dependent.allowed)
    for entry in work.values():
        if place is None:
            entry.score = scores.add(-colocation.score, entry.score)
        elif same_value(place_value(entry, colocation.node_attribute, dependent), value):
            if colocation.score < INFINITY:
                entry.score = scores.add(colocation.score, entry.score)
        elif colocation.score >= INFINITY:
            entry.score = MINUS_INFINITY
    if abs(colocation.score) >= INFINITY or any_available(work):
        report_change(dependent, work, colocation.id)
        dependent.allowed = work


def apply_to_priority(dependent: Resource, primary: Resource, colocation: Colocation) -> int:
    """Adds the colocation to the dependent's promotion priority; the change is returned."""
    if dependent.assigned is None:
        return 0
    place = primary.assigned
    wanted = colocation.primary_role
    if place is not None and wanted not in (Role.UNKNOWN, role_resource(primary).next_role):
        return 0
    attribute = colocation.node_attribute
    sign = 1
    if not same_value(place_value(dependent.assigned, attribute, dependent), place_value(place, attribute, primary)):
        if colocation.score != INFINITY or colocation.dependent_role is not Role.PROMOTED:
            return 0
        sign = -1
    elif colocation.dependent_role is Role.UNPROMOTED:
        sign = -1
    delta = sign * colocation.score
    dependent.priority = scores.add(delta, dependent.priority)
    dependent.cluster.reporter.promotion_term(dependent, delta, dependent.priority, colocation.id)
    return delta


def _best_scores(colocation: Colocation, resource: Resource, attribute: str) -> dict[str | None, int]:
    """The best score of the resource among usable nodes, by their value of the attribute (in lower case)."""
    original: CandidateTable | None = None
    if (
        resource is colocation.dependent
        and colocation.explicit
        and resource.parent is not None
        and resource.parent.is_group
        and resource is not resource.parent.children[0]
    ):
        # The group's own preferences are in the table of its first member only.
        original = resource.allowed
        resource.allowed = copy_table(original)
        resource.cluster.reporter.tentative(resource)
        for location in reversed(resource.parent.locations):
            resource.apply_location(location)
    best: dict[str | None, int] = {}
    for entry in resource.allowed.values():
        if available(entry):
            value = _folded(place_value(entry, attribute, resource))
            if entry.score > best.get(value, MINUS_INFINITY):
                best[value] = entry.score
    if original is not None:
        resource.allowed = original
        resource.cluster.reporter.settled(resource, False)
    return best


def apply_directly(dependent: Resource, primary: Resource, colocation: Colocation) -> int:
    """Applies a colocation between two resources as they are; the change of a promotion priority is returned."""
    effect = affects(dependent, primary, colocation, False)
    if effect is Affects.ROLE:
        return apply_to_priority(dependent, primary, colocation)
    if effect is Affects.LOCATION:
        apply_to_scores(dependent, primary, colocation)
    return 0


def _folded(value: str | None) -> str | None:
    return None if value is None else value.lower()


def _allowed_on_one(resource: Resource) -> bool:
    return sum(entry.score >= 0 for entry in resource.allowed.values()) == 1


def _add_matching_scores(
    work: CandidateTable,
    source: Resource,
    target: Resource | None,
    colocation: Colocation,
    factor: float,
    only_positive: bool,
) -> None:
    attribute = colocation.node_attribute
    best = _best_scores(colocation, source, attribute)
    for entry in work.values():
        score = best.get(_folded(place_value(entry, attribute, target)), MINUS_INFINITY)
        if (
            factor < 0
            and score < 0
            and (
                colocation.primary.stickiness >= -score
                or not has_influence(colocation)
                or not _allowed_on_one(colocation.dependent)
            )
        ):
            # That the other does not want a node does not make this one want it, unless the other must stay away
            # and this one is free to move.
            continue
        if entry.score == UNUSABLE:
            continue
        result = scores.add(scores.scaled(factor, score), entry.score)
        if only_positive and result < 0:
            if entry.score > 0:
                entry.score = UNUSABLE
                continue
            if entry.score == 0:
                continue
        entry.score = result


def add_colocated_scores(
    source: Resource,
    target: Resource | None,
    table: CandidateTable | None,
    colocation: Colocation | None,
    factor: float,
    select: int,
) -> CandidateTable | None:
    """`table` with the wishes of `source` added (its own table, if none is given); what every kind starts from."""
    if source.updating_nodes:
        return table
    source.updating_nodes = True
    if table is None:
        work = copy_table(source.allowed)
        target = source
    else:
        assert colocation is not None
        work = copy_table(table)
        _add_matching_scores(work, source, target, colocation, factor, bool(select & Select.NONNEGATIVE))
    if any_available(work):
        work = _add_relations(source, target, work, factor, select)
    elif select & Select.ACTIVE:
        source.updating_nodes = False
        return table
    if select & Select.NONNEGATIVE:
        for entry in work.values():
            if entry.score == UNUSABLE:
                entry.score = 1
    source.updating_nodes = False
    return work


def _add_relations(
    source: Resource, target: Resource | None, work: CandidateTable, factor: float, select: int
) -> CandidateTable:
    this_with = bool(select & Select.THIS_WITH)
    relations = this_with_colocations(source) if this_with else with_this_colocations(source)
    select |= Select.ACTIVE
    for relation in relations:
        if this_with:
            other = relation.primary
        elif has_influence(relation):
            other = relation.dependent
        else:
            continue
        result = other.add_colocated_node_scores(
            target, work, relation, scores.scaled_factor(factor, relation.score), select
        )
        assert result is not None
        work = result
    return work


def add_dependent_scores(colocation: Colocation, primary: Resource) -> None:
    """Adds the wishes of a dependent to its primary's table."""
    if not has_influence(colocation):
        return
    select = int(Select.ACTIVE)
    if primary.is_clone:
        select |= Select.NONNEGATIVE
    result = colocation.dependent.add_colocated_node_scores(
        primary, primary.allowed, colocation, scores.factor_of(colocation.score), select
    )
    assert result is not None
    if result is not primary.allowed:
        report_change(primary, result, colocation.id)
        primary.allowed = result


def intersect_nodes(dependent: Resource, colocation: Colocation, places: list[Place], merge_scores: bool) -> None:
    """Bans the dependent from all nodes but those of `places`."""
    by_id: dict[str, Place] = {}
    for place in places:
        by_id.setdefault(place.node.id, place)
    for entry in dependent.allowed.values():
        found = by_id.get(entry.node.id)
        if found is None:
            ban_node(dependent, entry, colocation.id)
        elif merge_scores:
            entry.score = scores.add(entry.score, found.score)
            dependent.cluster.reporter.score(dependent, entry.node, found.score, entry.score, colocation.id)


def report_change(resource: Resource, after: CandidateTable, cause: str) -> None:
    """Reports what the table of a resource is about to become, entry by entry."""
    cluster = resource.cluster
    if not cluster.wants_tables:
        return
    for key, entry in after.items():
        known = resource.allowed[key].score
        if known != entry.score:
            term = max(MINUS_INFINITY, min(INFINITY, entry.score - known))
            # A wish passed on along a chain may replace an infinity, which nothing can be added to.
            fresh = scores.add(known, term) != entry.score
            cluster.reporter.score(resource, entry.node, entry.score if fresh else term, entry.score, cause, fresh)


def colocated_by_constraint(resource: Resource, origin: Resource | None, found: list[Resource]) -> list[Resource]:
    """`found` with a resource and all that is mandatorily colocated with it, newest first."""
    if origin is None:
        origin = resource
    if any(known is resource for known in found):
        return found
    found = [resource, *found]
    for colocation in this_with_colocations(resource):
        primary = colocation.primary
        if (
            primary is not origin
            and colocation.score == INFINITY
            and (affects(resource, primary, colocation, True) is Affects.LOCATION)
        ):
            found = primary.colocated_resources(origin, found)
    for colocation in with_this_colocations(resource):
        dependent = colocation.dependent
        if dependent is origin or (resource.is_clone and not dependent.is_clone):
            continue
        if colocation.score == INFINITY and affects(dependent, resource, colocation, True) is Affects.LOCATION:
            found = dependent.colocated_resources(origin, found)
    return found
