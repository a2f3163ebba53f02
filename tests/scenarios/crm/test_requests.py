# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs ask of the cluster, by any node, and neighbours that are mute, slow or start anew."""

from __future__ import annotations

import pytest

from ha.ccm.msg import MembershipEvent
from ha.crm import msg as crm
from ha.machine import Client, Connected, Local, Lost, Received
from ha.stonith.msg import Fenced
from tests.scenarios.crm.policy import decide
from tests.scenarios.crm.test_cluster import RESOURCES, active_on, cluster, leave_cluster, options, recurring
from tests.scenarios.crm.world import WALL_MS, World


def done(world: World) -> crm.Done:
    world.run_until(lambda: any(isinstance(a, crm.Done) for a in world.replies), 20_000)
    return next(a for a in world.replies if isinstance(a, crm.Done))


def test_a_resource_that_is_said_to_fail_is_recovered() -> None:
    world = cluster("n1", "n2", "n3")
    world.ask("n3", crm.FailResource(request_id="1", resource_id="A", node="n1"))
    assert done(world).rc == 0
    world.settle()
    assert [what for node, what in world.ran if node == "n1"][:2] == ["A_stop_0", "A_start_0"]
    assert any(getattr(a, "name", "") == "fail-count-A#monitor_10000" for a in world.attributes)


