# SPDX-License-Identifier: GPL-2.0-or-later
"""Bundle: containers, each with an address, a connection to a remote daemon inside, and an instance of a primitive."""

from __future__ import annotations

from collections.abc import Callable

from ha.pe.core.actions import new_ordering, order_starts, order_stops, order_tasks
from ha.pe.core.assignment import assign_resource, sort_table
from ha.pe.core.colocation import add_this_with_list, add_with_this_list, new_colocation
from ha.pe.core.colocation_scores import add_colocated_scores, colocated_by_constraint, intersect_nodes
from ha.pe.core.configuration import connection_definition, create_node
from ha.pe.core.digests import needs_host_address, resource_address
from ha.pe.core.failcounts import threshold_reached
from ha.pe.core.instance_search import instance_matches
from ha.pe.core.instances import (
    assign_instances,
    collective_flags,
    create_instance_actions,
    sort_instances,
    update_ordered_instances,
)
from ha.pe.core.kinds.bundle_definition import (
    REMOTE_PORT,
    BundleDefinition,
    add_implied_mounts,
    address_definition,
    clone_definition,
    container_definition,
    host_entry,
    next_address,
    read_definition,
)
from ha.pe.core.kinds.clone import Clone
from ha.pe.core.location import apply_to_table
from ha.pe.core.nodescores import NODE_STATE, ban_node
from ha.pe.core.operation_config import parameters
from ha.pe.core.operations import resource_mark
from ha.pe.core.promotion import RESTART_ORDER
from ha.pe.core.resources import KINDS, unpack_resource
from ha.pe.model import scores
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN_GRAPHED,
    GUEST_ALLOWED,
    IF_ON_SAME_NODE,
    NESTED_REMOTE_PROBE,
    ORDERED,
    THEN_IMPLIES_FIRST,
    THEN_IMPLIES_FIRST_GRAPHED,
    UNRUNNABLE_FIRST_BLOCKS,
    Action,
)
from ha.pe.model.constraint import Colocation, Location
from ha.pe.model.node import Candidate, CandidateTable, Discovery, Node
from ha.pe.model.resource import Place, Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY, MINUS_INFINITY

_INSIDE_TASKS = frozenset(("notify", "notified", "promote", "promoted", "demote", "demoted"))
_OUTSIDE_TASKS = frozenset(("stop", "stopped", "start", "running", "monitor", "do_shutdown", "stonith"))
_CHILD_SCORE = 500


class Replica:
    """One container and what belongs to it; `child` is the instance inside, `node` the node the container is."""

    __slots__ = ("address", "child", "connection", "container", "ip", "node", "number")

    container: Resource

    def __init__(self, number: int, child: Resource | None, address: str | None) -> None:
        self.number = number
        self.child = child
        self.address = address
        self.ip: Resource | None = None
        self.connection: Resource | None = None
        self.node: Node | None = None


