# SPDX-License-Identifier: GPL-2.0-or-later
"""Two nodes in haresources mode: who runs what after each event, and P1 in all of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha.haresources.core.conversation import Conversation
from ha.haresources.core.lost_peer import LostPeer
from ha.heartbeat.msg import Announced
from ha.machine import Received, Remote
from tests.unit.haresources.pair_world import PairWorld

AT_HOME = {"ip::1": "alpha", "web": "alpha", "ip::2": "beta", "db": "beta"}
ALL_ON_BETA = dict.fromkeys(AT_HOME, "beta")
ALL_ON_ALPHA = dict.fromkeys(AT_HOME, "alpha")


def started(**options: object) -> PairWorld:
    world = PairWorld(**options)  # type: ignore[arg-type]
    world.power_on("alpha", "beta")
    world.run(10_000)
    assert world.where() == AT_HOME
    return world


def test_both_start_and_take_what_is_at_home_in_order() -> None:
    world = started()
    assert [resource for node, resource in world.starts if node == "alpha"] == ["ip::1", "web"]


def test_standby_and_takeover_move_groups_and_say_so_in_heartbeats_words() -> None:
    world = started()
    world.said.clear()
    world.standby("alpha")
    world.run(5_000)
    assert world.where() == ALL_ON_BETA
    words = [text for _, text in world.said]
    assert words == [
        "ask_resources all me", "ask_resources all other", "resource none full 0 standby", "ask_resources all done",
        "resource all full 1", "ask_resources all done", "resource none full 1",
    ]  # fmt: skip
    world.takeover("alpha", "local")
    world.run(5_000)
    assert world.where() == AT_HOME


@pytest.mark.parametrize(("failback", "after"), [(True, AT_HOME), (False, ALL_ON_BETA)])
def test_a_node_leaves_and_comes_back(failback: bool, after: dict[str, str]) -> None:
    world = started(failback=failback)
    world.leave("alpha")
    world.run(5_000)
    assert world.where() == ALL_ON_BETA
    world.power_on("alpha")
    world.run(10_000)
    assert world.where() == after


def test_a_lost_node_is_fenced_before_its_groups_start() -> None:
    world = started()
    world.cut_network(True)
    world.run(3_000)
    assert [node.name for node in world.nodes.values() if node.up] == ["alpha"], "the first by name has a head start"
    assert world.where() == ALL_ON_ALPHA


def test_without_fencing_a_lost_node_keeps_its_groups_until_an_operator_confirms() -> None:
    world = started(fencing=False)
    world.cut_network(True)
    world.run(60_000)
    assert world.where() == AT_HOME
    assert any("hb_takeover --dead beta" in line for line in world.nodes["alpha"].log)
    world.power_off("beta")
    world.confirm("alpha")
    world.run(5_000)
    assert world.where() == ALL_ON_ALPHA
    assert world.answers[-1].accepted


def test_a_confirmation_of_a_node_that_lives_is_refused() -> None:
    world = started()
    world.confirm("alpha")
    world.run(1_000)
    assert world.answers[-1].text == "node beta is active, not lost"


def test_after_an_unfenced_takeover_each_keeps_what_is_at_home() -> None:
    world = started(fencing=False, unfenced_ms=500)
    world.cut_network(True)
    world.run(5_000)
    assert world.nodes["alpha"].active == world.nodes["beta"].active == set(AT_HOME)
    world.cut_network(False)
    world.run(10_000)
    assert world.where() == AT_HOME
    assert not world.nodes["alpha"].active & world.nodes["beta"].active


def test_a_node_alone_at_first_starts_nothing_that_may_run_elsewhere() -> None:
    world = PairWorld(fencing=False)
    world.power_on("alpha")
    world.run(30_000)
    assert world.where() == {}
    world.power_on("beta")
    world.run(10_000)
    assert world.where() == AT_HOME


def test_a_restarted_worker_restarts_nothing() -> None:
    world = started()
    starts = len(world.starts)
    for name in ("alpha", "beta"):
        world.kill_worker(name)
        world.run(10_000)
    assert world.where() == AT_HOME
    assert len(world.starts) == starts
    world.standby("beta")
    world.run(5_000)
    assert world.where() == ALL_ON_ALPHA


def test_what_cannot_be_stopped_is_not_started_elsewhere() -> None:
    world = started()
    world.nodes["alpha"].broken.add(("ip::1", "stop"))
    world.standby("alpha")
    world.run(60_000)
    assert world.where()["ip::1"] == "alpha"
    assert "web" not in world.nodes["beta"].active
    assert any("cannot be stopped" in line for line in world.nodes["alpha"].log)


def test_leaving_with_something_that_cannot_be_stopped_says_no_goodbye() -> None:
    world = started()
    world.nodes["alpha"].broken.add(("ip::1", "stop"))
    world.leave("alpha")
    world.run(14_000)
    assert not world.nodes["alpha"].left


def test_a_group_that_cannot_start_goes_to_the_other_node() -> None:
    world = PairWorld()
    world.nodes["alpha"].broken.add(("web", "start"))
    world.power_on("alpha", "beta")
    world.run(60_000)
    assert world.where() == ALL_ON_BETA


def test_what_runs_without_being_held_is_stopped_first() -> None:
    world = PairWorld()
    world.power_on("beta")
    world.nodes["beta"].active.add("web")
    world.run(300)
    assert world.nodes["beta"].active == set()


def test_the_checker_finds_a_takeover_without_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LostPeer, "consider", lambda self: self._take("planted"))
    world = started(fencing=False)
    world.cut_network(True)
    with pytest.raises(AssertionError, match="P1"):
        world.run(5_000)


def test_the_checker_finds_a_release_that_is_said_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conversation, "_disown", lambda self, kinds: setattr(self, "owned", self.owned - kinds))
    world = started()
    world.nodes["alpha"].broken.add(("ip::1", "stop"))
    world.standby("alpha")
    with pytest.raises(AssertionError):
        world.run(30_000)


WORDS = st.sampled_from(["starting", "resource", "ask_resources", "hb_takeover", "shutdone", "all", "local", "none",
                         "1", "0", "me", "other", "done", "", "\0", "x" * 50])  # fmt: skip


@given(st.lists(st.dictionaries(st.sampled_from(["t", "rsc_hold", "isstable", "info", "st"]), WORDS), max_size=8))
@settings(max_examples=60, deadline=None)
def test_whatever_the_peer_says_the_worker_lives(said: list[dict[str, str]]) -> None:
    """A peer that lies can have resources started twice; it cannot end the worker."""
    world = PairWorld(fencing=False, unfenced_ms=60_000)
    world.power_on("alpha", "beta")
    world.run(2_000)
    for fields in said:
        world.post(world.nodes["alpha"], Received(Remote("beta", "haresources"), Announced(node="beta", fields=fields)))
        world.run(30)
    world.run(20_000)
    assert world.nodes["alpha"].worker is not None


@pytest.mark.parametrize("seed", [*range(60), 10339, 12547])
def test_random_lives(seed: int) -> None:
    """Whatever is done to the two: never two copies, and in the end everything runs somewhere."""
    world = PairWorld(seed, failback=bool(seed % 2), fencing=bool(seed % 3))
    chance = world.random
    world.power_on("alpha", "beta")
    for _ in range(30):
        world.run(chance.choice([1, 20, 60, 200, 1_500, 6_000]))
        name = chance.choice(["alpha", "beta"])
        node = world.nodes[name]
        deed = chance.choice(["kill", "kill", "standby", "takeover", "leave", "cut", "heal", "off", "on", "blink"])
        if deed == "kill" and node.up:
            world.kill_worker(name)
        elif deed == "blink" and node.up:
            world.restart_heartbeat(name)
        elif deed == "standby":
            world.standby(name, chance.choice(["all", "local", "foreign"]))
        elif deed == "takeover":
            world.takeover(name, chance.choice(["all", "local", "foreign"]))
        elif deed == "leave" and node.up:
            world.leave(name)
        elif deed in ("cut", "heal"):
            world.cut_network(deed == "cut")
        elif deed == "off" and node.up and chance.random() < 0.5:
            world.power_off(name)
        elif deed == "on" and not node.up:
            world.power_on(name)
    world.cut_network(False)
    world.run(100_000)
    for name, node in world.nodes.items():
        if not node.up:
            world.power_on(name)
        world.run(20_000)
    world.run(30_000)
    assert set(world.where()) == set(AT_HOME), [node.log[-12:] for node in world.nodes.values()]
