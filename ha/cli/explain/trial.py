# SPDX-License-Identifier: GPL-2.0-or-later
"""What the policy engine makes of a CIB, with its reasons, and where a resource ends up by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml.etree import _Element as Element

from ha.cli.source.cluster import primitives
from ha.pe.core import schedule
from ha.pe.model.action import RUNNABLE
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.reasons import Reasons, counting
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role

GROUP_MEMBERS = "#group-members"
"""The colocation of a group's members with each other."""


@dataclass(frozen=True, slots=True)
class Judgement:
    cluster: Cluster
    reasons: Reasons


def judge(cib: bytes | Element, now_s: int) -> Judgement:
    """Raises `ha.pe.model.document.CibError`."""
    reasons = Reasons()
    return Judgement(schedule(cib, now_s, reasons).cluster, reasons)


def reaches(resource: Resource, node: Node) -> bool:
    """Whether it will run there, now or once the transition is done: a group all of it, else any instance."""
    if resource.is_primitive:
        return _primitive_reaches(resource, node)
    inside = [reaches(part, node) for part in resource.instances()]
    return bool(inside) and (all(inside) if resource.is_group else any(inside))


def _primitive_reaches(resource: Resource, node: Node) -> bool:
    place = resource.assigned
    if place is None or place.node is not node or resource.next_role is Role.STOPPED:
        return False
    if node in resource.active:
        return True
    start = resource.first_action("start", place)
    return start is not None and start.has(RUNNABLE)


def homes(cluster: Cluster, resource: Resource) -> list[str]:
    """The names of the nodes where it will run, in the order of the configuration."""
    return [node.name for node in cluster.nodes if reaches(resource, node)]


def present(resource: Resource) -> list[str]:
    """The names of the nodes where anything of it runs now, each once."""
    found: list[str] = []
    for one in primitives([resource]):
        found.extend(node.name for node in one.active if node.name not in found)
    return found


def subject(judged: Judgement, resource: Resource, node: Node) -> Resource:
    """The primitive whose score decides about a node: of a group its first member, or the first one kept away; of
    a clone or bundle the instance that goes there, else one that has no place yet."""
    while not resource.is_primitive:
        inside = resource.instances()
        if not inside:
            return resource
        if resource.is_group:
            resource = next((member for member in inside if _refuses(judged, member, node)), inside[0])
        else:
            resource = next(
                (part for part in inside if reaches(part, node)),
                next((part for part in inside if not part.places(assigned=True)), inside[0]),
            )
    return resource


def _refuses(judged: Judgement, member: Resource, node: Node) -> bool:
    entry = member.allowed.get(node.id)
    if entry is None or entry.score >= 0:
        return entry is None
    # That members follow the first one says nothing about why that one is elsewhere.
    terms = counting(judged.reasons.terms(member, node))
    return any(term.amount < 0 and term.cause != GROUP_MEMBERS for term in terms)


def family(resource: Resource) -> Iterator[Resource]:
    """The resource, what it is in, and everything in it."""
    outer = resource.parent
    while outer is not None:
        yield outer
        outer = outer.parent
    yield from _within(resource)


def _within(resource: Resource) -> Iterator[Resource]:
    yield resource
    for child in resource.children:
        yield from _within(child)
