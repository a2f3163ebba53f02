# SPDX-License-Identifier: GPL-2.0-or-later
"""What belongs into the graph: actions, and which of an action's inputs."""

from __future__ import annotations

from ha.pe.model.action import (
    ADDED_TO_GRAPH,
    ALWAYS_IN_GRAPH,
    FIRST_IMPLIES_THEN_GRAPHED,
    IF_FIRST_UNMIGRATABLE,
    IF_ON_SAME_NODE_OR_TARGET,
    IF_REQUIRED_ON_SAME_NODE,
    MIGRATABLE,
    MIN_RUNNABLE,
    NONE,
    ON_DC,
    OPTIONAL,
    ORDERED,
    PSEUDO,
    RUNNABLE,
    THEN_IMPLIES_FIRST_GRAPHED,
    UNMIGRATABLE_THEN_BLOCKS,
    Action,
    Relation,
)
from ha.pe.model.node import Node

_MERE_ORDER = THEN_IMPLIES_FIRST_GRAPHED | FIRST_IMPLIES_THEN_GRAPHED | ORDERED


def belongs_in_graph(action: Action) -> bool:
    """Whether an action is to be done: runnable, required (or wanted as a mark), managed, on a usable node."""
    if not action.has(RUNNABLE):
        return False
    if action.has(OPTIONAL) and not action.has(ALWAYS_IN_GRAPH):
        return False
    if (
        action.resource is not None
        and not action.resource.managed
        and action.task != "monitor"
        and action.meta.get("interval", "0") == "0"
    ):
        return False
    if action.has(PSEUDO) or action.task in ("stonith", "do_shutdown"):
        return True
    node = action.node
    if node is None:
        return False
    if action.has(ON_DC) or (node.is_guest and not node.remote_reset):
        return True
    return node.online and not node.unclean


def _differs(one: Node | None, other: Node | None) -> bool:
    return one is None or other is None or one is not other


def input_belongs(action: Action, relation: Relation) -> bool:
    """Whether an action has to wait for an input. What never will, is marked so."""
    first = relation.action
    flags = relation.flags
    if relation.graphed:
        return True
    if flags == NONE:
        return False
    runnable = first.has(RUNNABLE)
    if not runnable and (not flags & ~_MERE_ORDER or flags & (MIN_RUNNABLE | UNMIGRATABLE_THEN_BLOCKS)):
        return False
    if flags & IF_FIRST_UNMIGRATABLE and first.has(MIGRATABLE):
        return False
    if flags == ORDERED and first.has(MIGRATABLE) and first.uuid.endswith("_stop_0"):
        return False
    if flags == IF_ON_SAME_NODE_OR_TARGET:
        return _load_belongs(action, relation)
    if flags == IF_REQUIRED_ON_SAME_NODE:
        elsewhere = first.node is not None and action.node is not None and first.node is not action.node
        if elsewhere or first.has(OPTIONAL):
            relation.flags = NONE
            return False
        return True
    if (
        first.resource is not None
        and first.resource is not action.resource
        and first.resource.failed
        and not first.resource.managed
        and first.uuid.endswith("_stop_0")
        and action.resource is not None
        and action.resource.is_clone
    ):
        return False
    return not (
        first.has(OPTIONAL) and not first.flags & (ALWAYS_IN_GRAPH | ADDED_TO_GRAPH) and not belongs_in_graph(first)
    )


def _load_belongs(action: Action, relation: Relation) -> bool:
    # Freed capacity matters only on the node it is freed on.
    first = relation.action
    if action.resource is not None and action.task == "migrate_to":
        assigned = action.resource.assigned
        if _differs(first.node, None if assigned is None else assigned.node):
            relation.flags = NONE
            return False
    elif _differs(first.node, action.node) or first.has(OPTIONAL):
        relation.flags = NONE
        return False
    return True


def would_loop(origin: Action, action: Action, relation: Relation) -> bool:
    """Whether an input of `action` waits, directly or not, for `origin`."""
    seen: set[int] = set()
    waiting = [(action, relation)]
    while waiting:
        then, input = waiting.pop()
        first = input.action
        if first.id in seen or not input_belongs(then, input):
            continue
        if first is origin:
            return True
        seen.add(first.id)
        waiting.extend((first, other) for other in first.before)
    return False
