# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules: conditions on node attributes, dates, resources and operations.

Source: Pacemaker Explained, "Rules".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from lxml.etree import _Element as Element

from ha.pe.model.dates import add_components, calendar_parts, parse_moment
from ha.pe.model.values import compare_versions, integer, integer_range, interval_ms

Resolve = Callable[[Element], "Element | None"]
"""Follows an id-ref: gives the element itself if it has none, None if it leads nowhere."""

_COMPARISONS = frozenset(("defined", "not_defined", "eq", "ne", "lt", "lte", "gt", "gte"))
_DURATION_PARTS = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")
_SUBMATCH = re.compile(r"%(\d)")


class RuleInput:
    """What a rule is judged by. What is absent makes the conditions that need it fail.

    `now` is in seconds since the epoch; `next_change` collects the earliest later moment at which a date condition
    that was met on the way will turn out otherwise.
    """

    __slots__ = (
        "agent", "match", "next_change", "node_attributes", "now", "op_interval_ms", "op_name", "provider",
        "resolve", "resource_meta", "resource_parameters", "standard",
    )  # fmt: skip

    def __init__(self, now: int, resolve: Resolve) -> None:
        self.now = now
        self.resolve = resolve
        self.node_attributes: Mapping[str, str] | None = None
        self.resource_parameters: Mapping[str, str] | None = None
        self.resource_meta: Mapping[str, str] | None = None
        self.standard: str | None = None
        self.provider: str | None = None
        self.agent: str | None = None
        self.op_name: str | None = None
        self.op_interval_ms = 0
        self.match: re.Match[str] | None = None
        self.next_change: int | None = None

    def changes_at(self, moment: int) -> None:
        if self.next_change is None or moment < self.next_change:
            self.next_change = moment


def with_submatches(text: str, match: re.Match[str] | None) -> str:
    """`text` with %0 to %9 replaced by what a resource pattern matched."""
    if match is None or not match.string:
        return text

    def part(found: re.Match[str]) -> str:
        number = int(found.group(1))
        if number > match.re.groups:
            return ""
        return match.group(number) or ""

    return _SUBMATCH.sub(part, text)


def evaluate(rule: Element, given: RuleInput) -> bool:
    """Whether a rule element passes."""
    resolved = given.resolve(rule)
    if resolved is None or not resolved.get("id"):
        return False
    combine = (resolved.get("boolean-op") or "and").lower()
    if combine not in ("and", "or"):
        return False
    empty = True
    for condition in resolved:
        empty = False
        passed = _condition(condition, given)
        if passed and combine == "or":
            return True
        if not passed and combine == "and":
            return False
    return empty or combine == "and"


def _condition(condition: Element, given: RuleInput) -> bool:
    tag = condition.tag
    if tag == "rule":
        return evaluate(condition, given)
    if tag == "expression":
        return _attribute(condition, given)
    if tag == "date_expression":
        return _date(condition, given)
    if tag == "rsc_expression":
        return _resource(condition, given)
    if tag == "op_expression":
        return _operation(condition, given)
    return False


def _attribute(expression: Element, given: RuleInput) -> bool:
    name = expression.get("attribute")
    comparison = (expression.get("operation") or "").lower()
    value = expression.get("value")
    if not expression.get("id") or name is None or comparison not in _COMPARISONS:
        return False
    name = with_submatches(name, given.match)
    actual = None if given.node_attributes is None else given.node_attributes.get(name)
    if comparison in ("defined", "not_defined"):
        return value is None and (actual is not None) == (comparison == "defined")
    if value is None:
        return False
    source = (expression.get("value-source") or "literal").lower()
    reference: str | None
    if source == "literal":
        reference = value
    elif source == "param":
        reference = None if given.resource_parameters is None else given.resource_parameters.get(value)
    elif source == "meta":
        reference = None if given.resource_meta is None else given.resource_meta.get(value)
    else:
        return False
    order = _compare(actual, reference, expression.get("type"), comparison)
    if order is None:
        return False
    if comparison == "eq":
        return order == 0
    if comparison == "ne":
        return order != 0
    if actual is None or reference is None:
        return False
    return {"lt": order < 0, "lte": order <= 0, "gt": order > 0, "gte": order >= 0}[comparison]


