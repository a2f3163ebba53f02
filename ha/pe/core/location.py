# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3b and 4: location constraints: unpacked, and applied to the tables of nodes."""

from __future__ import annotations

import re

from lxml.etree import _Element as Element

from ha.pe.core.operation_config import parameters
from ha.pe.core.sets import constrained_resource, has_sets, is_known, members_of_tag, read_sets
from ha.pe.model import scores
from ha.pe.model.cluster import Cluster
from ha.pe.model.constraint import Location
from ha.pe.model.node import Candidate, Discovery, Node
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role, parse_role
from ha.pe.model.rules import RuleInput, evaluate, with_submatches

_DISCOVERY = {"always": Discovery.ALWAYS, "never": Discovery.NEVER, "exclusive": Discovery.EXCLUSIVE}


def new_location(id: str, resource: Resource, score: int, discovery: str | None, node: Node | None) -> Location:
    """Adds a location constraint, of one node if one is given."""
    mode = _DISCOVERY.get((discovery or "always").lower(), Discovery.ALWAYS)
    if mode is Discovery.EXCLUSIVE:
        resource.exclusive_discovery = True
    location = Location(id, resource, mode)
    if node is not None:
        location.candidates.append(Candidate(node, score, node.discovery))
    resource.cluster.locations.append(location)
    resource.locations.append(location)
    return location


def location_role(text: str | None) -> Role | None:
    """The role a location constraint is limited to: UNKNOWN for none. None for a word that is no role."""
    if text is None:
        return Role.UNKNOWN
    role = parse_role(text)
    if role is Role.UNKNOWN:
        return None
    return Role.UNKNOWN if role in (Role.STARTED, Role.UNPROMOTED) else role


def unpack_location(cluster: Cluster, constraint: Element) -> None:
    """Reads one rsc_location."""
    if has_sets(constraint):
        for resource_set in read_sets(cluster, constraint):
            if not resource_set.id or not _apply_to(
                cluster, constraint, resource_set.members, resource_set.get("role"), resource_set.get("score")
            ):
                return
        return
    id = constraint.get("rsc")
    if id is not None:
        if not is_known(cluster, id):
            return
        members = members_of_tag(cluster, id)
        if members is not None:
            _apply_to(cluster, constraint, members, constraint.get("role"), None)
            return
        resource = constrained_resource(cluster, id)
        if resource is not None:
            _for_resource(constraint, resource, None, None, None)
    pattern = constraint.get("rsc-pattern")
    if pattern is not None:
        _for_pattern(cluster, constraint, pattern)


def _apply_to(cluster: Cluster, constraint: Element, members: list[str], role: str | None, score: str | None) -> bool:
    for member in members:
        resource = constrained_resource(cluster, member)
        if resource is None:
            return False
        _for_resource(constraint, resource, role, score, None)
    return True


def _for_pattern(cluster: Cluster, constraint: Element, pattern: str) -> None:
    inverted = pattern.startswith("!")
    try:
        expression = re.compile(pattern[1:] if inverted else pattern)
    except re.error:
        return
    for resource in cluster.resources:
        match = expression.search(resource.id)
        if (match is None) == inverted:
            _for_resource(constraint, resource, None, None, None if inverted else match)


def _for_resource(
    constraint: Element, resource: Resource, role: str | None, score: str | None, match: re.Match[str] | None
) -> None:
    cluster = resource.cluster
    name = constraint.get("node")
    discovery = constraint.get("resource-discovery")
    if score is None:
        score = constraint.get("score")
    given = cluster.rule_input()
    given.resource_meta = resource.meta
    given.match = match
    if name is not None and score is not None:
        node = cluster.node(name)
        value = scores.parse(score)
        wanted = location_role(role if role is not None else constraint.get("role"))
        if node is not None and value is not None and wanted is not None and _alive(constraint, given):
            new_location(constraint.get("id") or "", resource, value, discovery, node).role = wanted
    else:
        for rule in constraint.iterchildren("rule"):
            _for_rule(constraint, rule, resource, discovery, given)
    if given.next_change is not None:
        cluster.recheck_at(given.next_change)


def _alive(constraint: Element, given: RuleInput) -> bool:
    # The older way to limit a constraint in time: any of the rules of its lifetime.
    lifetime = constraint.find("lifetime")
    if lifetime is None:
        return True
    return any(evaluate(rule, given) for rule in lifetime.iterchildren("rule"))


def _for_rule(constraint: Element, rule: Element, resource: Resource, discovery: str | None, given: RuleInput) -> None:
    cluster = resource.cluster
    resolved = cluster.document.resolve(rule)
    if resolved is None or not resolved.get("id"):
        return
    role = location_role(resolved.get("role"))
    combine = (resolved.get("boolean-op") or "and").lower()
    if role is None or combine not in ("and", "or"):
        return
    attribute = resolved.get("score-attribute")
    score: int | None = 0
    if attribute is None:
        text = resolved.get("score")
        score = None if text is None else scores.parse(text)
        if score is None:
            return
    else:
        attribute = with_submatches(attribute, given.match)
    location = new_location(resolved.get("id") or "", resource, 0, discovery, None)
    location.role = role
    for node in cluster.nodes:
        given.node_attributes = node.attributes
        given.resource_parameters = parameters(resource, node)
        if not evaluate(resolved, given) or not _alive(constraint, given):
            continue
        if attribute is not None:
            text = attribute_for(resource, node, attribute)
            found = None if not text else scores.parse(text, 0, cluster.health_colours)
            if found is None:
                continue
            score = found
        assert score is not None
        location.candidates.append(Candidate(node, score, node.discovery))


def attribute_for(resource: Resource, node: Node, name: str) -> str | None:
    """A node attribute, of the guest's present host where the resource asks for that."""
    target = resource.meta.get("container-attribute-target")
    return node_attribute(node, name, target, assigned=False)


def node_attribute(node: Node, name: str, target: str | None, assigned: bool) -> str | None:
    """A node attribute; with target "host", a guest's attribute is that of its container's host.

    The host is the container's present one or, with `assigned`, the one it is going to.
    """
    if target is None or not node.is_guest or target.lower() != "host":
        return node.attributes.get(name)
    assert node.remote is not None
    container = node.remote.launcher
    assert container is not None
    if assigned:
        return None if container.assigned is None else container.assigned.node.attributes.get(name)
    return container.active[0].attributes.get(name) if container.active else None


def apply_locations(cluster: Cluster) -> None:
    """Applies all location constraints, the newest first."""
    for location in reversed(cluster.locations):
        location.resource.apply_location(location)


def apply_to_table(resource: Resource, location: Location) -> None:
    """Adds one constraint to one resource's own table."""
    if location.role > Role.UNKNOWN and location.role is not resource.next_role:
        return
    for candidate in location.candidates:
        entry = resource.allowed.get(candidate.node.id)
        fresh = entry is None
        if entry is None:
            entry = resource.allowed[candidate.node.id] = candidate.copy()
        else:
            entry.score = scores.add(entry.score, candidate.score)
        if entry.discovery < location.discovery:
            if location.discovery is Discovery.EXCLUSIVE:
                resource.exclusive_discovery = True
            entry.discovery = location.discovery
        resource.cluster.reporter.score(resource, entry.node, candidate.score, entry.score, location.id, fresh)
