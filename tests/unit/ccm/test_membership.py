# SPDX-License-Identifier: GPL-2.0-or-later
"""Scenarios: what a cluster of ccms tells its modules, step by step."""

from __future__ import annotations

from functools import partial

import msgspec
import pytest

from ha.ccm import model
from ha.ccm.core import build
from ha.ccm.msg import (
    Accept,
    ConfirmedDown,
    GetMembership,
    Member,
    MembershipEvent,
    Propose,
    Reach,
    Report,
    View,
    ViewId,
)
from ha.heartbeat.msg import NodeState, NodeStatus
from ha.machine import Client, Connected, Local, Message, Note, Persist, Received, Remote, Reply, Send, Started
from tests.unit.ccm.world import CRMD, DEADTIME_MS, HEARTBEAT, INITDEAD_MS, RESPAWN_MS, World


def started(names: str, seed: int = 1) -> World:
    world = World(names, seed, delay_ms=(1, 1))
    for name in names:
        world.power_on(name)
    assert world.run(INITDEAD_MS, lambda: world.agreement(names)), world.log
    for node in world.nodes.values():
        node.heard.clear()
    return world


def view(world: World, name: str) -> View:
    told = world.nodes[name].told
    assert told is not None
    assert told.view is not None
    return told.view


def events(world: World, name: str) -> list[str]:
    return [event.event for event in world.nodes[name].heard]


@pytest.mark.parametrize("names", ["ab", "abc", "abcdefgh"])
def test_nodes_that_boot_together_form_one_first_view(names: str) -> None:
    world = World(names, 3)
    for name in names:
        world.power_on(name)
    assert world.run(INITDEAD_MS, lambda: world.agreement(names))
    assert len(world.agreed) == 1
    assert view(world, "a").joined == tuple(names)
    assert view(world, "a").lost == ()


def test_one_node_that_never_comes_is_waited_for_until_initdead() -> None:
    world = World("abc", 1)
    world.power_on("a")
    world.power_on("b")
    world.run(INITDEAD_MS - 50)
    assert [world.members(name) for name in "ab"] == ["", ""]
    assert world.run(100, lambda: world.agreement("ab"))
    assert len(world.agreed) == 1


@pytest.mark.parametrize("victim", ["a", "b", "e"])
def test_a_loss_is_one_view_soon_after_all_survivors_have_seen_it(victim: str) -> None:
    world = started("abcde")
    rest = "abcde".replace(victim, "")
    world.power_off(victim)

    def all_have_seen_it() -> bool:
        return all(world.nodes[name].sights[victim].state == "dead" for name in rest)

    assert world.run(DEADTIME_MS + 1, all_have_seen_it)
    seen_at = world.now
    assert world.run(100, lambda: world.agreement(rest))
    # Propose, Accept, and the report that the view is held, 1 ms each; the last Reach may be one behind.
    assert world.now - seen_at <= 5
    assert len(world.agreed) == 2
    for name in rest:
        assert view(world, name).lost == (victim,)
        assert view(world, name).left == ()
        assert "dead by test" in view(world, name).evidence[victim]
        assert events(world, name)[-1] == "NEW_MEMBERSHIP"


def test_two_losses_at_once_end_in_at_most_two_views() -> None:
    for seed in range(10):
        world = started("abcde", seed)
        world.power_off("a")
        world.power_off("d")
        assert world.run(DEADTIME_MS + 50, partial(world.agreement, "bce"))
        assert len(world.agreed) <= 3


def test_a_clean_leave_needs_no_timeout_and_is_told_as_such() -> None:
    world = started("abc")
    world.leave("b")
    assert world.run(20, lambda: world.agreement("ac"))
    assert view(world, "a").lost == ("b",)
    assert view(world, "a").left == ("b",)
    world.power_on("b", same_boot=True)
    assert world.run(100, lambda: world.agreement("abc"))
    assert view(world, "a").joined == ("b",)


def test_a_restarted_ccm_takes_up_its_view() -> None:
    world = started("abc")
    before = view(world, "b")
    for name in "abc":
        world.kill(name)
        world.run(RESPAWN_MS + 20)
    assert len(world.agreed) == 1
    assert view(world, "b") == before
    assert events(world, "a") == ["NEW_MEMBERSHIP"]
    assert world.at_rest()