def _compare(actual: str | None, reference: str | None, kind: str | None, comparison: str) -> int | None:
    if kind is None:
        if comparison in ("eq", "ne"):
            kind = "string"
        else:
            kind = "number" if "." in (actual or "") + (reference or "") else "integer"
    kind = kind.lower()
    if kind not in ("string", "integer", "number", "version"):
        return None
    if reference is None:
        return 0 if actual is None else 1
    if actual is None:
        return -1
    if kind == "version":
        return compare_versions(actual, reference)
    if kind == "integer":
        left, right = integer(actual), integer(reference)
        if left is not None and right is not None:
            return (left > right) - (left < right)
    if kind == "number":
        first, second = _number(actual), _number(reference)
        if first is not None and second is not None:
            return (first > second) - (first < second)
    a, b = actual.lower(), reference.lower()
    return (a > b) - (a < b)


def _number(text: str) -> float | None:
    match = re.match(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", text)
    return None if match is None else float(match.group())


def _date(expression: Element, given: RuleInput) -> bool:
    operation = (expression.get("operation") or "in_range").lower()
    if not expression.get("id"):
        return False
    if operation == "in_range":
        return _in_range(expression, given)
    if operation == "date_spec":
        specification = expression.find("date_spec")
        return specification is not None and _date_specification(specification, given.now)
    if operation == "gt":
        start = parse_moment(expression.get("start"))
        if start is None:
            return False
        if given.now > start:
            return True
        given.changes_at(start + 1)
        return False
    if operation == "lt":
        end = parse_moment(expression.get("end"))
        if end is None or given.now >= end:
            return False
        given.changes_at(end)
        return True
    return False


def _in_range(expression: Element, given: RuleInput) -> bool:
    start = parse_moment(expression.get("start"))
    end = parse_moment(expression.get("end"))
    if (start is None and expression.get("start") is not None) or (end is None and expression.get("end") is not None):
        return False
    if start is None and end is None:
        return False
    duration = expression.find("duration")
    if end is None and duration is not None:
        assert start is not None
        end = _end_of(duration, start)
        if end is None:
            return False
    if start is not None and given.now < start:
        given.changes_at(start)
        return False
    if end is not None:
        if given.now > end:
            return False
        given.changes_at(end + 1)
    return True


def _end_of(duration: Element, start: int) -> int | None:
    if not duration.get("id"):
        return None
    components: dict[str, int] = {}
    for part in _DURATION_PARTS:
        text = duration.get(part)
        if text is not None:
            value = integer(text)
            if value is None:
                return None
            components[part] = value
    return add_components(start, components)


def _date_specification(specification: Element, now: int) -> bool:
    if not specification.get("id"):
        return False
    for part, value in calendar_parts(now).items():
        text = specification.get(part)
        if text is None:
            continue
        bounds = integer_range(text)
        if bounds is None:
            return False
        low, high = bounds
        if (low is not None and value < low) or (high is not None and value > high):
            return False
    return True


def _resource(expression: Element, given: RuleInput) -> bool:
    if not expression.get("id"):
        return False
    return all(
        wanted is None or wanted == actual
        for wanted, actual in (
            (expression.get("class"), given.standard),
            (expression.get("provider"), given.provider),
            (expression.get("type"), given.agent),
        )
    )


def _operation(expression: Element, given: RuleInput) -> bool:
    name = expression.get("name")
    interval = expression.get("interval")
    if not expression.get("id") or name is None or name != given.op_name:
        return False
    return interval is None or interval_ms(interval) == given.op_interval_ms
