# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster: everything one run of the engine knows, from the CIB and from its own decisions so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ha.pe.model.action import Action, Ordering
from ha.pe.model.attributes import read_blocks
from ha.pe.model.constraint import Colocation, Location, Ticket
from ha.pe.model.document import Document
from ha.pe.model.history import ResourceHistory
from ha.pe.model.node import Node
from ha.pe.model.options import option_value
from ha.pe.model.reporter import Reporter
from ha.pe.model.rules import RuleInput
from ha.pe.model.values import is_true

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from ha.pe.model.resource import Resource

FEATURE_SET = "3.20.5"
"""The level of behaviour the engine matches; it is part of every action's attributes."""


@dataclass(slots=True)
class FailedOperation:
    """A failed entry of the operation history, for the status display."""

    element: Element
    node: Node
    resource_id: str
    key: str


@dataclass(slots=True)
class ParameterCheck:
    """A comparison of parameters put off until a bundle's address is known."""

    operation: Element
    resource: Resource
    node: Node
    is_last_failure: bool


class Cluster:
    """The working set of one run. `now` is in seconds since the epoch."""

    __slots__ = (
        "_by_history", "_by_id", "_node_by_id", "_node_by_name", "actions", "cancel_removed_actions",
        "colocations", "concurrent_fencing", "counts_decided", "dc", "document", "failed", "fence_action",
        "fence_remote_without_quorum", "fencing_enabled", "have_fencing", "have_remote_nodes",
        "health_colours", "histories", "in_maintenance", "locations", "lrm_index", "next_action_id",
        "no_quorum_policy", "node_pending_ms", "nodes", "now", "on_fail_block", "op_defaults", "options",
        "orderings", "parameter_checks", "placement_strategy", "priority_fencing_ms", "probe_resources",
        "quorate", "recheck_by", "reporter", "resources", "restart_marks", "rsc_defaults", "sanitized",
        "shutdown_lock", "shutdown_lock_ms", "singletons", "start_failure_fatal", "startup_fencing",
        "stop_all", "stop_needed", "stop_removed_resources", "symmetric", "tags", "templates", "tickets",
        "timed", "unfencing", "wants_tables",
    )  # fmt: skip

    def __init__(self, document: Document, now: int, reporter: Reporter) -> None:
        self.document = document
        self.now = now
        self.reporter = reporter
        self.wants_tables = False
        self.options: dict[str, str] = {}
        self.nodes: list[Node] = []
        self._node_by_name: dict[str, Node] = {}
        self._node_by_id: dict[str, Node] = {}
        self.resources: list[Resource] = []
        self._by_id: dict[str, list[Resource]] = {}
        self._by_history: dict[str, list[Resource]] = {}
        self.dc: Node | None = None
        self.actions: list[Action] = []
        self.next_action_id = 1
        self.singletons: dict[str, Action] = {}
        self.orderings: list[Ordering] = []
        self.locations: list[Location] = []
        self.colocations: list[Colocation] = []
        self.tickets: dict[str, Ticket] = {}
        self.tags: dict[str, list[str]] = {}
        self.templates: dict[str, list[str]] = {}
        self.failed: list[FailedOperation] = []
        self.parameter_checks: list[ParameterCheck] = []
        self.stop_needed: list[Resource] = []
        self.recheck_by: int | None = None
        self.timed: dict[str, None] = {}
        """Outermost resources whose failures expire: time alone changes what is decided for them."""
        self.counts_decided = False
        """Whether a node was chosen among equals by how many resources each has: it depends on all of them then."""
        self.rsc_defaults: Element | None = None
        self.op_defaults: Element | None = None
        self.histories: dict[Element, list[ResourceHistory]] = {}
        self.lrm_index: dict[str, dict[str, Element]] | None = None
        self.on_fail_block: dict[str, list[Element]] | None = None
        self.have_fencing = self.have_remote_nodes = self.unfencing = False
        self.sanitized = False
        self.restart_marks: set[tuple[str, str, str]] = set()
        self.quorate = False
        self.no_quorum_policy = "stop"
        self.health_colours: dict[str, int] = {}
        self.cancel_removed_actions = self.stop_removed_resources = self.symmetric = True
        self.concurrent_fencing = self.probe_resources = self.start_failure_fatal = True
        self.fencing_enabled = self.startup_fencing = self.fence_remote_without_quorum = False
        self.in_maintenance = self.stop_all = self.shutdown_lock = False
        self.fence_action = "reboot"
        self.placement_strategy = "default"
        self.priority_fencing_ms = self.node_pending_ms = self.shutdown_lock_ms = 0

    # Options ---------------------------------------------------------------------------------------------------

    def option(self, name: str) -> str:
        return option_value(self.options, name)

    def flag(self, name: str) -> bool:
        return is_true(self.option(name))

    # Rules and attributes --------------------------------------------------------------------------------------

    def rule_input(self) -> RuleInput:
        return RuleInput(self.now, self.document.resolve)

    def read_attributes(
        self,
        parent: Element | None,
        tag: str,
        values: dict[str, str],
        given: RuleInput | None = None,
        first_id: str | None = None,
    ) -> None:
        """Adds the attribute sets `tag` of `parent` to `values` (see `model.attributes`)."""
        if parent is None:
            return
        if given is None:
            given = self.rule_input()
        given.next_change = None
        read_blocks(self.document, parent, tag, given, values, first_id)
        if given.next_change is not None:
            self.recheck_at(given.next_change)

    def recheck_at(self, moment: int) -> None:
        """The decision may be another one from `moment` (seconds since the epoch) on."""
        if moment > self.now and (self.recheck_by is None or self.recheck_by > moment):
            self.recheck_by = moment

    # Nodes -----------------------------------------------------------------------------------------------------

    def add_node(self, node: Node) -> None:
        self._node_by_name.setdefault(node.name.lower(), node)
        self._node_by_id.setdefault(node.id.lower(), node)

    def node(self, name: str | None) -> Node | None:
        """The node with this name, in any case."""
        return None if name is None else self._node_by_name.get(name.lower())

    def node_by_id(self, id: str | None) -> Node | None:
        return None if id is None else self._node_by_id.get(id.lower())

    # Resources -------------------------------------------------------------------------------------------------

    def index(self, resource: Resource) -> None:
        """Makes a resource findable; its children index themselves."""
        self._by_id.setdefault(resource.id, []).append(resource)

    def forget(self, resource: Resource) -> None:
        """Makes a resource whose definition turned out to be unusable, and all within it, unknown again."""
        for index in (self._by_id, self._by_history):
            for known in index.values():
                known[:] = [one for one in known if one is not resource and not one.is_within(resource)]

    def set_history_id(self, resource: Resource, history_id: str | None) -> None:
        """The name under which the operation history of an instance goes, where it is not the instance's own."""
        if resource.history_id is not None:
            self._by_history[resource.history_id].remove(resource)
        resource.history_id = history_id
        if history_id is not None:
            self._by_history.setdefault(history_id, []).append(resource)

    def find(self, id: str | None) -> Resource | None:
        """The first resource, or instance, that has this id or this name in the history."""
        if id is None:
            return None
        alone = self._by_id.get(id)
        if alone is not None and len(alone) == 1 and not self._by_history.get(id):
            return alone[0]
        candidates = self._candidates(id)
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        order = self._positions()
        return min(candidates, key=lambda resource: order.get(id_of(resource), len(order)))

    def named(self, id: str) -> list[Resource]:
        """All resources with this id or history name, the last in the configuration first."""
        if not self._by_history.get(id) and len(self._by_id.get(id, ())) < 2:
            return list(self._by_id.get(id, ()))
        candidates = self._candidates(id)
        if len(candidates) > 1:
            order = self._positions()
            candidates.sort(key=lambda resource: -order[id_of(resource)])
        return candidates

    def _candidates(self, id: str) -> list[Resource]:
        found = list(self._by_id.get(id, ()))
        for resource in self._by_history.get(id, ()):
            if all(known is not resource for known in found):
                found.append(resource)
        return found

    def _positions(self) -> dict[int, int]:
        order: dict[int, int] = {}
        stack = list(reversed(self.resources))
        while stack:
            resource = stack.pop()
            order[id_of(resource)] = len(order)
            stack.extend(reversed(resource.children))
        return order


def id_of(resource: Resource) -> int:
    """The identity of a resource within one run. Never used for an order."""
    return id(resource)
