# SPDX-License-Identifier: GPL-2.0-or-later
"""The process runs without garbage collection: what it does all day must leave no cycles behind."""

from __future__ import annotations

import gc

from ha.heartbeat.model.wire import Fields, encode_unsigned
from ha.heartbeat.msg import ApiFrame
from ha.machine import Client, Lost, Packet, Received, Wire
from tests.unit.heartbeat.wire_world import Weather, World

FEW = 10  # objects that a warm interpreter may leave for other reasons


def test_a_day_of_work_leaves_no_cycles() -> None:
    world = World(["a", "b"])
    world.start()
    world.run(1_000)

    graves: list[object] = []

    def work() -> None:
        world.weather = Weather(loss=0.1, doubling=0.1, delay_ms=(1, 5))
        for number in range(100):
            world.transmit("a", "b", bytes(number * 50))
            world.step("a", Received(Wire("bcast eth0", "10.6.6.6:1"), Packet(data=b"###\nrubbish%%%\n3:1 x,")))
            client = Client("register", -number, 0, 0, 1)
            request = Fields([("t", "hbapi-req"), ("reqtype", "signon" if number % 2 else "nonsense")])
            world.step("a", Received(client, ApiFrame(data=encode_unsigned(request))))
            world.step("a", Lost(client))
            world.run(20)
        graves.append(world.hosts["b"].core)  # a process that dies needs no collection
        world.kill("b")
        world.run(2_000)
        world.start("b")
        world.run(2_000)

    work()
    gc.collect()
    gc.disable()
    try:
        work()
        assert gc.collect() < FEW
    finally:
        gc.enable()
