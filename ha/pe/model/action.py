# SPDX-License-Identifier: GPL-2.0-or-later
"""Actions, how they are related, and the flags that decide what is done.

An ordering between two actions carries flags, and the outcome follows from them alone (`core.relations`).
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from ha.pe.model.digits import number
from ha.pe.model.values import MEMO_SIZE

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from ha.pe.model.node import Node
    from ha.pe.model.resource import Resource

# What an action is (Action.flags) --------------------------------------------------------------------------------

PSEUDO = 1 << 0
"""A mark in the graph; nothing is executed."""
RUNNABLE = 1 << 1
OPTIONAL = 1 << 2
"""Need not be done."""
ALWAYS_IN_GRAPH = 1 << 3
MIGRATABLE = 1 << 4
"""May be replaced by a live migration."""
ADDED_TO_GRAPH = 1 << 5
MIGRATION_ABORT = 1 << 6
RESCHEDULE = 1 << 7
"""A recurring action whose definition changed."""
DEDUPLICATED = 1 << 8
ON_DC = 1 << 9
"""Done by the DC itself, whatever its node's state."""
ATTRIBUTES_READ = 1 << 10

# What an ordering means (Relation.flags) -------------------------------------------------------------------------

NONE = 0
ORDERED = 1 << 0
"""If both are done, this one first."""
IF_FIRST_UNMIGRATABLE = 1 << 1
THEN_IMPLIES_FIRST = 1 << 2
FIRST_IMPLIES_THEN = 1 << 3
PROMOTED_THEN_IMPLIES_FIRST = 1 << 4
UNMIGRATABLE_THEN_BLOCKS = 1 << 5
UNRUNNABLE_FIRST_BLOCKS = 1 << 6
FIRST_ELSE_THEN = 1 << 7
FIRST_IMPLIES_SAME_NODE_THEN = 1 << 8
NESTED_REMOTE_PROBE = 1 << 9
INTERMEDIATE_STOP = 1 << 10
"""A restart: the stop between."""
SERIALIZE = 1 << 11
IF_ON_SAME_NODE = 1 << 12
THEN_IMPLIES_FIRST_GRAPHED = 1 << 13
FIRST_IMPLIES_THEN_GRAPHED = 1 << 14
ASYMMETRIC = 1 << 15
IF_ON_SAME_NODE_OR_TARGET = 1 << 16
MIN_RUNNABLE = 1 << 17
IF_REQUIRED_ON_SAME_NODE = 1 << 18
GUEST_ALLOWED = 1 << 19
THEN_CANCELS_FIRST = 1 << 20


class Requires(IntEnum):
    """What must hold before an action may be done."""

    NOTHING = 0
    QUORUM = 1
    FENCING = 2


class OnFail(IntEnum):
    """Reactions to a failure, from mild to harsh; of several failures the harshest reaction counts."""

    IGNORE = 0
    DEMOTE = 1
    RESTART = 2
    RESET_REMOTE = 3
    RESTART_CONTAINER = 4
    BAN = 5
    BLOCK = 6
    STOP = 7
    STANDBY_NODE = 8
    FENCE_NODE = 9


class Relation:
    """One end of an ordering between two actions, as the other end sees it."""

    __slots__ = ("action", "flags", "graphed")

    def __init__(self, action: Action, flags: int) -> None:
        self.action = action
        self.flags = flags
        self.graphed = False


