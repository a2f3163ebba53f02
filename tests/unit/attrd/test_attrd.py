# SPDX-License-Identifier: GPL-2.0-or-later
"""What callers ask of attrd, what every node then knows, and what the CIB has."""

from __future__ import annotations

import pytest

from ha.attrd import model
from ha.attrd.core.attrd import ASK_LIMIT_MS, GATHER_LIMIT_MS, INVALID_PARAMETER, TIMED_OUT
from ha.attrd.msg import ClearFailures, ClearNode, Refresh, UpdateAttribute
from ha.cib.msg import Write, Written
from ha.machine import Client, Message, Note, Received, Remote
from tests.unit.attrd.world import CRMD, World


def update(request_id: str, name: str, value: str | None, node: str = "", **more: object) -> UpdateAttribute:
    return UpdateAttribute(request_id=request_id, name=name, value=value, node=node, **more)  # type: ignore[arg-type]


def cluster(*names: str, ids: dict[str, str] | None = None) -> World:
    world = World(*names, ids=ids)
    world.start(*names)
    world.run(100)
    world.writes.clear()
    return world


def test_a_value_is_on_every_node_and_in_the_cib_before_the_caller_is_answered() -> None:
    world = cluster("n1", "n2", "n3", ids={"n2": "17"})
    answer = world.ask("n1", update("r1", "pingd", "100", node="n2"))
    assert answer is not None
    assert answer.rc == 0
    assert world.written("n2") == {"pingd": "100"}
    for name in ("n1", "n2", "n3"):
        assert world.table(name) == {"n2:pingd": "100"}
    pair = world.cib.root.find(".//nvpair")
    assert pair is not None
    assert pair.get("id") == "status-17-pingd"
    place = pair.getparent()
    assert place is not None
    assert place.get("id") == "status-17"


def test_none_removes_the_value_everywhere() -> None:
    world = cluster("n1", "n2")
    world.ask("n1", update("r1", "a", "1"))
    world.ask("n1", update("r2", "b", "2"))
    assert world.ask("n1", update("r3", "a", None)) is not None
    assert world.written("n1") == {"b": "2"}
    assert world.table("n2") == {"n1:b": "2"}


def test_counting_from_two_nodes_loses_nothing_and_a_repeated_request_counts_once() -> None:
    world = cluster("n1", "n2", "n3")
    for number in range(5):
        world.say("n1", update(f"x{number}", "fail-count-db#monitor_10000", "fail-count-db#monitor_10000++", "n3"))
        world.say("n2", update(f"y{number}", "fail-count-db#monitor_10000", "value++", "n3"))
        world.say("n2", update(f"y{number}", "fail-count-db#monitor_10000", "value++", "n3"))
    world.run(200)
    world.say("n1", update("x0", "fail-count-db#monitor_10000", "fail-count-db#monitor_10000++", "n3"))
    world.run(200)
    assert world.written("n3") == {"fail-count-db#monitor_10000": "10"}


def test_failures_of_one_operation_of_one_resource_or_of_all_are_cleared() -> None:
    world = cluster("n1", "n2")
    for node in ("n1", "n2"):
        for name in ("fail-count-db#monitor_10000", "last-failure-db#monitor_10000", "fail-count-db#start_0",
                     "fail-count-db2#start_0", "pingd"):  # fmt: skip
            world.ask("n1", update(f"{node}{name}", name, "1", node))
    clear = ClearFailures(request_id="c1", resource_id="db", node="n1", operation="monitor", interval_ms=10_000)
    assert world.ask("n2", clear) is not None
    assert world.written("n1") == {"fail-count-db#start_0": "1", "fail-count-db2#start_0": "1", "pingd": "1"}
    assert world.ask("n2", ClearFailures(request_id="c2", resource_id="db")) is not None
    assert world.written("n1") == {"fail-count-db2#start_0": "1", "pingd": "1"}
    assert world.ask("n2", ClearFailures(request_id="c3")) is not None
    assert world.written("n2") == world.written("n1") == {"pingd": "1"}


def test_private_attributes_are_known_but_never_written() -> None:
    world = cluster("n1", "n2")
    answer = world.ask("n1", update("r1", "secret", "x", private=True))
    assert answer is not None
    assert world.table("n2") == {"n1:secret": "x"}
    world.ask("n1", Refresh(request_id="r2"), 1_000)
    assert world.written("n1") == {}


