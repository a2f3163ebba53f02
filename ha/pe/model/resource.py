# SPDX-License-Identifier: GPL-2.0-or-later
"""A resource: what the configuration and the history say of it, and the questions the engine asks its kind.

There is one class per kind in `core.kinds` (primitive, group, clone, bundle); it answers every question below, so
that a new kind touches one file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from ha.pe.model.action import Action
from ha.pe.model.node import Candidate, CandidateTable, Node
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from ha.pe.model.cluster import Cluster
    from ha.pe.model.constraint import Colocation, Location, TicketDependency

Place = Node | Candidate
"""Where a resource is (a node) or will be (the entry of its table that was chosen); both have `node`."""


MAX_INSTANCES = 1024
"""Of one clone or bundle; a definition that asks for more gets that many."""


class MultiplyActive(IntEnum):
    """What to do with a resource found active on more nodes than it should be."""

    RESTART = 0
    STOP = 1
    BLOCK = 2
    UNEXPECTED = 3


class Select(IntEnum):
    """Flags of one colocation computation."""

    DEFAULT = 0
    NONNEGATIVE = 1
    ACTIVE = 2
    THIS_WITH = 4


_FLAGS = (
    "assigning", "blocked", "critical", "exclusive_discovery", "failed", "fence_device", "ignore_failure",
    "is_remote_connection", "maintenance", "managed", "migratable", "needs_fencing", "needs_quorum",
    "needs_unfencing", "notify", "promotable", "reload", "remote_nesting_allowed", "removed", "removed_launched",
    "replica_container", "restarting", "start_pending", "stop_if_failed", "stop_unexpected", "unassigned", "unique",
    "updating_nodes",
)  # fmt: skip


class Resource(ABC):
    """A resource of any kind.

    `xml` is the definition with its template merged in. `orig_role` is the role now, `next_role` the one wanted.
    `active` are the nodes it runs on, `allowed` its table of nodes, `assigned` the entry it was given, if any.
    `failed` says that an operation failed; with `stop_if_failed` recovery goes through a stop. `blocked` means that
    nothing may be done until someone intervenes; `managed` that we may act at all.
    """

    RANK: ClassVar[int]
    """Primitive 1, group 2, clone 3, bundle 4."""

    __slots__ = (
        *_FLAGS, "actions", "actions_by_key", "actions_by_task", "active", "agent", "allowed", "assigned",
        "ban_after_failures", "children", "cluster", "dangling_sources", "failure_expiration_ms", "history_id", "id",
        "launched", "launcher", "locations", "lock_node", "lock_time", "meta", "multiply_active", "next_role",
        "operation_metas", "operations", "orig_role", "orig_xml", "parameter_cache", "parent", "pending_action",
        "pending_node", "priority", "probed", "promotion_priority", "remote_reconnect_ms", "stickiness",
        "this_with", "tickets", "migration_source", "migration_target", "utilization", "with_this", "xml",
    )  # fmt: skip

    assigning: bool
    blocked: bool
    critical: bool
    exclusive_discovery: bool
    failed: bool
    fence_device: bool
    ignore_failure: bool
    is_remote_connection: bool
    maintenance: bool
    managed: bool
    migratable: bool
    needs_fencing: bool
    needs_quorum: bool
    needs_unfencing: bool
    notify: bool
    promotable: bool
    reload: bool
    remote_nesting_allowed: bool
    removed: bool
    removed_launched: bool
    replica_container: bool
    restarting: bool
    start_pending: bool
    stop_if_failed: bool
    stop_unexpected: bool
    unassigned: bool
    unique: bool
    updating_nodes: bool

    def __init__(self, cluster: Cluster, id: str, xml: Element, orig_xml: Element, parent: Resource | None) -> None:
        for flag in _FLAGS:
            setattr(self, flag, False)
        self.unassigned = True
        self.cluster = cluster
        self.id = id
        self.xml = xml
        self.orig_xml = orig_xml
        self.agent = (xml.get("type"), xml.get("class"), xml.get("provider"))
        self.parent = parent
        self.children: list[Resource] = []
        self.operations: list[Element] = []
        self.operation_metas: dict[tuple[str, int], dict[str, str]] = {}
        self.meta: dict[str, str] = {}
        self.utilization: dict[str, int] = {}
        self.parameter_cache: dict[str, dict[str, str]] = {}
        self.priority = 0
        self.promotion_priority = 0
        self.stickiness = 0
        self.ban_after_failures = INFINITY
        self.failure_expiration_ms = 0
        self.remote_reconnect_ms = 0
        self.multiply_active = MultiplyActive.RESTART
        self.orig_role = Role.STOPPED
        self.next_role = Role.UNKNOWN
        self.active: list[Node] = []
        self.probed: dict[str, Node] = {}
        self.allowed: CandidateTable = {}
        self.assigned: Candidate | None = None
        self.history_id: str | None = None
        self.pending_action: str | None = None
        self.pending_node: Node | None = None
        self.lock_node: Node | None = None
        self.lock_time = 0
        self.launcher: Resource | None = None
        self.launched: list[Resource] = []
        self.migration_source: Node | None = None
        self.migration_target: Node | None = None
        self.dangling_sources: list[Node] = []
        self.actions: list[Action] = []
        self.actions_by_key: dict[str, list[Action]] = {}
        self.actions_by_task: dict[str, list[Action]] = {}
        self.this_with: list[Colocation] = []
        self.with_this: list[Colocation] = []
        self.locations: list[Location] = []
        self.tickets: list[TicketDependency] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id})"

    # Family ----------------------------------------------------------------------------------------------------

    @property
    def top(self) -> Resource:
        """The outermost resource this one is part of, not counting a bundle."""
        resource = self
        while resource.parent is not None and resource.parent.RANK != 4:
            resource = resource.parent
        return resource

    @property
    def outermost(self) -> Resource:
        resource = self
        while resource.parent is not None:
            resource = resource.parent
        return resource

    @property
    def is_primitive(self) -> bool:
        return self.RANK == 1

    @property
    def is_group(self) -> bool:
        return self.RANK == 2

    @property
    def is_clone(self) -> bool:
        return self.RANK == 3

    @property
    def is_bundle(self) -> bool:
        return self.RANK == 4

    @property
    def is_anonymous_clone(self) -> bool:
        return self.RANK == 3 and not self.unique

    @property
    def is_bundled(self) -> bool:
        """Whether it is, or is part of, a bundle."""
        return self.outermost.RANK == 4

    @property
    def xml_id(self) -> str:
        """The id in the configuration: without the number of an instance."""
        return self.xml.get("id") or ""

    @property
    def printable_id(self) -> str:
        return self.id if self.unique else self.xml_id

    def is_within(self, other: Resource) -> bool:
        """Whether `other` is an ancestor."""
        resource = self.parent
        while resource is not None:
            if resource is other:
                return True
            resource = resource.parent
        return False

    def instances(self) -> list[Resource]:
        """Of a clone or bundle: its instances (a bundle's are its containers)."""
        return self.children

    def any_within(self, flag: str) -> bool:
        """Whether the flag is set on this resource or anything in it."""
        return bool(getattr(self, flag)) or any(child.any_within(flag) for child in self.children)

    def all_within(self, flag: str) -> bool:
        """Whether the flag is set on this resource and everything in it."""
        return bool(getattr(self, flag)) and all(child.all_within(flag) for child in self.children)

    def resource_in_container(self) -> Resource | None:
        """Of a bundle's container: the instance that runs inside."""
        return None

    def force_anonymous(self) -> None:
        """Gives up telling instances apart, for agents that cannot."""
        self.unique = False
        self.meta["globally-unique"] = "false"

    @property
    def bundled_resource(self) -> Resource | None:
        """Of a bundle: the clone of what runs in its containers."""
        return None

    def child_in(self, container: Resource) -> Resource | None:
        """Of a bundle: the instance inside one of its containers."""
        return None

    def replica_on(self, node: Node) -> Resource | None:
        """Of a bundle: the instance inside the container that this bundle node is."""
        return None

    # Actions ---------------------------------------------------------------------------------------------------

    def register(self, action: Action) -> None:
        self.actions.append(action)
        self.actions_by_key.setdefault(action.uuid, []).append(action)
        self.actions_by_task.setdefault(action.task, []).append(action)

    def rename_task(self, action: Action, task: str) -> None:
        """Makes an action another task (a recurring one becomes its own cancellation), its key unchanged."""
        self.actions_by_task[action.task].remove(action)
        action.task = task
        self.actions_by_task.setdefault(task, []).append(action)

    def newest_actions(self) -> Iterator[Action]:
        return reversed(self.actions)

    def first_action(self, task: str, place: Place | None = None) -> Action | None:
        """The newest action with this task, on the place's node if one is given."""
        candidates = self.actions_by_task.get(task)
        if not candidates:
            return None
        if place is None:
            return max(candidates, key=_action_id)
        node = place.node
        matching = [action for action in candidates if action.node is node]
        return max(matching, key=_action_id) if matching else None

    def first_action_with_key(self, key: str) -> Action | None:
        candidates = self.actions_by_key.get(key)
        return candidates[-1] if candidates else None

    def actions_with_key(self, key: str, place: Place | None) -> list[Action]:
        """The actions with this key, oldest first; those without a node move to the place's node, if one is given."""
        candidates = self.actions_by_key.get(key, [])
        if place is None:
            return list(candidates)
        found = []
        for action in candidates:
            if action.node is None:
                action.node = place.node
            if action.node is place.node:
                found.append(action)
        return found

    def actions_exactly(self, key: str, place: Place | None) -> list[Action]:
        """The actions with this key that are on this very node, oldest first."""
        if place is None:
            return []
        return [action for action in self.actions_by_key.get(key, ()) if action.node is place.node]

    def key(self, task: str) -> str:
        return f"{self.id}_{task}_0"

    # State -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def is_active(self, all_members: bool) -> bool:
        """Whether it runs anywhere; of a collection with `all_members`: whether everything in it does."""

    @abstractmethod
    def state(self, current: bool) -> Role:
        """The (highest) role now, or the one wanted next."""

    def location(self, current: bool = False, assigned: bool = False, pending: bool = False) -> Place | None:
        """The one place where it is or will be; None if there are none or several."""
        places = self.places(current, assigned, pending)
        return places[0] if len(places) == 1 else None

    def places(self, current: bool = False, assigned: bool = False, pending: bool = False) -> list[Place]:
        """All places where it is or will be, each node once."""
        found: list[Place] = []
        if self.children:
            for child in self.children:
                _add_places(found, child.places(current, assigned, pending))
            return found
        if current:
            found.extend(self.active)
        if pending and self.pending_node is not None:
            _add_places(found, [self.pending_node])
        if assigned and self.assigned is not None:
            found.append(self.assigned)
        return found

    def active_nodes(self) -> tuple[Node | None, int, int]:
        """(the node it is taken to run on, how many nodes it runs on, how many of them are up and safe)."""
        chosen: Node | None = None
        clean = 0
        for node in self.active:
            happy = node.online and not node.unclean
            clean += happy
            if self.migration_source is not None:
                if node is self.migration_source:
                    chosen = node
            elif not self.needs_fencing and happy and (chosen is None or not chosen.online or chosen.unclean):
                chosen = node
            if chosen is None:
                chosen = node
        return chosen, len(self.active), clean

    def hosts(self) -> list[Node]:
        """The nodes it is active on, in the order in which one is looked for that stands for it."""
        return self.active

    @property
    def current_node(self) -> Node | None:
        """The node it is taken to run on. Searching ends with the first one that satisfies."""
        chosen: Node | None = None
        for node in self.hosts():
            happy = node.online and not node.unclean
            keep_looking = False
            if self.migration_source is not None:
                if node is self.migration_source:
                    chosen = node
                else:
                    keep_looking = True
            elif not self.needs_fencing:
                if happy and (chosen is None or not chosen.online or chosen.unclean):
                    chosen = node
                else:
                    keep_looking = True
            if chosen is None:
                chosen = node
            if not keep_looking:
                break
        return chosen

    @abstractmethod
    def max_per_node(self) -> int:
        """How many instances may share a node."""

    # Reading the configuration ---------------------------------------------------------------------------------

    @abstractmethod
    def unpack(self) -> bool:
        """Reads what is special to the kind and creates the children. False if the definition is unusable."""

    # Assignment ------------------------------------------------------------------------------------------------

    @abstractmethod
    def assign(self, prefer: Node | None, stop_if_fail: bool) -> Place | None:
        """Chooses the place. With `stop_if_fail` a resource without one is to be stopped."""

    @abstractmethod
    def colocate_as_dependent(self, primary: Resource, colocation: Colocation) -> int:
        """Applies a colocation to this resource's scores (or promotion priority: the change is returned)."""

    @abstractmethod
    def colocate_as_primary(self, dependent: Resource, colocation: Colocation) -> int:
        """The same, asked of the primary once the dependent is one resource."""

    @abstractmethod
    def colocated_resources(self, origin: Resource | None, found: list[Resource]) -> list[Resource]:
        """Adds everything that must share a node with this resource, itself included, newest first."""

    @abstractmethod
    def collect_with_this(self, origin: Resource, found: list[Colocation]) -> None:
        """Adds the colocations of others with this resource that concern `origin`."""

    @abstractmethod
    def collect_this_with(self, origin: Resource, found: list[Colocation]) -> None:
        """Adds the colocations of this resource with others that concern `origin`."""

    @abstractmethod
    def add_colocated_node_scores(
        self,
        target: Resource | None,
        table: CandidateTable | None,
        colocation: Colocation | None,
        factor: float,
        select: int,
    ) -> CandidateTable | None:
        """`table` (its own, if None) with this resource's wishes, and those of its relations, added by `factor`."""

    @abstractmethod
    def apply_location(self, location: Location) -> None:
        """Adds a location constraint to the table of nodes."""

    @abstractmethod
    def add_utilization(self, origin: Resource, together: list[Resource], total: dict[str, int]) -> None:
        """Adds what it takes of a node's capacity, as far as it has no place yet."""

    @abstractmethod
    def lock_to_shutdown_node(self) -> None:
        """Keeps a resource of a node in clean shutdown for that node (option shutdown-lock)."""

    # Actions ---------------------------------------------------------------------------------------------------

    @abstractmethod
    def internal_constraints(self) -> None:
        """Creates the orderings and colocations that the kind itself implies."""

    @abstractmethod
    def create_actions(self) -> None:
        """Creates the actions that lead from the present role and place to the wanted ones."""

    @abstractmethod
    def create_probe(self, node: Node) -> bool:
        """Creates what finds out whether it is active on a node; whether anything was created."""

    @abstractmethod
    def action_flags(self, action: Action, node: Place | None) -> int:
        """The flags of one of its actions; a collection sums up its members' (on `node`, if given)."""

    @abstractmethod
    def update_ordered(self, first: Action, then: Action, node: Place | None, flags: int, mask: int, kind: int) -> int:
        """Carries one ordering's consequence to its actions; which ends changed (`core.relations`)."""

    # Graph -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def add_to_graph(self, add: Callable[[Action], None]) -> None:
        """Hands its actions to `add` in the order in which they enter the graph, after last changes to them."""

    @abstractmethod
    def add_graph_meta(self, attributes: dict[str, str]) -> None:
        """Adds what an agent is told of it."""


def _action_id(action: Action) -> int:
    return action.id


def _add_places(found: list[Place], more: list[Place]) -> None:
    for place in more:
        if all(known.node is not place.node for known in found):
            found.append(place)
