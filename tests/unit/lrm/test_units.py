# SPDX-License-Identifier: GPL-2.0-or-later
"""Dialogues with systemd, without a bus: whatever is answered, they end in an outcome or in a named refusal."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.lrm.core.units import Ask, DropIn, Nonsense, Refused, UnitOutcome, action, list_units
from ha.lrm.model.units import drop_in, unit_metadata, unit_name

values = st.recursive(
    st.none() | st.integers() | st.text(max_size=8) | st.just("/org/unit") | st.just("active"),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)


@given(st.sampled_from(["start", "stop", "restart", "monitor", "promote"]), st.lists(values, max_size=12))
def test_any_answers_lead_to_an_outcome(operation: str, answers: list[Any]) -> None:
    dialogue = action(operation, "web.service")
    try:
        dialogue.send(None)
        for answer in answers:
            dialogue.send(answer)
    except StopIteration as end:
        assert isinstance(end.value, UnitOutcome)
    except (Nonsense, Refused):
        pass
    dialogue.close()


@given(values)
def test_any_list_is_a_list_or_nonsense(answer: Any) -> None:
    dialogue = list_units()
    dialogue.send(None)
    try:
        dialogue.send(answer)
    except Nonsense:
        return
    dialogue.close()


def test_the_drop_in_is_read_before_the_start() -> None:
    dialogue = action("start", "web.service")
    steps = [dialogue.send(None)]
    for answer in (("/u",), (("s", "loaded"),), True, (), ("/job/1",), "done"):
        steps.append(dialogue.send(answer))
    said = [step.method if isinstance(step, Ask) else type(step).__name__ for step in steps]
    assert said == ["LoadUnit", "Get", "DropIn", "Reload", "StartUnit", "AwaitJob", "Get"]
    assert steps[2] == DropIn("web.service", drop_in("web.service"))
    with pytest.raises(StopIteration) as end:
        dialogue.send((("s", "active"),))
    assert end.value.value == UnitOutcome(0)


@pytest.mark.parametrize(
    ("name", "unit"), [("web", "web.service"), ("x@y", "x@y.service"), ("a.socket", "a.socket"), ("v.1", "v.1.service")]
)
def test_names(name: str, unit: str) -> None:
    assert unit_name(name) == unit
    assert unit in unit_metadata(name)


@pytest.mark.parametrize("name", ["", "../x", "a b", "x/y", ".hidden", "a" * 300, "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a systemd unit"):
        unit_name(name)


def test_a_node_without_units_does_not_load_the_library() -> None:
    look = "import sys, ha.lrm.daemon; print('jeepney' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout == "False\n"