def test_dampening_holds_the_write_until_nothing_changed_for_that_long() -> None:
    world = cluster("n1", "n2")
    for number in range(4):
        answer = world.ask("n1", update(f"r{number}", "pingd", str(number), dampen_ms=100), 60)
        assert answer is not None
        assert world.written("n1") == {}
        assert world.table("n2") == {"n1:pingd": str(number)}
    world.run(100)
    assert world.written("n1") == {"pingd": "3"}
    assert len([write for write in world.writes if write.operation == "modify"]) == 1


def test_dampening_stays_until_it_is_set_anew() -> None:
    world = cluster("n1")
    world.ask("n1", update("r1", "pingd", "1", dampen_ms=100), 200)
    world.ask("n1", update("r2", "pingd", "2"), 60)
    assert world.written("n1") == {"pingd": "1"}
    world.ask("n1", update("r3", "pingd", "3", keep_dampening=False), 20)
    assert world.written("n1") == {"pingd": "3"}


def test_a_restarted_attrd_loses_nothing() -> None:
    world = cluster("n1", "n2")
    world.ask("n1", update("r1", "a", "1"))
    world.ask("n1", update("r2", "p", "2", private=True))
    world.restart_worker("n1")
    world.run(100)
    assert world.table("n1") == {"n1:a": "1", "n1:p": "2"}
    assert world.written("n1") == {"a": "1"}
    world.ask("n1", update("r3", "a", "value++"))
    assert world.written("n1") == {"a": "2"}


def test_a_restarted_attrd_that_is_alone_reads_its_values_from_the_cib() -> None:
    world = cluster("n1")
    world.ask("n1", update("r1", "a", "<&\"'\n>"))
    world.restart_worker("n1")
    world.run(100)
    assert world.table("n1") == {"n1:a": "<&\"'\n>"}


def test_a_node_that_boots_has_no_attributes_whatever_others_know() -> None:
    world = cluster("n1", "n2")
    world.ask("n1", update("r1", "a", "1", "n2"))
    world.kill("n2")
    world.start("n2")
    world.run(1_000)
    assert world.table("n1") == world.table("n2") == {}
    assert world.written("n2") == {}


def test_attributes_of_a_lost_node_are_changed_by_the_oldest_member_until_it_is_cleared() -> None:
    world = cluster("n1", "n2", "n3")
    world.ask("n3", update("r1", "a", "1", "n3"))
    world.stop("n3")
    assert world.ask("n2", update("r2", "a", "value++", "n3")) is not None
    assert world.written("n3") == {"a": "2"}
    world.say("n2", ClearNode(node="n3"))
    world.run()
    assert world.written("n3") == {}
    assert world.table("n1") == world.table("n2") == {}


def test_a_request_to_a_node_that_dies_is_taken_over() -> None:
    world = cluster("n1", "n2", "n3")
    world.kill("n3")
    assert world.ask("n2", update("r1", "a", "1", "n3"), 500) is None
    world.tell_view(lost=("n3",))
    world.run(100)
    assert world.written("n3") == {"a": "1"}


def test_the_cib_may_be_away_or_refuse_and_has_the_values_in_the_end() -> None:
    world = cluster("n1", "n2")
    world.cib_goes()
    assert world.ask("n1", update("r1", "a", "1"), 1_000) is None
    world.cib_comes()
    world.run(100)
    assert world.written("n1") == {"a": "1"}

    def no_quorum(write: Write) -> Written:
        return Written(request_id=write.request_id, outcome="refused", rc=106, reason="no quorum")

    world.refuse = no_quorum
    answer = world.ask("n1", update("r2", "a", "2"))
    assert answer is not None
    assert (answer.rc, answer.reason) == (106, "no quorum")
    world.refuse = lambda write: None
    world.run(500)
    assert world.written("n1") == {"a": "2"}


def test_a_fate_that_is_unknown_is_asked_for_again_with_the_same_id() -> None:
    world = cluster("n1")
    seen: list[str] = []

    def unknown_once(write: Write) -> Written | None:
        seen.append(write.request_id)
        return Written(request_id=write.request_id, outcome="unknown") if len(seen) == 1 else None

    world.refuse = unknown_once
    assert world.ask("n1", update("r1", "a", "1"), 1_000) is not None
    assert seen[0] == seen[1]
    assert world.written("n1") == {"a": "1"}


