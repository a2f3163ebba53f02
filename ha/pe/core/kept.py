# SPDX-License-Identifier: GPL-2.0-or-later
"""Deciding again and again on one CIB that changes by diffs.

Kept is what depends on the text alone and is dear to work out: the tree, and the facts of every node's operation
history. All else, the assignment above all, is done in full for every decision: it depends on everything.
"""

from __future__ import annotations

from collections.abc import Iterable

from lxml.etree import _Element as Element

from ha.pe.core import Decision, decide_on, read
from ha.pe.model.history import ResourceHistory
from ha.pe.model.reporter import Reporter


class KeptModel:
    """Belongs to one tree. Whoever changes the tree tells `touch`, or decisions rest on what was there before."""

    def __init__(self, root: Element) -> None:
        self.root = root
        self._histories: dict[Element, list[ResourceHistory]] = {}

    def touch(self, parts: Iterable[Element]) -> None:
        """These children of the status section have changed inside (others, which were touched as well, may come)."""
        for part in parts:
            self._histories.pop(part, None)

    def schedule(self, now_s: int, reporter: Reporter | None = None) -> Decision:
        """The same as `core.schedule` of the same CIB as text. Raises CibError."""
        self._forget_gone_states()
        return decide_on(read(self.root, now_s, reporter, histories=self._histories))

    def _forget_gone_states(self) -> None:
        status = self.root.find("status")
        present = set() if status is None else set(status)
        for state in [state for state in self._histories if state not in present]:
            del self._histories[state]
