# SPDX-License-Identifier: GPL-2.0-or-later
"""Notifications of clones: before and after each task, every instance is told what happens to the others.

For each task of the clone there are four marks: pre, confirmed-pre, post, confirmed-post. Between pre and
confirmed-pre (and between post and confirmed-post) the instances' notify actions run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.pe.core.actions import order_actions
from ha.pe.core.operations import make_action, resource_mark
from ha.pe.model.action import (
    FIRST_IMPLIES_THEN,
    OPTIONAL,
    ORDERED,
    PSEUDO,
    RUNNABLE,
    Action,
    notify_key,
)
from ha.pe.model.node import CandidateTable, Node, sort_by_name
from ha.pe.model.resource import Place, Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY

if TYPE_CHECKING:
    from ha.pe.core.kinds.clone import Clone

_TASKS = ("start", "stop", "promote", "demote")
_NOTHING = " "
"""How an empty list is told."""

Named = tuple[Resource, "Node | None"]


class Notification:
    """The marks of one task, and who is told what."""

    __slots__ = (
        "active", "allowed", "by_task", "inactive", "keys", "post", "post_done", "pre", "pre_done", "promoted",
        "task", "unpromoted",
    )  # fmt: skip

    def __init__(self, task: str) -> None:
        self.task = task
        self.pre: Action | None = None
        self.pre_done: Action | None = None
        self.post: Action | None = None
        self.post_done: Action | None = None
        self.active: list[Named] = []
        self.inactive: list[Named] = []
        self.promoted: list[Named] = []
        self.unpromoted: list[Named] = []
        self.by_task: dict[str, list[Named]] = {task: [] for task in _TASKS}
        self.allowed: CandidateTable | None = None
        self.keys: dict[str, str] = {}


class CloneNotifications:
    """The notifications of one clone."""

    __slots__ = ("clone", "demote", "promote", "start", "stop")

    def __init__(self, clone: Clone) -> None:
        self.clone = clone
        self.start: Notification | None = None
        self.stop: Notification | None = None
        self.promote: Notification | None = None
        self.demote: Notification | None = None

    def weave_start_and_stop(self, start: Action, started: Action, stop: Action, stopped: Action) -> None:
        if self.start is None:
            self.start = create_marks(self.clone, "start", start, started)
        if self.stop is None:
            self.stop = create_marks(self.clone, "stop", stop, stopped)
            if self.start is not None and self.stop is not None:
                order_actions(self.stop.post_done, self.start.pre, ORDERED)

    def create_promotion_marks(self, promoting: bool, demoting: bool) -> None:
        """Creates the clone's promote and demote marks, with their notifications."""
        for task, happens in (("promote", promoting), ("demote", demoting)):
            mark = resource_mark(self.clone, task, not happens, True)
            done = resource_mark(self.clone, task + "d", not happens, True)
            done.priority = INFINITY
            if task == "promote":
                if self.promote is None:
                    self.promote = create_marks(self.clone, task, mark, done)
            elif self.demote is None:
                self.demote = create_marks(self.clone, task, mark, done)
                self._order_promotion()

    def _order_promotion(self) -> None:
        if self.promote is None:
            return
        assert self.start is not None
        assert self.stop is not None
        assert self.demote is not None
        order_actions(self.stop.post_done, self.promote.pre, ORDERED)
        order_actions(self.start.post_done, self.promote.pre, ORDERED)
        order_actions(self.demote.post_done, self.promote.pre, ORDERED)
        order_actions(self.demote.post_done, self.start.pre, ORDERED)
        order_actions(self.demote.post_done, self.stop.pre, ORDERED)

    def create(self) -> None:
        """Creates the notify actions of the instances, now that it is known what they do."""
        for notification in (self.start, self.stop, self.promote, self.demote):
            if notification is not None:
                _collect(self.clone, True, notification)
                _name_everyone(self.clone, notification)
                _create_actions(self.clone, notification)


# Marks -------------------------------------------------------------------------------------------------------------


def _mark(resource: Resource, about: Action, task: str, kind: str, told: str, operation: str) -> Action:
    mark = make_action(resource, notify_key(resource.id, kind, about.task), task, None, about.has(OPTIONAL))
    mark.set(PSEUDO)
    mark.meta["notify_key_type"] = kind
    mark.meta["notify_key_operation"] = about.task
    mark.meta["notify_type"] = told
    mark.meta["notify_operation"] = operation
    return mark


