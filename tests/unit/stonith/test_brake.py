# SPDX-License-Identifier: GPL-2.0-or-later
"""Fences that are held back: disarmed by a person, or too many nodes lost at once."""

from __future__ import annotations

from ha.stonith.msg import Fenced, FenceNode, FencingStatus, GetFencingStatus
from tests.unit.stonith.world import POWER, WALL_OFFSET_MS, World, primitive

FIVE = ("n1", "n2", "n3", "n4", "n5")
ALL = primitive("power", pcmk_host_list=" ".join(FIVE))


def disarmed_until(world: World, duration_ms: int) -> str:
    return str((world.now + WALL_OFFSET_MS + duration_ms) // 1000)


def test_while_disarmed_the_cluster_fences_nobody_and_then_does() -> None:
    world = World(POWER)
    world.lose("n3")
    world.set_options(fencing_disarmed_until=disarmed_until(world, 600_000))
    node = world.nodes["n1"]
    node.fences("n3")
    assert [told.ok for told in node.fenced()] == [False]
    assert "disarmed" in node.fenced()[0].reason
    assert world.called() == []
    assert any("DISARMED" in note.text for note in node.notes)
    node.program(GetFencingStatus(request_id="s"))
    answer = node.replies[-1]
    assert isinstance(answer, FencingStatus) and answer.disarmed_until_s > 0
    assert "DISARMED" in answer.findings[0].what
    world.advance(601_000)
    assert "fencing is armed again" in [note.text for note in node.notes]
    node.fences("n3", key="f2")
    world.advance(1_000)
    assert [told.ok for told in node.fenced()] == [False, True]


def test_a_person_may_fence_while_fencing_is_disarmed() -> None:
    world = World(POWER)
    world.set_options(fencing_disarmed_until=disarmed_until(world, 600_000))
    world.nodes["n1"].program(FenceNode(request_id="p", target="n3", action="off", timeout_ms=10_000))
    world.advance(1_000)
    told = world.nodes["n1"].replies[-1]
    assert isinstance(told, Fenced) and told.ok


def test_arming_again_is_heard_at_once() -> None:
    world = World(POWER)
    world.lose("n3")
    world.set_options(fencing_disarmed_until=disarmed_until(world, 600_000))
    world.set_options()
    world.nodes["n1"].fences("n3")
    world.advance(1_000)
    assert [told.ok for told in world.nodes["n1"].fenced()] == [True]


def test_garbage_as_the_end_of_disarming_disarms_nothing() -> None:
    world = World(POWER)
    world.lose("n3")
    for value in ("soon", "-1", "9" * 40, "1e9", ""):
        world.set_options(fencing_disarmed_until=value)
    world.nodes["n1"].fences("n3")
    world.advance(1_000)
    assert [told.ok for told in world.nodes["n1"].fenced()] == [True]
    assert any("fencing-disarmed-until" in note.text for note in world.nodes["n1"].notes)


def test_more_losses_than_the_limit_are_held_until_the_nodes_are_back() -> None:
    world = World(ALL, names=FIVE, fencing_mass_limit="1")
    world.lose("n4")
    world.lose("n5")
    leader = world.nodes["n1"]
    leader.fences("n4", key="f4")
    leader.fences("n5", key="f5")
    world.advance(5_000)
    assert [(told.target, told.ok) for told in leader.fenced()] == [("n4", True)]
    assert len(world.called()) == 1
    world.nodes["n5"].up = True
    world.new_view("n1", "n2", "n3", "n5")
    assert [(told.target, told.ok) for told in leader.fenced()] == [("n4", True), ("n5", False)]
    assert "member again" in leader.fenced()[-1].reason


def test_a_held_fence_goes_on_after_the_hold() -> None:
    world = World(ALL, names=FIVE, fencing_mass_limit="1", fencing_mass_hold="2min")
    world.lose("n4")
    world.lose("n5")
    leader = world.nodes["n1"]
    leader.fences("n4", key="f4")
    leader.fences("n5", key="f5")
    world.advance(119_000)
    assert len(leader.fenced()) == 1
    world.advance(5_000)
    assert [(told.target, told.ok) for told in leader.fenced()] == [("n4", True), ("n5", True)]


def test_a_person_lets_a_held_fence_go() -> None:
    world = World(ALL, names=FIVE, fencing_mass_limit="1")
    world.lose("n4")
    world.lose("n5")
    leader = world.nodes["n1"]
    leader.fences("n4", key="f4")
    leader.fences("n5", key="f5")
    leader.program(FenceNode(request_id="p", target="n5", action="reboot", timeout_ms=10_000))
    world.advance(1_000)
    assert [(told.target, told.ok) for told in leader.fenced()] == [("n4", True), ("n5", True)]


def test_a_member_that_must_be_fenced_is_never_held() -> None:
    world = World(ALL, names=FIVE, fencing_mass_limit="1")
    world.lose("n4")
    leader = world.nodes["n1"]
    leader.fences("n4", key="f4")
    leader.fences("n5", key="f5")  # its stop failed
    world.advance(1_000)
    assert [(told.target, told.ok) for told in leader.fenced()] == [("n4", True), ("n5", True)]


def test_the_history_reaches_a_stonithd_that_was_away() -> None:
    world = World(POWER)
    world.lose("n3")
    world.nodes["n1"].fences("n3")
    world.advance(1_000)
    world.nodes["n3"].up = True
    world.new_view("n1", "n2", "n3")
    world.restart("n3")
    from ha.stonith.msg import FenceHistory, ForgetFenceHistory, GetFenceHistory

    def history(name: str) -> list[str]:
        world.nodes[name].program(GetFenceHistory(request_id="h"))
        answer = world.nodes[name].replies[-1]
        assert isinstance(answer, FenceHistory)
        return [f"{event.target} {event.state}" for event in answer.events]

    assert history("n3") == ["n3 success"]
    world.restart("n3")
    assert history("n3") == ["n3 success"], "told once more, it stands there once"
    world.nodes["n2"].program(ForgetFenceHistory(request_id="c"))
    world.settle()
    assert [history(name) for name in ("n1", "n2", "n3")] == [[], [], []]
