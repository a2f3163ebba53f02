# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole cores under virtual time, joined by a wire with weather: ordered, exactly once, and 5 MB pass."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.heartbeat.wire_world import Weather, World

weathers = st.builds(
    Weather,
    loss=st.floats(0, 0.25),
    doubling=st.floats(0, 0.25),
    delay_ms=st.tuples(st.integers(1, 5), st.integers(5, 40)),
)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(2, 3),
    weather=weathers,
    bodies=st.lists(st.tuples(st.integers(0, 2), st.one_of(st.none(), st.integers(0, 2)), st.integers(0, 5_000))),
)
def test_messages_arrive_in_order_and_once(
    seed: int, count: int, weather: Weather, bodies: list[tuple[int, int | None, int]]
) -> None:
    names = ["a", "b", "c"][:count]
    world = World(names, config="deadtime 60\ninitdead 60", seed=seed)
    world.start()
    world.run(1_000)
    world.weather = weather
    expected: dict[tuple[str, str], list[bytes]] = {(x, y): [] for x in names for y in names}
    for number, (sender, receiver, size) in enumerate(bodies):
        source = names[sender % count]
        target = None if receiver is None else names[receiver % count]
        body = b"%d " % number + bytes(size)
        world.transmit(source, target, body)
        for name in names if target is None else [target]:
            expected[source, name].append(body)
        world.run(random.Random(number).randint(0, 5))
    world.run(20_000)
    got = {(x, y): world.hosts[y].bodies("cib", x) for x in names for y in names}
    assert got == expected


@pytest.mark.parametrize(
    "weather",
    [Weather(), Weather(loss=0.05, doubling=0.05, delay_ms=(1, 4)), Weather(loss=0.2, delay_ms=(1, 20))],
    ids=["calm", "bad", "awful"],
)
def test_five_megabytes_pass_in_every_weather(weather: Weather) -> None:
    world = World(["a", "b"], config="deadtime 60\ninitdead 60")
    world.start()
    world.run(1_000)
    world.weather = weather
    body = random.Random(1).randbytes(5 * 1024 * 1024)
    world.transmit("a", "b", body)
    world.run_until(lambda: world.hosts["b"].bodies("cib", "a"), 20_000)
    assert world.hosts["b"].bodies("cib", "a") == [body]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    weather=weathers,
    troubles=st.lists(
        st.tuples(
            st.sampled_from(["kill", "restart", "boot", "cut", "pause", "module", "send"]),
            st.sampled_from("abc"),
            st.sampled_from("abc"),
            st.integers(0, 1_500),
        ),
        max_size=25,
    ),
)
def test_after_any_trouble_the_cluster_is_whole_again(
    seed: int, weather: Weather, troubles: list[tuple[str, str, str, int]]
) -> None:
    """No assertion of the cores fails on the way, and with fair weather everybody is active and reachable."""
    world = World(["a", "b", "c"], seed=seed)
    world.start()
    world.weather = weather
    for trouble, one, other, duration_ms in troubles:
        host = world.hosts[one]
        if trouble in ("kill", "restart", "boot") and host.core is not None:
            world.kill(one)
        if trouble == "restart":
            world.start(one)
        elif trouble == "boot":
            world.boot(one)
        elif trouble == "cut":
            world.cut ^= {(one, other)}
        elif trouble == "pause":
            world.pause(one, duration_ms)
        elif trouble == "module":
            world.lose(one, "cib")
            world.connect(one, "cib")
        elif trouble == "send":
            world.transmit(one, None, bytes(duration_ms * 10))
        world.run(duration_ms)
    world.cut.clear()
    world.weather = Weather()
    for name, host in world.hosts.items():
        if host.core is None:
            world.boot(name)
    world.run(15_000)
    assert {(x, y): world.hosts[x].state_of(y) for x in "abc" for y in "abc"} == {
        (x, y): "active" for x in "abc" for y in "abc"
    }
    for sender in "abc":
        world.transmit(sender, None, b"all well")
    world.run(100)
    assert all(world.hosts[x].bodies("cib", y)[-1:] == [b"all well"] for x in "abc" for y in "abc")
