# SPDX-License-Identifier: GPL-2.0-or-later
"""Families: resources that constraints tie together, directly or by way of others, and nothing ties to the rest.

What is decided for a family depends on the configuration, on the nodes and on its own history, as long as no node's
state follows from a history and no choice between nodes follows from how many resources each has. `families_of` says
whether that is so in a cluster that was just decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml.etree import _Element as Element

from ha.pe.core.failcounts import base_name
from ha.pe.model.action import ADDED_TO_GRAPH, Action
from ha.pe.model.cluster import Cluster
from ha.pe.model.resource import Resource

CONSTRAINED = ("rsc", "with-rsc", "first", "then")
"""Attributes of a constraint that name a resource, a template or a tag."""
PER_RESOURCE = ("fail-count-", "last-failure-", "master-", "promotion-")
"""Transient node attributes that tell of one resource, named after it; they matter to others only through rules."""

NodeStates = tuple[tuple[object, ...], ...]


@dataclass(slots=True)
class Family:
    """`resources` and `constraints` are the elements of the configuration, with their places in their section."""

    resources: list[tuple[int, Element]] = field(default_factory=list)
    constraints: list[tuple[int, Element]] = field(default_factory=list)


@dataclass(slots=True)
class Families:
    """Those of one cluster, by number.

    `number_of` knows every id that a resource, or an instance without its number, has; `ranks` the order in which the
    outermost ones are decided. `always` are the families that every decision must look at: with them nodes are
    fenced, or time alone changes what is decided for them.
    """

    families: list[Family]
    number_of: dict[str, int]
    ranks: dict[str, int]
    always: set[int]
    nodes: NodeStates

    def of(self, history_id: str) -> int | None:
        """The family that a name in the operation history, or of a fail count, belongs to."""
        number = self.number_of.get(history_id)
        return self.number_of.get(base_name(history_id)) if number is None else number

    def settle(self, cluster: Cluster, looked_at: set[int]) -> bool:
        """Takes over what a decision for these families came to; False if it concerns others as well."""
        if not is_separable(cluster) or node_states(cluster) != self.nodes:
            return False
        found = _to_look_at(cluster, self.number_of)
        if _acts_without_resource(cluster) or not found <= looked_at:
            return False
        self.always = (self.always - looked_at) | found
        return True


def families_of(cluster: Cluster) -> Families | None:
    """The families of a cluster that was decided and written; None where one decides with an eye to another."""
    section = cluster.document.section("resources")
    if section is None or _acts_without_resource(cluster) or not is_separable(cluster) or not _is_plain(cluster):
        return None
    ties = _Ties()
    owners: dict[str, str] = {}
    tops: list[tuple[int, Element]] = []
    for place, element in enumerate(section):
        top = element.get("id")
        if element.tag == "template" or top is None:
            continue
        tops.append((place, element))
        ties.find(top)
        for part in element.iter("primitive", "group", "clone", "master", "bundle"):
            id = part.get("id") or ""
            if id in owners or part.tag == "bundle":
                return None
            owners[id] = top
    constraints = list(_constraints(cluster, owners, ties))
    _tie_by_model(cluster, ties)
    numbers: dict[str, int] = {}
    families: list[Family] = []
    for place, element in tops:
        number = numbers.setdefault(ties.find(element.get("id") or ""), len(families))
        if number == len(families):
            families.append(Family())
        families[number].resources.append((place, element))
    number_of = {id: numbers[ties.find(top)] for id, top in owners.items()}
    for place, constraint, top in constraints:
        families[numbers[ties.find(top)]].constraints.append((place, constraint))
    ranks = {resource.id: rank for rank, resource in enumerate(cluster.resources)}
    return Families(families, number_of, ranks, _to_look_at(cluster, number_of), node_states(cluster))


# Whether it can be told --------------------------------------------------------------------------------------------


def is_separable(cluster: Cluster) -> bool:
    """Whether every node's state, and every choice, followed from the resource's own family."""
    return not (
        cluster.counts_decided
        or cluster.have_remote_nodes
        or cluster.unfencing
        or cluster.shutdown_lock
        or cluster.placement_strategy != "default"
        or any(node.unclean or node.pending or node.shutdown for node in cluster.nodes)
        or any(resource.removed for resource in cluster.resources)
    )


def _is_plain(cluster: Cluster) -> bool:
    """Whether the configuration means the same in a year, and an element the same wherever it is read."""
    configuration = cluster.document.root.find("configuration")
    assert configuration is not None
    for element in configuration.iter("date_expression", "expression", "rsc_colocation", "op", "nvpair"):
        if element.tag == "date_expression" or "interval-origin" in (element.get("name"), *element.keys()):
            return False
        if (element.get("attribute") or element.get("node-attribute") or "").startswith(PER_RESOURCE):
            return False
    return next(configuration.iterfind(".//*[@id-ref]"), None) is None


def node_states(cluster: Cluster) -> NodeStates:
    """What resources look at in nodes."""
    return tuple(
        (
            node.id, node.score, node.online, node.unclean, node.shutdown, node.standby, node.maintenance, node.pending,
            node.fail_standby, node.expected_up, node.seen, node.probes_allowed,
        )
        for node in cluster.nodes
    )  # fmt: skip


def _acts_without_resource(cluster: Cluster) -> bool:
    return any(action.resource is None and action.has(ADDED_TO_GRAPH) for action in cluster.actions)


def _to_look_at(cluster: Cluster, number_of: dict[str, int]) -> set[int]:
    """The families every decision must look at."""
    found = {number_of[id] for id in cluster.timed}
    found.update(number_of[resource.id] for resource in cluster.resources if _has_fence_device(resource))
    return found


def _has_fence_device(resource: Resource) -> bool:
    return resource.fence_device or any(map(_has_fence_device, resource.children))


# What ties them ----------------------------------------------------------------------------------------------------


class _Ties:
    """Disjoint sets of names."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def find(self, name: str) -> str:
        """The name that stands for the set of `name`."""
        top = name
        while (above := self._above.setdefault(top, top)) != top:
            top = above
        while name != top:
            self._above[name], name = top, self._above[name]
        return top

    def tie(self, one: str, other: str) -> None:
        self._above[self.find(one)] = self.find(other)


