# SPDX-License-Identifier: GPL-2.0-or-later
"""Which instance of a clone belongs with a resource: the one on the same node (or with the same attribute value)."""

from __future__ import annotations

from ha.pe.core.assignment import sort_table
from ha.pe.core.colocation_scores import place_value, same_value
from ha.pe.model.resource import Place, Resource
from ha.pe.model.roles import Role


def instance_matches(instance: Resource, place: Place, role: Role, current: bool, attribute: str | None) -> bool:
    """Whether an instance has (or will have) that role at that place, and is not blocked."""
    if role is not Role.UNKNOWN and role is not instance.state(current):
        return False
    if instance.any_within("blocked"):
        return False
    own = instance.location(current=current, assigned=not current)
    if own is None:
        return False
    if attribute is not None:
        return same_value(place_value(own, attribute, instance), place_value(place, attribute, instance))
    return own.node is place.node


def find_compatible_instance(
    resource: Resource, collection: Resource, role: Role, current: bool, attribute: str | None
) -> Resource | None:
    """The instance of `collection` for `resource`: where that is; if it is nowhere, at its best node that has one."""
    place = resource.location(current=current, assigned=not current)
    if place is not None:
        return _on(collection, place, role, current, attribute)
    for entry in sort_table(resource.cluster, resource.allowed, None):
        found = _on(collection, entry, role, current, attribute)
        if found is not None:
            resource.cluster.counts_decided = True
            return found
    return None


def _on(collection: Resource, place: Place, role: Role, current: bool, attribute: str | None) -> Resource | None:
    for instance in collection.instances():
        if instance_matches(instance, place, role, current, attribute):
            return instance
    return None
