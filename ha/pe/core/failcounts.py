# SPDX-License-Identifier: GPL-2.0-or-later
"""Fail counts: how often a resource failed on a node, and when that is forgotten."""

from __future__ import annotations

import re

from lxml.etree import _Element as Element

from ha.pe.core.operations import make_action
from ha.pe.model import scores
from ha.pe.model.action import Action, operation_key
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.values import integer, interval_ms, ms_to_s

_INSTANCE = re.compile(r":\d+$")


def base_name(id: str) -> str:
    """The id without the number of an instance."""
    return _INSTANCE.sub("", id)


def _count_pattern(resource: Resource) -> re.Pattern[str]:
    name = resource.history_id or resource.id
    if resource.unique:
        middle = re.escape(name)
    else:
        middle = re.escape(base_name(name)) + r"(?::[0-9]+)?"
    return re.compile(rf"^(fail-count|last-failure)-{middle}#.+_[0-9]+$")


def _attributes(node: Node, resource: Resource) -> tuple[int, int]:
    """(sum of the fail counts, latest failure in seconds since the epoch)."""
    count = latest = 0
    pattern: re.Pattern[str] | None = None
    for name, value in node.attributes.items():
        if not name.startswith(("fail-count-", "last-failure-")):
            continue
        if pattern is None:
            pattern = _count_pattern(resource)
        match = pattern.match(name)
        if match is None:
            continue
        if match.group(1) == "fail-count":
            score = scores.parse(value)
            if score is not None:
                count = scores.add(count, score)
        else:
            latest = max(latest, integer(value) or 0)
    return count, latest


def fail_count(
    node: Node,
    resource: Resource,
    operation: Element | None = None,
    effective: bool = False,
    with_launched: bool = False,
) -> tuple[int, int]:
    """(fail count, time of the last failure) of a resource on a node; the time is 0 without a failure.

    `effective` leaves out failures older than the failure timeout. A reaction "block" to the `operation` (or any
    failed one) switches the timeout of the resource off. `with_launched` adds what the resource launched.
    """
    count, latest = _attributes(node, resource)
    if count > 0 and resource.failure_expiration_ms > 0 and _blocks(node, resource, operation):
        resource.failure_expiration_ms = 0
    if effective and count > 0 and latest > 0 and resource.failure_expiration_ms > 0:
        resource.cluster.timed[resource.outermost.id] = None
        if resource.cluster.now > latest + ms_to_s(resource.failure_expiration_ms):
            count = 0
    if with_launched and resource.launched and not resource.is_bundled:
        for launched in resource.launched:
            other, when = fail_count(node, launched, operation, effective, with_launched)
            count += other
            latest = max(latest, when)
    return count, latest if count > 0 and latest > 0 else 0


def _blocking_operations(resource: Resource, name: str) -> list[Element]:
    cluster = resource.cluster
    if cluster.on_fail_block is None:
        cluster.on_fail_block = {}
        for primitive in cluster.document.root.iter("primitive"):
            blocking = [op for op in primitive.iter("op") if op.get("on-fail") == "block"]
            if blocking:
                cluster.on_fail_block.setdefault(primitive.get("id") or "", []).extend(blocking)
    return cluster.on_fail_block.get(name, [])


def _blocks(node: Node, resource: Resource, operation: Element | None) -> bool:
    name = base_name(resource.id)
    for config in _blocking_operations(resource, name):
        if operation is not None:
            if _is_failure_of(name, config, operation):
                return True
            continue
        for entry in history_entries(resource, node, name):
            if (
                entry.get("operation") == config.get("name")
                and entry.get("interval") == str(interval_ms(config.get("interval")))
                and _is_failure_of(name, config, entry)
            ):
                return True
    return False


def history_entries(resource: Resource, node: Node, history_id: str) -> list[Element]:
    """The operation history of a resource on a node, in document order."""
    return lrm_entries(resource, node.name, history_id)


def lrm_entries(resource: Resource, node_name: str, history_id: str) -> list[Element]:
    entry = lrm_resource(resource, node_name, history_id)
    return [] if entry is None else list(entry.iterchildren("lrm_rsc_op"))


def lrm_resource(resource: Resource, node_name: str, history_id: str) -> Element | None:
    """The history of one resource on one node, as an element."""
    cluster = resource.cluster
    if cluster.lrm_index is None:
        cluster.lrm_index = {}
        for state in cluster.document.root.iterfind("status/node_state"):
            known = cluster.lrm_index.setdefault(state.get("uname") or "", {})
            for entry in state.iterfind("lrm/lrm_resources/lrm_resource"):
                known.setdefault(entry.get("id") or "", entry)
    return cluster.lrm_index.get(node_name, {}).get(history_id)


def _is_failure_of(name: str, config: Element, operation: Element) -> bool:
    task = config.get("name") or ""
    interval = interval_ms(config.get("interval"))
    if interval != (integer(operation.get("interval")) or 0):
        return False
    if task.lower() != (operation.get("operation") or "").lower():
        return False
    identity = (operation.get("id") or "").lower()
    if identity == operation_key(name, "last_failure").lower():
        return True
    if identity != operation_key(name, task, interval).lower():
        return False
    return (integer(operation.get("rc-code")) or 0) != expected_exit_code(operation)


def expected_exit_code(operation: Element) -> int:
    """The exit code the transition expected, from the entry's transition key; -1 where it does not say."""
    parts = (operation.get("transition-key") or "").split(":", 3)
    if len(parts) != 4:
        return -1
    code = integer(parts[2])
    return -1 if code is None else code


def clear_fail_count(resource: Resource, node: Node, reason: str) -> Action:
    """The action that forgets a resource's failures on a node."""
    action = make_action(resource, operation_key(resource.id, "clear_failcount"), "clear_failcount", node, False)
    action.meta["op_no_wait"] = "true"
    resource.cluster.reporter.action(action, "required", reason)
    return action


def threshold_reached(resource: Resource, node: Node) -> Resource | None:
    """The resource to ban from a node because it failed migration-threshold times there, if it did."""
    if resource.ban_after_failures == 0 or resource.ignore_failure:
        return None
    count, _ = fail_count(node, resource, effective=True, with_launched=True)
    if count <= 0 or resource.ban_after_failures - count > 0:
        return None
    return resource if resource.unique else resource.top
