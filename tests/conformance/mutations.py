# SPDX-License-Identifier: GPL-2.0-or-later
"""Spoils a CIB: bytes that are lost, doubled or changed, and trees that are well-formed and wrong."""

from __future__ import annotations

import random
from collections.abc import Callable

from lxml import etree
from lxml.etree import _Element as Element

WRONG_VALUES = (
    "", " ", "-1", "0", "INFINITY", "-INFINITY", "+INFINITY", "9" * 40, "1e9", "P1D", "P99999999999Y", "true",
    "Stopped", "Promoted", "\u00e9\u4e2d", "%s%n", "../../etc/passwd", "a" * 70_000, "0x10", "NaN", "2026-02-30", "/",
    "#uname", "10s", "-5min", "\t\n",
)  # fmt: skip
"""What an attribute may turn into: empty, out of range, of another type, very long, of another alphabet."""
BOMB = (
    b'<!DOCTYPE cib [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b"]>"
)
"""Entities that would grow to 10^9 letters."""


def mutated(cib: bytes, chance: random.Random) -> bytes:
    """`cib` with one to three kinds of damage."""
    for _ in range(chance.randint(1, 3)):
        if chance.random() < 0.7:
            cib = _in_tree(cib, chance)
        else:
            cib = chance.choice(_OF_BYTES)(cib, chance)
    return cib


# Bytes -------------------------------------------------------------------------------------------------------------


def _span(cib: bytes, chance: random.Random) -> tuple[int, int]:
    start = chance.randrange(len(cib) + 1)
    return start, min(len(cib), start + chance.randint(1, 200))


def _truncate(cib: bytes, chance: random.Random) -> bytes:
    return cib[: chance.randrange(len(cib) + 1)]


def _cut(cib: bytes, chance: random.Random) -> bytes:
    start, end = _span(cib, chance)
    return cib[:start] + cib[end:]


def _double(cib: bytes, chance: random.Random) -> bytes:
    start, end = _span(cib, chance)
    return cib[:end] + cib[start:end] + cib[end:]


def _flip(cib: bytes, chance: random.Random) -> bytes:
    found = bytearray(cib)
    for _ in range(chance.randint(1, 8) if found else 0):
        found[chance.randrange(len(found))] = chance.randrange(256)
    return bytes(found)


def _bomb(cib: bytes, chance: random.Random) -> bytes:
    return BOMB + cib.replace(b'value="', b'value="&j;', chance.randint(1, 3))


_OF_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_truncate, _cut, _double, _flip, _flip, _bomb)


# Trees -------------------------------------------------------------------------------------------------------------


def _in_tree(cib: bytes, chance: random.Random) -> bytes:
    """Changes the tree; what is no tree any more stays as it is."""
    try:
        root = etree.fromstring(cib, etree.XMLParser(resolve_entities=False, no_network=True))
    except etree.XMLSyntaxError:
        return cib
    for _ in range(chance.randint(1, 4)):
        elements = list(root.iter(etree.Element))
        chance.choice(_OF_TREES)(chance.choice(elements), elements, chance)
    return etree.tostring(root)


def _set_wrong(element: Element, elements: list[Element], chance: random.Random) -> None:
    if element.attrib:
        element.set(chance.choice(sorted(element.attrib)), chance.choice(WRONG_VALUES))


def _drop_attribute(element: Element, elements: list[Element], chance: random.Random) -> None:
    if element.attrib:
        del element.attrib[chance.choice(sorted(element.attrib))]


def _borrow(element: Element, elements: list[Element], chance: random.Random) -> None:
    """Gives it another element's value: doubles an id, closes a ring of references, contradicts a constraint."""
    other = chance.choice(elements)
    if element.attrib and other.attrib:
        element.set(chance.choice(sorted(element.attrib)), other.attrib[chance.choice(sorted(other.attrib))])


def _refer(element: Element, elements: list[Element], chance: random.Random) -> None:
    """Makes it a reference: to itself, to its parent, to anything."""
    target = chance.choice((element, element.getparent(), chance.choice(elements)))
    if target is not None:
        element.set(chance.choice(("id-ref", "template", "rsc", "with-rsc", "first", "then")), target.get("id", "none"))


def _remove(element: Element, elements: list[Element], chance: random.Random) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _copy(element: Element, elements: list[Element], chance: random.Random) -> None:
    """Puts a copy of it into any other element."""
    if sum(1 for _ in element.iter()) < 200:
        chance.choice(elements).append(etree.fromstring(etree.tostring(element)))


def _rename(element: Element, elements: list[Element], chance: random.Random) -> None:
    if element.getparent() is not None:
        element.tag = str(chance.choice(elements).tag)


def _nest(element: Element, elements: list[Element], chance: random.Random) -> None:
    """Puts it into itself, many levels deep."""
    tag = str(element.tag)
    for level in range(chance.choice((3, 50, 240))):
        element = etree.SubElement(element, tag, {"id": f"nested-{level}"})


_OF_TREES: tuple[Callable[[Element, list[Element], random.Random], None], ...] = (
    _set_wrong, _set_wrong, _set_wrong, _drop_attribute, _borrow, _borrow, _refer, _remove, _copy, _rename, _nest,
)  # fmt: skip
