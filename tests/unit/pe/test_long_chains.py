# SPDX-License-Identifier: GPL-2.0-or-later
"""Long chains and deep nesting: the right answer or a clear error, never a crash."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.pe import core
from ha.pe.core import CibError, schedule
from tests.unit.pe.long_chain import chain
from tests.unit.pe.small_cib import NOW, Plan, absent, cib, primitive

HOUSE = Path(__file__).parents[3]
LITTLE_DEPTH = 350
STARTS_STOPS_MIGRATIONS = {
    "ordered": (1, 0, 0),
    "ordered, never looked for": (1, 0, 0),
    "ordered, the first disabled": (0, 0, 0),
    "ordered, the first to be stopped": (0, 1, 0),
    "ordered, moved": (1, 1, 0),
    "ordered backwards": (1, 0, 0),
    "ordered, two nodes change places": (0, 1, 1),
    "colocated": (1, 0, 0),
    "colocated backwards": (1, 0, 0),
    "in a group": (1, 0, 0),
}
"""What is to be done, by kind of chain, with each of its resources."""


def decided(kind: str, count: int) -> str:
    """What `tests.unit.pe.long_chain` prints; it ends by a signal if it comes to the end of its small stack."""
    command = [sys.executable, "-m", "tests.unit.pe.long_chain", kind, str(count)]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ended with {done.returncode}: {done.stderr[-500:]}"
    return done.stdout.strip()


@pytest.mark.parametrize("kind", STARTS_STOPS_MIGRATIONS)
def test_no_walk_along_a_chain_needs_stack_for_each_resource(kind: str) -> None:
    assert decided(kind, 300) == " ".join(str(300 * times) for times in STARTS_STOPS_MIGRATIONS[kind])


@pytest.fixture
def little_depth(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = sys.getrecursionlimit()
    monkeypatch.setattr(core, "RECURSION_LIMIT", LITTLE_DEPTH)
    sys.setrecursionlimit(LITTLE_DEPTH)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("little_depth")
def test_a_chain_that_is_too_long_is_an_error_that_says_so() -> None:
    with pytest.raises(CibError, match="a chain of constraints is longer than can be followed"):
        schedule(chain("ordered, the first disabled", 1000), NOW)


def nested_rule(depth: int, place: str) -> str:
    """So many rules in each other, true where the attribute `a` is not defined; without rules, nothing."""
    test = '<expression id="e" attribute="a" operation="not_defined"/>'
    rules = "".join(f'<rule id="{place}-{level}" score="INFINITY" boolean-op="and">' for level in range(depth))
    return f"{rules}{test}{'</rule>' * depth}"


def with_nested_rules(depth: int) -> bytes:
    option = f'{nested_rule(depth, "o")}<nvpair id="o-w" name="stop-all-resources" value="false"/>'
    location = f'<rsc_location id="l" rsc="r">{nested_rule(depth, "l")}</rsc_location>'
    text = cib(resources=primitive("r"), constraints=location, history=[absent("r", ("n1", "n2"))])
    return text.replace(b'<cluster_property_set id="o">', f'<cluster_property_set id="o">{option}'.encode())


def test_rules_may_be_nested_deep() -> None:
    assert "r_start_0@n1" in Plan(schedule(with_nested_rules(200), NOW).graph_xml).names


def test_what_is_nested_too_deep_for_xml_is_an_error_that_says_so() -> None:
    with pytest.raises(CibError, match="not well-formed XML"):
        schedule(with_nested_rules(5000), NOW)


@pytest.mark.usefixtures("little_depth")
def test_what_is_nested_too_deep_for_the_reader_is_an_error_that_says_so() -> None:
    with pytest.raises(CibError, match="nested deeper than can be followed"):
        schedule(with_nested_rules(200), NOW)
