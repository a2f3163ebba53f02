# SPDX-License-Identifier: GPL-2.0-or-later
"""Stories of nodes: starting, dying, returning, leaving, restarting, hearing in one direction only."""

from __future__ import annotations

import pytest

from ha.heartbeat.core import build
from ha.heartbeat.core.nodes import TRANSITIONS
from ha.heartbeat.model import parse
from ha.heartbeat.msg import Accusations, GetAccusations, GetNodes, LinkStatus, NodeStatus, NothingRuns
from ha.machine import Client, Note, Packet, Persist, Received, Reply, Send, Started, Stopping, Wall, Wire
from tests.unit.heartbeat.wire_world import KEYS, WALL_OFFSET_MS, Weather, World

TWO_LINKS = "bcast eth0\nbcast eth1"
DEADTIME, KEEPALIVE, INITDEAD = 1000, 200, 10_000


def states(world: World, observer: str, node: str) -> list[str]:
    return [status.state for status in world.hosts[observer].statuses if status.node == node]


def evidence(world: World, observer: str, node: str) -> str:
    """What was said of the node last."""
    return next(status.evidence for status in reversed(world.hosts[observer].statuses) if status.node == node)


def settled(names: str = "abc", **how: object) -> World:
    world = World(list(names), **how)  # type: ignore[arg-type]
    world.start()
    world.run(2_000)
    assert all(world.hosts[x].state_of(y) == "active" for x in names for y in names)
    return world


def test_nodes_that_start_together_are_active_at_once() -> None:
    world = World(["a", "b", "c"])
    world.start()
    took = world.run_until(lambda: all(h.state_of(n) == "active" for h in world.hosts.values() for n in "abc"), 1_000)
    assert took < KEEPALIVE


def test_an_absent_node_is_awaited_for_initdead() -> None:
    world = World(["a", "b", "c"])
    world.start("a", "b")
    world.run(INITDEAD - 10)
    assert [world.hosts["a"].state_of(n) for n in "abc"] == ["up", "up", "init"]
    world.run(20)
    assert [world.hosts["a"].state_of(n) for n in "abc"] == ["active", "active", "dead"]
    assert f"not heard since we started ({INITDEAD} ms)" in evidence(world, "a", "c")


def test_who_joins_an_active_cluster_need_not_wait_for_the_dead() -> None:
    world = World(["a", "b", "c"])
    world.start("a")
    world.run(INITDEAD + 100)
    world.start("b")
    took = world.run_until(lambda: world.hosts["b"].state_of("b") == "active", INITDEAD)
    assert took <= DEADTIME + 10


def test_power_off_is_noticed_within_deadtime_with_evidence() -> None:
    world = settled()
    world.kill("c")
    took = world.run_until(lambda: world.hosts["a"].state_of("c") == "dead", 5_000)
    assert DEADTIME - KEEPALIVE - 5 <= took <= DEADTIME + 5
    assert "silent for 1000 ms (deadtime 1000 ms), last heard on eth0, packet" in evidence(world, "a", "c")


def test_a_node_that_dies_right_after_its_first_words_is_missed_after_deadtime() -> None:
    """Not after initdead, which holds only until it was heard."""
    world = World(["a", "b"])
    world.start()
    world.run_until(lambda: world.hosts["a"].state_of("b") == "up", 100)
    world.kill("b")
    assert world.run_until(lambda: world.hosts["a"].state_of("b") == "dead", INITDEAD) <= DEADTIME + 5


def test_the_fast_profile_is_fast() -> None:
    world = settled(config="profile fast")
    world.kill("c")
    assert world.run_until(lambda: world.hosts["a"].state_of("c") == "dead", 5_000) <= 155


def test_a_booted_node_is_another_life() -> None:
    world = settled()
    before = world.hosts["a"].statuses[-1]
    world.kill("c")
    world.boot("c")
    world.run(500)
    story = [s for s in world.hosts["a"].statuses if s.node == "c"][-3:]
    assert [s.state for s in story] == ["dead", "up", "active"]
    assert "booted anew" in story[0].evidence
    assert story[2].boot_id != before.boot_id
    assert story[2].generation == story[0].generation + 1


