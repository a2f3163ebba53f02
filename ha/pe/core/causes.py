# SPDX-License-Identifier: GPL-2.0-or-later
"""Why an action is in the graph, in words: what the engine told while it decided, else what the task itself says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ha.pe.model.action import PSEUDO, Action
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role

_MARKS = (
    ("load_stopped_", "capacity of a node is freed before it is taken again"),
    ("maintenance_nodes", "the maintenance mode of a node changed"),
    ("one-or-more:", "an ordering waits for any of several resources"),
    ("clone-one-or-more:", "an ordering waits for enough instances of a clone"),
)
"""The marks of the cluster's own in the graph, by how their names begin."""


def causes_of(action: Action, told: Sequence[str]) -> list[str]:
    """What caused an action of a decision, the most telling first; never nothing.

    `told` is what a reporter heard about it (`Reasons.causes`). Raises KeyError for a task that the engine does not
    plan.
    """
    found = [] if action.reason is None else [action.reason]
    found.extend(cause for cause in told if cause not in found)
    own = _own_cause(action)
    if own not in found:
        found.append(own)
    return found


def _own_cause(action: Action) -> str:
    resource = action.resource
    if resource is None:
        return _cluster_cause(action)
    if action.has(PSEUDO) and not resource.is_primitive:
        return f"what is in {resource.id} does so"
    return _BY_TASK[action.task](action, resource)


def _cluster_cause(action: Action) -> str:
    if action.task == "stonith":
        unfencing = action.meta.get("stonith_action") == "on"
        return "the node must be unfenced before it runs resources" if unfencing else "the node is not safe"
    if action.task == "do_shutdown":
        return "the node asked to leave"
    for beginning, words in _MARKS:
        if action.uuid.startswith(beginning):
            return words
    raise KeyError(action.uuid)


def _start(action: Action, resource: Resource) -> str:
    node = action.node
    here = resource.active
    if node is not None and any(other is node for other in here):
        return "it is started again after a stop"
    if here:
        places = ", ".join(other.name for other in here)
        return f"it moves from {places} to {node.name if node is not None else 'nowhere'}"
    return f"it is wanted {_wanted(resource)} and runs nowhere"


def _wanted(resource: Resource) -> str:
    return "Started" if resource.next_role is Role.UNKNOWN else resource.next_role.text


def _stop(action: Action, resource: Resource) -> str:
    target = None if resource.assigned is None else resource.assigned.node
    if resource.next_role is Role.STOPPED or target is None:
        return "it is to be stopped" if resource.next_role is Role.STOPPED else "no node may run it"
    if target is not action.node:
        return f"it moves to {target.name}"
    return "it is restarted in place"


def _promote(action: Action, resource: Resource) -> str:
    return "its promotion score is among the best"


def _demote(action: Action, resource: Resource) -> str:
    return f"it is to be {_wanted(resource)}"


def _migrate(action: Action, resource: Resource) -> str:
    names = [node.name for node in (resource.current_node, resource.assigned and resource.assigned.node) if node]
    return f"it moves live from {' to '.join(names)}"


def _monitor(action: Action, resource: Resource) -> str:
    if action.interval_ms == 0:
        return "the cluster has yet to find out whether it is active there"
    return f"it is watched every {action.interval_ms} ms while {_wanted(resource)}"


def _cancel(action: Action, resource: Resource) -> str:
    return f"that operation does not belong to the role {_wanted(resource)}"


def _notify(action: Action, resource: Resource) -> str:
    return f"notify is on for {resource.top.id}"


def _delete(action: Action, resource: Resource) -> str:
    return "its history there is out of date"


def _clear(action: Action, resource: Resource) -> str:
    return "its failures there no longer count"


def _reload(action: Action, resource: Resource) -> str:
    return "a parameter that can be reloaded changed"


_BY_TASK: dict[str, Callable[[Action, Resource], str]] = {
    "cancel": _cancel,
    "clear_failcount": _clear,
    "delete": _delete,
    "demote": _demote,
    "lrm_delete": _delete,
    "migrate_from": _migrate,
    "migrate_to": _migrate,
    "monitor": _monitor,
    "notify": _notify,
    "notified": _notify,
    "promote": _promote,
    "reload-agent": _reload,
    "start": _start,
    "stop": _stop,
}
