# SPDX-License-Identifier: GPL-2.0-or-later
"""Group: primitives that run together, started in line and stopped in reverse."""

from __future__ import annotations

from collections.abc import Callable

from ha.pe.core.actions import order_starts, order_stops, order_tasks
from ha.pe.core.colocation import add_this_with, add_this_with_list, add_with_this_list, new_colocation
from ha.pe.core.colocation_scores import apply_directly, colocated_by_constraint
from ha.pe.core.location import apply_to_table
from ha.pe.core.operations import resource_mark, set_next_role
from ha.pe.core.probes import probe_on_node
from ha.pe.core.relations import update_ordered_actions
from ha.pe.core.resources import INSTANCE_NUMBER, KINDS, flag_value, unpack_resource
from ha.pe.model import scores
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN,
    FIRST_IMPLIES_THEN_GRAPHED,
    INTERMEDIATE_STOP,
    NONE,
    OPTIONAL,
    ORDERED,
    PSEUDO,
    RUNNABLE,
    TASK_BEGUN,
    THEN_IMPLIES_FIRST,
    THEN_IMPLIES_FIRST_GRAPHED,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
)
from ha.pe.model.constraint import Colocation, Location
from ha.pe.model.node import Candidate, CandidateTable, Node
from ha.pe.model.resource import Place, Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY
from ha.pe.model.values import is_true

_MARKS = ("start", "running", "stop", "stopped")
_PROMOTION_MARKS = ("demote", "demoted", "promote", "promoted")


