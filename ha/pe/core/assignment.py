# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 7: choosing places: the order of nodes, giving a resource its node, taking it back."""

from __future__ import annotations

from functools import cmp_to_key

from ha.pe.core.operations import set_next_role
from ha.pe.core.utilization import ban_insufficient_capacity, compare_capacities, consume, release
from ha.pe.model.action import OPTIONAL, RUNNABLE
from ha.pe.model.cluster import Cluster
from ha.pe.model.history import NOT_RUNNING
from ha.pe.model.node import Candidate, CandidateTable, Node, available, candidate_of
from ha.pe.model.resource import Place, Resource, Select
from ha.pe.model.roles import Role
from ha.pe.model.scores import MINUS_INFINITY
from ha.pe.model.table_order import merge_sorted, walked


def sort_places(cluster: Cluster, places: list[Candidate], active: Node | None) -> list[Candidate]:
    """Best first: by score, free capacity (strategy balanced), fewest resources (not minimal), present place, name."""
    strategy = cluster.placement_strategy
    minimal = strategy == "minimal"

    def score_of(place: Candidate) -> int:
        return place.score if available(place) else MINUS_INFINITY

    def rest(place: Candidate) -> tuple[int, bool, str]:
        node = place.node
        return (0, False, node.name) if minimal else (node.assigned_count, node is not active, node.name)

    def compare(one: Candidate, other: Candidate) -> int:
        score, other_score = score_of(one), score_of(other)
        if score != other_score:
            return -1 if score > other_score else 1
        result = compare_capacities(one.node, other.node)
        if result:
            return -1 if result < 0 else 1
        mine, others = rest(one), rest(other)
        return (mine > others) - (mine < others)

    if strategy == "balanced":
        return merge_sorted(places, compare)
    return sorted(places, key=lambda place: (-score_of(place), *rest(place)))


def sort_table(cluster: Cluster, table: CandidateTable, active: Node | None) -> list[Candidate]:
    """The entries of a table, best first."""
    if cluster.placement_strategy != "balanced":
        return sort_places(cluster, list(table.values()), active)
    return sort_places(cluster, [table[id] for id in reversed(walked(table))], active)


def assign_best_node(resource: Resource, prefer: Node | None, stop_if_fail: bool) -> bool:
    """Gives a resource the preferred node if that is as good as any, else the best; whether it got one."""
    most_free = ban_insufficient_capacity(resource)
    if prefer is None:
        prefer = most_free
    if not resource.unassigned:
        return resource.assigned is not None
    places = sort_table(resource.cluster, resource.allowed, resource.current_node)
    best = places[0] if places else None
    chosen: Candidate | None = None
    if prefer is not None and best is not None:
        chosen = resource.allowed.get(prefer.id)
        if chosen is not None and (chosen.score < best.score or not available(chosen, True)):
            chosen = None
    if chosen is None and best is not None:
        chosen = _stay_if_equal(resource, places)
    assign_resource(resource, chosen, False, stop_if_fail)
    return resource.assigned is not None


def _stay_if_equal(resource: Resource, places: list[Candidate]) -> Candidate:
    # Of equally good nodes the one it runs on; instances of a unique clone spread instead.
    best = places[0]
    usable = [place for place in places[:2] if available(place) and place.score == best.score >= 0]
    if len(usable) < 2:
        return best
    parent, running = resource.parent, resource.current_node
    spreads = parent is not None and parent.is_clone and parent.unique
    if best.score > 0 and not spreads and running is not None and available(running, True):
        for place in places:
            if place.score != best.score:
                break
            if place.node is running:
                return place
    resource.cluster.counts_decided = True
    return best


