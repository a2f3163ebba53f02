# SPDX-License-Identifier: GPL-2.0-or-later
"""Scores and utilization, collected from the engine's reporter while it decides."""

from __future__ import annotations

from ha.cli.crm_simulate.report import Item
from ha.pe.model.node import Node
from ha.pe.model.reporter import Silence
from ha.pe.model.resource import Resource
from ha.pe.model.scores import readable


class ScoreLines(Silence):
    """A reporter that keeps what -s and -U tell, in the engine's order."""

    def __init__(self, *, scores: bool, utilization: bool) -> None:
        self.wants_scores = scores
        self.wants_utilization = utilization
        self.lines: list[Item] = []

    def table(self, stage: str, resource: Resource) -> None:
        if not self.wants_scores or resource.removed:
            return
        for entry in sorted(resource.allowed.values(), key=lambda entry: entry.node.name):
            node, score = entry.node.name, readable(entry.score)
            text = f"{stage}: {resource.id} allocation score on {node}: {score}"
            attributes = {"function": stage, "node": node, "score": score, "id": resource.id}
            self.lines.append(Item(text, "node_weight", attributes))
        for child in resource.children:
            self.table(stage, child)

    def promotion(self, resource: Resource, node: Node | None, score: int) -> None:
        if self.wants_scores:
            where = "(inactive)" if node is None else f"on {node.name}"
            attributes = {"id": resource.id, "score": readable(score)}
            if node is not None:
                attributes["node"] = node.name
            text = f"{resource.id} promotion score {where}: {readable(score)}"
            self.lines.append(Item(text, "promotion_score", attributes))

    def capacity(self, stage: str, node: Node) -> None:
        if self.wants_utilization:
            text = f"{stage}: {node.name} capacity:{_amounts(node.utilization)}"
            attributes = {"node": node.name, "comment": stage}
            self.lines.append(Item(text, "capacity", attributes, dict(node.utilization)))

    def utilization(self, resource: Resource, node: Node) -> None:
        if self.wants_utilization:
            function = "pcmk__assign_resource"
            text = f"{function}: {resource.id} utilization on {node.name}:{_amounts(resource.utilization)}"
            attributes = {"resource": resource.id, "node": node.name, "function": function}
            self.lines.append(Item(text, "utilization", attributes, dict(resource.utilization)))


def _amounts(amounts: dict[str, int]) -> str:
    return "".join(f" {name}={amount}" for name, amount in amounts.items())
