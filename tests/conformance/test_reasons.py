# SPDX-License-Identifier: GPL-2.0-or-later
"""Every score is accounted for: the terms reported add up to what crm_simulate -s shows and to what is left at the end.

By default some cases of every group; with HA_REASONS_ALL=1 all of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

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