def test_all_ccms_restarted_at_once_take_up_their_view() -> None:
    world = started("abc")
    for name in "abc":
        world.kill(name)
    assert world.run(RESPAWN_MS + 20, lambda: world.agreement("abc"))
    world.run(100)
    assert len(world.agreed) == 1


def test_a_restarted_heartbeat_is_no_change() -> None:
    world = started("abc")
    world.restart_heartbeat("b")
    world.run(500)
    assert len(world.agreed) == 1
    assert [event for name in "abc" for event in events(world, name)] == []


def test_a_node_that_reboots_faster_than_deadtime_is_lost_and_joins() -> None:
    world = started("abc")
    old = view(world, "a")
    world.power_off("b")
    world.run(5)
    world.power_on("b")
    assert world.run(DEADTIME_MS - 50, lambda: world.agreement("abc") and len(world.agreed) > 1)
    heard = [event.view for event in world.nodes["a"].heard if event.view is not None and event.view.id > old.id]
    assert "b" in {node for told in heard for node in told.lost}
    assert "b" in {node for told in heard for node in told.joined}
    assert view(world, "a").names() == ("a", "c", "b")


def test_halves_that_meet_again_keep_the_age_of_the_quorate_one() -> None:
    world = started("abc")
    for other in "bc":
        world.cut_off("a", other)
    assert world.run(DEADTIME_MS + 50, lambda: world.agreement("bc") and world.members("a") == "a-")
    world.heal()
    assert world.run(200, lambda: world.agreement("abc"))
    merged = view(world, "b")
    assert merged.names() == ("b", "c", "a")
    assert [member.born_on for member in merged.members][:2] == [1, 1]
    assert view(world, "a").joined == ("b", "c")
    assert view(world, "a").lost == ()
    assert view(world, "b").joined == ("a",)


def test_a_one_way_link_cuts_out_the_younger_end_and_it_learns_that_it_is_out() -> None:
    world = started("abc")
    world.cut("c", "a")
    assert world.run(DEADTIME_MS + 100, lambda: world.agreement("ab") and world.members("c") == "c-")
    assert events(world, "c") == ["NOT_PRIMARY", "EVICTED", "INVALID"]


def test_doubt_is_told_and_taken_back_when_the_view_stands_after_all() -> None:
    world = started("abc")
    core = world.nodes["c"].core
    assert core is not None

    def told(state: NodeState) -> list[str]:
        status = NodeStatus(node="b", state=state, generation=1, boot_id="b-boot1", evidence="a dropped beat")
        effects = core.step(Received(HEARTBEAT, status), world.now)
        messages = [effect.message for effect in effects if isinstance(effect, Send) and effect.to == CRMD]
        return [message.event for message in messages if isinstance(message, MembershipEvent)]

    # c misses b and cannot know whether b died or only its link: it waits for what a makes of it.
    assert told("dead") == ["NOT_PRIMARY"]
    assert told("active") == ["PRIMARY_RESTORED"]


def test_a_hung_ccm_on_a_node_that_is_heard_is_cut_out_in_the_end() -> None:
    world = started("abc")
    world.kill("c", respawn_ms=5_000)
    world.run(300)
    assert world.members("a") == "abc"
    assert world.run(1_000, lambda: world.members("a") == "ab")
    assert "membership service" in view(world, "a").evidence["c"]
    assert world.run(5_000, lambda: world.agreement("abc"))


def test_two_nodes_a_half_is_quorate_only_after_confirmed_fencing() -> None:
    world = started("ab")
    world.power_off("b")
    world.run(DEADTIME_MS + 50)
    assert world.members("a") == "a-"
    unquorate = view(world, "a").id
    world.fence("a", "b")
    assert world.run(50, lambda: world.members("a") == "a")
    assert view(world, "a").id.instance > unquorate.instance
    assert events(world, "a")[-1] == "NEW_MEMBERSHIP"


def test_two_nodes_a_clean_leave_leaves_the_other_quorate_and_last_man() -> None:
    world = started("ab")
    world.leave("b")
    assert world.run(50, lambda: world.members("a") == "a")
    world.power_off("a")
    world.power_on("a")
    assert world.run(INITDEAD_MS + 50, lambda: world.members("a") == "a")


