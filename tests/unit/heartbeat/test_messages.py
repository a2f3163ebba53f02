# SPDX-License-Identifier: GPL-2.0-or-later
"""Stories of messages between modules: order, fragments, modules that come and go, limits."""

from __future__ import annotations

import pytest

from ha.heartbeat.core import modules as modules_limits
from ha.heartbeat.core.incoming import MAX_FRAME_BYTES
from ha.heartbeat.msg import ModuleStatus, Transmit
from ha.ipc import limits
from ha.machine import Local, Note, Received, Send, Wire
from tests.unit.heartbeat.wire_world import Weather, World

MIB = 1024 * 1024


def settled(names: str = "abc", modules: tuple[str, ...] = ("ccm", "cib"), **how: object) -> World:
    world = World(list(names), **how)  # type: ignore[arg-type]
    world.start(modules=modules)
    world.run(1_000)
    return world


def news(world: World, observer: str, module: str, count: int) -> list[tuple[str, bool]]:
    """What a module was told of its namesakes, after the first `count` tellings."""
    told = [status for to, status in world.hosts[observer].modules if to == module][count:]
    assert all(status.module == module for status in told)
    return [(status.node, status.up) for status in told]


def told(world: World, observer: str, module: str) -> int:
    return sum(to == module for to, _ in world.hosts[observer].modules)


def test_a_message_to_one_node_reaches_that_node_alone() -> None:
    world = settled()
    world.transmit("a", "b", b"for b")
    world.run(10)
    assert [host.bodies("cib", "a") for host in world.hosts.values()] == [[], [b"for b"], []]


def test_a_message_to_all_reaches_the_sender_too() -> None:
    world = settled()
    world.transmit("a", None, b"for all")
    world.run(10)
    assert all(host.bodies("cib", "a") == [b"for all"] for host in world.hosts.values())


def test_a_message_to_oneself_comes_back_at_once() -> None:
    world = settled("ab")
    world.transmit("a", "a", b"note to self")
    assert world.hosts["a"].bodies("cib", "a") == [b"note to self"]


def test_order_holds_between_messages_to_one_and_to_all() -> None:
    world = settled()
    world.weather = Weather(loss=0.2, doubling=0.2, delay_ms=(1, 15))
    for number in range(100):
        world.transmit("a", "b" if number % 3 else None, b"%d" % number)
    world.run(5_000)
    assert world.hosts["b"].bodies("cib", "a") == [b"%d" % n for n in range(100)]
    assert world.hosts["c"].bodies("cib", "a") == [b"%d" % n for n in range(0, 100, 3)]


@pytest.mark.parametrize("size", [0, 1, 1199, 1200, 1201, 2400, 100_000])
def test_sizes_around_a_fragment(size: int) -> None:
    world = settled("ab")
    body = bytes(number % 251 for number in range(size))
    world.transmit("a", "b", body)
    world.run(1_000)
    assert world.hosts["b"].bodies("cib", "a") == [body]


def test_five_megabytes_pass_in_no_time() -> None:
    world = settled("ab", config="fragment_size 32768")
    body = bytes(range(256)) * 4096 * 5
    world.transmit("a", "b", body)
    took = world.run_until(lambda: world.hosts["b"].bodies("cib", "a"), 10_000)
    assert world.hosts["b"].bodies("cib", "a") == [body]
    assert took < 50


def test_a_large_message_does_not_hold_up_other_modules() -> None:
    world = settled("ab", config="fragment_size 8192")
    world.weather = Weather(delay_ms=(5, 5))
    world.transmit("a", "b", bytes(4 * MIB))
    world.transmit("a", "b", b"view", module="ccm", to="ccm")
    took = world.run_until(lambda: world.hosts["b"].bodies("ccm", "a"), 10_000)
    assert took <= 5
    assert not world.hosts["b"].bodies("cib", "a")
    world.run_until(lambda: world.hosts["b"].bodies("cib", "a"), 10_000)