def test_a_restarted_heartbeat_keeps_its_place() -> None:
    """Killed and back within deadtime, same boot: no peer calls it dead; a new generation is told."""
    world = settled()
    count = len(world.hosts["a"].statuses)
    world.kill("b")
    world.run(300)
    world.start("b")
    world.run(2_000)
    news = world.hosts["a"].statuses[count:]
    assert [(s.node, s.state) for s in news] == [("b", "active")]
    assert "same boot" in news[0].evidence
    assert world.hosts["b"].state_of("a") == "active"
    assert world.hosts["b"].state_of("b") == "active"


def test_a_restarted_heartbeat_waits_deadtime_not_initdead_for_the_dead() -> None:
    world = settled()
    world.kill("c")
    world.run(DEADTIME + 100)
    world.kill("b")
    world.start("b")
    took = world.run_until(lambda: world.hosts["b"].state_of("c") == "dead", INITDEAD)
    assert took <= DEADTIME + 5


def test_a_clean_start_in_the_same_boot_waits_initdead_again() -> None:
    world = World(["a", "b"])
    world.start("a")
    world.run(100)
    world.stop("a")
    world.start("a")
    world.run(INITDEAD - 200)
    assert world.hosts["a"].state_of("b") == "init"


def test_leaving_needs_no_timeout_and_survives_loss() -> None:
    world = settled()
    world.weather = Weather(loss=0.2)
    world.stop("c")
    world.run(5)
    assert world.hosts["a"].statuses[-1].state == "left"
    assert world.hosts["a"].statuses[-1].evidence == "it said goodbye"
    world.run(3_000)
    assert states(world, "a", "c")[-1] == "left"


def test_no_goodbye_while_resources_may_run() -> None:
    """Peers would start them elsewhere at once. Stopped under a living crmd, heartbeat is only being restarted."""
    world = settled()
    world.connect("c", "crmd")
    world.stop("c")
    world.run(300)
    assert world.hosts["a"].state_of("c") == "active"
    world.start("c")
    world.run(2_000)
    assert states(world, "a", "c")[-2:] == ["active", "active"]


@pytest.mark.parametrize(("said", "state"), [(False, "active"), (True, "left")])
def test_a_goodbye_needs_the_word_of_the_crmd(said: bool, state: str) -> None:
    """A crmd that was too slow to leave is ended all the same: nobody knows what still runs here (P1)."""
    world = settled()
    world.connect("c", "crmd")
    if said:
        world.say("c", "crmd", NothingRuns())
    world.lose("c", "crmd")
    world.stop("c")
    world.run(10)
    assert world.hosts["a"].state_of("c") == state


def test_the_word_of_a_crmd_does_not_count_for_its_successor() -> None:
    world = settled()
    world.connect("c", "crmd")
    world.say("c", "crmd", NothingRuns())
    world.lose("c", "crmd")
    world.connect("c", "crmd")
    world.lose("c", "crmd")
    world.stop("c")
    world.run(10)
    assert world.hosts["a"].state_of("c") == "active"


def test_a_restarted_heartbeat_does_not_know_what_runs() -> None:
    world = settled()
    world.connect("c", "crmd")
    world.stop("c")
    world.start("c")
    world.run(2_000)
    world.stop("c")
    world.run(300)
    assert world.hosts["a"].state_of("c") == "active"


def test_who_left_comes_back() -> None:
    world = settled()
    world.stop("c")
    world.run(3_000)
    world.start("c")
    world.run(1_000)
    assert states(world, "a", "c")[-3:] == ["left", "up", "active"]


def test_one_link_of_two_may_die() -> None:
    world = settled(media=TWO_LINKS)
    world.cut_media.add("bcast eth1")
    count = len(world.hosts["a"].statuses)
    world.run(3_000)
    assert len(world.hosts["a"].statuses) == count
    assert [(s.link, s.up) for s in world.hosts["a"].links][-2:] == [("eth1", False)] * 2
    world.cut_media.clear()
    world.run(500)
    assert LinkStatus(node="b", link="eth1", up=True) in world.hosts["a"].links[-2:]


def test_a_one_way_link_is_no_link_for_either() -> None:
    world = settled("ab")
    world.cut.add(("b", "a"))
    world.run(DEADTIME + KEEPALIVE + 50)
    assert world.hosts["a"].state_of("b") == "dead"
    assert world.hosts["b"].state_of("a") == "dead"
    assert "lost us" in world.hosts["b"].statuses[-1].evidence
    world.run(5_000)
    assert world.hosts["b"].state_of("a") == "dead"
    world.cut.clear()
    world.run(1_000)
    assert world.hosts["a"].state_of("b") == "active"
    assert world.hosts["b"].state_of("a") == "active"
    assert states(world, "b", "a")[-3:] == ["active", "dead", "active"]