class Bundle(Resource):
    """`child` is the clone of what runs inside, if anything does."""

    RANK = 4
    __slots__ = ("child", "definition", "replicas")

    definition: BundleDefinition

    # State -----------------------------------------------------------------------------------------------------

    def is_active(self, all_members: bool) -> bool:
        # The first part that decides the question does.
        for replica in self.replicas:
            for part in (replica.ip, replica.child, replica.container, replica.connection):
                if part is not None:
                    active = part.is_active(all_members)
                    if active is not all_members:
                        return active
        return all_members

    def state(self, current: bool) -> Role:
        return Role.UNKNOWN

    def max_per_node(self) -> int:
        return self.definition.replicas_per_host

    def instances(self) -> list[Resource]:
        return [replica.container for replica in self.replicas]

    def hosts(self) -> list[Node]:
        """Of the containers, replica by replica."""
        return list(dict.fromkeys(node for container in self.instances() for node in container.active))

    @property
    def bundled_resource(self) -> Resource | None:
        return self.child

    def replica_on(self, node: Node) -> Resource | None:
        return next((replica.child for replica in self.replicas if replica.node is node), None)

    def child_in(self, container: Resource) -> Resource | None:
        return next((replica.child for replica in self.replicas if replica.container is container), None)

    # Reading the configuration ---------------------------------------------------------------------------------

    def unpack(self) -> bool:
        self.child: Clone | None = None
        self.replicas: list[Replica] = []
        definition = read_definition(self.xml)
        if definition is None:
            return False
        self.definition = definition
        if definition.replicas_per_host == 1:
            self.unique = False
        primitive = self.xml.find("primitive")
        if primitive is not None:
            if not definition.has_valid_network:
                return False
            child = unpack_resource(self.cluster, clone_definition(definition, primitive), self)
            if not isinstance(child, Clone):
                return False
            self.child = child
            add_implied_mounts(definition)
        self._create_replicas()
        for replica in self.replicas:
            if not self._create_parts(replica):
                return False
        if self.child is not None:
            self.children.append(self.child)
        return True

    def _create_replicas(self) -> None:
        definition, last = self.definition, None
        instances: list[Resource | None] = (
            [None] * definition.replicas if self.child is None else list(self.child.children)
        )
        for number, instance in enumerate(instances):
            address: str | None = None
            if definition.ip_range_start is not None:
                address = definition.ip_range_start if last is None else next_address(last)
                last = address
                if address is not None:
                    definition.host_options += host_entry(definition, number, address)
            self.replicas.append(Replica(number, instance, address))
            if instance is not None:
                assert self.child is not None
                instance.exclusive_discovery = True
                self.child.notify = self.child.notify or instance.notify
                target = instance.meta.get("container-attribute-target")
                if target is not None:
                    self.meta["container-attribute-target"] = target
                    self.child.meta["container-attribute-target"] = target

    def _create_parts(self, replica: Replica) -> bool:
        definition, cluster = self.definition, self.cluster
        element = container_definition(definition, replica.number, replica.address, replica.child is not None)
        container = unpack_resource(cluster, element, self)
        if container is None:
            return False
        container.replica_container = True
        replica.container = container
        self.children.append(container)
        if replica.address is not None:
            replica.ip = unpack_resource(cluster, address_definition(definition, replica.number, replica.address), self)
            if replica.ip is None:
                return False
            self.children.append(replica.ip)
        if replica.child is not None:
            if not self._connect(replica, replica.child):
                return False
            if replica.address is not None:
                replica.child.meta["external-ip"] = replica.address
            container.utilization, replica.child.utilization = replica.child.utilization, container.utilization
        return True

    def _connect(self, replica: Replica, child: Resource) -> bool:
        """Creates the node that the container is, and the connection to it."""
        cluster = self.cluster
        name = f"{self.definition.prefix}-{replica.number}"
        if cluster.find(name) is not None:
            name = f"pcmk-internal-{child.id}-remote-{replica.number}"
        node = cluster.node(name) or create_node(cluster, name, name, True, MINUS_INFINITY)
        # Nothing but the replica's own instance may run there.
        node.score = MINUS_INFINITY
        node.discovery = Discovery.NEVER
        for resource in cluster.resources:
            _disallow(resource, node)
        replica.node = node
        child.allowed = {node.id: Candidate(node, _CHILD_SCORE, Discovery.EXCLUSIVE)}
        cluster.reporter.score(child, node, _CHILD_SCORE, _CHILD_SCORE, f"replica of {self.id}", True)
        assert child.parent is not None
        child.parent.allowed[node.id] = Candidate(node, MINUS_INFINITY, Discovery.EXCLUSIVE)
        cluster.reporter.score(child.parent, node, MINUS_INFINITY, MINUS_INFINITY, NODE_STATE, True)
        element = connection_definition(
            name,
            container=replica.container.id,
            migratable=None,
            managed=None,
            timeout=None,
            address=replica.address or "#uname",
            port=self.definition.control_port or REMOTE_PORT,
        )
        connection = unpack_resource(cluster, element, self)
        if connection is None:
            return False
        for entry in connection.allowed.values():
            if entry.node.is_remote_kind:
                ban_node(connection, entry, "cannot run on a remote node")
        node.remote = connection
        connection.launcher = replica.container
        connection.remote_nesting_allowed = True
        node.attributes["#kind"] = "container"
        replica.connection = connection
        self.children.append(connection)
        return True

    # Assignment ------------------------------------------------------------------------------------------------

    def assign(self, prefer: Node | None, stop_if_fail: bool) -> Place | None:
        self.assigning = True
        if self.cluster.wants_tables:
            self.cluster.reporter.table("pcmk__bundle_assign", self)
        containers = self.instances()
        sort_instances(containers)
        assign_instances(self, containers, self.definition.replicas, self.max_per_node())
        for replica in self.replicas:
            _assign_replica(replica, prefer, stop_if_fail)
        if self.child is not None:
            for entry in self.child.allowed.values():
                inside = any(replica.node is entry.node for replica in self.replicas)
                entry.score = 0 if inside else MINUS_INFINITY
                self.cluster.reporter.score(
                    self.child, entry.node, entry.score, entry.score, f"replica of {self.id}", True
                )
            self.child.assign(prefer, stop_if_fail)
        self.assigning = self.unassigned = False
        return None

    def colocate_as_dependent(self, primary: Resource, colocation: Colocation) -> int:
        raise AssertionError("a container, not its bundle, is the dependent of a colocation")

    def colocate_as_primary(self, dependent: Resource, colocation: Colocation) -> int:
        if self.unassigned:
            return 0
        mandatory = colocation.score >= INFINITY
        if colocation.dependent.RANK > 2:
            container = self._compatible_container(dependent)
            if container is not None:
                return dependent.colocate_as_dependent(container, colocation)
            if mandatory:
                assign_resource(dependent, None, True, True)
                self.cluster.reporter.refused(dependent, f"{colocation.id}: no replica of {self.id} to be with")
            return 0
        delta = 0
        places: list[Place] = []
        for replica in self.replicas:
            container = replica.container
            if not mandatory:
                delta = scores.add(delta, container.colocate_as_primary(dependent, colocation))
                continue
            place = container.location(assigned=True)
            if place is None or container.any_within("blocked"):
                continue
            if colocation.primary_role >= Role.PROMOTED and (
                replica.child is None or replica.child.next_role < Role.PROMOTED
            ):
                continue
            places.insert(0, place)
        if mandatory:
            intersect_nodes(dependent, colocation, places, False)
        return delta

    def _compatible_container(self, dependent: Resource) -> Resource | None:
        place = _host_of(dependent.location(assigned=True))
        if place is not None:
            return self._container_on(place)
        for entry in sort_table(self.cluster, dependent.allowed, None):
            host = _host_of(entry)
            container = None if host is None else self._container_on(host)
            if container is not None:
                return container
        return None

    def _container_on(self, place: Place) -> Resource | None:
        for replica in self.replicas:
            if instance_matches(replica.container, place, Role.UNKNOWN, False, None):
                return replica.container
        return None

    def colocated_resources(self, origin: Resource | None, found: list[Resource]) -> list[Resource]:
        return colocated_by_constraint(self, origin, found)

    def _concerns(self, origin: Resource) -> bool:
        """Whether the bundle's colocations are about `origin`: itself, its containers, or roles inside them."""
        if origin is self or origin.replica_container:
            return True
        child = self.child
        if child is None or not child.promotable or origin.top is not child:
            return False
        if origin is child:
            return child.promotion_done
        return not origin.unassigned

    def collect_with_this(self, origin: Resource, found: list[Colocation]) -> None:
        if self._concerns(origin):
            add_with_this_list(found, self.with_this)

    def collect_this_with(self, origin: Resource, found: list[Colocation]) -> None:
        if self._concerns(origin):
            add_this_with_list(found, self.this_with)

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
        for replica in self.replicas:
            replica.container.apply_location(location)
            if replica.ip is not None:
                replica.ip.apply_location(location)
        if self.child is not None and location.role in (Role.UNPROMOTED, Role.PROMOTED):
            self.child.apply_location(location)
            self.child.locations.append(location)

    def add_utilization(self, origin: Resource, together: list[Resource], total: dict[str, int]) -> None:
        if self.unassigned and self.replicas:
            self.replicas[0].container.add_utilization(origin, together, total)

    def lock_to_shutdown_node(self) -> None:
        # Containers are alike; the others take over.
        pass

    # Actions ---------------------------------------------------------------------------------------------------

    def internal_constraints(self) -> None:
        for replica in self.replicas:
            self._constrain_replica(replica)
        child = self.child
        if child is None:
            return
        order_tasks(self, "start", child, "start", THEN_IMPLIES_FIRST_GRAPHED)
        order_tasks(child, "running", self, "running", FIRST_IMPLIES_THEN_GRAPHED)
        order_tasks(self, "stop", child, "stop", THEN_IMPLIES_FIRST_GRAPHED)
        order_tasks(child, "stopped", self, "stopped", FIRST_IMPLIES_THEN_GRAPHED)
        child.internal_constraints()
        if not child.promotable:
            return
        for first, then in RESTART_ORDER:
            order_tasks(self, first, self, then, ORDERED)
        order_tasks(self, "demote", child, "demote", THEN_IMPLIES_FIRST_GRAPHED)
        order_tasks(child, "demoted", self, "demoted", FIRST_IMPLIES_THEN_GRAPHED)
        order_tasks(self, "promote", child, "promote", THEN_IMPLIES_FIRST_GRAPHED)
        order_tasks(child, "promoted", self, "promoted", FIRST_IMPLIES_THEN_GRAPHED)

    def _constrain_replica(self, replica: Replica) -> None:
        container = replica.container
        container.internal_constraints()
        order_starts(self, container, UNRUNNABLE_FIRST_BLOCKS | THEN_IMPLIES_FIRST_GRAPHED)
        if replica.child is not None:
            order_stops(self, replica.child, THEN_IMPLIES_FIRST_GRAPHED)
        order_stops(self, container, THEN_IMPLIES_FIRST_GRAPHED)
        order_tasks(container, "start", self, "running", FIRST_IMPLIES_THEN_GRAPHED)
        order_tasks(container, "stop", self, "stopped", FIRST_IMPLIES_THEN_GRAPHED)
        if replica.ip is not None:
            replica.ip.internal_constraints()
            order_starts(replica.ip, container, UNRUNNABLE_FIRST_BLOCKS | GUEST_ALLOWED)
            order_stops(container, replica.ip, THEN_IMPLIES_FIRST | GUEST_ALLOWED)
            new_colocation("#ip-with-container", None, INFINITY, replica.ip, container, influence=True)
        if replica.connection is not None:
            replica.connection.internal_constraints()

    def create_actions(self) -> None:
        for replica in self.replicas:
            for part in (replica.ip, replica.container, replica.connection):
                if part is not None:
                    part.create_actions()
        create_instance_actions(self, self.instances())
        if self.child is None:
            return
        self.child.create_actions()
        if self.child.promotable:
            for task, done in (("promote", "promoted"), ("demote", "demoted")):
                resource_mark(self, task, True, True)
                resource_mark(self, done, True, True).priority = INFINITY

    def create_probe(self, node: Node) -> bool:
        created = False
        for replica in self.replicas:
            if replica.ip is not None:
                created = replica.ip.create_probe(node) or created
            if replica.child is not None and replica.node is node:
                created = replica.child.create_probe(node) or created
            if replica.container.create_probe(node):
                created = True
                if self.max_per_node() == 1:
                    self._order_starts_after_probe(replica)
            if replica.connection is not None and replica.connection.create_probe(node):
                created = self._order_connection_probe(replica.container, replica.connection, node) or created
        return created

    def _order_starts_after_probe(self, probed: Replica) -> None:
        # Another replica may be found where one is about to be started.
        for replica in self.replicas:
            if replica is not probed:
                new_ordering(
                    self.cluster,
                    ORDERED | IF_ON_SAME_NODE,
                    first_resource=probed.container,
                    first_key=probed.container.key("monitor"),
                    then_resource=replica.container,
                    then_key=replica.container.key("start"),
                )

    def _order_connection_probe(self, container: Resource, connection: Resource, node: Node) -> bool:
        probes = connection.actions_exactly(connection.key("monitor"), node)
        if not probes:
            return False
        new_ordering(
            self.cluster,
            NESTED_REMOTE_PROBE,
            first_resource=container,
            first_key=container.key("start"),
            then_resource=connection,
            then=probes[-1],
        )
        return True

    def action_flags(self, action: Action, node: Place | None) -> int:
        inside = action.task in _INSIDE_TASKS or action.task not in _OUTSIDE_TASKS
        if self.child is not None and inside:
            return collective_flags(action, self.child.children, node)
        return collective_flags(action, self.instances(), node)

    def update_ordered(self, first: Action, then: Action, node: Place | None, flags: int, mask: int, kind: int) -> int:
        return update_ordered_instances(first, then, node, flags, mask, kind)

    # Graph -----------------------------------------------------------------------------------------------------

    def add_to_graph(self, add: Callable[[Action], None]) -> None:
        if self.child is not None:
            self.child.add_to_graph(add)
        for replica in self.replicas:
            connection = replica.connection
            if connection is not None and needs_host_address(connection):
                address = resource_address(connection)
                if address is not None:
                    parameters(connection, None)["addr"] = address
            for part in (replica.ip, replica.container, connection):
                if part is not None:
                    part.add_to_graph(add)

    def add_graph_meta(self, attributes: dict[str, str]) -> None:
        pass


