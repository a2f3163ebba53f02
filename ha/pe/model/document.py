# SPDX-License-Identifier: GPL-2.0-or-later
"""The CIB document: its sections, and references inside it (id-ref)."""

from __future__ import annotations

from lxml import etree
from lxml.etree import _Element as Element

MAX_CIB_BYTES = 64 * 1024 * 1024
"""Largest CIB accepted as bytes: 32 nodes x 1000 resources are 16 MB. Elements nested deeper than 256, and texts over
10 MB, are refused by libxml2 as long as `huge_tree` is off."""


class CibError(ValueError):
    """The input is no CIB that can be scheduled. The text says what is wrong with it, and where if known."""


class Document:
    """One CIB, read only."""

    __slots__ = ("_by_id", "root")

    def __init__(self, root: Element) -> None:
        self.root = root
        self._by_id: dict[tuple[str, str], Element] | None = None

    @classmethod
    def read(cls, cib: bytes | Element) -> Document:
        """The document of a whole cib element, given as text or tree. Raises CibError."""
        if isinstance(cib, bytes):
            cib = _parse(cib)
        if not isinstance(cib.tag, str) or cib.tag != "cib":
            raise CibError(f"the top element is {cib.tag!s}, not cib")
        if cib.find("configuration") is None:
            raise CibError("the cib has no configuration")
        if next(cib.iter(etree.Comment, etree.PI), None) is not None:
            cib = _parse(etree.tostring(cib))
        return cls(cib)

    def section(self, name: str) -> Element | None:
        """A section of the configuration, or the status."""
        if name == "status":
            return self.root.find("status")
        return self.root.find(f"configuration/{name}")

    def resolve(self, element: Element) -> Element | None:
        """The element that an id-ref names (the element itself without one); None if it names nothing."""
        reference = element.get("id-ref")
        if reference is None:
            return element
        if self._by_id is None:
            self._by_id = {}
            for candidate in self.root.iter(etree.Element):
                identity = candidate.get("id")
                if identity is not None:
                    self._by_id.setdefault((candidate.tag, identity), candidate)
        return self._by_id.get((element.tag, reference))

    def children(self, parent: Element, tag: str) -> list[Element]:
        """The children with `tag`, references followed."""
        found = []
        for child in parent.iterchildren(tag):
            resolved = self.resolve(child)
            if resolved is not None:
                found.append(resolved)
        return found


def _parse(text: bytes) -> Element:
    if len(text) > MAX_CIB_BYTES:
        raise CibError(f"the CIB has {len(text)} bytes, more than {MAX_CIB_BYTES}")
    parser = etree.XMLParser(
        remove_comments=True, remove_pis=True, resolve_entities=False, no_network=True, huge_tree=False
    )
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        raise CibError(f"not well-formed XML: {error}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise CibError("a CIB has no document type declaration")
    return root