def _constraints(
    cluster: Cluster, owners: dict[str, str], ties: _Ties
) -> Iterator[tuple[int, Element, str]]:
    """Ties what a constraint names; (place, element, one of them) for each that names anything."""
    section = cluster.document.section("constraints")
    for place, constraint in enumerate(() if section is None else section):
        named: list[str] = []
        for element in constraint.iter():
            ids = [element.get("id")] if element.tag == "resource_ref" else [element.get(name) for name in CONSTRAINED]
            for id in ids:
                if id is not None:
                    named.extend(_meant(cluster, id, owners))
        for other in named[1:]:
            ties.tie(named[0], other)
        if named:
            yield place, constraint, named[0]


def _meant(cluster: Cluster, id: str, owners: dict[str, str]) -> list[str]:
    """The outermost resources that an id, or a tag or template of that name, may mean."""
    candidates = [id, base_name(id), *cluster.tags.get(id, ()), *cluster.templates.get(id, ())]
    candidates.extend([base_name(candidate) for candidate in candidates[2:]])
    return [owners[candidate] for candidate in candidates if candidate in owners]


def _tie_by_model(cluster: Cluster, ties: _Ties) -> None:
    """What kinds, histories and decisions tie besides."""
    for colocation in cluster.colocations:
        ties.tie(colocation.dependent.outermost.id, colocation.primary.outermost.id)
    for ordering in cluster.orderings:
        ends = [resource.outermost.id for resource in (ordering.first_resource, ordering.then_resource) if resource]
        ends.extend(_name(action) for action in (ordering.first_action, ordering.then_action) if action)
        for other in ends[1:]:
            ties.tie(ends[0], other)
    for action in cluster.actions:
        name = _name(action)
        for relation in action.before:
            ties.tie(name, _name(relation.action))
    for resource in cluster.resources:
        for launched in resource.launched:
            ties.tie(resource.id, launched.outermost.id)


def _name(action: Action) -> str:
    # No id of a resource has a space: what belongs to none ties what it is ordered with.
    return f"action {action.id}" if action.resource is None else action.resource.outermost.id
