# SPDX-License-Identifier: GPL-2.0-or-later
"""Digits in a CIB: more than Python reads as a number, and characters that only look like digits."""

from __future__ import annotations

from functools import cmp_to_key
from pathlib import Path

import pytest
from lxml import etree

from ha.cli.crm_simulate import main as crm_simulate
from ha.pe.model import scores
from ha.pe.model.action import split_key
from ha.pe.model.digits import LARGEST, number
from ha.pe.model.values import compare_names, integer, integer_range, interval_ms, milliseconds
from tests.unit.cli.simulated_cluster import CLUSTER

ENDLESS = "9" * 5_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-7", -7), ("+7", 7), ("9" * 18, LARGEST), ("1" + "0" * 18, LARGEST), ("0" * 5_000 + "12", 12),
        ("-" + "0" * 40, 0), (ENDLESS, LARGEST), ("-" + ENDLESS, -LARGEST), ("\u0663", 3),
    ],
)  # fmt: skip
def test_a_number_has_at_most_eighteen_digits(text: str, value: int) -> None:
    assert number(text) == value


def test_every_kind_of_value_bears_an_endless_number() -> None:
    assert integer(ENDLESS) == integer(f"{ENDLESS} apples") == LARGEST
    assert milliseconds(f"{ENDLESS}ms") == LARGEST
    assert interval_ms(f"{ENDLESS}s") == interval_ms(f"P{ENDLESS}D") == 2**32 - 1
    assert integer_range(f"1-{ENDLESS}") == (1, LARGEST)
    assert scores.parse(f"-{ENDLESS}") == scores.MINUS_INFINITY
    assert split_key(f"A_monitor_{ENDLESS}") == ("A", "monitor", LARGEST)


def test_names_with_endless_numbers_and_odd_digits_are_in_one_order() -> None:
    names = ["n\u00b2", "n2", "n10", f"n{ENDLESS}", f"n{ENDLESS}9", "n"]
    once = sorted(names, key=cmp_to_key(compare_names))
    names.reverse()
    assert once == sorted(names, key=cmp_to_key(compare_names)), "whatever the order they are given in"
    assert once.index("n2") < once.index("n10") < once.index(f"n{ENDLESS}")
    assert split_key("A_monitor_\u00b2") is None


SPOTS = sorted({(str(e.tag), str(name)) for e in etree.fromstring(CLUSTER).iter() for name in e.attrib})


@pytest.mark.parametrize(("tag", "name"), SPOTS)
@pytest.mark.parametrize("value", [ENDLESS, "\u00b2"])
def test_nothing_in_a_cib_ends_in_a_trace_back_for_its_digits(
    tag: str, name: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = etree.fromstring(CLUSTER)
    for element in root.iter(tag):
        if name in element.attrib:
            element.set(name, value)
            break
    path = str(tmp_path / "cib.xml")
    etree.ElementTree(root).write(path)
    assert crm_simulate(["-x", path, "-S", "-s", "-U", "-A", "-c"]) in (0, 1, 65)
    capsys.readouterr()
