# SPDX-License-Identifier: GPL-2.0-or-later
"""Even splits in the unit world: who is granted, who is refused, and what becomes of late and lost answers."""

from __future__ import annotations

import pytest

from ha.ccm.model import STATE_NAME, State, load
from ha.ccm.model import encode as encode_state
from ha.ccm.model.register import GRANT_LIMIT_BYTES, Grant, GrantError, decode, encode
from ha.ccm.msg import Member, View, ViewId
from ha.sim.cluster import Cluster
from ha.sim.network import PING_ADDRESS
from ha.sim.promises import OneQuorum
from ha.sim.stack import make_world
from ha.sim.world import World


def split(kind: str, count: int = 2) -> tuple[World, Cluster]:
    """A cluster at rest in one view. Its ground alone: heartbeat and ccm."""
    names = [f"n{number}" for number in range(1, count + 1)]
    world = make_world(names, {"layers": "ground", "tie_breaker": kind}, 1)
    cluster = Cluster(world)
    cluster.start(names)
    world.run_for(5_000)
    assert all(quorate(world, name) for name in names)
    return world, cluster


def cut(cluster: Cluster, half: str, rest: str) -> None:
    for one in half.split():
        for other in rest.split():
            cluster.cut(one, other)


def view(world: World, name: str) -> View:
    held = next(watcher for watcher in world.watchers if isinstance(watcher, OneQuorum)).held[name]
    assert held is not None
    return held


def quorate(world: World, name: str) -> bool:
    return view(world, name).quorate


def test_one_half_alone_is_granted_and_stays_the_cluster() -> None:
    world, cluster = split("register")
    cut(cluster, "n1", "n2")
    world.run_for(20_000)
    assert [quorate(world, name) for name in ("n1", "n2")].count(True) == 1


def test_a_register_that_is_dead_grants_nobody_until_it_is_back() -> None:
    world, cluster = split("register", 4)
    world.register.is_dead = True
    cut(cluster, "n1 n2", "n3 n4")
    world.run_for(10_000)
    assert not any(quorate(world, name) for name in world.nodes)
    world.register.repair()
    world.run_for(10_000)
    assert [name for name in world.nodes if quorate(world, name)] in (["n1", "n2"], ["n3", "n4"])


def test_half_that_reaches_the_register_goes_on() -> None:
    world, cluster = split("register")
    world.register.unreachable = {"n1"}
    cut(cluster, "n1", "n2")
    world.run_for(10_000)
    assert [name for name in world.nodes if quorate(world, name)] == ["n2"]


def test_answers_that_are_late_or_lost_are_found_in_the_register() -> None:
    world, cluster = split("register")
    world.register.delay_us, world.register.lost_answers = 1_500_000, 0.5
    cut(cluster, "n1", "n2")
    world.run_for(60_000)
    assert [quorate(world, name) for name in world.nodes].count(True) == 1


@pytest.mark.parametrize("after_ms", [960, 1010, 2000])
def test_a_ccm_that_is_killed_between_asking_and_answer_asks_again(after_ms: int) -> None:
    world, cluster = split("register")
    world.register.unreachable = {"n2"}
    world.register.delay_us = 300_000
    cut(cluster, "n1", "n2")
    world.run_for(after_ms)
    cluster.kill("n1", "ccm")
    world.run_for(10_000)
    assert [name for name in world.nodes if quorate(world, name)] == ["n1"]


def test_who_was_refused_is_not_granted_when_the_winner_is_gone() -> None:
    world, cluster = split("register")
    world.register.unreachable = {"n2"}
    cut(cluster, "n1", "n2")
    world.run_for(10_000)
    cluster.power_off("n1")
    world.register.repair()
    world.run_for(30_000)
    assert not quorate(world, "n2")
    cluster.heal()
    cluster.start(["n1"])
    world.run_for(20_000)
    assert view(world, "n2").names() == view(world, "n1").names()
    assert quorate(world, "n2")


def test_the_next_split_is_anybodys_again() -> None:
    world, cluster = split("register")
    for unreachable, winner in (("n2", "n1"), ("n1", "n2"), ("n2", "n1")):
        world.register.unreachable = {unreachable}
        cut(cluster, "n1", "n2")
        world.run_for(10_000)
        assert [name for name in world.nodes if quorate(world, name)] == [winner]
        cluster.heal()
        world.run_for(5_000)
        assert all(quorate(world, name) for name in world.nodes)


def test_the_register_of_another_cluster_grants_nothing() -> None:
    world, cluster = split("register")
    world.register.version = 1
    world.register.data = encode(Grant(nodes=("a", "b"), instance=1, base=0, life="x", members={"a": "x"}))
    cut(cluster, "n1", "n2")
    world.run_for(10_000)
    assert not any(quorate(world, name) for name in world.nodes)
    assert any("cluster of other nodes: a, b" in line.text for line in world.trace)


GARBAGE = [
    b"", b"{}", b"<html>", b"\xff", b"x" * (GRANT_LIMIT_BYTES + 1),
    b'{"format":2,"nodes":[],"instance":1,"base":0,"life":"","members":{}}',
]  # fmt: skip


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_in_the_register_grants_nothing_and_is_left_there(data: bytes) -> None:
    with pytest.raises(GrantError):
        decode(data)
    world, cluster = split("register")
    world.register.version, world.register.data = 7, data
    cut(cluster, "n1", "n2")
    world.run_for(5_000)
    assert not any(quorate(world, name) for name in world.nodes)
    assert world.register.data == data


def test_the_record_of_a_release_without_tie_breakers_is_taken_up() -> None:
    held = View(ViewId(3, "n1-ccm-1"), (Member("n1", 1, "x"),), quorate=True)
    record = {STATE_NAME: encode_state(State(view=held, promised=3))}
    assert load(record).base == held


def test_of_two_halves_that_reach_the_pinged_host_the_senior_goes_on() -> None:
    world, cluster = split("ping", 4)
    cut(cluster, "n1 n2", "n3 n4")
    world.run_for(10_000)
    assert [name for name in world.nodes if quorate(world, name)] == ["n1", "n2"]


def test_a_half_has_quorum_while_it_reaches_the_pinged_host() -> None:
    world, cluster = split("ping", 4)
    cut(cluster, "n1 n2", "n3 n4")
    world.network.cut("n1", PING_ADDRESS)
    world.run_for(10_000)
    assert not any(quorate(world, name) for name in world.nodes)
    world.network.heal("n1", PING_ADDRESS)
    world.run_for(5_000)
    assert [name for name in world.nodes if quorate(world, name)] == ["n1", "n2"]
    world.network.silent_pings.add(PING_ADDRESS)
    world.run_for(5_000)
    assert not any(quorate(world, name) for name in world.nodes)
