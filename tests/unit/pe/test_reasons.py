# SPDX-License-Identifier: GPL-2.0-or-later
"""The accounts of scores, and the causes of actions."""

from __future__ import annotations

import pytest

from ha.pe.core import Cluster, schedule
from ha.pe.core.causes import causes_of
from ha.pe.model.action import OPTIONAL, RUNNABLE
from ha.pe.model.reasons import Reasons, Term, counting, fold
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY, MINUS_INFINITY
from tests.unit.pe.small_cib import NOW, absent, cib, primitive, running


@pytest.mark.parametrize(
    ("terms", "total"),
    [
        ([Term(5, "a"), Term(-7, "b")], -2),
        ([Term(INFINITY, "a"), Term(-5, "b")], INFINITY),
        ([Term(INFINITY, "a"), Term(MINUS_INFINITY, "b"), Term(INFINITY, "c")], MINUS_INFINITY),
        ([Term(MINUS_INFINITY, "a"), Term(0, "b", fresh=True), Term(3, "c")], 3),
    ],
)
def test_terms_fold_in_order(terms: list[Term], total: int) -> None:
    assert fold(terms) == total
    assert fold(counting(terms)) == total


def test_what_is_put_aside_does_not_count() -> None:
    terms = [Term(1, "a"), Term(2, "b", fresh=True), Term(3, "c")]
    assert [term.cause for term in counting(terms)] == ["b", "c"]


def decide(text: bytes) -> tuple[Cluster, Reasons]:
    reasons = Reasons()
    return schedule(text, NOW, reasons).cluster, reasons


def account(text: bytes, resource: str, node: str) -> list[tuple[int, str]]:
    cluster, reasons = decide(text)
    found, place = cluster.find(resource), cluster.node(node)
    assert found is not None
    assert place is not None
    return [(term.amount, term.cause) for term in counting(reasons.terms(found, place)) if term.amount]


def test_each_term_names_its_constraint_or_option() -> None:
    text = cib(
        resources=primitive("a", meta={"resource-stickiness": "7"}) + primitive("b"),
        constraints='<rsc_location id="likes" rsc="a" node="n1" score="100"/>'
        '<rsc_colocation id="near" rsc="b" with-rsc="a" score="50"/>',
        history=[running("a", "n1"), absent("b", ["n1", "n2"])],
    )
    assert account(text, "a", "n1") == [(100, "likes"), (7, "resource-stickiness")]
    assert account(text, "b", "n1") == [(50, "near")]
    assert account(text, "b", "n2") == []


def test_a_colocation_that_would_leave_no_node_is_taken_back_from_the_account() -> None:
    # The dependent may only run where the other one is, which it shuns a little: rather there than nowhere.
    text = cib(
        nodes=["n1"],
        resources=primitive("a") + primitive("b"),
        constraints='<rsc_colocation id="apart" rsc="b" with-rsc="a" score="-50"/>',
        history=[absent("a", ["n1"]), absent("b", ["n1"])],
    )
    cluster, reasons = decide(text)
    b, n1 = cluster.find("b"), cluster.node("n1")
    assert b is not None
    assert n1 is not None
    assert b.allowed[n1.id].score == fold(reasons.terms(b, n1)) == 0
    assert "apart" not in [term.cause for term in reasons.terms(b, n1)]


def test_roles_are_told_with_their_cause() -> None:
    cluster, reasons = decide(cib(down=["n1", "n2"], resources=primitive("a")))
    a = cluster.find("a")
    assert a is not None
    assert (Role.STOPPED, "unable to assign") in reasons.roles(a)


@pytest.mark.parametrize(
    ("task", "node", "cause"),
    [("stop", "n1", "it moves to n2"), ("start", "n2", "it moves from n1 to n2"), ("monitor", "n2", "watched every")],
)
def test_a_move_names_both_ends(task: str, node: str, cause: str) -> None:
    text = cib(
        resources=primitive("a"),
        constraints='<rsc_location id="ban" rsc="a" node="n1" score="-INFINITY"/>',
        history=[running("a", "n1"), absent("a", ["n2"])],
    )
    cluster, reasons = decide(text)
    a = cluster.find("a")
    assert a is not None
    actions = [x for x in a.actions_by_task[task] if not x.has(OPTIONAL)]
    (action,) = [x for x in actions if x.node is not None and x.node.name == node]
    assert any(cause in words for words in causes_of(action, reasons.causes(action)))


def test_asking_why_changes_nothing() -> None:
    text = cib(
        resources=primitive("a") + primitive("b"),
        constraints='<rsc_colocation id="near" rsc="b" with-rsc="a" score="INFINITY"/>',
    )
    assert schedule(text, NOW).graph_xml == schedule(text, NOW, Reasons()).graph_xml


@pytest.mark.parametrize(
    ("meta", "options", "cause"),
    [
        ({"is-managed": "false"}, {}, "it is not managed"),
        ({}, {"stop-all-resources": "true"}, "stop-all-resources is set"),
    ],
)
def test_a_place_refused_whatever_the_scores_is_told(meta: dict[str, str], options: dict[str, str], cause: str) -> None:
    cluster, reasons = decide(cib(resources=primitive("a", meta=meta), options=options))
    a = cluster.find("a")
    assert a is not None
    assert reasons.refusals(a) == [cause]


def test_an_action_blocked_by_another_names_it() -> None:
    text = cib(
        resources=primitive("a") + primitive("b", meta={"target-role": "Stopped"}),
        constraints='<rsc_order id="o" first="b" then="a"/>',
        history=[absent("a", ["n1", "n2"]), absent("b", ["n1", "n2"])],
    )
    cluster, reasons = decide(text)
    a = cluster.find("a")
    assert a is not None
    (start,) = a.actions_by_task["start"]
    assert not start.has(RUNNABLE)
    assert causes_of(start, reasons.causes(start))[:2] == ["unrunnable b start", "unrunnable by b_start_0"]
