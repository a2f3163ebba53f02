# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3d: ordering constraints: unpacked into relations between tasks of resources."""

from __future__ import annotations

from enum import Enum, auto
from itertools import pairwise

from lxml.etree import _Element as Element

from ha.pe.core.actions import new_ordering, order_tasks, pseudo_action
from ha.pe.core.sets import ResourceSet, constrained_resource, has_sets, pair_of_sets, read_sets
from ha.pe.model import scores
from ha.pe.model.action import (
    ASYMMETRIC,
    FIRST_IMPLIES_THEN,
    FIRST_IMPLIES_THEN_GRAPHED,
    MIN_RUNNABLE,
    ORDERED,
    SERIALIZE,
    THEN_IMPLIES_FIRST,
    UNRUNNABLE_FIRST_BLOCKS,
    UP_TASKS,
    operation_key,
)
from ha.pe.model.cluster import Cluster
from ha.pe.model.resource import Resource
from ha.pe.model.values import boolean, integer_at_least

_INVERSE = {
    "start": "stop",
    "stop": "start",
    "promote": "demote",
    "demote": "promote",
    "promoted": "demoted",
    "demoted": "promoted",
    "running": "stopped",
    "stopped": "running",
}


class Kind(Enum):
    OPTIONAL = auto()
    MANDATORY = auto()
    SERIALIZE = auto()


class Symmetry(Enum):
    """ASYMMETRIC orders one way only; INVERSE is the way back of a symmetric ordering."""

    ASYMMETRIC = auto()
    SYMMETRIC = auto()
    INVERSE = auto()


_KINDS = {"Optional": Kind.OPTIONAL, "Mandatory": Kind.MANDATORY, "Serialize": Kind.SERIALIZE}


def _kind(kind: str | None, score: str | None) -> Kind:
    if kind is not None:
        return _KINDS.get(kind, Kind.MANDATORY)
    return Kind.OPTIONAL if score is not None and scores.parse_or(score) == 0 else Kind.MANDATORY


def _symmetry(
    kind: str | None, score: str | None, symmetrical: str | None, parent_kind: Kind, parent_symmetrical: str | None
) -> Symmetry:
    own = parent_kind if kind is None and score is None else _kind(kind, score)
    flag = boolean(symmetrical)
    if flag is None and parent_symmetrical is not None:
        flag = boolean(parent_symmetrical) is True
    if flag is None:
        return Symmetry.ASYMMETRIC if own is Kind.SERIALIZE else Symmetry.SYMMETRIC
    return Symmetry.SYMMETRIC if flag and own is not Kind.SERIALIZE else Symmetry.ASYMMETRIC


def _flags(kind: Kind, first_task: str | None, symmetry: Symmetry) -> int:
    if kind is Kind.OPTIONAL:
        return ORDERED
    if kind is Kind.SERIALIZE:
        return SERIALIZE
    if symmetry is Symmetry.ASYMMETRIC:
        return ORDERED | ASYMMETRIC
    if symmetry is Symmetry.INVERSE:
        return ORDERED | THEN_IMPLIES_FIRST
    blocks = UNRUNNABLE_FIRST_BLOCKS if first_task in UP_TASKS else 0
    return ORDERED | FIRST_IMPLIES_THEN | blocks


def unpack_ordering(cluster: Cluster, constraint: Element) -> None:
    """Reads one rsc_order."""
    kind = _kind(constraint.get("kind"), constraint.get("score"))
    symmetry = _symmetry(constraint.get("kind"), constraint.get("score"), constraint.get("symmetrical"), kind, None)
    if has_sets(constraint):
        sets = list(read_sets(cluster, constraint))
    else:
        pair = pair_of_sets(
            cluster, constraint, ("first", "then"), (("first-action", "action"), ("then-action", "action"))
        )
        if pair is None:
            return
        sets = pair
    if not sets:
        if not has_sets(constraint):
            _order_pair(cluster, constraint, kind, symmetry)
        return
    last: ResourceSet | None = None
    for resource_set in sets:
        if not _order_within(cluster, resource_set, kind, constraint.get("symmetrical")):
            return
        if last is not None:
            if not _order_between(cluster, last, resource_set, kind, symmetry):
                return
            if symmetry is Symmetry.SYMMETRIC and not _order_between(
                cluster, resource_set, last, kind, Symmetry.INVERSE
            ):
                return
        last = resource_set


# Two resources -----------------------------------------------------------------------------------------------------


def _order_pair(cluster: Cluster, constraint: Element, kind: Kind, symmetry: Symmetry) -> None:
    id = constraint.get("id") or ""
    first = constrained_resource(cluster, constraint.get("first"))
    then = constrained_resource(cluster, constraint.get("then"))
    if first is None or then is None:
        return
    first_task = constraint.get("first-action") or "start"
    then_task = constraint.get("then-action") or first_task
    flags = _flags(kind, first_task, symmetry)
    minimum = _minimum_instances(first, constraint)
    if minimum > 0:
        _order_after_some(id, first, first_task, then, then_task, flags, minimum)
    else:
        order_tasks(first, first_task, then, then_task, flags)
    if symmetry is Symmetry.SYMMETRIC:
        first_back, then_back = _INVERSE.get(first_task), _INVERSE.get(then_task)
        if first_back is not None and then_back is not None:
            order_tasks(then, then_back, first, first_back, _flags(kind, first_back, Symmetry.INVERSE))


