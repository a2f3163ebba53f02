# SPDX-License-Identifier: GPL-2.0-or-later
"""Which instance of an anonymous clone an entry of the history belongs to. The history does not tell."""

from __future__ import annotations

from ha.pe.core.kinds.clone import Clone
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource


def member_named(instance: Resource, base: str) -> Resource | None:
    """The part of a clone instance (or the instance) that was cloned from the resource `base`."""
    if base in (instance.id, instance.xml_id):
        return instance
    for child in instance.children:
        found = member_named(child, base)
        if found is not None:
            return found
    return None


def find_anonymous_instance(cluster: Cluster, node: Node, clone: Resource, base: str) -> Resource | None:
    """The instance of `clone` that the history of `base` on `node` is taken to be about.

    It is one already known on the node, else one known nowhere, else a new one (which counts as removed).
    None if none can be made of the clone's definition.
    """
    assert isinstance(clone, Clone)
    if clone.is_bundled:
        assert clone.parent is not None
        replica = clone.parent.replica_on(node)
        if replica is not None:
            return replica
    chosen: Resource | None = None
    inactive: Resource | None = None
    skip_inactive = False
    for instance in clone.children:
        places = instance.places(current=True, pending=True)
        if places:
            if places[0].node is node:
                chosen = member_named(instance, base)
                if chosen is not None and chosen.active:
                    # Several histories of one instance on one node: from when the clone was unique.
                    skip_inactive = True
                    chosen = None
        elif not skip_inactive and inactive is None and not instance.blocked:
            inactive = member_named(instance, base)
            if inactive is not None and inactive.pending_node not in (None, node):
                inactive = None
        if chosen is not None:
            break
    if chosen is None and not skip_inactive:
        chosen = inactive
    if (
        chosen is not None
        and not chosen.needs_fencing
        and (not node.online or node.unclean)
        and not node.is_guest
        and clone.clone_max != len(cluster.nodes)
    ):
        # An instance without fencing need not wait for the node it was last seen on.
        chosen = None
    if chosen is not None:
        return chosen
    created = clone.create_instance()
    if created is None:
        return None
    found = member_named(created, base)
    assert found is not None
    return found
