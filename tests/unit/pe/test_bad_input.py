# SPDX-License-Identifier: GPL-2.0-or-later
"""What is no CIB gets a clear error; what is a strange CIB gets a decision."""

from __future__ import annotations

import random

import pytest

from ha.pe.core import CibError, schedule
from ha.pe.model import document
from ha.pe.model.resource import MAX_INSTANCES
from tests.unit.pe.small_cib import NOW, absent, cib, primitive, running

GOOD = cib(resources=primitive("A"), history=[running("A", "n1"), absent("A", ["n2"])])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not xml at all",
        GOOD[: len(GOOD) // 2],
        b"<configuration/>",
        b"<cib/>",
        b'<!DOCTYPE cib [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><cib><configuration>&b;</configuration></cib>',
        b'<!DOCTYPE cib SYSTEM "file:///etc/passwd"><cib><configuration/></cib>',
        b"<cib>\x00</cib>",
        b"\xff\xfe\x00garbage",
    ],
)
def test_what_is_no_cib_is_refused(text: bytes) -> None:
    with pytest.raises(CibError):
        schedule(text, NOW)


def test_a_cib_over_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_CIB_BYTES", 100)
    with pytest.raises(CibError, match="more than 100"):
        schedule(GOOD, NOW)


def test_an_empty_cib_is_a_cluster_without_resources() -> None:
    assert b"<synapse" not in schedule(b"<cib><configuration/></cib>", NOW).graph_xml


def test_comments_and_processing_instructions_do_not_matter() -> None:
    noisy = GOOD.replace(b"<resources>", b"<!-- x --><?y z?><resources><!-- w -->")
    assert schedule(noisy, NOW).graph_xml == schedule(GOOD, NOW).graph_xml


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_attribute_never_breaks_the_engine(seed: int) -> None:
    """Any value may be nonsense: the answer is a decision or a CibError."""
    from lxml import etree

    choice = random.Random(seed)
    root = etree.fromstring(GOOD)
    elements = list(root.iter())
    for _ in range(5):
        element = choice.choice(elements)
        names = list(element.keys())
        if names:
            name = choice.choice(names)
            if choice.random() < 0.3:
                del element.attrib[name]
            else:
                element.set(name, choice.choice(["", "-1", "x" * 300, "INFINITY", "0", "::", "#kind", "A", "n1"]))
            continue
        parent = element.getparent()
        if choice.random() < 0.5 and parent is not None and element.tag != "configuration":
            parent.remove(element)
    try:
        schedule(etree.tostring(root), NOW)
    except CibError as error:
        assert str(error)


def test_an_absurd_number_of_instances_is_cut() -> None:
    meta = '<meta_attributes id="m"><nvpair id="m1" name="clone-max" value="99999999999999999999"/></meta_attributes>'
    decision = schedule(cib(nodes=["n1"], resources=f'<clone id="C">{meta}{primitive("A")}</clone>'), NOW)
    (clone,) = decision.cluster.resources
    assert len(clone.children) == MAX_INSTANCES


def test_constraints_and_history_of_an_unusable_clone_do_not_matter() -> None:
    rules = '<rsc_order id="o" first="C" then="B"/><rsc_colocation id="c" rsc="B" with-rsc="C" score="INFINITY"/>'
    history = [running("A", "n1"), absent("B", ["n1", "n2"])]
    text = cib(resources='<clone id="C"/>' + primitive("B"), constraints=rules, history=history)
    assert b'operation_key="B_start_0"' in schedule(text, NOW).graph_xml


@pytest.mark.parametrize("homes", [{"vm1": "g1"}, {"vm1": "g2", "vm2": "g1"}], ids=["itself", "each other"])
@pytest.mark.parametrize("fencing", ["true", "false"])
def test_a_guest_that_is_said_to_run_on_itself_gets_a_decision(homes: dict[str, str], fencing: str) -> None:
    """Who would have to be fenced to end it? Asking host by host came to no end."""
    guests = {"vm1": "g1", "vm2": "g2"}
    resources = "".join(primitive(vm, meta={"remote-node": guest}) for vm, guest in guests.items())
    text = cib(
        nodes=("n1", "g1", "g2"), resources=resources, options={"stonith-enabled": fencing},
        history=[running(vm, home) for vm, home in homes.items()],
    ).decode()  # fmt: skip
    for guest in guests.values():
        text = text.replace(f'<node id="{guest}" uname="{guest}"/>', "")
        text = text.replace(f'<node_state id="{guest}"', f'<node_state remote_node="true" id="{guest}"')
    assert schedule(text.encode(), NOW).graph_xml
