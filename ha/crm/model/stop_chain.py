# SPDX-License-Identifier: GPL-2.0-or-later
"""How long a node that is cut off may need to stop everything: the longest ordered chain of stops, by timeouts.

Promise P1: without fencing, a lost node's resources are taken over only after it had this time. The chain is read
generously: every order constraint counts whatever its kind but Serialize, a group stops one member after another,
promotable clones demote first. Too long a grace delays a takeover, too short a one runs a resource twice.
"""

from __future__ import annotations

from itertools import pairwise

from lxml import etree

from ha.pe.model.values import boolean, milliseconds

DEFAULT_STOP_TIMEOUT_MS = 20_000  # Pacemaker's default-action-timeout
_CONTAINERS = ("group", "clone", "master", "bundle")


def longest_stop_chain_ms(configuration: etree._Element) -> int:
    """Milliseconds; 0 when nothing is configured."""
    default_ms = _default_timeout_ms(configuration)
    templates = {t.get("id", ""): t for t in configuration.iterfind("resources/template")}
    weights: dict[str, int] = {}
    home: dict[str, str] = {}
    for resource in configuration.iterfind("resources/*"):
        if resource.tag not in ("primitive", *_CONTAINERS):
            continue
        name = resource.get("id", "")
        weights[name] = _weight_ms(resource, templates, default_ms)
        for part in resource.iter("primitive", *_CONTAINERS):
            home[part.get("id", "")] = name
    return _longest_path(weights, _orders(configuration, home))


def _default_timeout_ms(configuration: etree._Element) -> int:
    for pair in configuration.iterfind("op_defaults/meta_attributes/nvpair"):
        if pair.get("name") == "timeout":
            return milliseconds(pair.get("value")) or DEFAULT_STOP_TIMEOUT_MS
    return DEFAULT_STOP_TIMEOUT_MS


def _weight_ms(resource: etree._Element, templates: dict[str, etree._Element], default_ms: int) -> int:
    if resource.tag == "primitive":
        return _timeout_ms(resource, "stop", templates, default_ms)
    if resource.tag == "bundle":  # its container and, inside, its primitive
        return default_ms + sum(_weight_ms(p, templates, default_ms) for p in resource.iterfind("primitive"))
    total = sum(_weight_ms(p, templates, default_ms) for p in resource if p.tag in ("primitive", *_CONTAINERS))
    if resource.tag == "master" or _is_promotable(resource):
        total += sum(_timeout_ms(p, "demote", templates, default_ms) for p in resource.iter("primitive"))
    return total


def _is_promotable(clone: etree._Element) -> bool:
    pairs = clone.iterfind("meta_attributes/nvpair")
    return any(p.get("name") == "promotable" and boolean(p.get("value")) for p in pairs)


def _timeout_ms(
    primitive: etree._Element, task: str, templates: dict[str, etree._Element], default_ms: int
) -> int:
    for source in (primitive, templates.get(primitive.get("template", ""))):
        if source is None:
            continue
        for op in source.iterfind("operations/op"):
            if op.get("name") == task:
                value = op.get("timeout") or next(
                    (p.get("value") for p in op.iterfind("meta_attributes/nvpair") if p.get("name") == "timeout"), None
                )
                parsed = milliseconds(value)
                if parsed is not None:
                    return parsed
    return default_ms


def _orders(configuration: etree._Element, home: dict[str, str]) -> dict[str, list[str]]:
    """first -> thens, between top-level resources, in document order."""
    edges: dict[str, list[str]] = {}

    def add(first: str | None, then: str | None) -> None:
        one, other = home.get(first or ""), home.get(then or "")
        if one is not None and other is not None and one != other and other not in edges.setdefault(one, []):
            edges[one].append(other)

    for order in configuration.iterfind("constraints/rsc_order"):
        if order.get("kind") == "Serialize":
            continue
        add(order.get("first"), order.get("then"))
        line = [ref.get("id") for each in order.iterfind("resource_set") for ref in each.iterfind("resource_ref")]
        for first, then in pairwise(line):
            add(first, then)
    return edges


def _longest_path(weights: dict[str, int], edges: dict[str, list[str]]) -> int:
    """By repeated depth-first descent without recursion. An edge that closes a circle is ignored."""
    longest: dict[str, int] = {}
    for start in weights:
        stack = [start]
        open_names: set[str] = set()
        while stack:
            name = stack[-1]
            if name in longest:
                stack.pop()
                continue
            open_names.add(name)
            waiting = [t for t in edges.get(name, []) if t not in longest and t not in open_names]
            if waiting:
                stack.append(waiting[0])
                continue
            longest[name] = weights[name] + max((longest.get(t, 0) for t in edges.get(name, [])), default=0)
            open_names.discard(name)
            stack.pop()
    return max(longest.values(), default=0)
