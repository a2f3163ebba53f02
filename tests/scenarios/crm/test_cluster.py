# SPDX-License-Identifier: GPL-2.0-or-later
"""Three crmds, told in an operator's words: start, loss with and without fencing, DC loss, leave, failures."""

from __future__ import annotations

import msgspec

from ha.crm import msg as crm
from ha.lrm.msg import RunOperation
from tests.scenarios.crm.policy import decide
from tests.scenarios.crm.world import World, leave_cluster

RESOURCES = (
    '<resources><primitive id="A" class="ocf" provider="heartbeat" type="Dummy"/>'
    '<primitive id="B" class="ocf" provider="heartbeat" type="Dummy"/></resources>'
)


def options(**values: str) -> str:
    pairs = "".join(f'<nvpair id="o-{k}" name="{k.replace("_", "-")}" value="{v}"/>' for k, v in values.items())
    return f'<crm_config><cluster_property_set id="cib-bootstrap-options">{pairs}</cluster_property_set></crm_config>'


def cluster(*names: str, configuration: str = RESOURCES) -> World:
    world = World(*names, decide=decide)
    world.configure(configuration)
    for name in names:
        world.start(name)
    world.agree(*names)
    world.settle()
    world.ran.clear()
    return world


def active_on(world: World, resource: str) -> list[str]:
    """By the agents' own account."""
    where = {}
    for name, node in world.nodes.items():
        table = node.lrm.get(resource, {})
        last = max((r for r in table.values() if r.interval_ms == 0), key=lambda r: r.call_id, default=None)
        where[name] = last is not None and last.operation == "start" and last.rc == 0
    return [name for name, active in where.items() if active]


def test_three_nodes_start_the_oldest_leads_and_resources_run() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.configure(RESOURCES)
    for name in world.names:
        world.start(name)
    world.agree("n1", "n2", "n3")
    took = world.settle()
    assert took < 200, world.story()
    assert world.dc() == "n1"
    assert [world.fsm(n) for n in world.names] == ["S_IDLE", "S_NOT_DC", "S_NOT_DC"]
    assert active_on(world, "A") == ["n1"]
    for name in world.names:
        state = world.state(name)
        assert (state["in_ccm"], state["crmd"], state["join"], state["expected"]) == ("true", "online", "member",
                                                                                      "member")
    assert world.root.get("have-quorum") == "1" and world.root.get("dc-uuid") == "1"
    nodes = world.root.findall("configuration/nodes/node")
    assert [(n.get("id"), n.get("uname")) for n in nodes] == [("1", "n1"), ("2", "n2"), ("3", "n3")]
    assert set(world.operations("n1", "A")) == {"A_last_0", "A_monitor_10000"}
    assert world.operations("n2", "A")["A_last_0"]["rc-code"] == "7"
    start = world.operations("n1", "A")["A_last_0"]
    assert start["operation"] == "start" and start["transition-magic"] == "0:0;" + start["transition-key"]
    assert start["op-secure-params"] == " passwd " and start["op-force-restart"] == " passwd  state "


def test_a_node_without_an_id_gets_the_lowest_free_number_and_the_others_keep_theirs() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.configure('<nodes><node id="n1" uname="n1"/><node id="1" uname="n3"/></nodes>')
    for name in world.names:
        world.start(name)
    world.agree("n1", "n2", "n3")
    world.settle()
    nodes = world.root.findall("configuration/nodes/node")
    assert sorted((str(n.get("uname")), n.get("id")) for n in nodes) == [("n1", "n1"), ("n2", "2"), ("n3", "1")]
    assert {name: world.state(name)["id"] for name in world.names} == {"n1": "n1", "n2": "2", "n3": "1"}


def test_a_quiet_cluster_stays_quiet() -> None:
    world = cluster("n1", "n2", "n3")
    before = len(world.schedules)
    world.run(14 * 60_000)
    assert len(world.schedules) == before
    world.run(2 * 60_000)
    assert len(world.schedules) == before + 1, "the recheck interval is fifteen minutes"
    assert world.ran == []


def test_the_loss_of_a_node_is_fenced_before_its_resources_move() -> None:
    world = cluster("n1", "n2", "n3")
    world.lose("n1")
    assert world.run_until(lambda: ("n2", "A_start_0") in world.ran) < 50 + 40, world.story()
    assert world.fences == ["n1"]
    world.settle()
    assert world.dc() == "n2"
    state = world.state("n1")
    assert (state["in_ccm"], state["crmd"], state["join"], state["expected"]) == ("false", "offline", "down", "down")
    assert world.operations("n1", "A") == {}
    assert world.confirmed.count("n1") >= 1