def _minimum_instances(first: Resource, constraint: Element) -> int:
    """How many instances of a clone are enough; 0 if that is not restricted."""
    if not first.is_clone:
        return 0
    minimum = first.meta.get("clone-min")
    if minimum is not None:
        return integer_at_least(minimum, 0)
    require_all = constraint.get("require-all")
    return 1 if require_all is not None and boolean(require_all) is not True else 0


def _order_after_some(
    id: str, first: Resource, first_task: str, then: Resource, then_task: str, flags: int, minimum: int
) -> None:
    cluster = first.cluster
    enough = pseudo_action(cluster, f"clone-one-or-more:{id}")
    enough.required_runnable_before = minimum
    for instance in first.children:
        new_ordering(
            cluster,
            MIN_RUNNABLE | FIRST_IMPLIES_THEN_GRAPHED,
            first_resource=instance,
            first_key=operation_key(instance.id, first_task),
            then=enough,
        )
    new_ordering(
        cluster,
        flags | UNRUNNABLE_FIRST_BLOCKS,
        first=enough,
        then_resource=then,
        then_key=operation_key(then.id, then_task),
    )


# Sets --------------------------------------------------------------------------------------------------------------


def _members(cluster: Cluster, ids: list[str]) -> list[Resource] | None:
    found = []
    for id in ids:
        resource = constrained_resource(cluster, id)
        if resource is None:
            return None
        found.append(resource)
    return found


def _order_within(cluster: Cluster, resource_set: ResourceSet, parent_kind: Kind, symmetrical: str | None) -> bool:
    task = resource_set.get("action") or "start"
    own = resource_set.get("kind")
    kind = parent_kind if own is None else _kind(own, resource_set.get("score"))
    sequential_text = resource_set.get("sequential")
    sequential = sequential_text is None or boolean(sequential_text) is True
    symmetry = _symmetry(own, resource_set.get("score"), resource_set.get("symmetrical"), parent_kind, symmetrical)
    flags = _flags(kind, task, symmetry)
    members = _members(cluster, resource_set.members)
    if members is None:
        return False
    if len(members) == 1:
        return True
    if kind is Kind.SERIALIZE:
        for index, first in enumerate(members):
            for then in members[index + 1 :]:
                order_tasks(first, task, then, task, flags)
    elif sequential:
        for first, then in pairwise(members):
            order_tasks(first, task, then, task, flags)
    back = _INVERSE.get(task)
    if symmetry is Symmetry.ASYMMETRIC or not sequential or back is None:
        return True
    flags = _flags(kind, back, Symmetry.INVERSE)
    for first, then in pairwise(members):
        order_tasks(then, back, first, back, flags)
    return True


def _order_between(cluster: Cluster, firsts: ResourceSet, thens: ResourceSet, kind: Kind, symmetry: Symmetry) -> bool:
    first_task: str | None = firsts.get("action") or "start"
    then_task: str | None = thens.get("action") or "start"
    require_all = boolean(firsts.get("require-all")) is not False
    inverse = symmetry is Symmetry.INVERSE
    if inverse:
        first_task, then_task = _INVERSE.get(first_task or ""), _INVERSE.get(then_task or "")
    if first_task in ("stop", "demote"):
        require_all = True
    if first_task is None or then_task is None:
        return True
    flags = _flags(kind, first_task, symmetry)
    if not require_all:
        return _order_after_any(cluster, firsts, first_task, thens, then_task, flags)
    # Of a sequential set only the end that touches the other set takes part.
    first_ids, then_ids = firsts.members, thens.members
    if boolean(firsts.get("sequential")) is True:
        first_ids = first_ids[:1] if inverse else first_ids[-1:]
    if boolean(thens.get("sequential")) is True:
        then_ids = then_ids[-1:] if inverse else then_ids[:1]
    for id in first_ids:
        first = constrained_resource(cluster, id)
        if first is None:
            return False
        for other in then_ids:
            then = constrained_resource(cluster, other)
            if then is None:
                return False
            order_tasks(first, first_task, then, then_task, flags)
    return True


def _order_after_any(
    cluster: Cluster, firsts: ResourceSet, first_task: str, thens: ResourceSet, then_task: str, flags: int
) -> bool:
    any_done = pseudo_action(cluster, f"one-or-more:{firsts.id}")
    any_done.required_runnable_before = 1
    for id in firsts.members:
        first = constrained_resource(cluster, id)
        if first is None:
            return False
        new_ordering(
            cluster,
            MIN_RUNNABLE | FIRST_IMPLIES_THEN_GRAPHED,
            first_resource=first,
            first_key=operation_key(first.id, first_task),
            then=any_done,
        )
    for id in thens.members:
        then = constrained_resource(cluster, id)
        if then is None:
            return False
        new_ordering(
            cluster,
            flags | UNRUNNABLE_FIRST_BLOCKS,
            first=any_done,
            then_resource=then,
            then_key=operation_key(then.id, then_task),
        )
    return True
