# SPDX-License-Identifier: GPL-2.0-or-later
"""The transition as a directed graph for Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from ha.pe.model.action import (
    ADDED_TO_GRAPH,
    IF_ON_SAME_NODE_OR_TARGET,
    NONE,
    OPTIONAL,
    PSEUDO,
    Action,
    notify_key,
    operation_key,
)
from ha.pe.model.cluster import Cluster


def dot_text(cluster: Cluster, all_actions: bool = False, numbers: bool = False) -> str:
    """The whole file: what is done is bold, what is blocked dashed."""
    lines = [' digraph "g" {']
    drawn = {id(action) for action in cluster.actions if action.has(ADDED_TO_GRAPH)}
    for action in reversed(cluster.actions):
        style, colour, font = _look(action)
        if colour == "green" or all_actions or (colour == "red" and font != "purple"):
            drawn.add(id(action))
            name = action_name(action, numbers)
            lines.append(f'"{name}" [ style={style} color="{colour}" fontcolor="{font}"]')
    for action in reversed(cluster.actions):
        for first, style in _inputs(action, drawn, all_actions):
            edge = f'"{action_name(first, numbers)}" -> "{action_name(action, numbers)}"'
            lines.append(f"{edge} [ style = {style}]")
    return "\n".join([*lines, "}", ""])


def _look(action: Action) -> tuple[str, str, str]:
    font = "orange" if action.has(PSEUDO) else "black"
    if action.has(ADDED_TO_GRAPH):
        return "bold", "green", font
    if action.resource is not None and not action.resource.managed:
        return "dashed", "red", "purple"
    return "dashed", "blue" if action.has(OPTIONAL) else "red", font


def _inputs(action: Action, drawn: set[int], all_actions: bool) -> Iterator[tuple[Action, str]]:
    for relation in action.before:
        if relation.graphed:
            yield relation.action, "bold"
        elif relation.flags != NONE:
            both = id(relation.action) in drawn and id(action) in drawn
            if all_actions or (both and relation.flags != IF_ON_SAME_NODE_OR_TARGET):
                yield relation.action, "dashed"


def action_name(action: Action, numbers: bool = False) -> str:
    """An action as people read it."""
    name = _name(action)
    return f"{name} ({action.id})" if numbers else name


def _name(action: Action) -> str:
    host = action.node.name if action.node is not None else None if action.has(PSEUDO) else "<none>"
    cancels = action.task == "cancel"
    prefix = "Cancel " if cancels else ""
    task = action.cancel_task or action.task if cancels else action.task
    resource = action.resource
    if resource is not None and resource.history_id is not None:
        if action.task in ("notify", "notified"):
            meta = action.meta
            key = notify_key(resource.history_id, meta.get("notify_key_type"), meta.get("notify_key_operation"))
        else:
            key = operation_key(resource.history_id, task, action.interval_ms)
        return f"{prefix}{key} {host}" if host else f"{prefix}{key}"
    if action.task == "stonith":
        return f"{prefix}{action.task} '{action.meta.get('stonith_action')}' {host}"
    if resource is not None and host:
        return f"{prefix}{action.uuid} {host}"
    return f"{prefix}{action.task} {host}" if host else action.uuid