def assign_resource(resource: Resource, place: Place | None, force: bool, stop_if_fail: bool) -> bool:
    """Gives a resource (everything in it) a place, or none; whether that is a change.

    Unless `force`, a place that is unusable is refused. Without a place, and with `stop_if_fail`, its next role is
    stopped and what was planned for it is adapted.
    """
    if resource.children:
        changed = False
        for child in resource.children:
            changed = assign_resource(child, place, force, stop_if_fail) or changed
        return changed
    if (
        not force
        and place is not None
        and (place.score < 0 or (not available(place, True) and not place.node.is_guest))
    ):
        if stop_if_fail:
            set_next_role(resource, Role.STOPPED, "node availability")
        place = None
    old = resource.assigned
    changed = place is not None if old is None else place is None or old.node is not place.node
    unassign(resource)
    resource.unassigned = False
    if place is None:
        if stop_if_fail:
            set_next_role(resource, Role.STOPPED, "unable to assign")
            _adapt_to_stop(resource)
        resource.cluster.reporter.assigned(resource, None)
        return changed
    resource.assigned = candidate_of(place)
    place.node.assigned_count += 1
    place.count += 1
    consume(place.node, resource)
    resource.cluster.reporter.utilization(resource, place.node)
    resource.cluster.reporter.assigned(resource, place.node)
    return changed


def _adapt_to_stop(resource: Resource) -> None:
    for action in resource.newest_actions():
        if action.task == "stop":
            action.clear(OPTIONAL)
        elif action.task == "start" or (
            action.meta.get("interval", "0") != "0" and action.meta.get("op_target_rc") != str(NOT_RUNNING)
        ):
            action.clear(RUNNABLE)


def unassign(resource: Resource) -> None:
    """Takes back the place of a resource (of everything in it)."""
    resource.unassigned = True
    if resource.children:
        for child in resource.children:
            unassign(child)
        return
    old = resource.assigned
    if old is not None:
        resource.assigned = None
        old.node.assigned_count -= 1
        release(old.node.utilization, resource)


def top_allowed(resource: Resource, place: Place | None) -> Candidate | None:
    """A node's entry in the table of the collection a resource is an instance of (its own, if of none)."""
    if place is None:
        return None
    table = resource.allowed if resource.parent is None else resource.parent.allowed
    return table.get(place.node.id)


# The order of resources --------------------------------------------------------------------------------------------


def sort_resources(cluster: Cluster) -> None:
    """Puts the resources into the order of assignment: priority, score on the present node, score on any node."""
    nodes = sort_places(cluster, [candidate_of(node) for node in cluster.nodes], None)

    def wishes(resource: Resource) -> CandidateTable:
        table = resource.add_colocated_node_scores(None, None, None, 1.0, Select.THIS_WITH)
        return {} if table is None else table

    def score_on(table: CandidateTable, node: Node | None) -> int:
        entry = None if node is None else table.get(node.id)
        return MINUS_INFINITY if entry is None else entry.score

    def compare(one: Resource, other: Resource) -> int:
        if one.priority != other.priority:
            return -1 if one.priority > other.priority else 1
        tables = (wishes(one), wishes(other))
        current = [resource.current_node if resource.active else None for resource in (one, other)]
        scores = (score_on(tables[0], current[0]), score_on(tables[1], current[1]))
        if scores[0] != scores[1]:
            return -1 if scores[0] > scores[1] else 1
        for place in nodes:
            scores = (score_on(tables[0], place.node), score_on(tables[1], place.node))
            if scores[0] != scores[1]:
                return -1 if scores[0] > scores[1] else 1
        return 0

    cluster.resources.sort(key=cmp_to_key(compare))


def assign_all(cluster: Cluster) -> None:
    """Assigns remote connections first, so that their nodes are usable, then everything else in order."""
    if cluster.placement_strategy != "default":
        sort_resources(cluster)
    _show_capacities(cluster, "Original")
    if cluster.have_remote_nodes:
        for resource in cluster.resources:
            if resource.is_remote_connection:
                resource.assign(resource.migration_target, True)
    for resource in cluster.resources:
        if not resource.is_remote_connection:
            resource.assign(None, True)
    _show_capacities(cluster, "Remaining")


def _show_capacities(cluster: Cluster, stage: str) -> None:
    for node in cluster.nodes:
        if not node.is_bundle_node:
            cluster.reporter.capacity(stage, node)
