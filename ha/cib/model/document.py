# SPDX-License-Identifier: GPL-2.0-or-later
"""One CIB: its tree, and its canonical bytes and digest, kept up to date piece by piece.

The canonical bytes are the tree in UTF-8 without white space between elements and with attributes in document order.
They are cut into parts (each section of the configuration, each entry of the status), so that a change re-serialises
and re-hashes the parts it touches and no others. The digest is BLAKE2b over the parts' digests and the start tags.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from lxml import etree

from ha.cib.model.parse import describe, line_of, parse
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.model.sections import CONTAINERS, SECTIONS
from ha.cib.model.version import version_of
from ha.cib.msg import Version

FEATURE_SET = "3.16.2"
SCHEMA_DEFAULT = "pacemaker-3.9"
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A version as immutable bytes: what is published, persisted and compared. `parts` joined are the document.

    A part is a tag of <cib> or of a container, or a whole section or entry of the status.
    """

    version: Version
    digest: str
    parts: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        return b"".join(self.parts)

    def section_bytes(self, tag: str) -> bytes | None:
        """The text of a container or section, without a look at the tree; None when there is none, or several."""
        begins = re.compile(rb"<" + re.escape(tag.encode()) + rb"[ />]").match
        found = [index for index, part in enumerate(self.parts) if begins(part)]
        if len(found) != 1:
            return None
        start = found[0]
        if tag not in CONTAINERS or self.parts[start].endswith(b"/>"):
            return self.parts[start]
        return b"".join(self.parts[start : self.parts.index(f"</{tag}>".encode(), start) + 1])


@dataclass(frozen=True, slots=True)
class _Part:
    data: bytes
    digest: bytes


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest()


def attributes_of(element: etree._Element) -> dict[str, str]:
    """Plain strings, in document order."""
    return dict(cast("list[tuple[str, str]]", element.items()))


_ESCAPED = re.compile("[&<>\"\\x00-\\x1f\\x7f-\\x9f]")


def _start_tag(element: etree._Element) -> bytes:
    """`<cib epoch="1">`, as libxml2 writes it; it is asked itself when a value may need escaping."""
    attributes = attributes_of(element)
    if not any(map(_ESCAPED.search, attributes.values())):
        pairs = "".join(f' {name}="{value}"' for name, value in attributes.items())
        return f"<{element.tag}{pairs}>".encode()
    text = etree.tostring(etree.Element(element.tag, attributes), encoding="utf-8", xml_declaration=False)
    assert text.endswith(b"/>"), text
    return text[:-2] + b">"


class Document:
    """A CIB that can change. Changes go through `ha.cib.model.edit.Transaction`, which tells `touch`."""

    def __init__(self, root: etree._Element) -> None:
        if root.tag != "cib":
            raise Refusal(Rc.DATA, "a CIB begins with <cib>", describe(root), line_of(root))
        version_of(root)
        self.root = root
        self._parts: dict[etree._Element, _Part] = {}
        self._snapshot: Snapshot | None = None

    @classmethod
    def from_bytes(cls, data: bytes | str) -> Document:
        """Raises Refusal (65, 78)."""
        return cls(parse(data))

    @classmethod
    def empty(cls) -> Document:
        """The CIB of a cluster that has none: valid, version 0.0.0."""
        root = etree.Element(
            "cib",
            {
                "crm_feature_set": FEATURE_SET,
                "validate-with": SCHEMA_DEFAULT,
                "admin_epoch": "0",
                "epoch": "0",
                "num_updates": "0",
            },
        )
        configuration = etree.SubElement(root, "configuration")
        for section in SECTIONS[:4]:
            etree.SubElement(configuration, section)
        etree.SubElement(root, "status")
        return cls(root)

    @property
    def version(self) -> Version:
        return version_of(self.root)

    def part_of(self, element: etree._Element) -> etree._Element | None:
        """The part that holds `element`; None for the root and the containers."""
        node = element
        while True:
            parent = node.getparent()
            if parent is None:
                return None
            if parent is self.root:
                return None if node.tag in CONTAINERS else node
            if parent.tag in CONTAINERS and parent.getparent() is self.root:
                return node
            node = parent

    def touch(self, element: etree._Element) -> etree._Element | None:
        """The bytes at `element` are about to change, or just have. Returns the part concerned."""
        self._snapshot = None
        part = self.part_of(element)
        if part is not None:
            self._parts.pop(part, None)
        return part

    def forget(self, parts: Iterable[etree._Element]) -> None:
        """Compute these parts anew at the next snapshot."""
        self._snapshot = None
        for part in parts:
            self._parts.pop(part, None)

    def section_of(self, element: etree._Element) -> str:
        """Which section `element` is in: "crm_config", "status" ...; "cib" for the root, "configuration" for the frame
        of containers and sections."""
        node = element
        while True:
            parent = node.getparent()
            if parent is None:
                return "cib"
            if parent is self.root:
                return "status" if node.tag == "status" and node is not element else "configuration"
            if parent.tag == "configuration" and parent.getparent() is self.root:
                return str(node.tag) if node.tag in SECTIONS else "configuration"
            node = parent

    def _part(self, element: etree._Element) -> _Part:
        part = self._parts.get(element)
        if part is None:
            data = etree.tostring(element, encoding="utf-8", xml_declaration=False, with_tail=False)
            part = self._parts[element] = _Part(data, _hash(data))
        return part

    def snapshot(self) -> Snapshot:
        """The canonical bytes, digest and version of the present state."""
        if self._snapshot is None:
            parts: list[bytes] = []
            digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
            self._emit_container(self.root, parts, digest)
            self._snapshot = Snapshot(self.version, digest.hexdigest(), tuple(parts))
        return self._snapshot

    def _emit_container(self, element: etree._Element, parts: list[bytes], digest: hashlib.blake2b) -> None:
        start = _start_tag(element)
        if len(element) == 0:
            start = start[:-1] + b"/>"
        parts.append(start)
        digest.update(_hash(start))
        for child in element:
            if child.tag in CONTAINERS and element is self.root:
                self._emit_container(child, parts, digest)
                continue
            part = self._part(child)
            parts.append(part.data)
            digest.update(part.digest)
        if len(element):
            parts.append(f"</{element.tag}>".encode())


def digest_of(data: bytes) -> str:
    """The digest of a whole CIB in bytes, as on every other node. Raises Refusal for what is no CIB."""
    return Document.from_bytes(data).snapshot().digest
