# SPDX-License-Identifier: GPL-2.0-or-later
"""The one place where a score enters a resource's table of nodes."""

from __future__ import annotations

from ha.pe.model import scores
from ha.pe.model.node import Candidate, Discovery, candidate_of
from ha.pe.model.resource import Place, Resource
from ha.pe.model.scores import MINUS_INFINITY

SYMMETRIC_DEFAULT = "symmetric-cluster"
"""The cause of the 0 that every node gets where resources may run anywhere by default."""
NODE_STATE = "node state"
"""The cause of what a table starts from: 0, or -INFINITY for a node that is down or leaving, or is a container."""


def add_node_score(resource: Resource, place: Place, score: int, cause: str) -> None:
    """Adds `score` for one node, to everything inside the resource as well."""
    if cause == SYMMETRIC_DEFAULT and (resource.exclusive_discovery or place.discovery is Discovery.NEVER):
        return
    for child in resource.children:
        add_node_score(child, place, score, cause)
    entry = resource.allowed.get(place.node.id)
    if entry is None:
        entry = resource.allowed[place.node.id] = candidate_of(place)
        resource.cluster.reporter.score(resource, place.node, entry.score, entry.score, NODE_STATE, True)
    entry.score = scores.add(entry.score, score)
    resource.cluster.reporter.score(resource, place.node, score, entry.score, cause)


def add_score_everywhere(resource: Resource, score: int, cause: str) -> None:
    """Adds `score` for all nodes. A ban from everywhere also takes back the place already given."""
    for node in resource.cluster.nodes:
        add_node_score(resource, node, score, cause)
    if score == MINUS_INFINITY:
        resource.assigned = None


def ban_everywhere(resource: Resource, cause: str) -> None:
    add_score_everywhere(resource, MINUS_INFINITY, cause)


def replace_by_ban(resource: Resource, cause: str) -> None:
    """Forgets every opinion of the nodes and bans them all."""
    resource.allowed = {}
    for node in resource.cluster.nodes:
        entry = resource.allowed[node.id] = candidate_of(node)
        entry.score = MINUS_INFINITY
        resource.cluster.reporter.score(resource, node, MINUS_INFINITY, MINUS_INFINITY, cause, True)


def ban_node(resource: Resource, entry: Candidate, cause: str) -> None:
    """Bans one node in the table of the resource alone."""
    entry.score = MINUS_INFINITY
    resource.cluster.reporter.score(resource, entry.node, MINUS_INFINITY, MINUS_INFINITY, cause)