def create_marks(resource: Resource, task: str, action: Action | None, complete: Action | None) -> Notification | None:
    """The marks around a task of a clone that wants notifications."""
    if not resource.notify:
        return None
    result = Notification(task)
    if action is not None:
        result.pre = _mark(resource, action, "notify", "pre", "pre", task)
        result.pre_done = _mark(resource, action, "notified", "confirmed-pre", "pre", task)
        result.pre.set(RUNNABLE)
        result.pre_done.set(RUNNABLE)
        order_actions(result.pre, result.pre_done, ORDERED)
        order_actions(result.pre_done, action, ORDERED)
    if complete is not None:
        result.post = _mark(resource, complete, "notify", "post", "post", task)
        result.post_done = _mark(resource, complete, "notified", "confirmed-post", "post", task)
        for mark in (result.post, result.post_done):
            mark.priority = INFINITY
            if complete.has(RUNNABLE):
                mark.set(RUNNABLE)
            else:
                mark.clear(RUNNABLE)
        order_actions(complete, result.post, FIRST_IMPLIES_THEN)
        order_actions(result.post, result.post_done, FIRST_IMPLIES_THEN)
    if action is not None and complete is not None:
        order_actions(result.pre_done, result.post, ORDERED)
    return result


# Who is told -------------------------------------------------------------------------------------------------------


def _collect(resource: Resource, activity: bool, notification: Notification) -> None:
    if notification.allowed is None:
        notification.allowed = resource.allowed
    if resource.children:
        for child in resource.children:
            _collect(child, activity, notification)
        return
    entry: Named = (resource, resource.active[0] if resource.active else None)
    role = resource.orig_role
    if role is Role.STOPPED:
        notification.inactive.append(entry)
    elif role is Role.STARTED:
        notification.active.append(entry)
    elif role is Role.UNPROMOTED:
        notification.unpromoted.append(entry)
        notification.active.append(entry)
    elif role is Role.PROMOTED:
        notification.promoted.append(entry)
        notification.active.append(entry)
    if not activity:
        return
    for action in resource.newest_actions():
        node = action.node
        if action.has(OPTIONAL) or node is None or action.task not in _TASKS:
            continue
        if action.has(RUNNABLE) or (action.task == "stop" and node.unclean):
            notification.by_task[action.task].append((resource, node))


def _strings(entries: list[Named]) -> tuple[str, str]:
    """(resources, their nodes), each resource once."""

    def key(entry: Named) -> tuple[str, bool, str]:
        return entry[0].id, entry[1] is None, "" if entry[1] is None else entry[1].id

    resources: list[str] = []
    nodes: list[str] = []
    for resource, node in sorted(entries, key=key):
        if node is not None and (not resources or resources[-1] != resource.id):
            resources.append(resource.id)
            nodes.append(node.name)
    return " ".join(resources) or _NOTHING, " ".join(nodes) or _NOTHING


def _resources_only(entries: list[Named]) -> str:
    names: list[str] = []
    for id in sorted(resource.id for resource, _ in entries):
        if not names or names[-1] != id:
            names.append(id)
    return " ".join(names) or _NOTHING


def _node_names(nodes: list[Node]) -> str:
    return " ".join(node.name for node in nodes) or _NOTHING


def _host_names(nodes: list[Node]) -> str:
    names = []
    for node in nodes:
        host: Node | None = node
        if node.is_guest:
            assert node.remote is not None
            assert node.remote.launcher is not None
            if node.remote.launcher.active:
                host = node.remote.launcher.current_node
        if host is not None:
            names.append(host.name)
    return " ".join(names) or _NOTHING


