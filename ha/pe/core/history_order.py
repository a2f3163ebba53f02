# SPDX-License-Identifier: GPL-2.0-or-later
"""The order in which operations were done, as far as the history tells."""

from __future__ import annotations

from functools import cmp_to_key

from lxml.etree import _Element as Element

from ha.pe.model.values import integer


def _transition(operation: Element) -> tuple[str, int] | None:
    magic = operation.get("transition-magic") or ""
    _, separator, key = magic.partition(";")
    parts = key.split(":", 3)
    if not separator or len(parts) != 4:
        return None
    number = integer(parts[1])
    return (parts[3], number) if number is not None else None


def compare_operations(one: Element, other: Element) -> int:
    """Whether `one` was done after (1), before (-1) or, as far as can be told, with (0) `other`."""
    same_node = (one.get("on_node") or "").lower() == (other.get("on_node") or "").lower()
    if same_node and one.get("id") == other.get("id"):
        return 0
    call = _number(one, "call-id")
    other_call = _number(other, "call-id")
    if call == -1 and other_call == -1:
        return 0
    if same_node and 0 <= call < other_call:
        return -1
    if same_node and other_call >= 0 and call > other_call:
        return 1
    if call >= 0 and other_call >= 0 and (not same_node or call == other_call):
        changed = _number(one, "last-rc-change")
        other_changed = _number(other, "last-rc-change")
        if 0 <= changed < other_changed:
            return -1
        return 1 if 0 <= other_changed < changed else 0
    return _compare_transitions(one, other, call, other_call)


def _compare_transitions(one: Element, other: Element, call: int, other_call: int) -> int:
    # One of them is pending: which transition ordered it tells which is newer.
    first, second = _transition(one), _transition(other)
    if first is None or second is None:
        return 0
    if first[0].lower() != second[0].lower() or first[1] == second[1]:
        if other_call == -1:
            return -1
        return 1 if call == -1 else 0
    if 0 <= first[1] < second[1] or second[1] == -1:
        return -1
    return 1


def _number(operation: Element, name: str) -> int:
    value = integer(operation.get(name))
    return -1 if value is None else value


def sorted_operations(entry: Element) -> list[Element]:
    """The operations of one resource's history, oldest first."""
    operations = list(entry.iterchildren("lrm_rsc_op"))
    if len(operations) < 2:
        return operations
    operations.reverse()
    operations.sort(key=cmp_to_key(compare_operations))
    return operations


def active_span(operations: list[Element]) -> tuple[int, int]:
    """(index where the present run of the resource begins, index of the last stop); -1 for none."""
    start = stop = implied_start = implied_monitor = -1
    for index, operation in enumerate(operations):
        task = (operation.get("operation") or "").lower()
        if task == "stop" and operation.get("op-status") == "0":
            stop = index
        elif task in ("start", "migrate_from"):
            start = index
        elif implied_monitor <= stop and task == "monitor":
            if operation.get("rc-code") in ("0", "8"):
                implied_monitor = index
        elif task in ("promote", "demote"):
            implied_start = index
    if start == -1:
        start = implied_start if implied_start != -1 else implied_monitor
    return start, stop
