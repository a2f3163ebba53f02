# SPDX-License-Identifier: GPL-2.0-or-later
"""Every graph comes to an end: rings are opened where harmless, what waits in vain is held back."""

from __future__ import annotations

from ha.pe.core import schedule
from ha.pe.core.completion import Synapse, completable
from ha.pe.model.action import FIRST_IMPLIES_THEN, ORDERED, PSEUDO, RUNNABLE, Action, Relation
from ha.pe.model.resource import Resource
from tests.unit.pe.small_cib import NOW, cib, primitive


def actions(*tasks: str, resource: Resource | None = None) -> list[Action]:
    found = []
    for id, task in enumerate(tasks, 1):
        action = Action(id, f"R{id}_{task}_0", task, resource, None)
        action.set(RUNNABLE)
        if task == "mark":
            action.set(PSEUDO)
        found.append(action)
    return found


def graph(found: list[Action], *waits: tuple[int, int, int]) -> list[Synapse]:
    """`waits` are (then, first, flags), as indexes."""
    synapses = [Synapse(action, 0, "", "", []) for action in found]
    for then, first, flags in waits:
        synapses[then].inputs.append(Relation(found[first], flags))
    return synapses


def left(synapses: list[Synapse]) -> list[int]:
    return [synapse.action.id for synapse in synapses]


def test_what_can_be_done_stays_as_it_is() -> None:
    synapses = graph(actions("stop", "start"), (1, 0, FIRST_IMPLIES_THEN))
    assert completable(synapses) is synapses
    assert len(synapses[1].inputs) == 1


def test_a_ring_is_opened_at_a_probe() -> None:
    synapses = completable(graph(actions("monitor", "stop", "start"), (0, 2, 1), (2, 1, 1), (1, 0, FIRST_IMPLIES_THEN)))
    assert left(synapses) == [1, 2, 3]
    assert [len(synapse.inputs) for synapse in synapses] == [1, 0, 1]


def test_a_ring_is_never_opened_where_an_order_is_mandatory() -> None:
    found = actions("stop", "start", "start", "start")
    ring = ((1, 2, FIRST_IMPLIES_THEN), (2, 1, FIRST_IMPLIES_THEN), (3, 2, FIRST_IMPLIES_THEN))
    assert left(completable(graph(found, *ring))) == [1]
    assert [action.has(RUNNABLE) for action in found] == [True, False, False, False]


def test_what_waits_for_what_is_not_done_is_held_back_with_its_announcements() -> None:
    found = actions("mark", "notify", "start", "stop", "start")
    synapses = graph(found[:4], (1, 0, ORDERED), (2, 1, ORDERED))
    synapses[2].inputs.append(Relation(found[4], FIRST_IMPLIES_THEN))
    assert left(completable(synapses)) == [4]


def test_an_announcement_that_others_wait_for_is_made() -> None:
    found = actions("mark", "start", "start", "start")
    synapses = graph(found[:3], (1, 0, ORDERED), (2, 0, ORDERED))
    synapses[1].inputs.append(Relation(found[3], FIRST_IMPLIES_THEN))
    assert left(completable(synapses)) == [1, 3]


def test_what_only_announces_is_left_out_where_something_is_held_back() -> None:
    some = schedule(cib(resources=primitive("A")), NOW).cluster.resources[0]
    found = actions("mark", "notify", "mark", "notify", "stop", "notify", "start", "start", resource=some)
    announced = ((1, 0, ORDERED), (2, 1, ORDERED), (4, 3, ORDERED), (5, 4, ORDERED))
    ring = ((6, 7, FIRST_IMPLIES_THEN), (7, 6, FIRST_IMPLIES_THEN))
    assert left(completable(graph(found[:6], *announced))) == [1, 2, 3, 4, 5, 6]
    assert left(completable(graph(found, *announced, *ring))) == [4, 5, 6]