@pytest.mark.parametrize(
    ("request_", "rc", "word"),
    [
        (crm.FailResource(request_id="1", resource_id="Z", node="n1"), 105, "no history"),
        (crm.Cleanup(request_id="1", resource_id="A", node="n9"), 105, "no node"),
        (crm.RemoveNode(request_id="1", node="n9"), 105, "no node"),
        (crm.RemoveNode(request_id="1", node="n3"), 1, "stop it first"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_with_a_reason(request_: crm.Message, rc: int, word: str) -> None:
    world = cluster("n1", "n2", "n3")
    world.ask("n2", request_)
    answer = done(world)
    assert answer.rc == rc and word in answer.reason
    world.run(100)
    assert world.ran == []


def test_a_node_that_was_fenced_can_be_removed() -> None:
    world = cluster("n1", "n2", "n3")
    world.lose("n3")
    world.run_until(lambda: world.state("n3").get("expected") == "down")
    world.settle()
    world.ask("n1", crm.RemoveNode(request_id="1", node="n3"))
    assert done(world).rc == 0
    world.settle()
    assert world.state("n3") == {}
    assert [n.get("uname") for n in world.root.iterfind("configuration/nodes/node")] == ["n1", "n2"]


def test_a_lost_node_that_is_not_confirmed_down_cannot_be_removed_or_cleaned_up() -> None:
    world = cluster("n1", "n2", "n3")
    world.fence_ok = lambda target: False
    world.lose("n3")
    world.run(200)
    world.ask("n1", crm.RemoveNode(request_id="1", node="n3"))
    assert done(world).rc == 1
    world.replies.clear()
    world.ask("n1", crm.Cleanup(request_id="2", only_failed=False))
    assert done(world).rc == 0
    assert world.operations("n3", "A"), "what it may still run is not forgotten (P1)"


def test_clean_up_of_failures_leaves_what_is_well_alone() -> None:
    world = cluster("n1", "n2", "n3")
    monitor = next(o for o in recurring(world, "n1") if o.resource.id == "A")
    world.result("n1", monitor, 7)
    world.run(5)
    world.settle()
    world.ran.clear()
    world.outcome = lambda node, order: (
        (0 if node == "n1" else 7) if order.operation == "monitor" and not order.interval_ms else 0
    )
    world.ask("n2", crm.Cleanup(request_id="1", resource_id="A"))
    assert done(world).rc == 0
    world.settle()
    assert ("n1", "A_monitor_0") in world.ran and ("n2", "A_monitor_0") not in world.ran
    assert "A_last_failure_0" in world.operations("n1", "A") or world.operations("n1", "A")
    assert not any("B_" in what or "stop" in what or "start" in what for _, what in world.ran)


def test_a_program_asks_for_shutdown_and_hears_of_its_end() -> None:
    world = cluster("n1", "n2", "n3")
    world.step("n2", "crmd", Received(Client("crm", 7, 0), crm.ShutdownNode(request_id="s")))
    assert done(world).request_id == "s"
    world.run(1)
    assert world.nodes["n2"].left and world.fsm("n2") == "S_TERMINATE"
    assert world.state("n2")["expected"] == "down"


def test_a_node_without_a_dc_leaves_when_nothing_runs_on_it() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.start("n1")
    leave_cluster(world, "n1")
    took = world.run_until(lambda: world.nodes["n1"].left, 10_000)
    assert took <= 2_000


def test_rmd_that_starts_anew_hears_again_that_we_left() -> None:
    world = cluster("n1", "n2", "n3")
    leave_cluster(world, "n2")
    world.run_until(lambda: world.nodes["n2"].left)
    world.nodes["n2"].left = False
    world.step("n2", "crmd", Lost(Local("rmd")))
    world.step("n2", "crmd", Connected(Local("rmd")))
    world.run(1)
    assert world.nodes["n2"].left


def test_a_person_fences_a_member_and_its_resources_move_once() -> None:
    world = cluster("n1", "n2", "n3")
    world.power_off("n1")
    fenced = Fenced(request_id="by hand", target="n1", action="reboot", ok=True, device="switch")
    for node in ("n2", "n3"):
        world.give(node, "stonithd", fenced)
    world.at(100, lambda: world.agree("n2", "n3"))
    world.run(101)
    world.settle()
    assert active_on(world, "A") == ["n2"] and world.fences == []


def test_what_fails_while_attrd_is_away_is_tried_again_with_growing_pauses() -> None:
    world = cluster("n1", "n2", "n3")
    world.mute.add("attrd")
    world.outcome = lambda node, order: 1 if (order.operation, order.interval_ms) == ("start", 0) else 0
    monitor = next(o for o in recurring(world, "n1") if o.operation == "monitor" and o.interval_ms)
    world.result("n1", monitor, 7)
    world.run(60_000)
    starts = [what for _, what in world.ran if what == "A_start_0"]
    assert 3 <= len(starts) <= 6, "after 2, 4, 8, 16 and 30 s"
    world.power_off("n3")
    world.agree("n1", "n2")
    world.run(1_000)
    assert world.fences == ["n3"], "a loss waits for no counts"
    world.mute.discard("attrd")
    world.run(2_000)
    starts = [what for _, what in world.ran if what == "A_start_0"]
    assert len([a for a in world.attributes if getattr(a, "name", "") == "fail-count-A#start_0"]) == len(starts)


def test_an_attrd_that_does_not_answer_holds_nothing_up_for_ever() -> None:
    world = cluster("n1", "n2", "n3")
    world.mute.add("attrd")
    monitor = next(o for o in recurring(world, "n1") if o.resource.id == "A")
    world.result("n1", monitor, 7)
    took = world.run_until(lambda: ("n1", "A_start_0") in world.ran)
    assert 2_000 <= took < 2_200
    assert "scheduling goes on without the newest failure counts" in world.story()


def test_a_policy_engine_that_starts_anew_is_asked_again() -> None:
    world = cluster("n1", "n2", "n3")
    world.mute.add("pengine")
    world.configure(RESOURCES.replace('id="B"', 'id="C"'))
    world.run(1_000)
    assert world.fsm("n1") == "S_POLICY_ENGINE"
    world.mute.clear()
    world.step("n1", "crmd", Lost(Local("pengine")))
    world.settle()
    assert active_on(world, "C") == ["n1"]


def test_the_cib_worker_starts_anew_and_nothing_is_lost() -> None:
    world = cluster("n1", "n2", "n3")
    monitor = next(o for o in recurring(world, "n1") if o.resource.id == "A")
    world.writer = None
    world.step("n1", "crmd", Lost(Local("cib")))
    world.result("n1", monitor, 7)
    world.run(500)
    assert world.ran == []
    world.nodes["n1"].subscribed = False
    world.step("n1", "crmd", Connected(Local("cib")))
    world.run(10)
    world.settle()
    assert [what for node, what in world.ran if node == "n1"][:2] == ["A_stop_0", "A_start_0"]
    assert "A_last_failure_0" in world.operations("n1", "A")


def test_the_lrmd_starts_anew_and_is_asked_again() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.configure(RESOURCES)
    world.agent_ms = 300
    for name in world.names:
        world.start(name)
    world.agree(*world.names)
    world.run_until(lambda: ("n1", "A_start_0") in world.ran)
    world.step("n1", "crmd", Lost(Local("lrmd")))
    world.run(400)
    world.step("n1", "crmd", Connected(Local("lrmd")))
    world.settle()
    assert sum(what == ("n1", "A_start_0") for what in world.ran) == 1
    assert active_on(world, "A") == ["n1"]


def test_nothing_new_begins_while_the_view_is_in_doubt() -> None:
    world = cluster("n1", "n2", "n3")
    for name in world.names:
        world.give(name, "ccm", MembershipEvent(event="NOT_PRIMARY", view=world.views[name]))
    world.run(1)
    world.configure(RESOURCES.replace('id="B"', 'id="C"'))
    world.run(5_000)
    assert world.ran == []
    for name in world.names:
        world.give(name, "ccm", MembershipEvent(event="PRIMARY_RESTORED", view=world.views[name]))
    world.run(5)
    world.settle()
    assert active_on(world, "C") == ["n1"] and world.dc() == "n1"


def test_the_policy_engine_says_when_time_alone_changes_the_decision() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.recheck_at_s = WALL_MS // 1000 + 60
    world.configure(RESOURCES)
    for name in world.names:
        world.start(name)
    world.agree(*world.names)
    world.settle()
    before = len(world.schedules)
    world.run(50_000)
    assert len(world.schedules) == before
    world.recheck_at_s = 0
    world.run(11_000)
    assert len(world.schedules) == before + 1


def test_the_batch_limit_reaches_the_transition_engine() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.configure(options(batch_limit="1") + RESOURCES)
    for name in world.names:
        world.start(name)
    world.agree(*world.names)
    world.run_until(lambda: len(world.ran) >= 1)
    most = 0
    while not world.idle():
        world.run(1)
        most = max(most, sum(len(node.running) for node in world.nodes.values()))
    assert most == 1
