# SPDX-License-Identifier: GPL-2.0-or-later
"""Which changes are decided for some families of resources only, and which for all; the graph is the same always."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lxml import etree
from lxml.etree import _Element as Element

from ha.pe.core import read, schedule
from ha.pe.core.families import families_of
from tests.unit.pe.following import Follower
from tests.unit.pe.small_cib import NOW, absent, cib, operation, primitive, running

NODES = ("n1", "n2")
STICKY = {"resource-stickiness": "10"}
COUNTED = "fail-count-A#monitor_10000"


def calm(*, constraints: str = "", meta: dict[str, str] | None = None) -> bytes:
    """Eight resources that run where they may stay; nothing is to be done."""
    names = "ABCDEFGH"
    history = []
    for number, name in enumerate(names):
        home, other = NODES[number % 2], NODES[1 - number % 2]
        history += [running(name, home), absent(name, (other,))]
    resources = "".join(primitive(name, meta={**STICKY, **(meta or {})}) for name in names)
    return cib(nodes=NODES, resources=resources, constraints=constraints, history=history)


def fail(root: Element) -> None:
    entry = root.find(".//node_state[@id='n1']/lrm/lrm_resources/lrm_resource[@id='A']")
    assert entry is not None
    entry.append(etree.fromstring(operation("A", "monitor", "n1", interval_ms=10_000, rc=1, call=9, name="A_failed")))


def count(root: Element) -> None:
    block = root.find(".//node_state[@id='n1']/transient_attributes/instance_attributes")
    assert block is not None
    etree.SubElement(block, "nvpair", id="f", name=COUNTED, value="1")


def set_attribute(root: Element) -> None:
    block = root.find(".//node_state[@id='n1']/transient_attributes/instance_attributes")
    assert block is not None
    etree.SubElement(block, "nvpair", id="f", name="pingd", value="1")


def lose(root: Element) -> None:
    state = root.find(".//node_state[@id='n2']")
    assert state is not None
    state.attrib.update({"in_ccm": "false", "crmd": "offline", "join": "down", "expected": "down"})


def define(root: Element) -> None:
    next(root.iter("primitive")).set("type", "Stateful")


def stray(root: Element) -> None:
    entries = root.find(".//node_state[@id='n1']/lrm/lrm_resources")
    assert entries is not None
    entries.append(etree.fromstring(f'<lrm_resource id="gone">{operation("gone", "start", "n1")}</lrm_resource>'))


def lose_quorum(root: Element) -> None:
    root.set("have-quorum", "0")


@pytest.mark.parametrize(
    ("change", "partial"),
    [(fail, 1), (count, 1), (set_attribute, 0), (lose, 0), (define, 0), (stray, 0), (lose_quorum, 0)],
)
def test_what_a_change_is_about(change: Callable[[Element], None], partial: int) -> None:
    follower = Follower(calm())
    follower.check(NOW)
    root = etree.fromstring(follower.text())
    change(root)
    follower.follow(etree.tostring(root))
    follower.check(NOW)
    assert follower.model.partial == partial


def test_what_was_to_be_done_for_others_still_is() -> None:
    follower = Follower(calm())
    follower.check(NOW)
    graphs = []
    for name in ("A", "D"):
        root = etree.fromstring(follower.text())
        home = "n1" if name == "A" else "n2"
        entry = root.find(f".//node_state[@id='{home}']/lrm/lrm_resources/lrm_resource[@id='{name}']")
        assert entry is not None
        more = operation(name, "monitor", home, interval_ms=10_000, rc=1, call=9, name=f"{name}_failed")
        entry.append(etree.fromstring(more))
        follower.follow(etree.tostring(root))
        follower.check(NOW)
        graphs.append(follower.model.schedule(NOW).graph_xml)
    assert follower.model.partial == 4
    assert b'id="A"' in graphs[0]
    assert b'id="A"' in graphs[1]
    assert b'id="D"' in graphs[1]


def test_expiry_is_decided_although_no_diff_tells_of_it() -> None:
    follower = Follower(calm(meta={"failure-timeout": "60s"}))
    follower.check(NOW)
    root = etree.fromstring(follower.text())
    fail(root)
    count(root)
    block = root.find(".//node_state[@id='n1']/transient_attributes/instance_attributes")
    assert block is not None
    etree.SubElement(block, "nvpair", id="l", name="last-failure-A#monitor_10000", value=str(NOW - 5))
    follower.follow(etree.tostring(root))
    for later_s in (0, 10, 1000):
        follower.check(NOW + later_s)
    assert follower.model.partial == 3


@pytest.mark.parametrize(
    ("constraint", "together"),
    [
        ("", 1),
        ('<rsc_order id="x" first="A" then="C"/>', 2),
        ('<rsc_colocation id="x" rsc="A" with-rsc="C" score="10"/>', 2),
        ('<rsc_location id="x" rsc-pattern="." node="n1" score="1"/>', 1),
        ('<rsc_order id="x"><resource_set id="s"><resource_ref id="A"/><resource_ref id="C"/>'
         '<resource_ref id="E"/></resource_set></rsc_order>', 3),
    ],
)  # fmt: skip
def test_constraints_tie(constraint: str, together: int) -> None:
    families = families_of(schedule(calm(constraints=constraint), NOW).cluster)
    assert families is not None
    assert len(families.families[families.number_of["A"]].resources) == together


@pytest.mark.parametrize(
    "constraint",
    [
        '<rsc_location id="x" rsc="A"><rule id="r" score="1"><date_expression id="d" operation="gt" '
        'start="2030-01-01"/></rule></rsc_location>',
        '<rsc_location id="x" rsc="A"><rule id="r" score="1"><expression id="e" attribute="fail-count-B" '
        'operation="defined"/></rule></rsc_location>',
    ],
)
def test_what_depends_on_time_or_on_others_counts_has_no_families(constraint: str) -> None:
    assert families_of(schedule(calm(constraints=constraint), NOW).cluster) is None


def test_a_choice_by_the_number_of_resources_concerns_all() -> None:
    text = cib(resources=primitive("A") + primitive("B"), history=[absent(name, NODES) for name in "AB"])
    decided = schedule(text, NOW).cluster
    assert decided.counts_decided
    assert families_of(decided) is None
    assert not read(text, NOW).counts_decided
