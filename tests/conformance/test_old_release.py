# SPDX-License-Identifier: GPL-2.0-or-later
"""What is taken out of two answers before they are compared takes no real difference with it."""

from __future__ import annotations

import pytest

from tests.conformance.cases import VISIBLE, load_judge
from tests.conformance.old_release import HABITS, Newer, Texts, digest, kind_of, same, without_habits

SUMMARY = """Current cluster status:
  * Full List of Resources:
    * {first}	(ocf:pacemaker:Dummy):	 Started n1{remark}
    * {second}	(ocf:pacemaker:Dummy):	 Started n2{remark}

Transition Summary:

Revised Cluster Status:
  * Full List of Resources:
    * {first}	(ocf:pacemaker:Dummy):	 Started n1{remark}
"""
GRAPH = """<transition_graph>
  <synapse id="0"{priority}>
    <action_set>
      <crm_event id="1" operation="stonith" operation_key="stonith-n1-off" on_node="n1">
        <attributes CRM_meta_on_node="n1" {more}/>
      </crm_event>
    </action_set>
    <inputs/>
  </synapse>
</transition_graph>
"""


def answer(first: str = "A", remark: str = "", priority: str = "", more: str = "", scores: str = "") -> Texts:
    second = "B" if first == "A" else "A"
    return Texts(
        SUMMARY.format(first=first, second=second, remark=remark),
        GRAPH.format(priority=priority, more=more),
        scores,
        'digraph "g" {\n}',
    )


SAME = [
    (answer(), answer(priority=' priority="7"')),
    (answer(more='CRM_meta_site="a"'), answer()),
    (answer(remark=" (unmanaged)"), answer(remark=" (maintenance)")),
    (answer(scores="C:0 promotion score on none: 0"), answer(scores="C:0 promotion score (inactive): -INFINITY")),
]
OTHER = [
    (answer(), answer(remark=" (blocked)")),
    (answer(more='CRM_meta_stonith_action="off"'), answer(more='CRM_meta_stonith_action="reboot"')),
    (answer(scores="C:0 promotion score on n1: 0"), answer(scores="C:0 promotion score on n1: 5")),
]


@pytest.mark.parametrize(("old", "new"), SAME)
def test_a_habit_is_taken_out(old: Texts, new: Texts) -> None:
    assert old != new
    one, other = without_habits(old, new)
    assert one.summary == other.summary
    assert one.graph.split() == other.graph.split()
    assert one.scores == other.scores


@pytest.mark.parametrize(("old", "new"), OTHER)
def test_a_difference_stays(old: Texts, new: Texts) -> None:
    one, other = without_habits(old, new)
    assert one != other


def test_blocks_of_the_list_are_sorted_with_what_belongs_to_them() -> None:
    listed = "  * Full List of Resources:\n    * G:\n      * b\n      * a\n    * A\n\nTransition Summary:\n"
    sorted_list = "  * Full List of Resources:\n    * A\n    * G:\n      * b\n      * a\n\nTransition Summary:"
    texts = Texts(listed, "", "", "")
    assert without_habits(texts, texts)[0].summary == sorted_list


def test_a_clone_with_an_unmanaged_instance_is_left_out_of_both() -> None:
    shown = "    * A\n    * Clone Set: C [P]:\n      * P\t Started g1 (unmanaged)\n    * B"
    hidden = "    * A\n    * Clone Set: C [P]:\n      * Stopped: [ g1 ]\n    * B"
    one, other = without_habits(Texts(shown, "", "", ""), Texts(hidden, "", "", ""))
    assert one.summary == other.summary == "    * A\n    * B"


@pytest.mark.skipif(not VISIBLE.is_dir(), reason=f"Pacemaker's cases, and their judge, are not here: {VISIBLE}")
def test_the_record_holds_for_one_answer_only() -> None:
    judge = load_judge(VISIBLE)
    case, ours = judge.Case("some"), answer()
    newer = Newer(None, judge)
    newer.agrees = {"some": digest(judge, ours)}
    assert newer.agrees_with(case, VISIBLE, answer(priority=' priority="7"'))
    assert not newer.agrees_with(case, VISIBLE, answer(scores="C:0 promotion score on n1: 5"))
    assert same(judge, case, answer(priority=' priority="7"'), ours, HABITS)
    assert not same(judge, case, answer(priority=' priority="7"'), ours, ())
    assert kind_of(judge, ours, ours) == "same actions, other words"
    assert kind_of(judge, ours, answer(scores="C:0 promotion score on n1: 5")) == "same actions, other scores"
