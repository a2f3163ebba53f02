# SPDX-License-Identifier: GPL-2.0-or-later
"""Deciding again and again on one CIB that changes by diffs.

Kept is what is dear to work out: the tree, the facts of every node's operation history, and which families of
resources there are (`core.families`). While the diffs tell of resources only (results, fail counts), a decision looks
at their families alone; for the others the same is to be done as before. Everything else (nodes, options,
definitions) is decided on the whole CIB.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from lxml.etree import _Element as Element

from ha.pe.core import Decision, decide_on, read
from ha.pe.core.excerpt import Histories, attributes_of, excerpt, histories_by_family
from ha.pe.core.families import Families, families_of
from ha.pe.core.graph_text import Written, graph_text, in_order
from ha.pe.core.state_changes import changed_names, text_of
from ha.pe.model.history import ResourceHistory
from ha.pe.model.reporter import Reporter

PASSING = frozenset((
    "admin_epoch", "cib-last-written", "epoch", "execution-date", "num_updates", "update-client", "update-origin",
    "update-user",
))  # fmt: skip
"""Attributes of cib by which nothing is decided."""


class KeptModel:
    """Belongs to one tree. Whoever changes the tree tells `touch`, or decisions rest on what was there before."""

    def __init__(self, root: Element) -> None:
        self.root = root
        self.partial = 0
        """How many decisions looked at some families only."""
        self.share = 0.5
        """Of all families; where more must be looked at, looking at all is as fast."""
        self._histories: dict[Element, list[ResourceHistory]] = {}
        self._texts: dict[Element, bytes] = {}
        self._by_family: dict[Element, Histories] = {}
        self._families: Families | None = None
        self._synapses: dict[int, list[Written]] = {}
        self._changed: set[int] = set()
        self._attributes: dict[str, str] = {}

    def touch(self, parts: Iterable[Element]) -> None:
        """These sections of the configuration, or children of the status, have changed (others may come, too)."""
        for part in parts:
            self._histories.pop(part, None)
            self._by_family.pop(part, None)
            numbers = self._numbers(part)
            if numbers is None:
                self._families = None
                self._texts.pop(part, None)
            else:
                self._changed |= numbers

    def schedule(self, now_s: int, reporter: Reporter | None = None) -> Decision:
        """The same as `core.schedule` of the same CIB as text. Raises CibError.

        Without a reporter the decision's `cluster` may hold some of the resources only.
        """
        decision = self._look_at_some(now_s) if reporter is None else None
        return self._look_at_all(now_s, reporter) if decision is None else decision

    def _numbers(self, part: Element) -> set[int] | None:
        """The families that a changed node_state is about; None if it is about more, or that cannot be told."""
        before = self._texts.get(part)
        if self._families is None or before is None or part.getparent() is not self.root.find("status"):
            return None
        self._texts[part] = text_of(part)
        names = changed_names(before, self._texts[part])
        if names is None:
            return None
        numbers = {self._families.of(name) for name in names}
        return None if None in numbers else {number for number in numbers if number is not None}

    # Some ------------------------------------------------------------------------------------------------------

    def _look_at_some(self, now_s: int) -> Decision | None:
        """None where all must be looked at."""
        families = self._families
        status = self.root.find("status")
        if families is None or status is None or self._root_attributes() != self._attributes:
            return None
        states = [part for part in status if part.tag == "node_state"]
        if states != list(self._texts):
            return None
        wanted = self._changed | families.always
        if len(wanted) > self.share * len(families.families):
            return None
        self._by_family = {
            state: self._by_family.get(state) or histories_by_family(state, families) for state in states
        }
        decision = decide_on(read(excerpt(self.root, families, wanted, self._by_family), now_s))
        if not families.settle(decision.cluster, wanted):
            return None
        self._changed = set()
        self.partial += 1
        for number in wanted:
            self._synapses[number] = []
        self._keep(families, decision.synapses)
        synapses = in_order(chain.from_iterable(self._synapses.values()), families.ranks)
        graph = graph_text(decision.graph_head, synapses)
        return Decision(graph, decision.cluster, decision.recheck_at_s, decision.graph_head, synapses)

    def _keep(self, families: Families, synapses: list[Written]) -> None:
        for written in synapses:
            written.group = families.number_of[written.top]
            self._synapses.setdefault(written.group, []).append(written)

    def _root_attributes(self) -> dict[str, str]:
        return {name: value for name, value in attributes_of(self.root).items() if name not in PASSING}

    # All -------------------------------------------------------------------------------------------------------

    def _look_at_all(self, now_s: int, reporter: Reporter | None) -> Decision:
        self._families = None
        status = self.root.find("status")
        states = [] if status is None else [part for part in status if part.tag == "node_state"]
        present = set(states)
        for state in [state for state in self._histories if state not in present]:
            del self._histories[state]
        decision = decide_on(read(self.root, now_s, reporter, histories=self._histories))
        self._changed = set()
        self._by_family = {}
        if decision.cluster.document.root is self.root:
            self._families = families_of(decision.cluster)
        known = self._texts
        self._texts = {}
        self._synapses = {}
        if self._families is not None:
            self._keep(self._families, decision.synapses)
            self._texts = {state: known.get(state) or text_of(state) for state in states}
            self._attributes = self._root_attributes()
        return decision
