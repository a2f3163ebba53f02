# SPDX-License-Identifier: GPL-2.0-or-later
"""Changing a document so that the change can be undone, and told to others as a v2 diff, at the cost of the change.

A transaction offers four primitives: set the attributes of an element, insert, remove and move a child. It remembers
how to undo each, and from what was touched it writes

    <diff format="2"><version><source .../><target .../></version>
      <change operation="delete" path="..."/>
      <change operation="modify" path="..."><change-list><change-attr name operation="set|unset" value/>...
         </change-list><change-result><TAG attributes/></change-result></change>
      <change operation="create" path="PARENT" position="N"><TAG>...</TAG></change>
      <change operation="move" path="..." position="N"/>
    </diff>

Deletions come first; then modifications; then creations and moves by rising position, which is that of the finished
document. Source: patch sets as Pacemaker 2.1's crm_diff prints them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

from lxml import etree

from ha.cib.model.document import Document, attributes_of
from ha.cib.model.parse import line_of
from ha.cib.model.path import path_of
from ha.cib.model.version import COUNTERS, counters
from ha.cib.msg import Version

PASSING_ATTRIBUTES = frozenset(
    (*COUNTERS, "have-quorum", "dc-uuid", "execution-date", "no-quorum-panic", "cib-last-written", "update-origin",
     "update-client", "update-user")
)  # fmt: skip
"""Attributes of <cib> that tell of the moment: they are no configuration."""

NAMING_ATTRIBUTES = ("id", "id-ref", "rsc", "with-rsc", "first", "then", "template")


class Transaction:
    """Changes of one document, up to `rollback`. Elements of the document are changed through it and nowhere else."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.before: Version = document.version
        self.sections: dict[str, None] = {}
        self._parts: dict[etree._Element, None] = {}
        self._undo: list[Callable[[], None]] = []
        self._removed: list[str] = []
        self._changed: dict[etree._Element, dict[str, str]] = {}
        self._added: dict[etree._Element, None] = {}
        self._moved: dict[etree._Element, None] = {}
        self._coarse: dict[etree._Element, str] = {}
        self._lines: dict[etree._Element, int] = {}

    # Primitives ----------------------------------------------------------------------------------------------------

    def set_attributes(self, element: etree._Element, attributes: Mapping[str, str], line: int = 0) -> None:
        """Make `attributes` all that the element has, in that order."""
        old = attributes_of(element)
        if list(old.items()) == list(attributes.items()):
            return
        self._touch(element)
        if not self._is_new(element):
            self._changed.setdefault(element, old)
        if line:
            self._lines[element] = line
        self._undo.append(lambda: _set(element, old))
        _set(element, attributes)

    def insert(self, parent: etree._Element, index: int, element: etree._Element) -> None:
        """Put a copy of `element`, with all in it, before the child at `index`."""
        new = copy.deepcopy(element)
        self._lines[new] = line_of(element)
        self._attach(parent, index, new)
        if not self._is_new(parent):
            self._added[new] = None
        self._touch(new)

    def append(self, parent: etree._Element, element: etree._Element) -> None:
        self.insert(parent, len(parent), element)

    def remove(self, element: etree._Element) -> None:
        self._touch(element)
        parent = element.getparent()
        assert parent is not None, "the root cannot be removed"
        self._forget_within(element)
        if element in self._added:
            del self._added[element]
        elif not self._is_new(parent):
            path = path_of(element)
            if path is None:
                self._coarsen(parent)
            else:
                self._removed.append(path)
            self._moved.pop(element, None)
        self._detach(element)

    def rearrange(self, moves: Iterable[tuple[etree._Element, int]]) -> None:
        """Take the elements out, then put each at its index among its parent's children, by rising index."""
        ordered = sorted(moves, key=lambda move: move[1])
        parents = [element.getparent() for element, _ in ordered]
        for element, _ in ordered:
            self._touch(element)
            self._detach(element)
        for (element, index), parent in zip(ordered, parents, strict=True):
            assert parent is not None, "the root cannot be moved"
            self._attach(parent, index, element)
            if not self._is_new(element):
                self._moved[element] = None
            self._touch(element)

    def _attach(self, parent: etree._Element, index: int, element: etree._Element) -> None:
        self._undo.append(lambda: parent.remove(element))
        parent.insert(index, element)

    def _detach(self, element: etree._Element) -> None:
        parent = element.getparent()
        assert parent is not None, "the root stays where it is"
        index = parent.index(element)
        self._undo.append(lambda: parent.insert(index, element))
        parent.remove(element)

    # Bookkeeping ---------------------------------------------------------------------------------------------------

    def _touch(self, element: etree._Element) -> None:
        part = self.document.touch(element)
        if part is not None:
            self._parts[part] = None
        self.sections[self.document.section_of(element)] = None

    def _is_new(self, element: etree._Element) -> bool:
        """Whether the element was not there before this transaction."""
        return element in self._added or any(above in self._added for above in element.iterancestors())

    def _forget_within(self, element: etree._Element) -> None:
        """What happened inside an element that goes is of no interest any more."""
        records: tuple[dict[etree._Element, dict[str, str]] | dict[etree._Element, None], ...]
        records = (self._changed, self._added, self._moved)
        for record in records:
            for known in [known for known in record if known is element or element in known.iterancestors()]:
                if not (record is self._added and known is element):
                    record.pop(known)

    def _coarsen(self, element: etree._Element) -> None:
        """Tell the change of `element` by replacing it, or the nearest one above that has a path."""
        node: etree._Element | None = element
        while node is not None:
            path = path_of(node)
            if path is not None:
                self._coarse[node] = path
                return
            node = node.getparent()
        self._coarse[self.document.root] = "/cib"

    def line(self, element: etree._Element) -> int:
        """The line of the caller's text that brought `element` to its present state; 0 when it did not."""
        if element in self._lines:
            return self._lines[element]
        return line_of(element) if self._is_new(element) else 0

    def parts(self) -> list[etree._Element]:
        """The parts of the document that were touched, gone ones included."""
        return list(self._parts)

    def is_added(self, element: etree._Element) -> bool:
        """Whether `element` itself was inserted by this transaction."""
        return element in self._added

    @property
    def is_empty(self) -> bool:
        return not (self._removed or self._changed or self._added or self._moved or self._coarse)

    @property
    def touches_configuration(self) -> bool:
        """Whether anything but the status and the passing attributes of <cib> was touched."""
        if any(section not in ("status", "cib") for section in self.sections):
            return True
        return any(name not in PASSING_ATTRIBUTES for name in self.root_changes())

    def root_changes(self) -> list[str]:
        """Names of the attributes of <cib> that differ from before."""
        root = self.document.root
        old, new = self._changed.get(root), attributes_of(root)
        return [] if old is None else [name for name in {**old, **new} if old.get(name) != new.get(name)]

    @property
    def touches_references(self) -> bool:
        """Whether ids may have come or gone, or what names them."""
        if self._removed or self._added or self._coarse:
            return True
        return any(
            old.get(name) != element.get(name) for element, old in self._changed.items() for name in NAMING_ATTRIBUTES
        )

    def rollback(self) -> None:
        """Undo everything, so that the document is as it was, byte for byte."""
        for undo in reversed(self._undo):
            undo()
        self.document.forget(self._parts)
        self._undo.clear()

    # Telling it ----------------------------------------------------------------------------------------------------

    def diff(self, with_version: bool = True) -> etree._Element | None:
        """The changes as a v2 diff; None when only the whole document can tell them (its children have no names)."""
        while True:
            diff = etree.Element("diff", {"format": "2"})
            if with_version:
                version = etree.SubElement(diff, "version")
                etree.SubElement(version, "source", counters(self.before))
                etree.SubElement(version, "target", counters(self.document.version))
            if any(node.getparent() is None for node in self._coarse):
                return None
            nameless = self._tell(diff)
            if nameless is None:
                return diff
            self._coarsen(nameless)

    def _tell(self, diff: etree._Element) -> etree._Element | None:
        """Fill `diff`; return an element that has no path, if one is met."""
        coarse = self._outermost_coarse()
        gone = [path for path in self._removed if not _below(path, coarse.values())]
        for path in [*gone, *coarse.values()]:
            etree.SubElement(diff, "change", {"operation": "delete", "path": path})
        for element, old in self._changed.items():
            if _inside(element, coarse):
                continue
            changed_path = path_of(element)
            if changed_path is None:
                return element
            _tell_modify(diff, element, changed_path, old)
        return self._tell_places(diff, coarse)

    def _tell_places(self, diff: etree._Element, coarse: Mapping[etree._Element, str]) -> etree._Element | None:
        places: list[tuple[int, etree._Element, etree._Element]] = []
        for element in {**coarse, **self._added, **self._moved}:
            parent = element.getparent()
            assert parent is not None, "an element that was added or moved has a parent"
            if _inside(parent, coarse):
                continue
            named = element if element in self._moved and element not in coarse else parent
            path = path_of(named)
            if path is None:
                return parent
            operation = "move" if named is element else "create"
            position = parent.index(element)
            attributes = {"operation": operation, "path": path, "position": str(position)}
            change = etree.Element("change", attributes)
            if operation == "create":
                change.append(copy.deepcopy(element))
            places.append((position, element, change))
        for _, _, change in sorted(places, key=lambda place: place[0]):
            diff.append(change)
        return None

    def _outermost_coarse(self) -> dict[etree._Element, str]:
        """Without those that lie in another or in something new."""
        return {
            node: path
            for node, path in self._coarse.items()
            if not self._is_new(node) and not any(above in self._coarse for above in node.iterancestors())
        }


def _set(element: etree._Element, attributes: Mapping[str, str]) -> None:
    element.attrib.clear()
    for name, value in attributes.items():
        element.set(name, value)


def _below(path: str, coarse: Iterable[str]) -> bool:
    return any(path == above or path.startswith(above + "/") for above in coarse)


def _inside(element: etree._Element, coarse: Mapping[etree._Element, str]) -> bool:
    return element in coarse or any(above in coarse for above in element.iterancestors())


def _tell_modify(diff: etree._Element, element: etree._Element, path: str, old: Mapping[str, str]) -> None:
    change = etree.SubElement(diff, "change", {"operation": "modify", "path": path})
    changes = etree.SubElement(change, "change-list")
    for name, value in element.attrib.items():
        if old.get(str(name)) != value:
            attributes = {"name": str(name), "operation": "set", "value": str(value)}
            etree.SubElement(changes, "change-attr", attributes)
    for name in old:
        if name not in element.attrib:
            etree.SubElement(changes, "change-attr", {"name": name, "operation": "unset"})
    result = etree.SubElement(change, "change-result")
    etree.SubElement(result, element.tag, attributes_of(element))
