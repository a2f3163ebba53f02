# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes, and what one resource thinks of one node."""

from __future__ import annotations

from enum import IntEnum
from functools import cmp_to_key
from typing import TYPE_CHECKING

from ha.pe.model.values import compare_names

if TYPE_CHECKING:
    from ha.pe.model.resource import Resource


class Discovery(IntEnum):
    """Whether a resource is probed on a node (`resource-discovery` of a location constraint)."""

    ALWAYS = 0
    NEVER = 1
    EXCLUSIVE = 2


class Node:
    """A node of the cluster as the CIB describes it.

    `score` is what every resource's opinion of the node starts from; it becomes -INFINITY for a node that is
    offline or shutting down. `online`, `unclean` (unsafe until fenced), `shutdown`, `standby`, `maintenance` and
    `pending` (joining) are its states. A remote node has a connection resource in `remote`; a guest node is a remote
    node whose connection is launched by another resource.
    """

    __slots__ = (
        "assigned_count", "attributes", "count", "digests", "discovery", "expected_up", "fail_standby", "id",
        "is_remote_kind", "maintenance", "name", "node", "online", "pending", "priority", "probes_allowed", "remote",
        "remote_fenced", "remote_maintenance", "remote_reset", "running", "score", "seen", "shutdown", "standby",
        "unclean", "unpacked", "utilization",
    )  # fmt: skip

    def __init__(self, id: str, name: str, is_remote_kind: bool, score: int) -> None:
        self.id = id
        self.name = name
        self.is_remote_kind = is_remote_kind
        self.score = score
        self.node = self
        self.count = 0
        self.discovery = Discovery.ALWAYS
        self.attributes: dict[str, str] = {}
        self.utilization: dict[str, int] = {}
        self.digests: dict[object, object] = {}
        self.running: list[Resource] = []
        self.remote: Resource | None = None
        self.online = self.unclean = self.shutdown = self.standby = self.maintenance = self.pending = False
        self.fail_standby = self.expected_up = self.seen = self.unpacked = False
        self.remote_fenced = self.remote_maintenance = self.remote_reset = False
        self.probes_allowed = True
        self.priority = 0
        self.assigned_count = 0

    @property
    def is_guest(self) -> bool:
        """A guest or bundle node: a remote node that lives inside a resource."""
        return self.is_remote_kind and self.remote is not None and self.remote.launcher is not None

    @property
    def is_remote(self) -> bool:
        """A remote node with a host of its own."""
        return self.is_remote_kind and (self.remote is None or self.remote.launcher is None)

    @property
    def is_bundle_node(self) -> bool:
        return self.is_guest and self.remote is not None and self.remote.is_bundled

    def __repr__(self) -> str:
        return f"Node({self.name})"


class Candidate:
    """One node in one resource's table: its score there, the probe mode, and how many instances it was given."""

    __slots__ = ("count", "discovery", "node", "score")

    def __init__(self, node: Node, score: int, discovery: Discovery = Discovery.ALWAYS, count: int = 0) -> None:
        self.node = node
        self.score = score
        self.discovery = discovery
        self.count = count

    def copy(self) -> Candidate:
        return Candidate(self.node, self.score, self.discovery, self.count)

    def __repr__(self) -> str:
        return f"Candidate({self.node.name}={self.score})"


CandidateTable = dict[str, Candidate]
"""A resource's opinion of the nodes, by node id."""


def candidate_of(place: Node | Candidate) -> Candidate:
    """A fresh entry for a resource's table that starts from what `place` says."""
    return Candidate(place.node, place.score, place.discovery, place.count)


def copy_table(table: CandidateTable) -> CandidateTable:
    return {key: Candidate(entry.node, entry.score, entry.discovery, entry.count) for key, entry in table.items()}


def sort_by_name(nodes: list[Node]) -> list[Node]:
    """The nodes by name, numbers in names by their value."""

    def compare(one: Node, other: Node) -> int:
        return compare_names(one.name, other.name)

    return sorted(nodes, key=cmp_to_key(compare))


def available(place: Node | Candidate | None, consider_score: bool = False, consider_guest: bool = False) -> bool:
    """Whether a resource could run there: up, safe, staying and neither in standby nor in maintenance.

    With `consider_score` a negative score refuses it; with `consider_guest` a guest node needs a place for its guest.
    """
    if place is None:
        return False
    node = place.node
    if not node.online or node.shutdown or node.unclean or node.standby or node.maintenance:
        return False
    if consider_score and place.score < 0:
        return False
    if consider_guest and node.is_guest:
        assert node.remote is not None
        assert node.remote.launcher is not None
        return node.remote.launcher.location(assigned=True) is not None
    return True


def any_available(table: CandidateTable) -> bool:
    return any(available(entry, True) for entry in table.values())