def test_two_nodes_who_is_not_the_last_man_waits_for_the_other_even_after_fencing_it() -> None:
    world = started("ab")
    world.leave("b")
    world.run(50)
    world.power_off("a")
    world.power_on("b")
    world.run(INITDEAD_MS + 50)
    assert world.members("b") == "b-"
    world.fence("b", "a")
    world.run(500)
    assert world.members("b") == "b-"
    world.power_on("a")
    assert world.run(500, lambda: world.agreement("ab"))


def test_two_nodes_a_last_man_that_agreed_to_join_the_other_claims_nothing_any_more() -> None:
    world = started("ab")
    world.leave("a")
    assert world.run(50, lambda: world.members("b") == "b")
    world.power_off("b")
    world.power_on("a")
    world.power_on("b")
    b = world.nodes["b"]
    # b dies when a has its word, but before it could install the view that a then holds.
    assert world.run(INITDEAD_MS, lambda: b.core is not None and b.core.context.state.promise is not None)
    assert b.told is None
    world.run(2, lambda: world.members("a") == "ab")
    world.power_off("b")
    assert world.run(DEADTIME_MS + 50, lambda: world.members("a") in ("a-", ""))
    world.cut_off("a", "b")
    world.power_on("b")
    world.run(INITDEAD_MS + 500)
    assert world.members("b") == "b-"


def test_two_nodes_who_lacks_the_cib_of_the_last_man_waits_for_it_even_after_fencing_it() -> None:
    """What was acknowledged while the other was alone is nowhere else (swarm seed 730)."""
    world = started("ab")
    world.leave("b")
    assert world.run(50, lambda: world.members("a") == "a")
    world.cibs = False
    world.power_on("b")
    assert world.run(INITDEAD_MS, lambda: world.agreement("ab"))
    world.power_off("a")
    world.run(DEADTIME_MS + 50)
    world.fence("b", "a")
    world.run(500)
    assert world.members("b") == "b-"
    world.power_on("a")
    assert world.run(INITDEAD_MS, lambda: world.agreement("ab"))
    world.synchronize("b", view(world, "b").id)
    world.run(50)
    world.power_off("a")
    world.run(DEADTIME_MS + 50)
    world.fence("b", "a")
    assert world.run(500, lambda: world.members("b") == "b")


def test_two_nodes_who_left_without_knowing_it_waits_for_the_last_man() -> None:
    world = started("ab")
    world.leave("b", tell_itself=False)
    assert world.run(50, lambda: world.members("a") == "a")
    world.cut_off("a", "b")
    world.power_on("b", same_boot=True)
    world.run(INITDEAD_MS + 100)
    world.fence("b", "a")
    world.run(100)
    assert world.members("b") == "b-"
    world.power_on("a")
    assert world.run(INITDEAD_MS + 100, lambda: world.members("a") == "a")
    assert world.members("b") == "b-"


def test_a_promise_is_durable_before_it_is_given_and_is_never_given_for_less() -> None:
    world = started("abc")
    core = world.nodes["b"].core
    assert core is not None
    held = view(world, "b")
    dead = NodeStatus(node="c", state="dead", generation=1, boot_id="c-boot1", evidence="gone")
    core.step(Received(HEARTBEAT, dead), world.now)
    members = tuple(member for member in held.members if member.node != "c")
    a_misses_c = msgspec.structs.replace(reported(world, "a"), hears=("a", "b"), serial=1_000)
    core.step(Received(Remote("a", "ccm"), Reach(reports=(a_misses_c,))), world.now)

    def accepted(instance: int) -> list[type]:
        """The kinds of effects up to the Accept; none when there is no Accept."""
        proposal = Propose(id=ViewId(instance, "a-1"), members=members, quorate=True)
        effects = core.step(Received(Remote("a", "ccm"), proposal), world.now)
        accepts = [n for n, e in enumerate(effects) if isinstance(e, Send) and isinstance(e.message, Accept)]
        return [type(effect) for effect in effects[: accepts[0] + 1]] if accepts else []

    assert accepted(held.id.instance) == []
    assert accepted(held.id.instance + 5)[-2:] == [Persist, Send]
    assert accepted(held.id.instance + 4) == []
    assert core.context.state.promised == held.id.instance + 5


