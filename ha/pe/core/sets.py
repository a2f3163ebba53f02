# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3a: who a constraint is about: ids, tags, templates, and resource sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml.etree import _Element as Element

from ha.pe.model.cluster import Cluster
from ha.pe.model.resource import Resource
from ha.pe.model.values import boolean


@dataclass(slots=True)
class ResourceSet:
    """A resource set with its tags replaced by their members."""

    id: str
    members: list[str]
    attributes: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        return self.attributes.get(name)

    @property
    def sequential(self) -> bool:
        """Whether the order of the members matters (it does unless said otherwise)."""
        return boolean(self.attributes.get("sequential")) is not False


def constrained_resource(cluster: Cluster, id: str | None) -> Resource | None:
    """The resource a constraint means. The history name of an instance stands for its whole clone."""
    resource = cluster.find(id)
    if resource is not None and resource.id != id:
        return resource.top
    return resource


def tagged(cluster: Cluster, id: str) -> list[str] | None:
    """The ids behind a template (all that use it) or tag; None if there is no such, or nobody uses it."""
    if id in cluster.templates:
        return cluster.templates[id] or None
    return cluster.tags.get(id)


def is_known(cluster: Cluster, id: str | None) -> bool:
    """Whether a constraint may name this id."""
    if id is None:
        return False
    return constrained_resource(cluster, id) is not None or tagged(cluster, id) is not None


def members_of_tag(cluster: Cluster, id: str | None) -> list[str] | None:
    """What a tag stands for, unless the id is that of a resource."""
    if id is None or constrained_resource(cluster, id) is not None:
        return None
    return tagged(cluster, id)


def read_sets(cluster: Cluster, constraint: Element) -> Iterator[ResourceSet]:
    """The sets of a constraint in order; it ends early at a reference that leads nowhere."""
    elements = list(constraint.iterchildren("resource_set"))
    expand = all(
        is_known(cluster, reference.get("id"))
        for element in elements
        for reference in element.iterchildren("resource_ref")
    )
    for element in elements:
        resolved = cluster.document.resolve(element)
        if resolved is None:
            return
        members: list[str] = []
        for reference in resolved.iterchildren("resource_ref"):
            id = reference.get("id") or ""
            replaced = members_of_tag(cluster, id) if expand else None
            members.extend([id] if replaced is None else replaced)
        attributes = {str(name): str(value) for name, value in resolved.attrib.items()}
        yield ResourceSet(resolved.get("id") or "", members, attributes)


def has_sets(constraint: Element) -> bool:
    return next(constraint.iterchildren("resource_set"), None) is not None


def pair_of_sets(
    cluster: Cluster, constraint: Element, names: tuple[str, str], moved: tuple[tuple[str, str], tuple[str, str]]
) -> list[ResourceSet] | None:
    """Two sets in place of two ids of which one is a tag; [] if both are resources, None if one is neither.

    `names` are the attributes with the ids; `moved` gives for each which attribute of the constraint becomes which
    of the set.
    """
    ids = [constraint.get(name) for name in names]
    if ids[0] is None or ids[1] is None:
        return []
    if not all(is_known(cluster, id) for id in ids):
        return None
    tags = [members_of_tag(cluster, id) for id in ids]
    if tags[0] is None and tags[1] is None:
        return []
    sets = []
    for id, members, (source, target) in zip(ids, tags, moved, strict=True):
        assert id is not None
        attributes = {} if members is None else {"sequential": "false"}
        value = constraint.get(source)
        if value is not None:
            attributes[target] = value
        sets.append(ResourceSet(id, [id] if members is None else members, attributes))
    return sets