def _disallow(resource: Resource, node: Node) -> None:
    entry = resource.allowed.get(node.name)
    if entry is not None:
        ban_node(resource, entry, NODE_STATE)
        entry.discovery = Discovery.NEVER
    for child in resource.children:
        _disallow(child, node)


def _host_of(place: Place | None) -> Place | None:
    """The place itself; of a node that is a container, where the container goes."""
    if place is not None and place.node.is_bundle_node:
        assert place.node.remote is not None
        assert place.node.remote.launcher is not None
        return place.node.remote.launcher.location(assigned=True)
    return place


def _assign_replica(replica: Replica, prefer: Node | None, stop_if_fail: bool) -> None:
    if replica.ip is not None:
        replica.ip.assign(prefer, stop_if_fail)
    host = replica.container.assigned
    connection = replica.connection
    if connection is not None:
        if host is not None and host.node.is_remote_kind:
            # The container is on a remote node, so the connection goes where that one's is.
            new_colocation(
                "#replica-remote-with-host-remote", None, INFINITY, connection, host.node.remote, influence=True
            )
        connection.assign(prefer, stop_if_fail)
    child = replica.child
    if child is not None:
        for entry in child.allowed.values():
            if entry.node is not replica.node:
                ban_node(child, entry, "belongs into its container")
            elif threshold_reached(child, entry.node) is None:
                entry.score = INFINITY
                child.cluster.reporter.score(child, entry.node, INFINITY, INFINITY, "belongs into its container", True)
        assert child.parent is not None
        child.parent.assigning = True
        child.assign(replica.node, stop_if_fail)
        child.parent.assigning = False


KINDS["bundle"] = Bundle