class Action:
    """Something that may have to be done: an operation of a resource on a node, a fencing, a shutdown, a mark.

    `uuid` is the operation key (RESOURCE_TASK_INTERVAL), `meta` and `extra` become the attributes in the graph.
    `before` are the inputs, `after` those that wait for this one, both in order of creation.
    """

    __slots__ = (
        "after", "after_flags", "before", "cancel_task", "cause", "config", "extra", "flags", "id", "meta", "needs",
        "node", "priority", "reason", "required_runnable_before", "resource", "runnable_before", "task", "uuid",
    )  # fmt: skip

    def __init__(self, id: int, uuid: str, task: str, resource: Resource | None, node: Node | None) -> None:
        self.id = id
        self.uuid = uuid
        self.task = task
        self.resource = resource
        self.node = node
        self.cancel_task: str | None = None
        self.reason: str | None = None
        self.cause: str | None = None
        self.config: Element | None = None
        self.flags = 0
        self.priority = 0
        self.needs = Requires.NOTHING
        self.meta: dict[str, str] = {}
        self.extra: dict[str, str] = {}
        self.before: list[Relation] = []
        self.after: list[Relation] = []
        self.after_flags: dict[int, list[int]] = {}
        self.runnable_before = 0
        self.required_runnable_before = 0

    def has(self, flags: int) -> bool:
        """Whether all of `flags` are set."""
        return self.flags & flags == flags

    def set(self, flags: int) -> None:
        self.flags |= flags

    def clear(self, flags: int) -> None:
        self.flags &= ~flags

    def give_reason(self, reason: str | None, overwrite: bool = False) -> None:
        if self.reason is None or overwrite:
            self.reason = reason

    @property
    def interval_ms(self) -> int:
        text = self.meta.get("interval")
        return number(text) if text and text.isdecimal() else 0

    def __repr__(self) -> str:
        return f"Action({self.uuid}@{self.node.name if self.node else None})"


class Ordering:
    """An ordering constraint, before it is tied to actions. Either end is an action, or a resource and a key."""

    __slots__ = ("first_action", "first_key", "first_resource", "flags", "then_action", "then_key", "then_resource")

    def __init__(
        self,
        first_resource: Resource | None,
        first_key: str | None,
        first_action: Action | None,
        then_resource: Resource | None,
        then_key: str | None,
        then_action: Action | None,
        flags: int,
    ) -> None:
        self.first_resource = first_resource
        self.first_key = first_key
        self.first_action = first_action
        self.then_resource = then_resource
        self.then_key = then_key
        self.then_action = then_action
        self.flags = flags


def operation_key(resource_id: str, task: str, interval_ms: int = 0) -> str:
    return f"{resource_id}_{task}_{interval_ms}"


def notify_key(resource_id: str, notify_type: str | None, task: str | None) -> str:
    return f"{resource_id}_{notify_type}_notify_{task}_0"


_UNDERSCORED = ("migrate_from", "migrate_to")
_NOTIFY_PREFIXES = ("pre_notify", "post_notify", "confirmed-pre_notify", "confirmed-post_notify")


@lru_cache(maxsize=MEMO_SIZE)
def split_key(key: str) -> tuple[str, str, int] | None:
    """(resource id, task, interval in ms) of an operation key, or None."""
    head, _, interval = key.rpartition("_")
    if not head or not interval.isdecimal():
        return None
    interval_ms = number(interval)
    for task in _UNDERSCORED:
        if head.endswith("_" + task):
            return head[: -len(task) - 1], task, interval_ms
    resource_id, _, task = head.rpartition("_")
    if not resource_id:
        return None
    for prefix in _NOTIFY_PREFIXES:
        if resource_id.endswith("_" + prefix):
            return resource_id[: -len(prefix) - 1], f"{prefix}_{task}", interval_ms
    return resource_id, task, interval_ms


TASK_DONE = {
    "stop": "stopped",
    "start": "running",
    "notify": "notified",
    "promote": "promoted",
    "demote": "demoted",
}
"""The task of a group or clone that says that all of its members' such tasks are done."""
TASK_BEGUN = {done: task for task, done in TASK_DONE.items() if task != "notify"}
KNOWN_TASKS = frozenset((*TASK_DONE, *TASK_DONE.values(), "monitor", "do_shutdown", "stonith"))
UP_TASKS = frozenset(("start", "promote", "migrate_from"))
DOWN_TASKS = frozenset(("stop", "demote", "migrate_to"))
