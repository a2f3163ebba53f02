# SPDX-License-Identifier: GPL-2.0-or-later
"""The scenario runner itself, with toy machines: blocks, traces, differences, mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.sim.scenario import Outcome, Scenario, ScenarioError, parse, printed
from ha.sim.world import World
from tests.sim.toys import pulse_stack

TEXT = """\
# Two nodes, and a worker that is killed.

cluster 2
start n1 n2
run 300 ms
----
    0.000 n1           power    on
    0.000 n2           power    on
    0.004 n1/attrd     notice   starts at 0
    0.004 n2/attrd     notice   starts at 0

kill n1 attrd
run 50 ms
where
----
    0.300 n1           operator kill attrd
    0.312 n1/attrd     notice   starts at 2
    0.350 operator     operator nothing runs
"""


def make_world(names: list[str], options: dict[str, str], seed: int) -> World:
    return World(pulse_stack(), names, seed=seed, options=options)


def run(text: str) -> Outcome:
    return Scenario(make_world, Path(__file__).parent).run(text)


def test_a_true_trace_agrees_and_prints_the_same_file() -> None:
    outcome = run(TEXT)
    assert outcome.differences == []
    assert printed(outcome.blocks) == TEXT
    assert run(TEXT).fingerprint == outcome.fingerprint


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("starts at 2", "starts at 3", "expected '    0.312 n1/attrd     notice   starts at 3'"),
        ("    0.350 operator     operator nothing runs\n", "", "happened also '    0.350 operator"),
        ("nothing runs\n", "nothing runs\nmore\n", "expected also 'more'"),
    ],
)
def test_another_trace_is_told_by_its_first_line(old: str, new: str, difference: str) -> None:
    [found] = run(TEXT.replace(old, new)).differences
    assert difference in found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("start n1", "first command must be"),
        ("cluster 0", "1 to 128"),
        ("cluster 2\ndance", "no command"),
        ("  continued", "begins with a continuation"),
        ("cluster 1\nstart n1\nexpect web on n1", "web is on no node"),
    ],
)
def test_mistakes_are_named(text: str, reason: str) -> None:
    with pytest.raises(ScenarioError, match=reason):
        run(text)


def test_what_an_operator_cannot_do_is_part_of_the_trace() -> None:
    outcome = run("cluster 1\nstart n1\nkill n9 attrd\nkill n1 cib\n")
    assert [line.split("operator ")[-1] for line in outcome.blocks[0].actual[-3:]] == [
        "kill n9 attrd: there is no node n9; there are n1",
        "kill cib",
        "kill n1 cib: no cib runs on n1",
    ]


def test_every_line_of_a_file_belongs_to_a_block() -> None:
    blocks = parse(TEXT)
    assert [block.number for block in blocks] == [1, 3, 12]
    assert blocks[0].commands() == []