def test_a_fence_that_fails_holds_the_resources_and_is_tried_again() -> None:
    world = cluster("n1", "n2", "n3")
    world.fence_ok = lambda target: len(world.fences) > 3
    world.lose("n1")
    world.run(400)
    assert world.fences.count("n1") == 2 and world.ran == [], "at once again, then with a rest"
    world.settle()
    assert ("n2", "A_start_0") in world.ran
    assert world.fences.count("n1") == 4


def test_without_fencing_a_loss_counts_only_after_the_grace() -> None:
    world = cluster("n1", "n2", "n3", configuration=options(stonith_enabled="false") + RESOURCES)
    world.lose("n3")
    world.settle()
    assert world.state("n3")["in_ccm"] == "true"
    world.lose("n1")
    begun = world.now
    world.run(21_900)
    assert not any("start" in what for _, what in world.ran)
    world.run_until(lambda: ("n2", "A_start_0") in world.ran) if world.views["n2"].quorate else None
    assert world.now - begun >= 21_900


def test_the_grace_is_the_skew_and_the_longest_chain_of_stops() -> None:
    world = cluster("n1", "n2", "n3", configuration=options(stonith_enabled="false") + RESOURCES)
    world.lose("n1", quorate=True)
    took = world.run_until(lambda: ("n2", "A_start_0") in world.ran)
    assert 23_500 <= took < 23_700, "2 x deadtime + a hung worker + 20 s of one stop (A and B are not ordered)"
    assert world.state("n1")["in_ccm"] == "false"


def test_grace_zero_moves_at_once_with_a_warning() -> None:
    world = cluster("n1", "n2", "n3", configuration=options(stonith_enabled="false", takeover_grace="0") + RESOURCES)
    world.lose("n1")
    assert world.run_until(lambda: ("n2", "A_start_0") in world.ran) <= 30
    assert "takeover-grace=0 without fencing" in world.story()


def test_a_node_that_comes_back_in_its_grace_keeps_its_resources() -> None:
    world = cluster("n1", "n2", "n3", configuration=options(stonith_enabled="false") + RESOURCES)
    world.agree("n1", quorate=True)
    world.agree("n2", "n3", quorate=True)
    world.run(5_000)
    world.agree("n1", "n2", "n3")
    world.run(40_000)
    assert active_on(world, "A") == ["n1"]
    assert not any("A_st" in what for _, what in world.ran)


def test_a_clean_leave_needs_no_fence_and_no_grace() -> None:
    world = cluster("n1", "n2", "n3")
    leave_cluster(world, "n1")
    world.run_until(lambda: world.nodes["n1"].left)
    assert active_on(world, "A") == ["n2"] and active_on(world, "B") == ["n2"]
    assert world.fsm("n1") == "S_TERMINATE"
    world.views.pop("n1")
    world.agree("n2", "n3", left=("n1",))
    world.settle()
    assert world.fences == [] and world.dc() == "n2"
    assert world.state("n1")["expected"] == "down" and world.state("n1")["in_ccm"] == "false"


def test_a_node_leaves_only_when_its_lrm_says_so_too() -> None:
    """The DC may have lost sight of a start; a goodbye would be believed by all (P1)."""
    world = cluster("n1", "n2", "n3")
    started = world.nodes["n1"].lrm["A"]["start", 0]
    world.nodes["n3"].lrm["A"] = {("start", 0): msgspec.structs.replace(started, user_data="9:9:0:x", call_id=9)}
    leave_cluster(world, "n3")
    world.run(20_000)
    assert "all resources are gone from here, but A is active" in world.story()
    assert ("n3", "A_stop_0") in world.ran
    assert world.nodes["n3"].left and world.nodes["n3"].nothing_runs and active_on(world, "A") == ["n1"]


def test_a_dc_on_which_nothing_runs_leaves() -> None:
    """Its transition is over before its LRM has said that it may."""
    world = cluster("n1", "n2", "n3", configuration="<resources/>")
    leave_cluster(world, "n1")
    world.run(1_000)
    assert world.nodes["n1"].left and world.nodes["n1"].nothing_runs


def test_a_leave_that_took_too_long_makes_nobody_believe_that_nothing_runs() -> None:
    world = cluster("n1", "n2", "n3", configuration=options(shutdown_escalation="5s") + RESOURCES)
    world.outcome = lambda node, order: 1 if order.operation == "stop" else 0
    world.fence_ok = lambda target: False
    leave_cluster(world, "n1")
    world.run(6_000)
    assert world.nodes["n1"].left and not world.nodes["n1"].nothing_runs


