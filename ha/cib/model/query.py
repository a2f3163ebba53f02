# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding things in a CIB: sections by name, and XPath within limits."""

from __future__ import annotations

import copy

from lxml import etree

from ha.cib.model.refusal import Rc, Refusal
from ha.cib.model.sections import SECTIONS

MAX_XPATH_LENGTH = 4096
MAX_XPATH_STEPS = 64
"""Predicates, unions and `//` in one expression: their product is the work of a search."""
MAX_XPATH_HITS = 100_000

_PLACES = {"cib": "", "all": "", "configuration": "configuration", "status": "status"} | {
    section: f"configuration/{section}" for section in SECTIONS
}


def section(root: etree._Element, scope: str) -> etree._Element | None:
    """The element of a section; the root for "", "cib" and "all"; None when absent. Raises Refusal (78) for a
    name that is no section."""
    if not scope:
        return root
    place = _PLACES.get(scope)
    if place is None:
        raise Refusal(Rc.NO_SUCH, f"{scope!r} is no section of a CIB; there are {', '.join(_PLACES)}")
    return root.find(place) if place else root


def container_of(root: etree._Element, scope: str) -> etree._Element | None:
    """Where a section that is absent would have to be created."""
    return root.find("configuration") if scope in SECTIONS else root


def select(root: etree._Element, xpath: str) -> list[etree._Element]:
    """The elements that an XPath finds, in document order. Raises Refusal (64) for a bad or too costly one.

    XPath 1.0 without extension functions: an expression reaches nothing outside the document.
    """
    if len(xpath) > MAX_XPATH_LENGTH or sum(xpath.count(c) for c in ("[", "//", "|", "::")) > MAX_XPATH_STEPS:
        raise Refusal(
            Rc.USAGE,
            f"XPath longer than {MAX_XPATH_LENGTH} characters or with more than {MAX_XPATH_STEPS} predicates and axes",
        )
    if "document(" in xpath:
        raise Refusal(Rc.USAGE, "XPath may not open documents")
    try:
        found = etree.XPath(xpath, regexp=False, smart_strings=False)(root.getroottree())
    except (etree.XPathError, ValueError) as error:
        raise Refusal(Rc.USAGE, f"XPath {xpath[:200]!r}: {error}") from error
    if not isinstance(found, list):
        raise Refusal(Rc.USAGE, f"XPath {xpath[:200]!r} gives a value, not elements")
    if len(found) > MAX_XPATH_HITS:
        raise Refusal(Rc.USAGE, f"XPath finds more than {MAX_XPATH_HITS} places")
    return [hit for hit in found if isinstance(hit, etree._Element) and isinstance(hit.tag, str)]


def answer(root: etree._Element, scope: str = "", xpath: str = "", no_children: bool = False) -> etree._Element:
    """What a query gives: one element, or several wrapped in <xpath-query>. Raises Refusal (105) for nothing.

    The result is part of the document, not to be changed, unless it is a wrapper or was asked without children.
    """
    if not xpath:
        found = section(root, scope)
        if found is None:
            raise Refusal(Rc.NO_SUCH, f"the CIB has no section {scope!r}")
        return _bare(found) if no_children else found
    hits = select(root, xpath)
    if not hits:
        raise Refusal(Rc.NO_SUCH, f"nothing at {xpath}")
    if len(hits) == 1:
        return _bare(hits[0]) if no_children else hits[0]
    wrapper = etree.Element("xpath-query")
    wrapper.extend(_bare(hit) if no_children else copy.deepcopy(hit) for hit in hits)
    return wrapper


def _bare(element: etree._Element) -> etree._Element:
    return etree.Element(element.tag, {str(name): str(value) for name, value in element.attrib.items()})
