# SPDX-License-Identifier: GPL-2.0-or-later
"""Drills: what they call, when, what they find, and who knows of it."""

from __future__ import annotations

import pytest

from ha.stonith.model.device import AgentTraits, Device
from ha.stonith.model.drill import judge_list, judge_status
from ha.stonith.model.execution import FenceAgentResult, RunFenceAgent
from ha.stonith.msg import DrillDevices, DrillsBegun, FencingStatus, Finding, GetFencingStatus
from tests.unit.stonith.world import HANGS, OK, POWER, Behaviour, World, primitive

MAPPED = primitive("pdu", pcmk_host_map="n1:1;n2:2;n3:3")
HOUR_MS = 3_600_000


def pdu(labels: str = "", off: tuple[str, ...] = (), lists: str = "1,\n2,\n3,\n") -> object:
    """An outlet strip: what it lists, and which outlets are off."""

    def behave(node: str, request: RunFenceAgent) -> Behaviour:
        if request.action == "list":
            return Behaviour(result=FenceAgentResult(ok=True, output=labels or lists))
        if request.action == "status" and request.options["plug"] in off:
            return Behaviour(result=FenceAgentResult(ok=False, rc=2, reason="bad arguments (exit code 2): Status: OFF"))
        return OK

    return behave


def status(world: World, node: str = "n1") -> FencingStatus:
    world.nodes[node].program(GetFencingStatus(request_id="s"))
    answer = world.nodes[node].replies[-1]
    assert isinstance(answer, FencingStatus)
    return answer


def whats(world: World, node: str = "n1") -> list[str]:
    return [finding.what for finding in status(world, node).findings]


def drill_calls(world: World, node: str) -> list[str]:
    return [f"{call.request.action} {call.request.target}".strip() for call in world.calls if call.node == node]


def test_a_minute_after_its_configuration_each_node_tries_the_device() -> None:
    world = World(MAPPED, behave=pdu())  # type: ignore[arg-type]
    world.advance(50_000)
    assert drill_calls(world, "n1") == []
    assert whats(world) == ["pdu was not tried yet from n1, n2, n3"]
    world.advance(40_000)
    for name in ("n1", "n2", "n3"):
        assert drill_calls(world, name) == ["monitor", "list", "status n1", "status n2", "status n3"]
    for name in ("n1", "n2", "n3"):
        found = status(world, name)
        assert found.findings == []
        assert [(drill.node, drill.exec_ms >= 0, drill.ok) for drill in found.drills] == [
            ("n1", True, True), ("n2", True, True), ("n3", True, True),
        ]  # fmt: skip
        assert [(node.node, node.levels) for node in found.nodes] == [(n, [["pdu"]]) for n in ("n1", "n2", "n3")]


def test_the_schedule_follows_the_option_and_stops_with_it() -> None:
    world = World(POWER, fencing_drill_interval="10min")
    world.advance(3 * 600_000 + 90_000)
    assert drill_calls(world, "n1").count("monitor") == 4
    world.set_options(fencing_drill_interval="0")
    world.advance(HOUR_MS)
    assert drill_calls(world, "n1").count("monitor") == 4
    assert "power is never drilled" in whats(world)
    world.set_options(fencing_drill_interval="1h")
    world.advance(90_000)
    assert drill_calls(world, "n1").count("monitor") == 5, "the last one is more than an hour old"


def test_a_changed_device_is_tried_anew_and_its_former_proof_is_void() -> None:
    world = World(POWER)
    world.advance(90_000)
    assert whats(world) == []
    world.configure(primitive("power", pcmk_host_list="n1 n2 n3", ip="10.0.0.2"))
    assert whats(world) == ["power was not tried yet from n1, n2, n3"]
    world.advance(90_000)
    assert whats(world) == []
    world.configure("")
    assert status(world).drills == []


def test_a_wrong_password_is_flagged_with_its_remedy_and_the_rest_is_spared() -> None:
    wrong = FenceAgentResult(ok=False, rc=3, reason="login denied (exit code 3)")
    world = World(POWER, behave=lambda node, request: Behaviour(result=wrong) if node == "n2" else OK)
    world.advance(90_000)
    assert drill_calls(world, "n2") == ["monitor"]
    finding = Finding(
        what="power from n2: monitor failed: login denied (exit code 3)",
        remedy="correct login and password of power, then: ha fencing drill power",
        device="power",
    )
    for name in ("n1", "n2", "n3"):
        assert status(world, name).findings == [finding]
    assert any("drill of fence device power: monitor: login denied" in note.text for note in world.nodes["n2"].notes)


def test_a_dead_device_is_flagged_after_its_timeout() -> None:
    world = World(POWER, behave=lambda node, request: HANGS)
    world.advance(120_000)
    assert [what.partition(":")[0] for what in whats(world)] == ["power from n1", "power from n2", "power from n3"]
    drill = status(world).drills[0]
    assert (drill.proved_at_s, drill.ok) == (0, False)


