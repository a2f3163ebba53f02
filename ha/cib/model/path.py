# SPDX-License-Identifier: GPL-2.0-or-later
"""The paths that v2 diffs use to name one element: /cib/configuration/resources/primitive[@id='web'].

Source: the observed form of Pacemaker's patch sets. An element without an id is named by its tag alone, which is a
good name only where it fits one child; comments have no name.
"""

from __future__ import annotations

import re

from lxml import etree

_STEP = re.compile(r"""/([A-Za-z_][\w.-]*)(?:\[@id=(?:'([^']*)'|"([^"]*)")\])?""")
MAX_PATH_LENGTH = 16 * 1024


def key_of(element: etree._Element) -> tuple[str, str | None]:
    """What makes two elements of the same parent the same one: tag and id; a comment is its text."""
    if isinstance(element.tag, str):
        return element.tag, element.get("id")
    return "#comment", element.text


def _step(element: etree._Element) -> str | None:
    """The step that names `element` among its siblings; None when none can."""
    if not isinstance(element.tag, str):
        return None
    identity = element.get("id")
    parent = element.getparent()
    if parent is not None:
        twins = sum(1 for child in parent.iterchildren(element.tag) if identity is None or child.get("id") == identity)
        if twins != 1:
            return None
    if identity is None:
        return f"/{element.tag}"
    quote = '"' if "'" in identity else "'"
    return None if quote in identity else f"/{element.tag}[@id={quote}{identity}{quote}]"


def path_of(element: etree._Element) -> str | None:
    """The path of `element`, or None when it or an element above cannot be told from its siblings."""
    steps: list[str] = []
    node: etree._Element | None = element
    while node is not None:
        step = _step(node)
        if step is None:
            return None
        steps.append(step)
        node = node.getparent()
    return "".join(reversed(steps))


MANY = 16
"""Children of one element from which on an index of them pays."""


class Finder:
    """Finds elements by their paths in one document, which loses and changes elements meanwhile but gains none."""

    def __init__(self, root: etree._Element) -> None:
        self._root = root
        self._indices: dict[etree._Element, dict[tuple[str, str | None], etree._Element]] = {}

    def resolve(self, path: str) -> etree._Element | None:
        """The first element at `path`, or None. Raises ValueError for what is no such path."""
        if len(path) > MAX_PATH_LENGTH:
            raise ValueError(f"path longer than {MAX_PATH_LENGTH} characters")
        steps = list(_STEP.finditer(path))
        if not steps or sum(len(step.group()) for step in steps) != len(path):
            raise ValueError(f"{path[:200]!r} is no path of a diff")
        if not _fits(self._root, steps[0]):
            return None
        node: etree._Element | None = self._root
        for step in steps[1:]:
            node = self._child(node, step) if node is not None else None
        return node

    def _child(self, parent: etree._Element, step: re.Match[str]) -> etree._Element | None:
        identity = _identity(step)
        if identity is None or len(parent) < MANY:
            return next((child for child in parent.iterchildren(step.group(1)) if _fits(child, step)), None)
        index = self._indices.get(parent)
        if index is None:
            index = self._indices[parent] = {key_of(child): child for child in reversed(parent)}
        if len(index) < len(parent):  # twins: the first of them is meant, whichever that is by now
            return next((child for child in parent.iterchildren(step.group(1)) if _fits(child, step)), None)
        return index.get((step.group(1), identity))

    def gone(self, element: etree._Element) -> None:
        """`element` is about to be taken out."""
        parent = element.getparent()
        if parent is not None and parent in self._indices:
            self._indices[parent].pop(key_of(element), None)

    def renamed(self, element: etree._Element) -> None:
        """`element` is about to get another id."""
        parent = element.getparent()
        if parent is not None:
            self._indices.pop(parent, None)


def resolve(root: etree._Element, path: str) -> etree._Element | None:
    """As Finder.resolve, for one path."""
    return Finder(root).resolve(path)


def _identity(step: re.Match[str]) -> str | None:
    return step.group(2) if step.group(2) is not None else step.group(3)


def _fits(element: etree._Element, step: re.Match[str]) -> bool:
    identity = _identity(step)
    return element.tag == step.group(1) and (identity is None or element.get("id") == identity)
