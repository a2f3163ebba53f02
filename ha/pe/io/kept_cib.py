# SPDX-License-Identifier: GPL-2.0-or-later
"""The CIB and what is known of it, kept from one decision to the next and brought up to date by diffs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.cib.io.reader import CibReader
from ha.cib.model.refusal import Refusal
from ha.pe.core import Decision, schedule
from ha.pe.core.kept import KeptModel
from ha.pe.model.requests import Decide

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from ha.root import Root


class KeptCib:
    """One worker's. Without a `root` nothing is kept. Used by one thread at a time."""

    def __init__(self, root: Root | None) -> None:
        self._reader = None if root is None else CibReader(root, self._touch)
        self._model: KeptModel | None = None

    def schedule(self, request: Decide) -> Decision:
        """What is to be done. Raises CibError."""
        tree = self._tree(request)
        if tree is None:
            return schedule(request.cib_xml, request.now_s)
        if self._model is None or self._model.root is not tree:
            self._model = KeptModel(tree)
        return self._model.schedule(request.now_s)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _tree(self, request: Decide) -> Element | None:
        if self._reader is None or request.generation == 0:
            return None
        try:
            return self._reader.tree_of(request.generation, request.cib_xml)
        except Refusal:
            # The engine says in its own words what is wrong with it.
            return None

    def _touch(self, parts: list[Element]) -> None:
        if self._model is not None:
            self._model.touch(parts)
