# SPDX-License-Identifier: GPL-2.0-or-later
"""Scores and utilization, collected from the engine's reporter while it decides."""

from __future__ import annotations

from ha.pe.model.node import Node
from ha.pe.model.reporter import Silence
from ha.pe.model.resource import Resource
from ha.pe.model.scores import readable


class ScoreLines(Silence):
    """A reporter that keeps what -s and -U print, in the engine's order."""

    def __init__(self, *, scores: bool, utilization: bool) -> None:
        self.wants_scores = scores
        self.wants_utilization = utilization
        self.lines: list[str] = []

    def table(self, stage: str, resource: Resource) -> None:
        if not self.wants_scores or resource.removed:
            return
        for entry in sorted(resource.allowed.values(), key=lambda entry: entry.node.name):
            self.lines.append(f"{stage}: {resource.id} allocation score on {entry.node.name}: {readable(entry.score)}")
        for child in resource.children:
            self.table(stage, child)

    def promotion(self, resource: Resource, node: Node | None, score: int) -> None:
        if self.wants_scores:
            where = "(inactive)" if node is None else f"on {node.name}"
            self.lines.append(f"{resource.id} promotion score {where}: {readable(score)}")

    def capacity(self, stage: str, node: Node) -> None:
        if self.wants_utilization:
            self.lines.append(f"{stage}: {node.name} capacity:{_amounts(node.utilization)}")

    def utilization(self, resource: Resource, node: Node) -> None:
        if self.wants_utilization:
            amounts = _amounts(resource.utilization)
            self.lines.append(f"pcmk__assign_resource: {resource.id} utilization on {node.name}:{amounts}")


def _amounts(amounts: dict[str, int]) -> str:
    return "".join(f" {name}={amount}" for name, amount in amounts.items())