class Group(Resource):
    """`ordered` and `colocated` are true unless the configuration says otherwise."""

    RANK = 2
    __slots__ = ("colocated", "ordered")

    # State -----------------------------------------------------------------------------------------------------

    def is_active(self, all_members: bool) -> bool:
        active = [member.is_active(all_members) for member in self.children]
        return all(active) and bool(active) if all_members else any(active)

    def state(self, current: bool) -> Role:
        return max((member.state(current) for member in self.children), default=Role.UNKNOWN)

    def max_per_node(self) -> int:
        return 1

    @property
    def last_member(self) -> Resource:
        return self.children[-1]

    def unpack(self) -> bool:
        self.ordered = flag_value(self.meta, "ordered", True)
        self.colocated = flag_value(self.meta, "collocated", True)
        number = self.xml.get(INSTANCE_NUMBER)
        for element in self.xml.iterchildren("primitive"):
            if number is not None:
                element.set(INSTANCE_NUMBER, number)
            member = unpack_resource(self.cluster, element, self)
            if member is not None:
                self.children.append(member)
        return bool(self.children)

    # Assignment ------------------------------------------------------------------------------------------------

    def assign(self, prefer: Node | None, stop_if_fail: bool) -> Place | None:
        if not self.unassigned:
            return self.assigned
        if self.assigning:
            return None
        self.assigning = True
        first = self.children[0]
        self.orig_role = first.orig_role
        if self.cluster.wants_tables:
            self.cluster.reporter.table("pcmk__group_assign", self)
        place: Place | None = None
        for member in self.children:
            chosen = member.assign(prefer, stop_if_fail)
            if place is None:
                place = chosen
        set_next_role(self, first.next_role, "first group member")
        self.assigning = self.unassigned = False
        return place if self.colocated else None

    def colocate_as_dependent(self, primary: Resource, colocation: Colocation) -> int:
        delta = 0
        if self.colocated:
            delta = self.children[0].colocate_as_dependent(primary, colocation)
        elif colocation.score < INFINITY:
            for member in self.children:
                delta = scores.add(delta, apply_directly(member, primary, colocation))
        if delta:
            self.priority = scores.add(delta, self.priority)
            self.cluster.reporter.promotion_term(self, delta, self.priority, colocation.id)
        return delta

    def colocate_as_primary(self, dependent: Resource, colocation: Colocation) -> int:
        if self.unassigned:
            return 0
        mandatory = colocation.score >= INFINITY
        if self.colocated:
            member = self.last_member if mandatory else self.children[0]
            return member.colocate_as_primary(dependent, colocation)
        if mandatory:
            return 0
        delta = 0
        for member in self.children:
            delta = scores.add(delta, member.colocate_as_primary(dependent, colocation))
        return delta

    def colocated_resources(self, origin: Resource | None, found: list[Resource]) -> list[Resource]:
        if origin is None:
            origin = self
        if self.colocated or (self.parent is not None and self.parent.is_clone):
            found = [self, *found]
            for member in self.children:
                found = member.colocated_resources(origin, found)
            return found
        return colocated_by_constraint(self, origin, found)

    def collect_with_this(self, origin: Resource, found: list[Colocation]) -> None:
        # Others are with the group as a whole: that is, with its last member.
        if origin is not self and origin is not self.last_member:
            return
        add_with_this_list(found, self.with_this)
        if self.parent is not None:
            self.parent.collect_with_this(origin, found)
        if self.colocated:
            for member in self.children:
                if member is not origin:
                    member.collect_with_this(origin, found)

    def collect_this_with(self, origin: Resource, found: list[Colocation]) -> None:
        if origin is self or origin is self.children[0]:
            add_this_with_list(found, self.this_with)
            if self.parent is not None:
                self.parent.collect_this_with(origin, found)
            if self.colocated:
                for member in self.children:
                    if member is not origin:
                        member.collect_this_with(origin, found)
            return
        for member in self.children:
            if member is origin:
                break
            if not member.managed:
                # The first member does not follow; the next one must.
                for colocation in self.this_with:
                    if colocation.score == INFINITY:
                        add_this_with(found, colocation)
                break

    def add_colocated_node_scores(
        self,
        target: Resource | None,
        table: CandidateTable | None,
        colocation: Colocation | None,
        factor: float,
        select: int,
    ) -> CandidateTable | None:
        if self.updating_nodes:
            return table
        self.updating_nodes = True
        member = self.last_member if table is None else self.children[0]
        result = member.add_colocated_node_scores(target, table, colocation, factor, select)
        self.updating_nodes = False
        return result

    def apply_location(self, location: Location) -> None:
        apply_to_table(self, location)
        original = location.candidates
        neutral = [Candidate(entry.node, 0, entry.discovery, entry.count) for entry in original]
        for index, member in enumerate(self.children):
            if self.colocated and index > 0:
                # The others follow the first; counting the preference for each would multiply it.
                location.candidates = neutral
            member.apply_location(location)
        location.candidates = original

    def add_utilization(self, origin: Resource, together: list[Resource], total: dict[str, int]) -> None:
        if not self.unassigned:
            return
        whole = self.colocated or (self.parent is not None and self.parent.is_clone)
        for member in self.children if whole else self.children[:1]:
            if member.unassigned and all(other is not member for other in together):
                member.add_utilization(origin, together, total)

    def lock_to_shutdown_node(self) -> None:
        for member in self.children:
            member.lock_to_shutdown_node()

    # Actions ---------------------------------------------------------------------------------------------------

    def internal_constraints(self) -> None:
        order_tasks(self, "stop", self, "stopped", UNRUNNABLE_FIRST_BLOCKS)
        order_tasks(self, "stopped", self, "start", ORDERED)
        order_tasks(self, "start", self, "running", UNRUNNABLE_FIRST_BLOCKS)
        previous: Resource | None = None
        last_active: Resource | None = None
        promotable = self.top.promotable
        for member in self.children:
            member.internal_constraints()
            self._tie_to_group(member, previous, promotable)
            if not self.ordered:
                self._start_freely(member, promotable)
            elif previous is None:
                order_starts(self, member, NONE)
                if promotable:
                    order_tasks(self, "promote", member, "promote", NONE)
            else:
                _in_line(previous, member, promotable)
            if member.active:
                if (
                    self.ordered
                    and previous is not None
                    and not previous.active
                    and last_active is not None
                    and last_active.active
                ):
                    order_stops(member, last_active, ORDERED)
                last_active = member
            previous = member

    def _tie_to_group(self, member: Resource, previous: Resource | None, promotable: bool) -> None:
        down, after_down = THEN_IMPLIES_FIRST_GRAPHED, FIRST_IMPLIES_THEN_GRAPHED
        if previous is None:
            if self.ordered:
                down |= ORDERED
                after_down = FIRST_IMPLIES_THEN
        elif self.colocated:
            new_colocation("#group-members", None, INFINITY, member, previous, influence=member.critical)
        complete = UNRUNNABLE_FIRST_BLOCKS | FIRST_IMPLIES_THEN | FIRST_IMPLIES_THEN_GRAPHED
        if promotable:
            order_tasks(self, "demote", member, "demote", down)
            order_tasks(member, "demote", self, "demoted", after_down)
            order_tasks(member, "promote", self, "promoted", complete)
            order_tasks(self, "promote", member, "promote", THEN_IMPLIES_FIRST_GRAPHED)
        order_stops(self, member, down)
        order_tasks(member, "stop", self, "stopped", after_down)
        order_starts(self, member, THEN_IMPLIES_FIRST_GRAPHED)
        order_tasks(member, "start", self, "running", complete)

    def _start_freely(self, member: Resource, promotable: bool) -> None:
        implies = FIRST_IMPLIES_THEN | UNRUNNABLE_FIRST_BLOCKS | THEN_IMPLIES_FIRST_GRAPHED
        order_starts(self, member, implies)
        if promotable:
            order_tasks(self, "promote", member, "promote", implies)

    def create_actions(self) -> None:
        for member in self.children:
            member.create_actions()
        marks = _MARKS + (_PROMOTION_MARKS if is_true(self.meta.get("promotable")) else ())
        for task in marks:
            resource_mark(self, task, True, True)

    def create_probe(self, node: Node) -> bool:
        return probe_on_node(self, node)

    def action_flags(self, action: Action, node: Place | None) -> int:
        flags = OPTIONAL | RUNNABLE | PSEUDO
        task = TASK_BEGUN.get(action.task, action.task)
        for member in self.children:
            found = member.first_action(task, node)
            if found is not None:
                member_flags = member.action_flags(found, node)
                if flags & OPTIONAL and not member_flags & OPTIONAL:
                    flags &= ~OPTIONAL
                    action.clear(OPTIONAL)
                if task != action.task and flags & RUNNABLE and not member_flags & RUNNABLE:
                    flags &= ~RUNNABLE
                    action.clear(RUNNABLE)
            elif task not in ("stop", "demote"):
                flags &= ~RUNNABLE
        return flags

    def update_ordered(self, first: Action, then: Action, node: Place | None, flags: int, mask: int, kind: int) -> int:
        changed = update_ordered_actions(first, then, flags, mask, kind)
        assert then.resource is not None
        for member in then.resource.children:
            found = member.first_action(then.task, node)
            if found is not None:
                changed |= member.update_ordered(first, found, node, flags, mask, kind)
        return changed

    # Graph -----------------------------------------------------------------------------------------------------

    def add_to_graph(self, add: Callable[[Action], None]) -> None:
        for action in self.newest_actions():
            add(action)
        for member in self.children:
            member.add_to_graph(add)

    def add_graph_meta(self, attributes: dict[str, str]) -> None:
        pass


def _in_line(previous: Resource, member: Resource, promotable: bool) -> None:
    """A member starts after the one before it, and stops before it."""
    order_starts(previous, member, FIRST_IMPLIES_THEN | UNRUNNABLE_FIRST_BLOCKS)
    order_stops(member, previous, ORDERED | INTERMEDIATE_STOP)
    if member.active and not previous.active:
        # Out of line: it stops until the one before it runs.
        order_tasks(member, "stop", previous, "start", THEN_IMPLIES_FIRST | UNRUNNABLE_FIRST_BLOCKS)
    if promotable:
        order_tasks(previous, "promote", member, "promote", FIRST_IMPLIES_THEN | UNRUNNABLE_FIRST_BLOCKS)
        order_tasks(member, "demote", previous, "demote", ORDERED)


KINDS["group"] = Group
