# SPDX-License-Identifier: GPL-2.0-or-later
"""Actions of resources: creating them once each, and whether they may run."""

from __future__ import annotations

from ha.pe.core.actions import next_action_id
from ha.pe.core.fencing import can_fence, fence_node
from ha.pe.core.operation_config import (
    find_notify_operation,
    find_operation,
    operation_meta,
    operation_parameters,
    requirement,
)
from ha.pe.model.action import (
    ATTRIBUTES_READ,
    ON_DC,
    OPTIONAL,
    PSEUDO,
    RUNNABLE,
    Action,
    Requires,
    operation_key,
)
from ha.pe.model.digits import number
from ha.pe.model.node import Node
from ha.pe.model.resource import Place, Resource
from ha.pe.model.roles import Role


def make_action(resource: Resource, key: str, task: str, place: Place | None, optional: bool) -> Action:
    """The resource's action with this key on this node: the one there is, else a new one.

    An action that is there stays required if it was; not `optional` makes it required. Whether it may run is judged
    anew each time.
    """
    node = None if place is None else place.node
    known = resource.actions_with_key(key, node)
    action = known[0] if known else _new_action(resource, key, task, node, optional)
    if action.node is not None and not action.has(PSEUDO) and not resource.managed and "interval" not in action.meta:
        action.set(OPTIONAL)
    elif not optional:
        action.clear(OPTIONAL)
    if action.node is not None and action.config is not None and not action.has(ATTRIBUTES_READ):
        action.extra = operation_parameters(resource, action.config, action.node)
        action.set(ATTRIBUTES_READ)
    _judge_runnable(resource, action)
    return action


def _new_action(resource: Resource, key: str, task: str, node: Node | None, optional: bool) -> Action:
    cluster = resource.cluster
    action = Action(next_action_id(cluster), key, task, resource, node)
    if task == "lrm_delete":
        action.set(ON_DC)
    action.set(RUNNABLE | OPTIONAL if optional else RUNNABLE)
    interval_text = key.rpartition("_")[2]
    interval = number(interval_text) if interval_text.isdecimal() else 0
    action.config = find_operation(resource, task, interval)
    if action.config is None and "_notify_" in key:
        action.config = find_notify_operation(resource)
    action.meta = operation_meta(resource, node, task, interval, action.config)
    action.needs = requirement(resource, task)
    cluster.actions.append(action)
    resource.register(action)
    return action


def _judge_runnable(resource: Resource, action: Action) -> None:
    if action.has(PSEUDO):
        return
    node = action.node
    cluster = resource.cluster
    on_dc = action.has(ON_DC)
    if node is None:
        action.clear(RUNNABLE)
    elif not on_dc and not node.online and (not node.is_guest or node.remote_reset):
        action.clear(RUNNABLE)
        if resource.managed and action.task == "stop" and not node.unclean:
            fence_node(cluster, node, "stop is unrunnable")
    elif not on_dc and node.pending:
        action.clear(RUNNABLE)
    elif action.needs is Requires.NOTHING:
        action.give_reason(None, overwrite=True)
        if node.is_guest and not can_fence(cluster, node):
            action.clear(RUNNABLE)
        else:
            action.set(RUNNABLE)
    else:
        _judge_by_quorum(resource, action)


def _judge_by_quorum(resource: Resource, action: Action) -> None:
    policy = effective_quorum_policy(resource)
    if policy == "stop":
        action.clear(RUNNABLE)
        action.give_reason("no quorum", overwrite=True)
    elif policy == "freeze":
        if not resource.is_active(True) or resource.next_role > resource.orig_role:
            action.clear(RUNNABLE)
            action.give_reason("quorum freeze", overwrite=True)
    else:
        action.set(RUNNABLE)


def effective_quorum_policy(resource: Resource) -> str:
    """The no-quorum policy as it bears on one resource now; "ignore" while there is quorum."""
    cluster = resource.cluster
    if cluster.quorate:
        return "ignore"
    if cluster.no_quorum_policy == "demote":
        if resource.orig_role in (Role.PROMOTED, Role.UNPROMOTED):
            if resource.next_role > Role.UNPROMOTED:
                set_next_role(resource, Role.UNPROMOTED, "no-quorum-policy=demote")
            return "ignore"
        return "stop"
    return cluster.no_quorum_policy


def set_next_role(resource: Resource, role: Role, cause: str) -> None:
    """The role wanted. `cause` says why, for the reporter's sake."""
    resource.next_role = role
    resource.cluster.reporter.role(resource, role, cause)


# The tasks of a primitive ------------------------------------------------------------------------------------------


def stop_action(resource: Resource, place: Place | None, optional: bool) -> Action:
    return make_action(resource, resource.key("stop"), "stop", place, optional)


def start_action(resource: Resource, place: Place | None, optional: bool) -> Action:
    return make_action(resource, resource.key("start"), "start", place, optional)


def promote_action(resource: Resource, place: Place | None, optional: bool) -> Action:
    return make_action(resource, resource.key("promote"), "promote", place, optional)


def demote_action(resource: Resource, place: Place | None, optional: bool) -> Action:
    return make_action(resource, resource.key("demote"), "demote", place, optional)


def delete_action(resource: Resource, place: Place | None, optional: bool) -> Action:
    return make_action(resource, resource.key("delete"), "delete", place, optional)


def resource_mark(resource: Resource, task: str, optional: bool, runnable: bool) -> Action:
    """A mark for a whole group or clone, such as "all instances are running"."""
    action = make_action(resource, operation_key(resource.id, task), task, None, optional)
    action.set(PSEUDO)
    if runnable:
        action.set(RUNNABLE)
    return action


def clear_resource_history(resource: Resource, node: Node) -> None:
    make_action(resource, operation_key(resource.id, "lrm_delete"), "lrm_delete", node, False)


def expect_result(action: Action, exit_code: int) -> None:
    """What the agent must answer for the action to count as done well."""
    action.meta["op_target_rc"] = str(exit_code)
