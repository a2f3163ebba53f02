# SPDX-License-Identifier: GPL-2.0-or-later
"""Primitive: a single resource with an agent."""

from __future__ import annotations

from collections.abc import Callable

from ha.pe.core.actions import order_tasks
from ha.pe.core.assignment import assign_best_node, assign_resource
from ha.pe.core.colocation import (
    add_this_with,
    add_this_with_list,
    add_with_this,
    add_with_this_list,
    new_colocation,
    this_with_colocations,
    with_this_colocations,
)
from ha.pe.core.colocation_scores import (
    add_colocated_scores,
    add_dependent_scores,
    apply_directly,
    colocated_by_constraint,
)
from ha.pe.core.digests import meta_name
from ha.pe.core.fencing import order_restart_with_unfencing
from ha.pe.core.location import apply_to_table
from ha.pe.core.nodescores import ban_everywhere, ban_node
from ha.pe.core.operations import set_next_role
from ha.pe.core.probes import probe_on_node
from ha.pe.core.relations import update_ordered_actions
from ha.pe.core.resources import KINDS
from ha.pe.core.roles import create_role_actions
from ha.pe.core.shutdown import lock_to_node
from ha.pe.core.utilization import order_stops_before_load, release
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN,
    IF_ON_SAME_NODE,
    INTERMEDIATE_STOP,
    ORDERED,
    PROMOTED_THEN_IMPLIES_FIRST,
    THEN_CANCELS_FIRST,
    THEN_IMPLIES_FIRST,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
)
from ha.pe.model.constraint import Colocation, Location
from ha.pe.model.node import CandidateTable, Node, any_available, copy_table, sort_by_name
from ha.pe.model.resource import Place, Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY, MINUS_INFINITY

_UNIQUE_CLASSES = ("ocf", "stonith")
"""Agent classes that can tell instances on one node apart."""
_NESTED_REMOTE_SCORE = 10_000


