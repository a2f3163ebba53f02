# SPDX-License-Identifier: GPL-2.0-or-later
"""Clone: a resource or group in several instances; promotable, if instances may have the promoted role."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from ha.pe.core.actions import order_starts, order_stops, order_tasks
from ha.pe.core.assignment import assign_resource
from ha.pe.core.colocation import (
    add_this_with_list,
    add_with_this_list,
    this_with_colocations,
    with_this_colocations,
)
from ha.pe.core.colocation_scores import (
    add_colocated_scores,
    add_dependent_scores,
    colocated_by_constraint,
    intersect_nodes,
)
from ha.pe.core.digests import meta_name
from ha.pe.core.instance_search import find_compatible_instance
from ha.pe.core.instances import (
    assign_instances,
    collective_flags,
    create_instance_actions,
    instance_number,
    sort_instances,
    update_ordered_instances,
)
from ha.pe.core.location import apply_to_table
from ha.pe.core.notifications import CloneNotifications
from ha.pe.core.probes import probe_each
from ha.pe.core.promotion import (
    add_promotion_scores,
    assign_roles,
    check_for_role_change,
    order_promotable_instances,
    update_dependent_with_promotable,
    update_promotable_dependent,
)
from ha.pe.core.resources import INSTANCE_NUMBER, KINDS, flag_value, unpack_resource
from ha.pe.model import scores
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN_GRAPHED,
    ORDERED,
    THEN_IMPLIES_FIRST_GRAPHED,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
)
from ha.pe.model.constraint import Colocation, Location
from ha.pe.model.node import CandidateTable, Discovery, Node
from ha.pe.model.resource import MAX_INSTANCES, Place, Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY
from ha.pe.model.values import integer_at_least, is_true

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


class Clone(Resource):
    """`clone_max` instances, `clone_node_max` per node, of `definition`; of these `promoted_max` get promoted."""

    RANK = 3
    __slots__ = (
        "clone_max", "clone_node_max", "definition", "notifications", "ordered", "promoted_max", "promoted_node_max",
        "promotion_done", "promotion_scores_added", "total",
    )  # fmt: skip

    definition: Element

    @property
    def child_id(self) -> str:
        """The id of what is cloned."""
        return self.definition.get("id") or ""

    # State -----------------------------------------------------------------------------------------------------

    def is_active(self, all_members: bool) -> bool:
        active = [instance.is_active(all_members) for instance in self.children]
        return all(active) if all_members else any(active)

    def state(self, current: bool) -> Role:
        return max((instance.state(current) for instance in self.children), default=Role.UNKNOWN)

    def max_per_node(self) -> int:
        return self.clone_node_max

    def unpack(self) -> bool:
        meta = self.meta
        self.total = 0
        self.notifications = CloneNotifications(self)
        self.promotion_done = self.promotion_scores_added = False
        self.promoted_max = self.promoted_node_max = 0
        if self.promotable:
            self.promoted_max = _number(meta, "promoted-max", "master-max", 1)
            self.promoted_node_max = _number(meta, "promoted-node-max", "master-node-max", 1)
        self.clone_node_max = _number(meta, "clone-node-max", None, 1)
        self.clone_max = min(_number(meta, "clone-max", None, max(1, len(self.cluster.nodes))), MAX_INSTANCES)
        self.ordered = flag_value(meta, "ordered", False)
        if not self.unique:
            self.clone_node_max = min(self.clone_node_max, 1)
        definition = next((child for child in self.xml if child.tag in ("primitive", "group")), None)
        if definition is None:
            return False
        self.definition = definition
        meta.setdefault("resource-stickiness", "1")
        meta["globally-unique"] = "true" if self.unique else "false"
        return all(self.create_instance() is not None for _ in range(max(1, self.clone_max)))

    def create_instance(self) -> Resource | None:
        """One more instance; beyond clone-max it counts as removed."""
        removed = self.total >= self.clone_max
        element = copy.deepcopy(self.definition)
        element.set(INSTANCE_NUMBER, str(self.total))
        instance = unpack_resource(self.cluster, element, self)
        if instance is None:
            return None
        self.total += 1
        self.children.append(instance)
        if removed:
            _mark_removed(instance)
        instance.meta["clone-max"] = str(self.clone_max)
        return instance

    def force_anonymous(self) -> None:
        super().force_anonymous()
        self.clone_node_max = 1
        self.clone_max = min(self.clone_max, len(self.cluster.nodes))

    # Assignment ------------------------------------------------------------------------------------------------

    def assign(self, prefer: Node | None, stop_if_fail: bool) -> Place | None:
        if not self.unassigned or self.assigning:
            return None
        self.assigning = True
        if self.promotable:
            add_promotion_scores(self)
        for colocation in this_with_colocations(self):
            colocation.primary.assign(prefer, stop_if_fail)
        for colocation in with_this_colocations(self):
            add_dependent_scores(colocation, self)
        if self.cluster.wants_tables:
            self.cluster.reporter.table("pcmk__clone_assign", self)
        sort_instances(self.children)
        assign_instances(self, self.children, self.clone_max, self.clone_node_max)
        if self.promotable:
            assign_roles(self)
        self.unassigned = self.assigning = False
        return None

    def colocate_as_dependent(self, primary: Resource, colocation: Colocation) -> int:
        raise AssertionError("an instance, not its clone, is the dependent of a colocation")

    def colocate_as_primary(self, dependent: Resource, colocation: Colocation) -> int:
        if self.unassigned:
            return 0
        if self.promotable and colocation.primary_role is not Role.UNKNOWN:
            if dependent.unassigned:
                update_dependent_with_promotable(self, dependent, colocation)
                return 0
            if colocation.dependent_role is Role.PROMOTED:
                return update_promotable_dependent(self, dependent, colocation)
        if _interleaves(colocation):
            instance = find_compatible_instance(dependent, self, Role.UNKNOWN, False, None)
            if instance is not None:
                return dependent.colocate_as_dependent(instance, colocation)
            if colocation.score >= INFINITY:
                assign_resource(dependent, None, True, True)
                self.cluster.reporter.refused(dependent, f"{colocation.id}: no instance of {self.id} to be with")
            return 0
        if colocation.score >= INFINITY:
            places: list[Place] = []
            for instance in self.children:
                place = instance.location(assigned=True)
                if place is not None and not instance.any_within("blocked"):
                    places.append(place)
            intersect_nodes(dependent, colocation, places[::-1], False)
            return 0
        delta = 0
        for instance in self.children:
            delta = scores.add(delta, instance.colocate_as_primary(dependent, colocation))
        return delta

    def colocated_resources(self, origin: Resource | None, found: list[Resource]) -> list[Resource]:
        return colocated_by_constraint(self, origin, found)

    def collect_with_this(self, origin: Resource, found: list[Colocation]) -> None:
        add_with_this_list(found, self.with_this)
        if self.parent is not None:
            self.parent.collect_with_this(origin, found)

    def collect_this_with(self, origin: Resource, found: list[Colocation]) -> None:
        add_this_with_list(found, self.this_with)
        if self.parent is not None:
            self.parent.collect_this_with(origin, found)

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
        for instance in self.children:
            instance.apply_location(location)

    def add_utilization(self, origin: Resource, together: list[Resource], total: dict[str, int]) -> None:
        if not self.unassigned:
            return
        existing = False
        for instance in self.children:
            if any(other is instance for other in together):
                existing = True
            elif any(other is member for member in instance.children for other in together):
                instance.add_utilization(origin, together, total)
                existing = True
        if not existing and self.children:
            self.children[0].add_utilization(origin, together, total)

    def lock_to_shutdown_node(self) -> None:
        # Instances are alike; the others take over.
        pass

    # Actions ---------------------------------------------------------------------------------------------------

    def internal_constraints(self) -> None:
        order_tasks(self, "stopped", self, "start", ORDERED)
        order_tasks(self, "start", self, "running", UNRUNNABLE_FIRST_BLOCKS)
        order_tasks(self, "stop", self, "stopped", UNRUNNABLE_FIRST_BLOCKS)
        if self.promotable:
            order_tasks(self, "demoted", self, "stop", ORDERED)
            order_tasks(self, "running", self, "promote", UNRUNNABLE_FIRST_BLOCKS)
        if self.ordered:
            self.children.sort(key=instance_number)
        for index, instance in enumerate(self.children):
            instance.internal_constraints()
            order_starts(self, instance, UNRUNNABLE_FIRST_BLOCKS | THEN_IMPLIES_FIRST_GRAPHED)
            order_tasks(instance, "start", self, "running", FIRST_IMPLIES_THEN_GRAPHED)
            order_stops(self, instance, THEN_IMPLIES_FIRST_GRAPHED)
            order_tasks(instance, "stop", self, "stopped", FIRST_IMPLIES_THEN_GRAPHED)
            if self.ordered:
                for later in self.children[index + 1 :]:
                    order_starts(instance, later, ORDERED)
                    order_stops(later, instance, ORDERED)
        if self.promotable:
            order_promotable_instances(self)

    def create_actions(self) -> None:
        start, started, stop, stopped = create_instance_actions(self, self.children)
        self.notifications.weave_start_and_stop(start, started, stop, stopped)
        if self.promotable:
            demoting = promoting = False
            for instance in self.children:
                instance.create_actions()
                demoting, promoting = check_for_role_change(instance, demoting, promoting)
            self.notifications.create_promotion_marks(promoting, demoting)
            for instance in self.children:
                instance.priority = self.priority

    def create_probe(self, node: Node) -> bool:
        if self.exclusive_discovery:
            entry = self.allowed.get(node.id)
            if entry is None or entry.discovery is not Discovery.EXCLUSIVE:
                self.allowed.pop(node.id, None)
                return False
        self.children.sort(key=instance_number)
        if self.unique:
            return probe_each(self.children, node)
        return self._instance_to_probe(node).create_probe(node)

    def _instance_to_probe(self, node: Node) -> Resource:
        # Any instance would do: take one known there, else one that goes there.
        for instance in self.children:
            if _probed_on(instance, node):
                return instance
        for instance in self.children:
            place = instance.location(assigned=True)
            if place is not None and place.node is node:
                return instance
        return self.children[0]

    def action_flags(self, action: Action, node: Place | None) -> int:
        return collective_flags(action, self.children, node)

    def update_ordered(self, first: Action, then: Action, node: Place | None, flags: int, mask: int, kind: int) -> int:
        return update_ordered_instances(first, then, node, flags, mask, kind)

    # Graph -----------------------------------------------------------------------------------------------------

    def add_to_graph(self, add: Callable[[Action], None]) -> None:
        for action in self.newest_actions():
            self.action_flags(action, None)
        self.notifications.create()
        for instance in self.children:
            instance.add_to_graph(add)
        for action in self.newest_actions():
            add(action)

    def add_graph_meta(self, attributes: dict[str, str]) -> None:
        attributes[meta_name("globally-unique")] = "true" if self.unique else "false"
        attributes[meta_name("notify")] = "true" if self.notify else "false"
        attributes[meta_name("clone-max")] = str(self.clone_max)
        attributes[meta_name("clone-node-max")] = str(self.clone_node_max)
        if self.promotable:
            for name, value in (("max", self.promoted_max), ("node-max", self.promoted_node_max)):
                attributes[meta_name(f"promoted-{name}")] = str(value)
                attributes[meta_name(f"master-{name}")] = str(value)


def _number(meta: dict[str, str], name: str, older_name: str | None, default: int) -> int:
    text = meta.get(name)
    if text is None and older_name is not None:
        text = meta.get(older_name)
    return default if text is None else integer_at_least(text, 0)


def _mark_removed(resource: Resource) -> None:
    resource.removed = True
    for child in resource.children:
        _mark_removed(child)


def _probed_on(resource: Resource, node: Node) -> bool:
    if resource.children:
        return any(_probed_on(child, node) for child in resource.children)
    return node.id in resource.probed


def _interleaves(colocation: Colocation) -> bool:
    dependent = colocation.dependent
    return (
        dependent.RANK > 2
        and is_true(dependent.meta.get("interleave"))
        and dependent.max_per_node() == colocation.primary.max_per_node()
    )


KINDS["clone"] = Clone
