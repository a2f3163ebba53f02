# SPDX-License-Identifier: GPL-2.0-or-later
"""What a grammar cannot say: ids are unique in the configuration, and references lead somewhere.

A write may not add a second element with an id, nor a reference to something that is missing (`--force` permits the
latter). What an older CIB brings along is reported, not refused, so that it can be repaired step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from lxml import etree

from ha.cib.model.parse import describe, line_of
from ha.cib.model.refusal import Rc, Refusal

_POINTERS = ("resource_ref", "obj_ref", "role", "role_ref")
"""Elements whose `id` names another element."""
_RESOURCES = ("primitive", "group", "clone", "master", "bundle", "template", "tag")

_with_id = etree.XPath("configuration//*[@id][" + " and ".join(f"not(self::{tag})" for tag in _POINTERS) + "]")
_resources = etree.XPath(
    "configuration/resources//*[self::primitive or self::group or self::clone or self::master or self::bundle"
    " or self::template]/@id | configuration/tags/tag/@id"
)
_pointing = etree.XPath(
    "configuration/constraints/* | configuration/constraints//resource_ref | configuration//*[@id-ref]"
    " | configuration/resources//primitive[@template] | configuration/acls//role | configuration/acls//role_ref"
)
_RSC_ATTRIBUTES = ("rsc", "with-rsc", "first", "then")


def duplicates(root: etree._Element, line: Callable[[etree._Element], int] = line_of) -> list[Refusal]:
    """A breach for each element of the configuration whose id another one before it has.

    Nodes have names of their own: a remote node is called as the resource that connects to it.
    """
    seen: dict[tuple[bool, str], etree._Element] = {}
    found: list[Refusal] = []
    for element in cast("list[etree._Element]", _with_id(root)):
        identity = (element.tag == "node", str(element.get("id")))
        if identity in seen:
            rule = f"the id is taken by {describe(seen[identity])}"
            if line(seen[identity]):
                rule += f" on line {line(seen[identity])}"
            found.append(Refusal(Rc.CONFIG, rule, describe(element), line(element)))
        else:
            seen[identity] = element
    return found


def dangling(
    root: etree._Element, line: Callable[[etree._Element], int] = line_of
) -> dict[tuple[str, str], Refusal]:
    """References that lead nowhere, by (element, what it wants)."""
    resources = {str(name) for name in cast("list[str]", _resources(root))}
    identities = {str(element.get("id")) for element in cast("list[etree._Element]", _with_id(root))}
    found: dict[tuple[str, str], Refusal] = {}
    for element in cast("list[etree._Element]", _pointing(root)):
        for wanted, kind in _references(element):
            if wanted not in (resources if kind == "resource" else identities):
                rule = f"refers to {kind} {wanted!r}, which does not exist"
                found[describe(element), wanted] = Refusal(Rc.CONFIG, rule, describe(element), line(element))
    return found


def _references(element: etree._Element) -> list[tuple[str, str]]:
    wanted: list[tuple[str, str]] = []
    if element.tag == "resource_ref":
        return [(element.get("id", ""), "resource")]
    if element.tag in ("role", "role_ref"):
        return [(element.get("id", ""), "ACL role")]
    if str(element.tag).startswith("rsc_"):
        wanted += [(str(element.get(name)), "resource") for name in _RSC_ATTRIBUTES if element.get(name) is not None]
    if element.get("template") is not None:
        wanted.append((str(element.get("template")), "template"))
    if element.get("id-ref") is not None:
        wanted.append((str(element.get("id-ref")), "element"))
    return wanted