def test_a_frozen_peer_does_not_hold_up_the_others() -> None:
    world = settled()
    world.pause("c", 900)
    for number in range(200):
        world.transmit("a", None, b"%d" % number + bytes(2000))
    took = world.run_until(lambda: len(world.hosts["b"].bodies("cib", "a")) == 200, 10_000)
    assert took < 100
    world.run(3_000)
    assert len(world.hosts["c"].bodies("cib", "a")) == 200


def test_large_packets_that_vanish_do_not_stop_the_small_ones() -> None:
    """A path with a smaller MTU than thought: nodes stay alive, messages that fit pass."""
    world = settled("ab", config="fragment_size 4096")
    world.weather = Weather(max_bytes=1500)
    world.transmit("a", "b", bytes(100_000))
    world.run(5_000)
    assert world.hosts["a"].state_of("b") == "active"
    world.weather = Weather()
    world.run(2_000)
    assert world.hosts["b"].bodies("cib", "a") == [bytes(100_000)]


def test_two_links_and_one_of_them_dead_lose_nothing() -> None:
    world = settled("ab", media="bcast eth0\nbcast eth1")
    world.cut_media.add("bcast eth0")
    body = bytes(200_000)
    world.transmit("a", "b", body)
    world.transmit("a", "b", b"small", module="ccm", to="ccm")
    took = world.run_until(lambda: world.hosts["b"].bodies("ccm", "a"), 1_000)
    assert took <= 2
    world.run_until(lambda: world.hosts["b"].bodies("cib", "a"), 3_000)


# Modules -------------------------------------------------------------------------------------------------------------


def test_modules_are_told_of_their_namesakes() -> None:
    world = settled("ab", modules=("ccm",))
    world.connect("a", "cib")
    world.run(10)
    assert told(world, "a", "cib") == 0
    world.connect("b", "cib")
    world.run(10)
    assert news(world, "a", "cib", 0) == [("b", True)]
    assert news(world, "b", "cib", 0) == [("a", True)]
    world.lose("b", "cib")
    world.run(10)
    assert news(world, "a", "cib", 1) == [("b", False)]


def test_messages_for_a_worker_that_restarts_wait_for_it() -> None:
    world = settled("ab")
    world.lose("b", "cib")
    for number in range(5):
        world.transmit("a", "b", b"%d" % number)
    world.transmit("b", "b", b"own")
    world.run(500)
    assert world.hosts["b"].delivered == []
    world.connect("b", "cib")
    assert world.hosts["b"].bodies("cib", "a") == [b"0", b"1", b"2", b"3", b"4"]
    assert world.hosts["b"].bodies("cib", "b") == [b"own"]


def test_what_waits_is_limited_and_the_loss_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules_limits, "MAX_HELD_MESSAGES", 3)
    world = settled("ab")
    world.lose("b", "cib")
    for number in range(5):
        world.transmit("a", "b", b"%d" % number)
    world.run(100)
    world.connect("b", "cib")
    assert world.hosts["b"].bodies("cib", "a") == [b"0", b"1", b"2"]
    assert any("2 messages for cib were dropped" in note.text for _, note in world.hosts["b"].notes)


def test_a_message_is_never_delivered_before_its_sender_is_known_alive() -> None:
    world = World(["a", "b"])
    order: list[str] = []
    deliver = world.send

    def watch(host: object, effect: object) -> None:
        order.append(type(effect.message).__name__)  # type: ignore[attr-defined]
        deliver(host, effect)  # type: ignore[arg-type]

    world.weather = Weather(loss=0.3, delay_ms=(1, 30))
    world.start()
    world.send = watch  # type: ignore[method-assign]
    for _ in range(20):
        world.transmit("a", "b", b"x")
        world.run(20)
    world.run(2_000)
    bodies = [index for index, name in enumerate(order) if name == "Deliver"]
    assert bodies
    assert order.index("NodeStatus") < bodies[0]