def test_a_node_that_was_told_to_leave_needs_no_fence_though_its_goodbye_is_lost() -> None:
    world = cluster("n1", "n2", "n3")
    leave_cluster(world, "n3")
    world.run_until(lambda: world.nodes["n3"].left)
    world.run(2)  # its answer to the order to leave has arrived
    world.lose("n3")
    world.run(5)
    world.settle()
    assert world.fences == [] and world.state("n3")["in_ccm"] == "false"
    assert "n3 has left in good order" in world.story()


def test_a_lost_node_that_shows_up_without_a_crmd_is_not_taken_for_one_that_left() -> None:
    world = cluster("n1", "n2", "n3")
    world.fence_ok = lambda target: False
    world.lose("n3")
    world.run(200)
    world.agree("n1", "n2", "n3")
    world.run(1_500)
    state = world.state("n3")
    assert (state["in_ccm"], state["join"], state["expected"]) == ("true", "down", "member")


def test_the_oldest_feature_set_leads() -> None:
    """Rolling upgrade: n2 and n3 run the old release yet, n1 is the oldest and new already."""
    world = World("n1", "n2", "n3", decide=decide)
    world.feature_sets = {"n2": "3.9.10", "n3": "3.9.10"}
    world.configure(RESOURCES)
    for name in world.names:
        world.start(name)
    world.agree("n1", "n2", "n3")
    world.settle()
    assert world.dc() == "n2"
    world.lose("n2")
    world.settle()
    assert world.dc() == "n3"


def test_a_dc_hands_over_to_a_member_with_an_older_feature_set() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.feature_sets = {"n3": "3.9.10"}
    world.configure(RESOURCES)
    world.start("n1")
    world.start("n2")
    world.agree("n1", "n2")
    world.run(10_000)
    assert world.dc() == "n1" and active_on(world, "A") == ["n1"]
    world.ran.clear()
    world.start("n3")
    world.agree("n1", "n2", "n3")
    world.settle()
    assert world.dc() == "n3"
    assert not [what for _, what in world.ran if "_start_0" in what or "_stop_0" in what]
    world.feature_sets = {}
    world.kill("n3")
    world.start("n3")
    world.settle()
    assert world.dc() in world.names


def test_a_failed_monitor_is_counted_and_the_resource_recovered() -> None:
    world = cluster("n1", "n2", "n3")
    monitor = next(o for o in recurring(world, "n1") if o.operation == "monitor" and o.interval_ms)
    world.result("n1", monitor, 7)
    world.run(1)
    world.settle()
    names = [(a.name, a.value) for a in world.attributes if hasattr(a, "value")]
    assert ("fail-count-A#monitor_10000", "fail-count-A#monitor_10000++") in names
    assert any(name == "last-failure-A#monitor_10000" for name, _ in names)
    assert [what for node, what in world.ran if node == "n1"] == ["A_stop_0", "A_start_0", "A_monitor_10000"]
    assert "A_last_failure_0" in world.operations("n1", "A")


def test_a_failed_monitor_is_seen_though_the_clock_was_set_back() -> None:
    world = cluster("n1", "n2", "n3")
    monitor = next(o for o in recurring(world, "n1") if o.resource.id == "A")
    success = int(world.operations("n1", "A")["A_monitor_10000"]["last-rc-change"])
    world.wall_ms -= 3_600_000
    world.result("n1", monitor, 7)
    world.run(2)
    assert int(world.operations("n1", "A")["A_last_failure_0"]["last-rc-change"]) == success + 1
    world.settle()
    assert ("n1", "A_start_0") in world.ran


def test_a_failed_start_is_fatal_here_and_moves_on() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.configure(RESOURCES)
    world.outcome = lambda node, order: (
        1 if (node, order.operation, order.resource.id) == ("n1", "start", "A")
        else 7 if order.operation == "monitor" and not order.interval_ms else 0
    )
    for name in world.names:
        world.start(name)
    world.agree("n1", "n2", "n3")
    world.settle()
    assert active_on(world, "A") == ["n2"]
    assert any(a.name == "fail-count-A#start_0" and a.value == "INFINITY" for a in world.attributes
               if hasattr(a, "value"))
    assert sum(1 for what in world.ran if what == ("n1", "A_start_0")) == 1, "not tried again where it failed"


def test_a_joining_node_is_probed() -> None:
    world = World("n1", "n2", "n3", decide=decide)
    world.configure(RESOURCES)
    for name in ("n1", "n2"):
        world.start(name)
    world.agree("n1", "n2")
    took = world.settle()
    assert took >= 5_000, "the third is waited for until initdead"
    world.start("n3")
    world.agree("n1", "n2", "n3")
    world.settle()
    assert world.dc() == "n1"
    assert ("n3", "A_monitor_0") in world.ran
    assert world.state("n3")["join"] == "member"


