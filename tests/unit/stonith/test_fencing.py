# SPDX-License-Identifier: GPL-2.0-or-later
"""Fences in virtual time, over several nodes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ha.ccm.msg import ViewId
from ha.cib.msg import Changed, Version
from ha.heartbeat.msg import ModuleStatus
from ha.machine import Local, Message, Received, Remote
from ha.stonith.model.execution import FenceAgentResult, RunFenceAgent
from ha.stonith.msg import (
    ConfirmFenced,
    DeviceRan,
    Devices,
    Fenced,
    FenceHistory,
    FenceNode,
    ForgetFenceHistory,
    GetFenceHistory,
    ListDevices,
    RunDevice,
)
from tests.unit.stonith.world import FAILS, HANGS, OK, POWER, Behaviour, World, primitive


def failing(*nodes: str, how: Behaviour = FAILS) -> Callable[[str, RunFenceAgent], Behaviour]:
    """Agents that misbehave on these nodes (all when none is named) when they act on power."""

    def behave(node: str, request: RunFenceAgent) -> Behaviour:
        return how if request.target and (not nodes or node in nodes) else OK

    return behave


def test_a_lost_node_is_fenced_and_everybody_is_told_after_the_confirmation() -> None:
    world = World(POWER)
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(99)
    assert world.nodes["n1"].fenced() == []
    world.advance(10)
    assert world.called() == ["n1: power reboot n3"]
    assert world.calls[-1].request.options == {"ip": "10.0.0.1", "nodename": "n3", "plug": "n3"}
    (told,) = world.nodes["n1"].fenced()
    assert (told.request_id, told.ok, told.device, told.executor) == ("f1", True, "power", "n1")
    assert told.at_s == 1_700_000_001
    (elsewhere,) = world.nodes["n2"].fenced()
    assert elsewhere == told


def test_the_asker_is_told_once_and_again_when_it_asks_again() -> None:
    world = World(POWER)
    world.lose("n3")
    node = world.nodes["n1"]
    node.fences("n3")
    node.fences("n3")
    world.advance(1_000)
    assert len(node.fenced()) == 1
    node.fences("n3")
    world.advance(1_000)
    assert len(node.fenced()) == 2
    assert world.called() == ["n1: power reboot n3"]


def test_equal_requests_are_merged_and_all_askers_answered() -> None:
    world = World(POWER)
    world.lose("n3")
    node = world.nodes["n1"]
    node.fences("n3", key="a")
    node.fences("N3", key="b")
    node.program(FenceNode(request_id="c", target="n3", action="reboot", timeout_ms=10_000))
    world.advance(1_000)
    assert [told.request_id for told in node.fenced()] == ["a", "b"]
    assert [reply.request_id for reply in node.replies if isinstance(reply, Fenced)] == ["c"]
    assert len(world.called()) == 1


def test_another_action_on_the_same_target_waits_its_turn() -> None:
    world = World(POWER)
    world.lose("n3")
    world.nodes["n1"].fences("n3", "off", key="a")
    world.nodes["n1"].fences("n3", "on", key="b")
    assert world.called() == ["n1: power off n3"]
    world.advance(1_000)
    assert world.called() == ["n1: power off n3", "n1: power on n3"]


def test_a_program_cannot_take_over_a_request_of_the_crmd() -> None:
    world = World(POWER)
    node = world.nodes["n1"]
    node.program(FenceNode(request_id="f1", target="n2", action="off", timeout_ms=10_000))
    node.fences("n3", key="f1")
    world.advance(1_000)
    assert sorted(world.called()) == ["n1: power off n2", "n1: power reboot n3"]
    node.program(FenceNode(request_id="x", target="n2", action="off", timeout_ms=10_000))
    node.program(FenceNode(request_id="x", target="n3", action="on", timeout_ms=10_000))
    refused = node.replies[-1]
    assert isinstance(refused, Fenced) and not refused.ok


# Who does it ---------------------------------------------------------------------------------------------------------


def test_the_target_never_does_it_itself() -> None:
    world = World(POWER)
    world.nodes["n1"].fences("n1")
    world.advance(1_000)
    assert world.called() == ["n2: power reboot n1"]
    assert world.nodes["n1"].fenced()[0].executor == "n2"


def test_the_executor_tells_everybody_when_the_leader_was_the_target() -> None:
    world = World(POWER)
    world.nodes["n1"].fences("n1")
    world.settle()
    world.nodes["n1"].up = False
    world.advance(99)
    assert world.nodes["n2"].fenced() == []
    world.advance(10)
    for name in ("n2", "n3"):
        (told,) = world.nodes[name].fenced()
        assert (told.target, told.action, told.ok, told.executor) == ("n1", "reboot", True, "n2")


@pytest.mark.parametrize("how", [OK, FAILS], ids=["confirmed", "failed"])
def test_the_executor_tells_everybody_when_the_leader_has_left(how: Behaviour) -> None:
    ban = '<rsc_location id="l" rsc="power" node="n1" score="-INFINITY"/>'
    power = primitive("power", pcmk_host_list="n4")
    world = World(power, ("n1", "n2", "n3", "n4"), failing(how=how), constraints=ban)
    world.nodes["n1"].fences("n4")
    world.settle()
    world.lose("n1")
    world.advance(60_000)
    assert set(world.called()) == {"n2: power reboot n4"}
    assert [told.ok for told in world.nodes["n3"].fenced()] == ([True] if how is OK else [])
    assert [told.ok for told in world.nodes["n2"].fenced()] == ([True] if how is OK else [])


def test_half_a_level_is_not_told_for_a_leader_that_is_the_target() -> None:
    resources = "".join(primitive(device, pcmk_host_list="n1") for device in ("pdu1", "pdu2"))
    topology = '<fencing-level id="l" index="1" target="n1" devices="pdu1,pdu2"/>'
    world = World(resources, ("n1", "n2", "n3"), topology=topology)
    world.nodes["n1"].fences("n1", "off")
    world.advance(50)
    world.nodes["n1"].up = False
    world.advance(60_000)
    assert world.called() == ["n2: pdu1 off n1"]
    assert world.nodes["n2"].fenced() == world.nodes["n3"].fenced() == []


def test_a_restarted_crmd_is_answered_by_what_was_confirmed_while_the_target_was_not_seen() -> None:
    world = World(POWER)
    world.lose("n3")
    node = world.nodes["n1"]
    node.fences("n3", key="a")
    world.advance(1_000)
    node.fences("n3", key="b")
    assert [told.request_id for told in node.fenced()] == ["a", "b"]
    assert len(world.called()) == 1
    node.program(FenceNode(request_id="c", target="n3", action="reboot", timeout_ms=10_000))
    world.advance(1_000)
    assert len(world.called()) == 2
    node.fences("n3", "off", key="d")
    world.advance(61_000)
    node.fences("n3", key="e")
    assert [call.split()[2] for call in world.called()] == ["reboot", "reboot", "off", "reboot"]


def test_a_target_that_came_back_and_is_lost_again_is_fenced_again() -> None:
    world = World(POWER)
    world.lose("n3")
    world.nodes["n1"].fences("n3", key="a")
    world.advance(1_000)
    world.nodes["n3"].up = True
    world.new_view("n1", "n2", "n3")
    world.lose("n3")
    world.nodes["n1"].fences("n3", key="b")
    world.advance(1_000)
    assert world.called() == ["n1: power reboot n3"] * 2


def test_what_was_confirmed_counts_no_more_once_another_partition_may_have_let_the_target_in() -> None:
    world = World(POWER)
    world.lose("n3")
    world.nodes["n1"].fences("n3", key="a")
    world.advance(1_000)
    world.lose("n2")
    world.nodes["n2"].up = True
    world.new_view("n1", "n2")  # where n3 may have been with n2, and was lost only now
    world.nodes["n1"].fences("n3", key="b")
    world.advance(1_000)
    assert world.called() == ["n1: power reboot n3"] * 2


def test_alone_a_node_cannot_fence_itself() -> None:
    world = World(POWER, names=("n1",))
    world.nodes["n1"].fences("n1")
    world.advance(1_000)
    assert world.called() == []
    assert not world.nodes["n1"].fenced()[0].ok


def test_a_node_that_is_asked_to_shoot_itself_refuses() -> None:
    world = World(POWER)
    order = RunDevice(key="k", device="power", action="off", target="n2", timeout_ms=1_000)
    world.nodes["n2"].give(Received(Remote("n1", "stonithd"), order))
    assert world.called() == []
    _, _, answer = world.mail[-1]
    assert isinstance(answer, DeviceRan) and not answer.ok


def test_what_fails_here_is_tried_on_another_member() -> None:
    world = World(POWER, behave=failing("n1"))
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(10_000)
    assert world.called() == ["n1: power reboot n3", "n1: power reboot n3", "n2: power reboot n3"]
    assert world.nodes["n1"].fenced()[0].executor == "n2"


def test_a_banned_node_leaves_it_to_the_others() -> None:
    ban = '<rsc_location id="l" rsc="power" node="n1" score="-INFINITY"/>'
    world = World(POWER, constraints=ban)
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(1_000)
    assert world.called() == ["n2: power reboot n3"]


def test_when_everything_fails_the_asker_hears_why() -> None:
    world = World(POWER, behave=failing())
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(60_000)
    (told,) = world.nodes["n1"].fenced()
    assert not told.ok
    assert "power on n1: failed (exit code 1)" in told.reason
    assert "power on n2" in told.reason
    assert world.nodes["n2"].fenced() == []


def test_no_device_for_the_target() -> None:
    world = World(primitive("power", pcmk_host_list="n1 n2"))
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    (told,) = world.nodes["n1"].fenced()
    assert told.reason == "none of 1 fence devices reaches n3"


def test_an_executor_that_leaves_is_given_up_at_once() -> None:
    ban = '<rsc_location id="l" rsc="power" node="n1" score="-INFINITY"/>'
    world = World(POWER, ("n1", "n2", "n3", "n4"), behave=failing("n2", how=HANGS), constraints=ban)
    world.lose("n4")
    world.nodes["n1"].fences("n3")
    world.advance(1_000)
    world.lose("n2")
    world.advance(500)
    assert world.called() == ["n2: power reboot n3"]
    (told,) = world.nodes["n1"].fenced()
    assert "n2 has left the cluster" in told.reason


def test_lost_orders_and_answers_are_repeated_and_done_once() -> None:
    ban = '<rsc_location id="l" rsc="power" node="n1" score="-INFINITY"/>'
    world = World(POWER, constraints=ban)
    seen: list[Message] = []

    def lose_the_first_of_each(sender: str, to: str, message: Message) -> bool:
        known = any(type(other) is type(message) for other in seen)
        seen.append(message)
        return not known

    world.lost_mail = lose_the_first_of_each
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(10_000)
    assert world.called() == ["n2: power reboot n3"]
    assert world.nodes["n1"].fenced()[0].ok


def test_a_restarted_executor_is_asked_again_at_once() -> None:
    ban = '<rsc_location id="l" rsc="power" node="n1" score="-INFINITY"/>'
    world = World(POWER, constraints=ban)
    world.lose("n3")
    world.lost_mail = lambda sender, to, message: isinstance(message, RunDevice)
    world.nodes["n1"].fences("n3")
    world.settle()
    world.lost_mail = lambda sender, to, message: False
    world.nodes["n1"].give(Received(Local("heartbeat"), ModuleStatus(node="n2", module="stonithd", up=True)))
    world.settle()
    assert world.called() == ["n2: power reboot n3"]
    assert world.now == 1_000


@pytest.mark.parametrize("name", ["", "x" * 257, "n3\naction=on", "n\x00"])
def test_nonsense_for_a_target_is_refused(name: str) -> None:
    world = World(POWER)
    node = world.nodes["n1"]
    node.program(FenceNode(request_id="1", target=name, action="off", timeout_ms=10_000))
    node.program(ConfirmFenced(request_id="2", target=name))
    node.program(FenceNode(request_id=name, target="n3", action="off", timeout_ms=10_000))
    assert [reply.ok for reply in node.replies if isinstance(reply, Fenced)] == [False, False, False]
    assert world.called() == []


# Views ---------------------------------------------------------------------------------------------------------------


def test_requests_of_older_views_are_refused_also_after_a_restart() -> None:
    world = World(POWER)
    world.lose("n3")
    node = world.nodes["n1"]
    node.fences("n3", view=ViewId(1, "ccm"))
    assert "older" in node.fenced()[0].reason
    node.start()
    node.fences("n3", key="f2", view=ViewId(1, "zzz"))
    assert "older" in node.fenced()[1].reason
    assert world.called() == []


def test_executors_refuse_older_views_too() -> None:
    world = World(POWER)
    world.new_view("n1", "n2", "n3")
    order = RunDevice(key="k", device="power", action="off", target="n3", timeout_ms=1_000, view=ViewId(1, "ccm"))
    world.nodes["n2"].give(Received(Remote("n1", "stonithd"), order))
    assert world.called() == []


def test_a_target_that_came_back_is_not_shot_for_the_old_view() -> None:
    world = World(POWER, behave=failing())
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(50)
    world.nodes["n3"].up = True
    world.new_view("n1", "n2", "n3")
    world.advance(10_000)
    (told,) = world.nodes["n1"].fenced()
    assert "n3 is a member again" in told.reason
    assert {call.node for call in world.calls} == {"n1"}


def test_a_member_can_be_fenced_for_its_failed_stop() -> None:
    world = World(POWER)
    world.nodes["n1"].fences("n3")
    world.advance(1_000)
    assert world.nodes["n1"].fenced()[0].ok


# Time ----------------------------------------------------------------------------------------------------------------


def test_the_whole_request_is_bounded() -> None:
    world = World(POWER, behave=failing(how=HANGS))
    world.lose("n3")
    world.nodes["n1"].fences("n3", timeout_ms=10_000)
    world.advance(10_001)
    (told,) = world.nodes["n1"].fenced()
    assert not told.ok
    assert world.called() == ["n1: power reboot n3", "n2: power reboot n3"]
    assert world.calls[0].request.timeout_ms == 5_000


def test_a_requests_own_delay() -> None:
    world = World(POWER)
    world.lose("n3")
    world.nodes["n1"].fences("n3", delay_ms=2_000)
    world.advance(1_999)
    assert world.called() == []
    world.advance(200)
    assert world.nodes["n1"].fenced()[0].ok


@pytest.mark.parametrize(("target", "delay_ms"), [("n2", 5_000), ("n3", 0)])
def test_the_devices_delay_may_depend_on_the_target(target: str, delay_ms: int) -> None:
    world = World(primitive("power", pcmk_host_list="n1 n2 n3", pcmk_delay_base="n2:5s;n1:1s"))
    world.nodes["n1"].fences(target)
    world.advance(20_000)
    assert world.calls[-1].begin_ms - 1_000 == delay_ms


def test_a_random_delay_stays_below_its_maximum() -> None:
    moments = set()
    for seed in range(8):
        world = World(primitive("power", pcmk_host_list="n3", pcmk_delay_max="4s"))
        world.nodes["n1"].lives = seed * 100
        world.nodes["n1"].start()
        world.nodes["n1"].fences("n3")
        world.advance(5_000)
        moments.add(world.calls[-1].begin_ms - 1_000)
    assert all(0 <= moment <= 4_000 for moment in moments)
    assert len(moments) > 3


def test_an_agent_that_timed_out_is_not_tried_again_on_this_node() -> None:
    world = World(primitive("power", pcmk_host_list="n3", pcmk_reboot_timeout="2s"), behave=failing(how=HANGS))
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(60_000)
    assert world.called() == ["n1: power reboot n3", "n2: power reboot n3"]


def test_retries_as_configured() -> None:
    world = World(primitive("power", pcmk_host_list="n3", pcmk_reboot_retries="4"), ("n1", "n3"), failing())
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(60_000)
    assert len(world.called()) == 4


# Devices -------------------------------------------------------------------------------------------------------------


def test_a_request_before_the_configuration_is_known_waits_for_it() -> None:
    world = World(POWER)
    node = world.nodes["n1"]
    whole, world.configuration = world.configuration, "<cib"
    node.start()
    node.fences("n3")
    assert world.called() == []
    world.configuration = whole
    world.configure(POWER)
    world.advance(1_000)
    assert node.fenced()[0].ok


def test_a_broken_configuration_leaves_the_devices_as_they_were() -> None:
    world = World(POWER)
    node = world.nodes["n1"]
    node.give(Received(Local("cib"), Changed(generation=9, version=Version(0, 9, 0), digest="", whole="<nonsense")))
    assert node.notes[-1].level == "error"
    node.program(ListDevices(request_id="1"))
    assert node.replies[-1] == Devices(request_id="1", devices=["power"])


def test_changes_of_the_configuration_are_followed() -> None:
    world = World(POWER)
    node = world.nodes["n1"]
    world.configure(primitive("other", pcmk_host_list="n2"))
    node.program(ListDevices(request_id="1"))
    node.program(ListDevices(request_id="2", target="n3"))
    assert node.replies[-2:] == [Devices(request_id="1", devices=["other"]), Devices(request_id="2", devices=[])]


def test_devices_that_say_themselves_what_they_reach() -> None:
    def behave(node: str, request: RunFenceAgent) -> Behaviour:
        hosts = {"a": "n2,alias\nn3\n", "b": "n9\n", "c": "outlet7,x\n"}
        return Behaviour(result=FenceAgentResult(ok=True, output=hosts.get(request.device, "")))

    mapped = primitive("c", pcmk_host_check="dynamic-list", pcmk_host_map="n3:outlet7")
    resources = primitive("a") + primitive("b") + mapped
    world = World(resources, behave=behave)
    world.advance(1_000)
    node = world.nodes["n1"]
    node.program(ListDevices(request_id="1", target="n3"))
    # b does not name n3, so it is tried last: its list may be of yesterday.
    assert node.replies[-1] == Devices(request_id="1", devices=["a", "c", "b"])


def test_topology_levels_in_order_and_reboot_as_off_and_on() -> None:
    resources = "".join(primitive(device, pcmk_host_list="n3") for device in ("ipmi", "pdu1", "pdu2"))
    topology = (
        '<fencing-level id="l1" index="1" target="n3" devices="ipmi"/>'
        '<fencing-level id="l2" index="2" target="n3" devices="pdu1,pdu2"/>'
    )

    def behave(node: str, request: RunFenceAgent) -> Behaviour:
        return FAILS if request.device == "ipmi" or request.action == "on" else OK

    world = World(resources, ("n1", "n3"), behave, topology=topology)
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(60_000)
    assert [call for call in world.called() if "ipmi" not in call] == [
        "n1: pdu1 off n3",
        "n1: pdu2 off n3",
        "n1: pdu1 on n3",
        "n1: pdu1 on n3",
        "n1: pdu2 on n3",
        "n1: pdu2 on n3",
    ]
    (told,) = world.nodes["n1"].fenced()
    assert (told.ok, told.device) == (True, "pdu1,pdu2")


def test_half_a_level_is_not_enough() -> None:
    resources = "".join(primitive(device, pcmk_host_list="n3") for device in ("pdu1", "pdu2"))
    topology = '<fencing-level id="l" index="1" target="n3" devices="pdu1,pdu2"/>'

    def behave(node: str, request: RunFenceAgent) -> Behaviour:
        return FAILS if request.device == "pdu2" else OK

    world = World(resources, ("n1", "n3"), behave, topology=topology)
    world.lose("n3")
    world.nodes["n1"].fences("n3", "off")
    world.advance(60_000)
    assert not world.nodes["n1"].fenced()[0].ok


def test_a_level_with_an_unknown_device_is_no_level() -> None:
    topology = '<fencing-level id="l" index="1" target="n3" devices="power,ghost"/>'
    world = World(POWER, topology=topology)
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    (told,) = world.nodes["n1"].fenced()
    assert "ghost" in told.reason
    assert world.called() == []


def test_a_fence_waits_a_moment_for_metadata_but_not_for_ever() -> None:
    world = World(POWER)
    world.answers_metadata = False
    world.configure(primitive("other", agent="fence_slow", pcmk_host_list="n3"))
    node = world.nodes["n1"]
    node.fences("n3")
    world.advance(1_999)
    assert world.called() == []
    world.advance(1)
    assert world.called() == ["n1: other reboot n3"]
    assert world.calls[-1].request.options["port"] == "n3"


# People --------------------------------------------------------------------------------------------------------------


def test_a_persons_word_ends_a_fence_that_cannot_be_confirmed() -> None:
    world = World(POWER, behave=failing(how=HANGS))
    world.lose("n3")
    node = world.nodes["n1"]
    node.fences("n3")
    world.advance(1_000)
    node.program(ConfirmFenced(request_id="c", target="n3"))
    world.settle()
    assert [told.request_id for told in node.fenced() if told.ok] == ["c", "f1"]
    assert isinstance(node.replies[-1], Fenced) and node.replies[-1].ok
    assert world.nodes["n2"].fenced()[0].ok


def test_history_is_kept_on_every_node_over_restarts_and_can_be_forgotten() -> None:
    world = World(POWER)
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(1_000)
    node = world.nodes["n2"]
    node.start()
    node.program(GetFenceHistory(request_id="1", target="n3"))
    history = node.replies[-1]
    assert isinstance(history, FenceHistory)
    (event,) = history.events
    assert (event.target, event.origin, event.executor, event.device, event.state, event.client) == (
        "n3", "n1", "n1", "power", "success", "crmd",
    )  # fmt: skip
    node.program(ForgetFenceHistory(request_id="2", target="n3"))
    assert node.replies[-1] == FenceHistory(request_id="2", events=[])


def test_a_fence_under_way_is_pending_in_the_history() -> None:
    world = World(POWER)
    world.lose("n3")
    node = world.nodes["n1"]
    node.fences("n3")
    node.program(GetFenceHistory(request_id="1"))
    history = node.replies[-1]
    assert isinstance(history, FenceHistory)
    assert [event.state for event in history.events] == ["pending"]