def test_a_proposal_and_a_view_are_durable_before_others_hear_of_them() -> None:
    world = started("abc")
    core = world.nodes["a"].core
    assert core is not None
    held = view(world, "a")
    dead = NodeStatus(node="c", state="dead", generation=1, boot_id="c-boot1", evidence="gone")
    b_misses_c = msgspec.structs.replace(reported(world, "b"), hears=("a", "b"), serial=1_000)
    effects = core.step(Received(Remote("b", "ccm"), Reach(reports=(b_misses_c,))), world.now)
    effects += core.step(Received(HEARTBEAT, dead), world.now)
    instance = held.id.instance + 1
    kept = [model.decode(e.data).promised if isinstance(e, Persist) else 0 for e in effects]
    proposed = [isinstance(e, Send) and isinstance(e.message, Propose) for e in effects]
    assert kept.index(instance) < proposed.index(True)

    sent = next(e.message for e in effects if isinstance(e, Send) and isinstance(e.message, Propose))
    assert isinstance(sent, Propose)
    effects = core.step(Received(Remote("b", "ccm"), Accept(id=sent.id)), world.now)
    order = [type(e).__name__ if not isinstance(e, Send) else type(e.message).__name__ for e in effects]
    assert order.index("Persist") < order.index("MembershipEvent") < order.index("Reach")


def reported(world: World, name: str) -> Report:
    core = world.nodes[name].core
    assert core is not None
    report = core.context.links.peers[name].report
    assert report is not None
    return report


def test_fencing_that_is_confirmed_for_a_node_that_is_back_counts_for_nothing() -> None:
    world = started("ab")
    core = world.nodes["a"].core
    assert core is not None
    core.step(Received(CRMD, ConfirmedDown(nodes=("b", "a", "stranger"))), world.now)
    assert core.context.state.ended == {}
    assert world.agreement("ab")


def test_who_connects_is_told_at_once_and_programs_may_ask() -> None:
    world = started("abc")
    core = world.nodes["a"].core
    assert core is not None
    told = MembershipEvent(event="NEW_MEMBERSHIP", view=view(world, "a"))
    assert Send(Local("cib"), told) in core.step(Connected(Local("cib")), world.now)
    client = Client("crm_node", 1, 0)
    assert Reply(client, told) in core.step(Received(client, GetMembership()), world.now)


@pytest.mark.parametrize(
    "garbage", [b"", b"\xff\x00", b"{}x", b'{"format":2}', b'{"starts":"many"}', b"[" * 2_000_000], ids=range(6)
)
def test_an_unusable_durable_record_is_said_and_replaced(garbage: bytes) -> None:
    core = build(node="a", nodes=("a", "b"))
    effects = core.step(Started("again", 1, {model.STATE_NAME: garbage}), 0)
    notes = [effect.text for effect in effects if isinstance(effect, Note) and effect.level == "error"]
    assert len(notes) == 1
    assert "durable membership record is unusable" in notes[0]
    kept = [model.decode(effect.data) for effect in effects if isinstance(effect, Persist)]
    assert kept == [model.State(starts=1)]


def test_what_is_no_business_of_ccm_is_noted_and_ignored() -> None:
    world = started("ab")
    core = world.nodes["a"].core
    assert core is not None
    before = core.context.state
    view_id = view(world, "a").id
    strangers = (Remote("stranger", "ccm"), Remote("b", "crmd"), Local("cib"), Client("crm_node", 1, 0))
    for sender in strangers:
        effects = core.step(Received(sender, Accept(id=view_id)), world.now)
        assert [type(effect) for effect in effects] == [Note]
    forged = Reach(reports=(Report("a", "x", "l", "b", 1, 1, ("a",)),))
    assert [type(effect) for effect in core.step(Received(Remote("b", "ccm"), forged), world.now)] == [Note]
    foreign = Propose(id=ViewId(99, "b-1"), members=(Member("b", 1, "l"), Member("stranger", 1, "l")), quorate=True)
    assert [type(effect) for effect in core.step(Received(Remote("b", "ccm"), foreign), world.now)] == [Note]
    assert [type(effect) for effect in core.step(Received(CRMD, Tidings()), world.now)] == [Note]
    assert core.context.state == before


class Tidings(Message, frozen=True, kw_only=True, tag="test.Tidings"):
    """A message of some other module."""