def test_a_link_that_was_one_way_from_the_start_never_counts() -> None:
    world = World(["a", "b"])
    world.cut.add(("b", "a"))
    world.start()
    world.run(INITDEAD + DEADTIME)
    assert states(world, "b", "a") == ["init", "dead"]
    assert "it does not answer: is the link one-way?" in evidence(world, "b", "a")


def test_a_partition_heals() -> None:
    world = settled()
    world.cut |= {("a", "c"), ("c", "a"), ("b", "c"), ("c", "b")}
    world.run(5_000)
    assert [world.hosts["c"].state_of(n) for n in "ab"] == ["dead", "dead"]
    world.cut.clear()
    world.run(1_000)
    assert all(world.hosts[x].state_of(y) == "active" for x in "abc" for y in "abc")


def test_a_frozen_node_is_given_up_but_accuses_nobody_on_waking() -> None:
    world = settled("ab")
    world.pause("b", 5_000)
    world.run(4_900)
    assert world.hosts["a"].state_of("b") == "dead"
    silent = [s for s in world.hosts["b"].statuses if "silent" in s.evidence]
    world.run(3_000)
    assert [s for s in world.hosts["b"].statuses if "silent" in s.evidence] == silent == []
    assert any("our own loop was away" in note.text for _, note in world.hosts["b"].notes)
    assert world.hosts["a"].state_of("b") == world.hosts["b"].state_of("a") == "active"


def test_a_short_freeze_is_nobodys_death() -> None:
    world = settled("ab")
    count = [len(host.statuses) for host in world.hosts.values()]
    world.pause("b", DEADTIME - KEEPALIVE - 50)
    world.run(5_000)
    assert [len(host.statuses) for host in world.hosts.values()] == count


def test_late_heartbeats_are_noted() -> None:
    world = settled("ab")
    world.pause("b", 700)
    world.run(2_000)
    assert any("Late heartbeat: node b was silent for" in note.text for _, note in world.hosts["a"].notes)


def test_recorded_packets_revive_nobody() -> None:
    """All that a node ever sent, sent again after its death: no state changes, nothing is delivered."""
    world = World(["a", "b"])
    recorded: list[tuple[Wire, Packet]] = []
    travel = world.travel

    def record(sender: object, wire: Wire, packet: Packet) -> None:
        if sender is world.hosts["b"]:
            recorded.append((wire, packet))
        travel(sender, wire, packet)  # type: ignore[arg-type]

    world.travel = record  # type: ignore[method-assign]
    world.start()
    world.run(1_000)
    world.transmit("b", "a", b"once")
    world.run(500)
    world.kill("b")
    world.run(3_000)
    assert states(world, "a", "b")[-1] == "dead"

    def replay() -> None:
        for wire, packet in recorded:
            world.step("a", Received(Wire(wire.medium, "10.0.0.2:694"), packet))
            world.run(1)

    count = len(world.hosts["a"].statuses)
    replay()
    assert len(world.hosts["a"].statuses) == count
    world.kill("a")
    world.start("a")
    replay()
    assert set(states(world, "a", "b")) <= {"init", "dead"}
    assert world.hosts["a"].bodies("cib", "b") == []


def test_a_lower_generation_is_refused() -> None:
    world = settled("ab")
    host = world.hosts["b"]
    world.kill("b")
    host.persisted["hb_generation"] = b"%15d\n" % 5
    world.start("b")
    world.run(3_000)
    assert world.hosts["a"].state_of("b") == "dead"
    assert any("a replay?" in note.text for _, note in world.hosts["a"].notes)


def test_the_generation_is_durable_before_anything_is_sent() -> None:
    core = build(node="a", ha_cf=parse("node a b\nbcast eth0\n", "f"), keys=KEYS, boot_id="x")
    core.step(Started("a-1", 1, {"hb_generation": b"             41\n"}), 1_000)
    effects = core.step(Wall(WALL_OFFSET_MS), 1_000)
    kinds = [type(effect) for effect in effects]
    assert Persist("hb_generation", b"%15d\n" % 42) in effects
    assert max(i for i, k in enumerate(kinds) if k is Persist) < min(i for i, k in enumerate(kinds) if k is Send)