def test_a_cold_start_does_not_fence_who_comes_a_little_later() -> None:
    world = cluster("n1", "n2", "n3")
    for name in world.names:  # the whole cluster loses power; the status it kept says that all are in
        world.power_off(name)
    world.run(1_000)
    for name in ("n1", "n2"):
        world.start(name)
    world.agree("n1", "n2")
    world.run(3_000)
    assert world.fences == []
    world.start("n3")
    world.agree("n1", "n2", "n3")
    world.run(10)
    world.settle()
    assert world.fences == [] and len(active_on(world, "A")) == 1


def test_a_cold_start_fences_who_does_not_come_at_all() -> None:
    world = cluster("n1", "n2", "n3")
    for name in world.names:
        world.power_off(name)
    for name in ("n1", "n2"):
        world.start(name)
    world.agree("n1", "n2")
    took = world.run_until(lambda: world.fences == ["n3"])
    assert 4_900 <= took <= 5_100, "initdead"


def test_a_part_without_quorum_elects_its_own_dc_and_stops_everything() -> None:
    world = cluster("n1", "n2", "n3", configuration=options(stonith_enabled="false") + RESOURCES)
    world.agree("n1", quorate=False)
    world.run_until(lambda: ("n1", "B_stop_0") in world.ran)
    assert world.root.get("have-quorum") == "0"
    assert world.nodes["n1"].crmd is not None and world.nodes["n1"].crmd.election.is_dc


def test_two_nodes_the_half_that_fences_goes_on_with_quorum() -> None:
    world = cluster("n1", "n2")
    world.lose("n1", quorate=False)
    world.run_until(lambda: ("n2", "A_start_0") in world.ran)
    assert world.fences == ["n1"] and world.confirmed == ["n1"]
    assert world.root.get("have-quorum") == "1"
    world.settle()


def test_two_nodes_the_former_dc_shoots_first() -> None:
    world = cluster("n1", "n2")
    world.agree("n1", quorate=False)
    world.agree("n2", quorate=False)
    world.fence_ok = lambda target: True
    world.run_until(lambda: world.confirmed.count("n2") > 0)
    shooter = next(line for line in world.story().splitlines() if "fencing n2" in line)
    assert " n1 crmd" in shooter
    assert not any("stop" in what for _, what in world.ran), "nothing is stopped while the race is open"


def recurring(world: World, name: str) -> list[RunOperation]:
    """Recurring operations as the lrmd of the node has them."""
    return [
        RunOperation(resource=r.resource, operation=r.operation, interval_ms=r.interval_ms, timeout_ms=20_000,
                     parameters=r.parameters, meta=r.meta, user_data=r.user_data)
        for table in world.nodes[name].lrm.values() for r in table.values() if r.interval_ms
    ]


def test_the_state_is_told_to_programs_on_every_node() -> None:
    world = cluster("n1", "n2", "n3")
    world.ask("n2", crm.GetState(request_id="1"))
    world.ask("n2", crm.GetState(request_id="2", node="n1"))
    world.ask("n2", crm.GetState(request_id="3", node="n9"))
    world.run(10)
    answers = {a.request_id: a for a in world.replies if isinstance(a, crm.State)}
    assert (answers["1"].fsm, answers["1"].dc) == ("S_NOT_DC", "n1")
    assert (answers["2"].fsm, answers["2"].idle, answers["2"].node) == ("S_IDLE", True, "n1")
    assert answers["3"].fsm == ""


def test_clean_up_forgets_and_probes_again() -> None:
    world = cluster("n1", "n2", "n3")
    world.ask("n3", crm.Cleanup(request_id="1", resource_id="A", only_failed=False))
    world.run_until(lambda: any(isinstance(a, crm.Done) and a.rc == 0 for a in world.replies))
    world.outcome = lambda node, order: (
        (0 if node == "n1" else 7) if order.operation == "monitor" and not order.interval_ms else 0
    )
    world.settle()
    assert {("n1", "A_monitor_0"), ("n2", "A_monitor_0"), ("n3", "A_monitor_0")} <= set(world.ran)
    assert not any("start" in what or "stop" in what for _, what in world.ran)


def test_the_timeline_of_a_recovery_is_told_on_every_node() -> None:
    world = cluster("n1", "n2", "n3")
    world.lose("n1")
    world.run(1)
    world.settle()
    world.ask("n3", crm.WatchTimeline(request_id="1"))
    world.run(10)
    told = next(a for a in world.replies if isinstance(a, crm.Timeline))
    words = [p.what for p in told.phases]
    for earlier, later in (("loss-seen", "view-agreed"), ("view-agreed", "decided"), ("decided", "fencing"),
                           ("fencing", "fenced"), ("fenced", "started"), ("started", "done")):
        assert words.index(earlier) < words.index(later), words
    assert [p.at_ms for p in told.phases] == sorted(p.at_ms for p in told.phases)