class Primitive(Resource):
    RANK = 1
    __slots__ = ()

    # State -----------------------------------------------------------------------------------------------------

    def is_active(self, all_members: bool) -> bool:
        return any(node.unclean or node.online or not self.managed for node in self.active)

    def state(self, current: bool) -> Role:
        return self.orig_role if current else self.next_role

    def max_per_node(self) -> int:
        return 1

    def unpack(self) -> bool:
        top = self.top
        standard = (self.xml.get("class") or "").lower()
        if standard not in _UNIQUE_CLASSES and self.unique and top.is_clone:
            _force_anonymous(top)
            _force_anonymous(self)
        return standard == "ocf" or not top.promotable

    def resource_in_container(self) -> Resource | None:
        bundle = self.outermost
        return bundle.child_in(self) if bundle.is_bundle else None

    # Assignment ------------------------------------------------------------------------------------------------

    def assign(self, prefer: Node | None, stop_if_fail: bool) -> Place | None:
        cluster = self.cluster
        if self.parent is not None and not self.parent.assigning:
            self.parent.assign(prefer, stop_if_fail)
        if not self.unassigned:
            return self.assigned
        if self.assigning:
            # A loop of colocations: whoever began it goes on without us.
            return None
        self.assigning = True
        self._apply_colocations()
        if self.next_role is Role.STOPPED:
            ban_everywhere(self, "target-role")
        elif self.next_role > self.orig_role and not cluster.quorate and cluster.no_quorum_policy == "freeze":
            set_next_role(self, self.orig_role, "no-quorum-policy=freeze")
        if cluster.wants_tables:
            cluster.reporter.table("pcmk__primitive_assign", self)
        if cluster.fencing_enabled and not cluster.have_fencing:
            # Nothing may be done where fencing is wanted and there is no device for it.
            self.managed = False
        if not self.managed:
            set_next_role(self, self.orig_role, "unmanaged")
            assign_resource(self, self.current_node, True, stop_if_fail)
            cluster.reporter.refused(self, "it is not managed")
        elif cluster.stop_all:
            assign_resource(self, None, True, stop_if_fail)
            cluster.reporter.refused(self, "stop-all-resources is set")
        else:
            assign_best_node(self, prefer, stop_if_fail)
        self.assigning = False
        if self.is_remote_connection:
            self._connection_assigned()
        return self.assigned

    def _apply_colocations(self) -> None:
        # Mandatory ones first, so that the optional ones choose among what is left.
        this_with = this_with_colocations(self)
        with_this = with_this_colocations(self)
        for mandatory in (True, False):
            for colocation in this_with:
                if (abs(colocation.score) >= INFINITY) is mandatory:
                    self._follow(colocation)
            for colocation in with_this:
                if (abs(colocation.score) >= INFINITY) is mandatory:
                    add_dependent_scores(colocation, self)

    def _follow(self, colocation: Colocation) -> None:
        primary = colocation.primary
        backup: CandidateTable | None = None
        if colocation.dependent_role >= Role.PROMOTED or MINUS_INFINITY < colocation.score < 0:
            backup = copy_table(self.allowed)
            self.cluster.reporter.tentative(self)
        if primary.unassigned:
            primary.assign(None, True)
        self.colocate_as_dependent(primary, colocation)
        if backup is not None:
            kept = any_available(self.allowed)
            self.cluster.reporter.settled(self, kept)
            if not kept:
                self.allowed = backup

    def _connection_assigned(self) -> None:
        node = self.cluster.node(self.id)
        assert node is not None
        if self.assigned is not None and self.next_role is not Role.STOPPED:
            node.online = True
            if not node.seen:
                node.unclean = False
        else:
            node.shutdown = True

    def colocate_as_dependent(self, primary: Resource, colocation: Colocation) -> int:
        return primary.colocate_as_primary(self, colocation)

    def colocate_as_primary(self, dependent: Resource, colocation: Colocation) -> int:
        return apply_directly(dependent, self, colocation)

    def colocated_resources(self, origin: Resource | None, found: list[Resource]) -> list[Resource]:
        return colocated_by_constraint(self, origin, found)

    def collect_with_this(self, origin: Resource, found: list[Colocation]) -> None:
        if self is origin:
            add_with_this_list(found, self.with_this)
            if self.parent is not None:
                self.parent.collect_with_this(origin, found)
        else:
            for colocation in self.with_this:
                if colocation.explicit:
                    add_with_this(found, colocation)

    def collect_this_with(self, origin: Resource, found: list[Colocation]) -> None:
        if self is origin:
            add_this_with_list(found, self.this_with)
            if self.parent is not None:
                self.parent.collect_this_with(origin, found)
        else:
            for colocation in self.this_with:
                if colocation.explicit:
                    add_this_with(found, colocation)

    def add_colocated_node_scores(
        self,
        target: Resource | None,
        table: CandidateTable | None,
        colocation: Colocation | None,
        factor: float,
        select: int,
    ) -> CandidateTable | None:
        return add_colocated_scores(self, target, table, colocation, factor, select)

    def apply_location(self, location: Location) -> None:
        apply_to_table(self, location)

    def add_utilization(self, origin: Resource, together: list[Resource], total: dict[str, int]) -> None:
        if self.unassigned:
            release(total, self)

    def lock_to_shutdown_node(self) -> None:
        lock_to_node(self)

    # Actions ---------------------------------------------------------------------------------------------------

    def internal_constraints(self) -> None:
        if not self.managed:
            return
        cluster = self.cluster
        order_tasks(self, "stop", self, "start", ORDERED | FIRST_IMPLIES_THEN | INTERMEDIATE_STOP)
        if self.top.promotable or self.orig_role > Role.UNPROMOTED:
            order_tasks(self, "demote", self, "stop", PROMOTED_THEN_IMPLIES_FIRST)
            order_tasks(self, "start", self, "promote", UNRUNNABLE_FIRST_BLOCKS)
        order_tasks(self, "lrm_delete", self, "monitor", IF_ON_SAME_NODE | THEN_CANCELS_FIRST)
        if not self.fence_device and cluster.unfencing and self.needs_unfencing:
            for node in self._allowed_nodes():
                order_restart_with_unfencing(self, node)
        if self.utilization and cluster.placement_strategy != "default":
            order_stops_before_load(self, self._allowed_nodes())
        if self.launcher is not None:
            self._depend_on_launcher(self.launcher)
        if self.is_remote_connection or self.fence_device:
            _avoid_remote_nodes(self)

    def _allowed_nodes(self) -> list[Node]:
        return sort_by_name([entry.node for entry in self.allowed.values()])

    def _depend_on_launcher(self, launcher: Resource) -> None:
        remote: Resource | None
        if self.is_remote_connection:
            remote = None
            if not self.remote_nesting_allowed:
                _avoid_remote_nodes(launcher)
            order_tasks(launcher, "monitor", self, "stop", ORDERED)
        elif launcher.is_remote_connection:
            remote = launcher
        else:
            remote = contained_connection(launcher)
        if remote is not None:
            for entry in self.allowed.values():
                if entry.node.remote is not remote:
                    ban_node(self, entry, f"with {remote.id}, which contains it")
            return
        order_tasks(launcher, "start", self, "start", FIRST_IMPLIES_THEN | UNRUNNABLE_FIRST_BLOCKS)
        order_tasks(self, "stop", launcher, "stop", THEN_IMPLIES_FIRST)
        score = _NESTED_REMOTE_SCORE if self.remote_nesting_allowed else INFINITY
        new_colocation("#resource-with-container", None, score, self, launcher, influence=True)

    def create_actions(self) -> None:
        create_role_actions(self)

    def create_probe(self, node: Node) -> bool:
        return probe_on_node(self, node)

    def action_flags(self, action: Action, node: Place | None) -> int:
        return action.flags

    def update_ordered(self, first: Action, then: Action, node: Place | None, flags: int, mask: int, kind: int) -> int:
        return update_ordered_actions(first, then, flags, mask, kind)

    # Graph -----------------------------------------------------------------------------------------------------

    def add_to_graph(self, add: Callable[[Action], None]) -> None:
        for action in self.newest_actions():
            add(action)

    def add_graph_meta(self, attributes: dict[str, str]) -> None:
        for name in ("clone", "remote-node"):
            value = self.meta.get(name)
            if value is not None:
                attributes[meta_name(name)] = value
        level: Resource | None = self
        while level is not None:
            if level.launcher is not None:
                attributes[meta_name("container")] = level.launcher.id
            level = level.parent
        address = self.meta.get("external-ip")
        if address is not None:
            attributes["pcmk_external_ip"] = address


def contained_connection(resource: Resource) -> Resource | None:
    """The connection of the guest node that a resource contains, if it does."""
    if not resource.cluster.have_remote_nodes:
        return None
    return next((launched for launched in resource.launched if launched.is_remote_connection), None)


def _avoid_remote_nodes(resource: Resource) -> None:
    for entry in resource.allowed.values():
        if entry.node.remote is not None:
            ban_node(resource, entry, "cannot run on a remote node")


def _force_anonymous(resource: Resource) -> None:
    resource.force_anonymous()
    for child in resource.children:
        _force_anonymous(child)


KINDS["primitive"] = Primitive