@pytest.mark.parametrize("record", [b"", b"garbage", b"-5\n", b"9" * 40, b"\xff\xfe"])
def test_an_unreadable_generation_is_replaced_by_the_clock(record: bytes) -> None:
    world = World(["a"])
    world.hosts["a"].persisted["hb_generation"] = record
    world.start()
    assert int(world.hosts["a"].persisted["hb_generation"]) == (WALL_OFFSET_MS + world.now) // 1000 + 1


def test_unknown_nodes_are_not_taken_in_unless_autojoin_says_so() -> None:
    for config, known in (("", False), ("autojoin other", True)):
        world = World(["a", "b"], config=config)
        world.start("a")
        stranger = World(["c", "a"])
        stranger.start("c")
        sent = [effect for effect in stranger.step("c", Stopping()) if isinstance(effect, Send)]
        world.step("a", Received(Wire("bcast eth0", "10.9.9.9:694"), sent[0].message))
        assert ("c" in world.hosts["a"].core.peers.nodes) == known  # type: ignore[attr-defined]


def test_a_node_alone_is_active_at_once() -> None:
    world = World(["a"])
    world.start()
    assert [s.state for s in world.hosts["a"].statuses] in (["up", "active"], ["active"])


def test_programs_are_told_the_nodes() -> None:
    world = settled("ab")
    client = Client("ha", 1, 0)
    effects = world.step("a", Received(client, GetNodes()))
    reply = next(effect for effect in effects if isinstance(effect, Reply))
    assert [(line.node, line.state, line.links) for line in reply.message.nodes] == [  # type: ignore[attr-defined]
        ("a", "active", {}),
        ("b", "active", {"eth0": True}),
    ]


def accusations(world: World, asked: str, about: str) -> list[tuple[str, str, str]]:
    """(accuser, evidence, links) as `ha membership why` gets them."""
    effects = world.step(asked, Received(Client("ha", 1, 0), GetAccusations(node=about)))
    reply = next(effect for effect in effects if isinstance(effect, Reply))
    assert isinstance(reply.message, Accusations)
    assert about in reply.message.known
    return [(line.accuser, line.evidence, " ".join(line.links)) for line in reply.message.lines]


def test_every_accusation_keeps_its_evidence() -> None:
    world = settled("abc")
    assert accusations(world, "a", "b") == []
    world.cut.add(("b", "a"))
    world.run(DEADTIME + KEEPALIVE + 50)
    own, *_ = [found for found in accusations(world, "a", "b") if found[0] == "a"]
    assert "silent for 1000 ms (deadtime 1000 ms)" in own[1]
    assert "eth0: up, last heard status" in own[2]
    assert ("a", "its status says so", "") in accusations(world, "c", "b")
    assert [found[0] for found in accusations(world, "b", "a")] == ["b"]
    world.run(10_000)
    assert len(accusations(world, "c", "b")) == 1  # once, not with each packet
    world.cut.clear()
    world.run(3_000)
    world.kill("b")
    world.run(3_000)
    assert [found[0] for found in accusations(world, "a", "b")].count("a") == 2
    assert [found[0] for found in accusations(world, "c", "b")] == ["a", "c", "a"]


def test_ccm_hears_at_once_how_everybody_is() -> None:
    world = settled()
    world.hosts["a"].statuses.clear()
    world.connect("a", "ccm")
    assert sorted((s.node, s.state) for s in world.hosts["a"].statuses) == [(n, "active") for n in "abc"]
    assert all(isinstance(s, NodeStatus) and s.generation and s.boot_id for s in world.hosts["a"].statuses)


def test_garbage_is_counted_not_acted_on() -> None:
    world = settled("ab")
    count = len(world.hosts["a"].notes)
    for number in range(1000):
        effects = world.step("a", Received(Wire("bcast eth0", "10.6.6.6:1"), Packet(data=b"#" * number)))
        assert all(isinstance(effect, Note) for effect in effects)
    assert len(world.hosts["a"].notes) == count + 1


def test_every_transition_is_between_named_states() -> None:
    assert {state for row in TRANSITIONS.values() for state in row} <= set(TRANSITIONS)
    assert all(state not in row for state, row in TRANSITIONS.items())


def test_the_same_seed_gives_the_same_packets() -> None:
    def run() -> list[tuple[int, str]]:
        world = World(["a", "b", "c"], seed=7)
        world.weather = Weather(loss=0.1, delay_ms=(1, 9))
        world.start()
        world.run(3_000)
        return [(moment, note.text) for host in world.hosts.values() for moment, note in host.notes] + [
            (world.packets, "")
        ]

    assert run() == run()