def _name_everyone(resource: Resource, notification: Notification) -> None:
    keys = notification.keys
    required = False
    for task in ("stop", "start", "demote", "promote"):
        entries = notification.by_task[task]
        keys[f"notify_{task}_resource"], keys[f"notify_{task}_uname"] = _strings(entries)
        if task == notification.task:
            required = keys["notify_stop_resource"] != _NOTHING if task == "stop" else bool(entries)
    for names, entries in (
        (("active",), notification.active),
        (("unpromoted", "slave"), notification.unpromoted),
        (("promoted", "master"), notification.promoted),
    ):
        resources, nodes = _strings(entries)
        for name in names:
            keys[f"notify_{name}_resource"], keys[f"notify_{name}_uname"] = resources, nodes
    keys["notify_inactive_resource"] = _resources_only(notification.inactive)
    assert notification.allowed is not None
    usable = sort_by_name([entry.node for entry in notification.allowed.values()])
    keys["notify_available_uname"] = _node_names(usable)
    nodes_of_all = resource.cluster.nodes
    if resource.meta.get("container-attribute-target") == "host":
        keys["notify_all_hosts"] = _host_names(nodes_of_all)
    keys["notify_all_uname"] = _node_names(nodes_of_all)
    if required:
        for mark in (notification.pre, notification.pre_done, notification.post, notification.post_done):
            if mark is not None:
                mark.clear(OPTIONAL)


# Notify actions ----------------------------------------------------------------------------------------------------


def _tell(
    resource: Resource, place: Place, mark: Action | None, done: Action | None, notification: Notification
) -> Action | None:
    if mark is None or done is None or not place.node.online or not mark.has(RUNNABLE):
        return None
    key = notify_key(resource.id, mark.meta.get("notify_type"), mark.meta.get("notify_operation"))
    action = make_action(resource, key, mark.task, place, mark.has(OPTIONAL))
    for name, value in mark.meta.items():
        action.meta.setdefault(name, value)
    action.meta.update(notification.keys)
    order_actions(mark, action, ORDERED)
    order_actions(action, done, ORDERED)
    return action


def _tell_after(resource: Resource, place: Place, notification: Notification) -> None:
    action = _tell(resource, place, notification.post, notification.post_done, notification)
    if action is not None:
        action.priority = INFINITY
    if notification.post_done is None:
        return
    for monitor in resource.newest_actions():
        if monitor.meta.get("interval", "0") != "0" and monitor.task != "cancel":
            order_actions(notification.post_done, monitor, ORDERED)


def _create_actions(resource: Resource, notification: Notification) -> None:
    if resource.children:
        for child in resource.children:
            _create_actions(child, notification)
        return
    for action in resource.newest_actions():
        if not action.has(OPTIONAL) and action.node is not None and action.task in _TASKS:
            action.meta.update(notification.keys)
    task = notification.task
    if task != "stop" and not notification.by_task[task]:
        return
    if resource.orig_role is not Role.STOPPED and task in ("stop", "demote"):
        _tell_where_active(resource, notification)
    if resource.next_role is not Role.STOPPED and task in ("start", "promote"):
        _tell_where_assigned(resource, notification)


def _tell_where_active(resource: Resource, notification: Notification) -> None:
    stop = resource.first_action("stop")
    for node in resource.active:
        if stop is not None and stop.has(PSEUDO) and (node.unclean or node.remote_reset):
            continue
        _tell(resource, node, notification.pre, notification.pre_done, notification)
        if notification.task == "demote" or stop is None or stop.has(OPTIONAL):
            _tell_after(resource, node, notification)


def _tell_where_assigned(resource: Resource, notification: Notification) -> None:
    start = resource.first_action("start")
    if start is not None and start.node is not None and start.node.remote is not None:
        remote_start = start.node.remote.first_action("start")
        if remote_start is not None and not remote_start.has(RUNNABLE):
            return
    place = resource.assigned
    if place is None:
        return
    if notification.task != "start" or start is None or start.has(OPTIONAL):
        _tell(resource, place, notification.pre, notification.pre_done, notification)
    _tell_after(resource, place, notification)


def order_notifications_after_fencing(stop: Action, resource: Resource, fencing: Action) -> None:
    """Tells the other instances that one is gone once its node has been fenced."""
    notification = create_marks(resource, "stop", None, fencing)
    if notification is None:
        return
    _collect(resource, False, notification)
    assert stop.node is not None
    notification.keys["notify_stop_resource"] = resource.id
    notification.keys["notify_stop_uname"] = stop.node.name
    _create_actions(resource.top, notification)