def test_messages_to_nodes_that_are_not_there_are_dropped_with_a_note() -> None:
    world = settled("ab")
    world.kill("b")
    world.run(3_000)
    world.transmit("a", "b", b"too late")
    world.transmit("a", "zz", b"to nobody")
    texts = [note.text for _, note in world.hosts["a"].notes]
    assert "a message of cib to b (dead) is dropped" in texts
    assert "a message of cib to 'zz', which is no node" in texts
    world.boot("b")
    world.run(2_000)
    assert world.hosts["b"].bodies("cib", "a") == []


def test_what_was_under_way_to_a_restarted_heartbeat_is_lost_and_the_modules_know() -> None:
    """Its modules sign on anew: each module of a peer is told that its counterpart begins again."""
    world = settled("ab")
    count = told(world, "a", "cib")
    world.kill("b")
    world.transmit("a", "b", b"into the void")
    world.run(100)
    world.start("b")
    world.run(500)
    assert news(world, "a", "cib", count) == [("b", False), ("b", True)]
    world.transmit("a", "b", b"after")
    world.run(50)
    assert world.hosts["b"].bodies("cib", "a") == [b"after"]


def test_a_peer_that_gave_us_up_makes_our_modules_begin_anew() -> None:
    """b loses a for a while, a never notices by silence: both sides' modules are told of the break."""
    world = settled("ab")
    count = told(world, "a", "cib"), told(world, "b", "cib")
    world.cut.add(("a", "b"))
    world.run(1_300)
    world.cut.clear()
    world.run(1_000)
    assert news(world, "a", "cib", count[0]) == [("b", False), ("b", True)]
    assert news(world, "b", "cib", count[1]) == [("a", False), ("a", True)]
    world.transmit("a", "b", b"1")
    world.transmit("b", "a", b"2")
    world.run(50)
    assert world.hosts["b"].bodies("cib", "a")[-1] == b"1"
    assert world.hosts["a"].bodies("cib", "b")[-1] == b"2"


def test_impossible_messages_are_refused() -> None:
    world = settled("ab")
    for message in (
        Transmit(to_node="b", to_module="no such/module", body=b""),
        Transmit(to_node="b", to_module="", body=b""),
        Transmit(to_node="b", to_module="cib", body=bytes(MAX_FRAME_BYTES + 1)),
    ):
        effects = world.step("a", Received(Local("cib"), message))
        assert [type(effect) for effect in effects] == [Note]
    effects = world.step("a", Received(Local("cib"), ModuleStatus(node="a", module="cib", up=True)))
    assert [type(effect) for effect in effects] == [Note]


def test_the_greatest_message_fits_the_links_on_both_sides() -> None:
    assert MAX_FRAME_BYTES + 1024 <= limits.MAX_FRAME_BYTES


# Addresses -----------------------------------------------------------------------------------------------------------

UCAST = "\n".join(f"ucast eth0 10.0.0.{number}" for number in (1, 2, 3))


def peers_of(effects: list[object]) -> set[str]:
    return {effect.to.peer for effect in effects if isinstance(effect, Send) and isinstance(effect.to, Wire)}


def test_a_message_to_one_node_goes_to_its_address_alone() -> None:
    """Learnt from what the peers say in their hellos; the source of their packets may be a relay's."""
    world = settled(media=UCAST)
    transmit = Received(Local("cib"), Transmit(to_node="b", to_module="cib", body=b"x"))
    assert peers_of(world.step("a", transmit)) == {"10.0.0.2:694"}
    assert peers_of(world.step("c", transmit)) == {"10.0.0.2:694"}


def test_an_address_that_changed_is_learnt_anew() -> None:
    """Nodes b and c swap their addresses while they are off."""
    world = settled(media=UCAST)
    world.kill("b")
    world.kill("c")
    world.names[1:] = ["c", "b"]
    world.boot("b")
    world.boot("c")
    world.run(3_000)
    transmit = Received(Local("cib"), Transmit(to_node="b", to_module="cib", body=b"x"))
    assert peers_of(world.step("a", transmit)) == {"10.0.0.3:694"}