def test_exchanged_outlets_are_found_by_their_labels() -> None:
    world = World(MAPPED, behave=pdu(labels="1,n2\n2,n1\n3,n3\n"))  # type: ignore[arg-type]
    world.advance(90_000)
    found = [what for what in whats(world) if what.startswith("pdu from n1")]
    assert found == [
        "pdu from n1: list failed: n1 is mapped to outlet 1, which calls itself n2: exchanged?",
        "pdu from n1: list failed: n2 is mapped to outlet 2, which calls itself n1: exchanged?",
    ]


def test_a_members_outlet_that_is_off_is_not_its_outlet() -> None:
    world = World(MAPPED, behave=pdu(off=("2",)))  # type: ignore[arg-type]
    world.advance(90_000)
    assert any("outlet 2 is off, but n2 is a member" in what for what in whats(world))
    world.lose("n2")
    world.nodes["n1"].program(DrillDevices(request_id="d"))
    world.advance(5_000)
    assert not any(what.startswith("pdu from n1") for what in whats(world)), "a lost node's outlet may be off"


def test_a_missing_outlet_is_found() -> None:
    world = World(MAPPED, behave=pdu(lists="1,\n2,\n"))  # type: ignore[arg-type]
    world.advance(90_000)
    assert "pdu from n1: list failed: n3 is mapped to outlet 3, which it does not have" in whats(world)


@pytest.mark.parametrize(
    ("output", "wrong"),
    [
        ("n1,\nn2,\n", []),
        ("a,n1\nb,n2\n", []),
        ("n1,x\nn2,y\n", []),
        ("", []),
        ("n1,n2\nn2,n1\n", ["n1", "n2"]),
        ("garbage\x00\n,,,\n" * 100, ["n1", "n2"]),
    ],
)
def test_judging_a_list_without_a_map(output: str, wrong: list[str]) -> None:
    device = Device("d", "fence_x", {"pcmk_host_list": "n1 n2"})
    assert [c.target for c in judge_list(device, output, ["n1", "n2"], ["n1", "n2"]) if not c.ok] == wrong


def test_bad_arguments_are_not_taken_for_off() -> None:
    device = Device("d", "fence_x", {})
    result = FenceAgentResult(ok=False, rc=2, reason="bad arguments (exit code 2): no such option")
    assert not judge_status(device, "n1", result, is_member=False).ok


def test_an_order_is_answered_when_every_member_has_tried() -> None:
    world = World(POWER)
    world.nodes["n2"].program(DrillDevices(request_id="d", device="power"))
    begun = world.nodes["n2"].replies[-1]
    assert isinstance(begun, DrillsBegun)
    assert begun.expected == [("power", "n1"), ("power", "n2"), ("power", "n3")]
    world.advance(2_000)
    assert sorted(status(world, "n2").orders) == [(begun.order, device, node) for device, node in begun.expected]
    world.nodes["n2"].program(DrillDevices(request_id="d2", device="nothing"))
    unknown = world.nodes["n2"].replies[-1]
    assert isinstance(unknown, DrillsBegun) and unknown.expected == []


def test_a_fence_does_not_wait_for_a_drill() -> None:
    world = World(POWER, behave=lambda node, request: HANGS if request.action == "monitor" else OK)
    world.lose("n3")
    world.advance(61_000)
    assert drill_calls(world, "n1") == ["monitor"]
    world.nodes["n1"].fences("n3")
    world.advance(200)
    assert [told.ok for told in world.nodes["n1"].fenced()] == [True]


def test_results_outlive_a_restart_and_reach_who_was_away() -> None:
    world = World(POWER)
    world.lose("n3")
    world.advance(90_000)
    calls = len(world.calls)
    world.restart("n1")
    assert [drill.node for drill in status(world, "n1").drills] == ["n1", "n2"]
    world.advance(90_000)
    assert len(world.calls) == calls, "what was proved just now is not tried again"
    world.nodes["n3"].up = True
    world.new_view("n1", "n2", "n3")
    world.restart("n3")
    assert [drill.node for drill in status(world, "n3").drills] == ["n1", "n2"]


def test_without_fencing_nothing_is_drilled() -> None:
    world = World(POWER, stonith_enabled="false")
    world.advance(2 * HOUR_MS)
    assert world.calls == []
    assert whats(world)[0] == "fencing is off"


def test_what_nobody_could_do_is_said() -> None:
    ban = "".join(f'<rsc_location id="{n}" rsc="power" node="{n}" score="-INFINITY"/>' for n in ("n2", "n3"))
    world = World(
        primitive("power", pcmk_host_list="n1 n2"), constraints=ban,
        topology='<fencing-level id="f" target="n2" index="1" devices="gone"/>',
    )  # fmt: skip
    world.advance(90_000)
    assert whats(world) == [
        "no other member may use power to fence n1",
        "the topology of n2 names gone, which is not configured",
        "no fence device reaches n2",
        "no fence device reaches n3",
    ]


def test_a_device_without_outlets_is_not_asked_for_a_list() -> None:
    board = AgentTraits(frozenset({"ip", "username"}), frozenset({"list", "status"}), known=True)
    assert Device("d", "fence_ipmilan", {}).host_argument(board) == ""
