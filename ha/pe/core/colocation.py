# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3c: colocation constraints: unpacked, and kept per resource in the order in which they count."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from lxml.etree import _Element as Element

from ha.pe.core.actions import order_tasks
from ha.pe.core.sets import ResourceSet, constrained_resource, has_sets, pair_of_sets, read_sets
from ha.pe.model import scores
from ha.pe.model.action import IF_REQUIRED_ON_SAME_NODE
from ha.pe.model.cluster import Cluster
from ha.pe.model.constraint import Colocation
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role, parse_role
from ha.pe.model.scores import MINUS_INFINITY
from ha.pe.model.values import boolean

UNAME = "#uname"
"""The node attribute by which a place is a node."""


# The order in which colocations count ------------------------------------------------------------------------------


def _compare(one: Resource, other: Resource) -> int:
    if one.priority != other.priority:
        return -1 if one.priority > other.priority else 1
    if one.RANK != other.RANK:
        return -1 if one.RANK > other.RANK else 1
    if one.is_clone and one.promotable != other.promotable:
        return -1 if one.promotable else 1
    return (one.id > other.id) - (one.id < other.id)


def _insert(found: list[Colocation], colocation: Colocation, whose: Callable[[Colocation], Resource]) -> None:
    key = whose(colocation)
    for index, known in enumerate(found):
        if _compare(key, whose(known)) <= 0:
            found.insert(index, colocation)
            return
    found.append(colocation)


def _dependent(colocation: Colocation) -> Resource:
    return colocation.dependent


def _primary(colocation: Colocation) -> Resource:
    return colocation.primary


def add_this_with(found: list[Colocation], colocation: Colocation) -> None:
    """Adds a colocation of the list's owner with another resource, by the other's importance."""
    _insert(found, colocation, _primary)


def add_with_this(found: list[Colocation], colocation: Colocation) -> None:
    """Adds a colocation of another resource with the list's owner, by the other's importance."""
    _insert(found, colocation, _dependent)


def _add_list(found: list[Colocation], more: list[Colocation], whose: Callable[[Colocation], Resource]) -> None:
    if not found:
        found.extend(more)
        return
    # Pacemaker counts the first of the added ones as often as there are ones to add; where several lists are
    # joined (members of groups, instances), equal decisions need the same.
    for _ in more:
        _insert(found, more[0], whose)


def add_this_with_list(found: list[Colocation], more: list[Colocation]) -> None:
    _add_list(found, more, _primary)


def add_with_this_list(found: list[Colocation], more: list[Colocation]) -> None:
    _add_list(found, more, _dependent)


def this_with_colocations(resource: Resource) -> list[Colocation]:
    """All colocations of a resource with others, its parents' that concern it included."""
    found: list[Colocation] = []
    resource.collect_this_with(resource, found)
    return found


def with_this_colocations(resource: Resource) -> list[Colocation]:
    """All colocations of others with a resource, its parents' that concern it included."""
    found: list[Colocation] = []
    resource.collect_with_this(resource, found)
    return found


def has_influence(colocation: Colocation, resource: Resource | None = None) -> bool:
    """Whether the dependent's wishes may move the primary (or the instance of it that is given)."""
    if resource is None:
        resource = colocation.primary
    if colocation.dependent.remote_nesting_allowed and not resource.failed and len(resource.active) == 1:
        return False
    return colocation.influence or not resource.active


# Creation ----------------------------------------------------------------------------------------------------------


def constraint_role(text: str | None) -> Role | None:
    """The role a colocation or ticket is limited to: UNKNOWN for none. None for a word that is no role."""
    role = parse_role(text)
    if role is Role.UNKNOWN and text is not None:
        return None
    return Role.UNKNOWN if role is Role.STARTED else role


def new_colocation(
    id: str,
    attribute: str | None,
    score: int,
    dependent: Resource | None,
    primary: Resource | None,
    dependent_role: str | None = None,
    primary_role: str | None = None,
    *,
    explicit: bool = False,
    influence: bool = False,
) -> None:
    """Adds a colocation; a mandatory separation also orders the one's stop before the other's start."""
    if dependent is None or primary is None or score == 0:
        return
    roles = (constraint_role(dependent_role), constraint_role(primary_role))
    if roles[0] is None or roles[1] is None:
        return
    colocation = Colocation(id, score, dependent, primary, roles[0], roles[1], attribute or UNAME, explicit, influence)
    add_this_with(dependent.this_with, colocation)
    add_with_this(primary.with_this, colocation)
    dependent.cluster.colocations.append(colocation)
    if score <= MINUS_INFINITY:
        _order_separation(dependent, roles[0], primary, roles[1])
        _order_separation(primary, roles[1], dependent, roles[0])


