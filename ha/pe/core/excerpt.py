# SPDX-License-Identifier: GPL-2.0-or-later
"""A CIB with some families of resources only, and all else that a decision for them looks at."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from lxml import etree
from lxml.etree import _Element as Element

from ha.pe.core.families import Families

Histories = dict[int, list[tuple[int, Element]]]
"""Of one node: the lrm_resource elements of each family, with their places."""


def histories_by_family(state: Element, families: Families) -> Histories:
    """Of a node_state. Names that no resource has are left out: without operations they mean nothing."""
    found: Histories = {}
    for place, entry in enumerate(state.iterfind("lrm/lrm_resources/lrm_resource")):
        number = families.of(entry.get("id") or "")
        if number is not None:
            found.setdefault(number, []).append((place, entry))
    return found


def excerpt(root: Element, families: Families, wanted: Iterable[int], histories: dict[Element, Histories]) -> Element:
    """The CIB of `root` with the `wanted` families; everything in the order it has there."""
    numbers = sorted(wanted)
    chosen = [families.families[number] for number in numbers]
    cib = _bare(root)
    for child in root:
        if child.tag == "configuration":
            configuration = etree.SubElement(cib, "configuration")
            for section in child:
                if section.tag == "resources":
                    own = [(place, element) for family in chosen for place, element in family.resources]
                    own.extend((p, element) for p, element in enumerate(section) if element.tag == "template")
                    configuration.append(_with(section, own))
                elif section.tag == "constraints":
                    own = [(place, element) for family in chosen for place, element in family.constraints]
                    own.extend((p, e) for p, e in enumerate(section) if e.get("rsc-pattern") is not None)
                    configuration.append(_with(section, own))
                else:
                    configuration.append(copy.deepcopy(section))
        elif child.tag == "status":
            status = etree.SubElement(cib, "status")
            for part in child:
                status.append(_state(part, numbers, histories[part]) if part in histories else copy.deepcopy(part))
    return cib


def _bare(element: Element) -> Element:
    return etree.Element(element.tag, attributes_of(element))


def attributes_of(element: Element) -> dict[str, str]:
    return {str(name): str(value) for name, value in element.attrib.items()}


def _with(section: Element, children: list[tuple[int, Element]]) -> Element:
    """A section with copies of these children, by place; one that is named twice goes in once."""
    result = _bare(section)
    for _, child in sorted(dict(children).items()):
        result.append(copy.deepcopy(child))
    return result


def _state(state: Element, numbers: list[int], known: Histories) -> Element:
    result = _bare(state)
    entries = [entry for number in numbers for entry in known.get(number, ())]
    for child in state:
        if child.tag == "lrm":
            lrm = etree.SubElement(result, "lrm", attributes_of(child))
            for part in child:
                lrm.append(_with(part, entries) if part.tag == "lrm_resources" else copy.deepcopy(part))
        else:
            result.append(copy.deepcopy(child))
    return result