def test_an_update_that_cannot_be_carried_out_is_answered_in_the_end() -> None:
    world = cluster("n1", "n2")
    world.cib_goes()
    answer = world.ask("n1", update("r1", "a", "1"), ASK_LIMIT_MS + 1_000)
    assert answer is not None
    assert answer.rc == TIMED_OUT


def test_a_member_without_attrd_is_not_waited_for_for_ever() -> None:
    world = World("n1", "n2")
    world.start("n1", "n2")
    world.kill("n2")
    world.run(50)
    assert world.ask("n1", update("r1", "a", "1"), 100) is None
    world.run(GATHER_LIMIT_MS)
    assert world.written("n1") == {"a": "1"}
    assert any("n2" in note for note in world.nodes["n1"].notes)


def test_halves_that_lived_apart_agree_again() -> None:
    world = cluster("n1", "n2")
    world.ask("n1", update("r1", "a", "1"))
    one, other = world.nodes["n1"].core, world.nodes["n2"].core
    world.nodes["n2"].core = None
    world.tell_view(lost=("n2",))
    world.ask("n1", update("r2", "a", "2"))
    world.nodes["n1"].core, world.nodes["n2"].core = None, other
    world.tell_view(lost=("n1",))
    world.ask("n2", update("r3", "b", "3"))
    world.nodes["n1"].core = one
    world.tell_view(joined=("n1", "n2"))
    world.run(1_000)
    assert world.table("n1") == world.table("n2") == {"n1:a": "2", "n2:b": "3"}
    assert (world.written("n1"), world.written("n2")) == ({"a": "2"}, {"b": "3"})


@pytest.mark.parametrize(
    ("name", "value", "node"),
    [
        ("a b", "1", ""),
        ("a'b", "1", ""),
        ("", "1", ""),
        ("a" * 300, "1", ""),
        ("a", "\x00", ""),
        ("a", "\ud800", ""),
        ("a", "x" * 100_000, ""),
        ("a", "1", "n1']"),
        ("a", "1", "no node"),
    ],
)
def test_what_cannot_be_an_attribute_is_refused_with_a_reason(name: str, value: str, node: str) -> None:
    world = cluster("n1")
    answer = world.ask("n1", update("r1", name, value, node))
    assert answer is not None
    assert answer.rc == INVALID_PARAMETER
    assert answer.reason
    assert world.table("n1") == {}


def test_what_is_no_business_of_attrd_is_noted_and_ignored() -> None:
    world = cluster("n1")
    core = world.nodes["n1"].core
    assert core is not None

    class Tidings(Message, frozen=True, kw_only=True, tag="test.AttrdTidings"):
        """A message of some other module."""

    for sender in (CRMD, Client("tool", 1, 0), Remote("n2", "attrd")):
        effects = core.step(Received(sender, Tidings()), world.now)
        assert [type(effect) for effect in effects] == [Note]


@pytest.mark.parametrize(
    ("present", "value", "result"),
    [
        (None, "n++", "1"),
        ("4", "n++", "5"),
        ("4", "value++", "5"),
        ("4", "n+=3", "7"),
        ("4", "value+=-6", "-2"),
        ("INFINITY", "n++", "INFINITY"),
        ("999999", "n+=2", "INFINITY"),
        ("1", "n+=INFINITY", "INFINITY"),
        ("-INFINITY", "n++", "-INFINITY"),
        ("word", "n++", "1"),
        ("4", "c++", "c++"),
        ("4", "other+=1", "other+=1"),
        ("4", None, None),
        ("4", "", ""),
    ],
)
def test_arithmetic(present: str | None, value: str | None, result: str | None) -> None:
    assert model.expand("n", value, present) == result


@pytest.mark.parametrize("garbage", ["", "no xml", "<a/>", "<node_state/>", "<node_state id='1'", "\x00"])
def test_a_node_state_that_is_none_is_an_error(garbage: str) -> None:
    with pytest.raises(ValueError, match=r"(XML|node_state)"):
        model.read_state(garbage)
