# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cluster will do, decided by its own policy engine and played on a copy until nothing is left to do."""

from __future__ import annotations

from dataclasses import dataclass

from lxml.etree import _Element as Element

from ha.cli.crm_simulate.edited_cib import EditedCib
from ha.cli.crm_simulate.summary import TransitionSummary
from ha.cli.plan.cluster_player import ClusterPlayer
from ha.cli.plan.model import Step
from ha.pe.core import decide_on, read
from ha.pe.model.cluster import Cluster

MAX_TRANSITIONS = 6
"""Who is not at rest by then swings between two states: no list of steps would be complete."""


@dataclass(frozen=True, slots=True)
class Foresight:
    summary: tuple[str, ...]
    steps: tuple[Step, ...]
    rests: bool


class _Recorder(ClusterPlayer):
    """Keeps the actions of one transition in the order in which they may be done."""

    def __init__(self, cib: EditedCib, graph: bytes, cluster: Cluster, transition: int) -> None:
        super().__init__(cib, graph, (), lambda name: cluster.find(name) is not None, _nothing, _nothing)
        self.transition = transition
        self.recorded: list[Step] = []

    def _do(self, action: Element) -> None:
        step = step_of(action, self.transition)
        if step is not None:
            self.recorded.append(step)
        super()._do(action)


def _nothing(told: object) -> None:
    """The plan tells it in its own words."""


def step_of(action: Element, transition: int) -> Step | None:
    """None for a mark, or for what the cluster does to its own records."""
    node, operation = str(action.get("on_node")), str(action.get("operation"))
    if action.tag == "crm_event" and operation == "stonith":
        return Step(transition=transition, operation="fence", node=node)
    primitive = action.find("primitive")
    if action.tag != "rsc_op" or primitive is None:
        return None
    attributes = action.find("attributes")
    interval_ms = int(attributes.get("CRM_meta_interval") or 0) if attributes is not None else 0
    return Step(
        transition=transition, operation=operation, resource=str(primitive.get("id")), node=node,
        interval_ms=interval_ms, is_probe=operation == "monitor" and not interval_ms,
    )  # fmt: skip


def foresee(cib: bytes, now_s: int) -> Foresight:
    """Every action succeeds in it. Raises `ha.pe.model.document.CibError`."""
    edited = EditedCib(cib)
    summary: tuple[str, ...] = ()
    steps: list[Step] = []
    for transition in range(1, MAX_TRANSITIONS + 1):
        cluster = read(edited.text(), now_s)
        graph = decide_on(cluster).graph_xml
        if transition == 1:
            summary = tuple(item.text for item in TransitionSummary(cluster).items())
        recorder = _Recorder(edited, graph, cluster, transition)
        finished = recorder.play()
        steps.extend(recorder.recorded)
        if not recorder.recorded or not finished:
            return Foresight(summary, tuple(steps), finished)
    return Foresight(summary, tuple(steps), False)