def _order_separation(first: Resource, first_role: Role, then: Resource, then_role: Role) -> None:
    if first_role is Role.PROMOTED:
        leaving = ["demote"]
    else:
        leaving = ["stop", "promote"] if first_role is Role.UNPROMOTED else ["stop"]
    if then_role is Role.PROMOTED:
        coming = ["promote"]
    else:
        coming = ["start", "demote"] if then_role is Role.UNPROMOTED else ["start"]
    for first_task in leaving:
        for then_task in coming:
            order_tasks(first, first_task, then, then_task, IF_REQUIRED_ON_SAME_NODE)


def _influence(resource: Resource, text: str | None) -> bool:
    value = boolean(text)
    return resource.critical if value is None else value


# Reading -----------------------------------------------------------------------------------------------------------


def unpack_colocation(cluster: Cluster, constraint: Element) -> None:
    """Reads one rsc_colocation."""
    score = scores.parse(constraint.get("score"))
    if score is None:
        return
    influence = constraint.get("influence")
    if has_sets(constraint):
        _colocate_sets(cluster, constraint, list(read_sets(cluster, constraint)), score, influence)
        return
    pair = pair_of_sets(cluster, constraint, ("rsc", "with-rsc"), (("rsc-role", "role"), ("with-rsc-role", "role")))
    if pair is None:
        return
    if pair:
        _colocate_sets(cluster, constraint, pair, score, influence)
        return
    dependent = constrained_resource(cluster, constraint.get("rsc"))
    primary = constrained_resource(cluster, constraint.get("with-rsc"))
    if dependent is None or primary is None:
        return
    new_colocation(
        constraint.get("id") or "",
        constraint.get("node-attribute"),
        score,
        dependent,
        primary,
        constraint.get("rsc-role"),
        constraint.get("with-rsc-role"),
        explicit=True,
        influence=_influence(dependent, influence),
    )


def _colocate_sets(
    cluster: Cluster, constraint: Element, sets: list[ResourceSet], score: int, influence: str | None
) -> None:
    sets = [resource_set for resource_set in sets if resource_set.id]
    if sets:
        _colocate_within(cluster, sets[0], score, influence)
    for last, resource_set in pairwise(sets):
        _colocate_within(cluster, resource_set, score, influence)
        _colocate_between(cluster, constraint.get("id") or "", last, resource_set, score, influence)


def _colocate_within(cluster: Cluster, resource_set: ResourceSet, score: int, influence: str | None) -> None:
    own = scores.parse(resource_set.get("score"), score)
    if own is None or own == 0 or not resource_set.sequential:
        return
    with_previous = (resource_set.get("ordering") or "group").lower() == "group"
    role = resource_set.get("role")
    members: list[Resource] = []
    for id in resource_set.members:
        resource = constrained_resource(cluster, id)
        if resource is None:
            return
        if own > 0:
            if members:
                pair = (resource, members[-1]) if with_previous else (members[-1], resource)
                new_colocation(
                    resource_set.id, None, own, *pair, role, role,
                    explicit=True, influence=_influence(resource, influence),
                )  # fmt: skip
        else:
            for other_id in resource_set.members:
                if other_id == resource.id:
                    break
                new_colocation(
                    resource_set.id, None, own, resource, constrained_resource(cluster, other_id), role, role,
                    explicit=True, influence=_influence(resource, influence),
                )  # fmt: skip
        members.append(resource)


def _colocate_between(
    cluster: Cluster, id: str, dependents: ResourceSet, primaries: ResourceSet, score: int, influence: str | None
) -> None:
    # Of a sequential set only the end that touches the other set takes part.
    first = dependents.members[:1] if dependents.sequential else dependents.members
    second = primaries.members[-1:] if primaries.sequential else primaries.members
    for whole, part in ((dependents, first), (primaries, second)):
        if whole.sequential and part and constrained_resource(cluster, part[0]) is None:
            return
    for dependent_id in first:
        dependent = constrained_resource(cluster, dependent_id)
        if dependent is None:
            continue
        for primary_id in second:
            new_colocation(
                id, None, score, dependent, constrained_resource(cluster, primary_id),
                dependents.get("role"), primaries.get("role"),
                explicit=True, influence=_influence(dependent, influence),
            )  # fmt: skip
