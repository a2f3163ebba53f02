# SPDX-License-Identifier: GPL-2.0-or-later
"""Every score is accounted for: the terms reported add up to what crm_simulate -s shows and to what is left at the end.

Every action in a graph has a cause, and what `ha explain` suggests has the effect it claims.

By default some cases of every group; with HA_REASONS_ALL=1 all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from ha.cli.explain.search import Search
from ha.cli.explain.trial import judge, reaches
from ha.pe.core import schedule
from ha.pe.core.causes import causes_of
from ha.pe.model.action import ADDED_TO_GRAPH, Action
from ha.pe.model.node import Node
from ha.pe.model.reasons import Reasons, fold
from ha.pe.model.resource import Resource
from tests.conformance.cases import VISIBLE, case_folders, load_judge

pytestmark = pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"Pacemaker's cases are not here: {VISIBLE}")
NOW = 1_700_000_000
STRIDE = 16
"""Of every folder of cases, which are sorted by group, each so manieth is looked at."""


class Auditor(Reasons):
    """Compares the account with the score at each moment at which crm_simulate -s would print it."""

    def __init__(self) -> None:
        super().__init__()
        self.compared = 0
        self.wrong: list[str] = []

    def table(self, stage: str, resource: Resource) -> None:
        self.audit(stage, resource)
        for child in resource.children:
            self.table(stage, child)

    def promotion(self, resource: Resource, node: Node | None, score: int) -> None:
        self._compare(f"promotion of {resource.id} on {node}", score, self.promotion_terms(resource))

    def audit(self, stage: str, resource: Resource) -> None:
        for entry in resource.allowed.values():
            terms = self.terms(resource, entry.node)
            self._compare(f"{stage}: {resource.id} on {entry.node.name}", entry.score, terms)

    def _compare(self, where: str, score: int, terms: Sequence[Any]) -> None:
        self.compared += 1
        if not terms or fold(list(terms)) != score or not all(term.cause for term in terms):
            self.wrong.append(f"{where}: {score}, told: {terms}")


def _everything(resources: Sequence[Resource]) -> Iterator[Resource]:
    for resource in resources:
        yield resource
        yield from _everything(resource.children)


def _actions(resources: Sequence[Resource], more: Sequence[Action]) -> Iterator[Action]:
    for resource in _everything(resources):
        yield from resource.actions
    yield from more


@pytest.mark.parametrize("folder", case_folders(VISIBLE) if VISIBLE.is_dir() else [], ids=lambda folder: folder.name)
def test_terms_add_up_and_every_action_has_a_cause(folder: Path) -> None:
    step = 1 if os.environ.get("HA_REASONS_ALL") else STRIDE
    cases = load_judge(folder).CaseSet(folder)
    compared = 0
    try:
        for case in sorted(cases.cases, key=lambda case: (case.group, case.name))[::step]:
            auditor = Auditor()
            cluster = schedule(Path(cases.path(case, "xml")).read_bytes(), NOW, auditor).cluster
            for resource in _everything(cluster.resources):
                auditor.audit("end", resource)
            assert not auditor.wrong, f"{case.name}: {auditor.wrong[:3]}"
            compared += auditor.compared
            for action in _actions(cluster.resources, cluster.actions):
                if action.has(ADDED_TO_GRAPH):
                    assert causes_of(action, auditor.causes(action)), f"{case.name}: {action} has no cause"
    finally:
        cases.close()
    assert compared > 1000


@pytest.mark.parametrize("folder", case_folders(VISIBLE) if VISIBLE.is_dir() else [], ids=lambda folder: folder.name)
def test_what_is_suggested_has_the_effect(folder: Path) -> None:
    step = 1 if os.environ.get("HA_REASONS_ALL") else 4 * STRIDE
    cases = load_judge(folder).CaseSet(folder)
    tried = 0
    try:
        for number, case in enumerate(sorted(cases.cases, key=lambda case: (case.group, case.name))[::step]):
            tried += _try_suggestions(Path(cases.path(case, "xml")).read_bytes(), number, case.name)
    finally:
        cases.close()
    assert tried > 0


def _try_suggestions(text: bytes, number: int, name: str) -> int:
    """How many suggestions were made for one resource of the case, on two nodes; each must do what it claims."""
    judged = judge(text, NOW)
    resources, nodes = judged.cluster.resources, judged.cluster.nodes
    if not resources:
        return 0
    resource, count = resources[number % len(resources)], 0
    for node in nodes[:2]:
        if reaches(resource, node):
            continue
        for found in Search(etree.fromstring(text), judged, resource, node, NOW, lambda: 0.0).run():
            root = etree.fromstring(text)
            found.change.apply(root)
            after = judge(etree.tostring(root), NOW).cluster
            again, place = after.find(resource.id), after.node(node.name)
            assert again is not None
            assert place is not None
            assert reaches(again, place), f"{name}: {found.change.words}: {resource.id} does not get to {node.name}"
            count += 1
    return count
