# SPDX-License-Identifier: GPL-2.0-or-later
"""Ping nodes: up when an address answers, dead after deadping, and never a member."""

from __future__ import annotations

import pytest

from ha.heartbeat.core import build
from ha.heartbeat.io.icmp import HEADER, checksum
from ha.heartbeat.model import HaCfError, parse
from ha.machine import Note, Packet, Received, Send, Started, Wall, Wire
from tests.unit.heartbeat.wire_world import KEYS, WALL_OFFSET_MS

CONFIG = "node a b\nbcast eth0\nkeepalive 200ms\ndeadtime 2\ndeadping 1\ninitdead 3\n"


class Alone:
    """Node a, whose pings are answered by `answering`."""

    def __init__(self, lines: str, answering: set[str]) -> None:
        self.core = build(node="a", ha_cf=parse(CONFIG + lines, "ha.cf"), keys=KEYS, boot_id="boot")
        self.answering = answering
        self.now = 1_000
        self.notes: list[str] = []
        self.step(Started("a-1", 1, {}))
        self.step(Wall(WALL_OFFSET_MS))

    def step(self, event) -> None:  # type: ignore[no-untyped-def]
        for effect in self.core.step(event, self.now):
            if isinstance(effect, Note) and effect.text.startswith("ping node"):
                self.notes.append(effect.text.removeprefix("ping node "))
            elif isinstance(effect, Send) and isinstance(effect.to, Wire) and effect.to.medium.startswith("ping"):
                assert isinstance(effect.message, Packet)
                if effect.to.peer in self.answering:
                    self.step(Received(effect.to, effect.message))

    def run(self, duration_ms: int) -> None:
        from ha.machine import Fired

        for _ in range(duration_ms // 200):
            self.now += 200
            self.step(Fired("keepalive"))

    def states(self) -> dict[str, str]:
        return {name: ping.state for name, ping in self.core.pings.pings.items()}  # type: ignore[attr-defined]


def test_up_at_the_first_answer_and_dead_after_deadping() -> None:
    node = Alone("ping 10.0.0.1 10.0.0.2\n", {"10.0.0.1"})
    assert node.states() == {"10.0.0.1": "ping", "10.0.0.2": "init"}
    node.run(3_000)
    assert node.states() == {"10.0.0.1": "ping", "10.0.0.2": "dead"}
    node.answering.clear()
    node.run(800)
    assert node.states()["10.0.0.1"] == "ping"
    node.run(400)
    assert node.states()["10.0.0.1"] == "dead"
    assert node.notes[-1].startswith("10.0.0.1: ping => dead: last answered 1")
    node.answering.add("10.0.0.1")
    node.run(200)
    assert node.states()["10.0.0.1"] == "ping"


def test_a_group_is_up_while_any_address_answers() -> None:
    node = Alone("ping_group routers 10.0.0.1 10.0.0.2 10.0.0.3\n", {"10.0.0.3"})
    assert node.states() == {"routers": "ping"}
    node.answering = {"10.0.0.1"}
    node.run(3_000)
    assert node.states() == {"routers": "ping"}
    node.answering.clear()
    node.run(1_400)
    assert node.states() == {"routers": "dead"}


@pytest.mark.parametrize(
    "data", [b"", b"ha a 1 zz", b"ha b 1 1", b"ha a 0 1", b"\xff" * 50, b"ha a " + b"9" * 5000, b"ha a 1 -1"]
)
def test_echoes_that_are_no_answers_to_us_are_passed_by(data: bytes) -> None:
    node = Alone("ping 10.0.0.1\n", set())
    for wire in (Wire("ping 10.0.0.1", "10.0.0.1"), Wire("ping other", "10.0.0.1"), Wire("ping 10.0.0.1", "10.9.9.9")):
        node.step(Received(wire, Packet(data=data)))
    assert node.states() == {"10.0.0.1": "init"}


def test_an_answer_of_long_ago_is_none() -> None:
    node = Alone("ping 10.0.0.1\n", set())
    token = node.core.pings._token(1)  # type: ignore[attr-defined]
    node.run(3_000)
    node.step(Received(Wire("ping 10.0.0.1", "10.0.0.1"), Packet(data=token)))
    assert node.states() == {"10.0.0.1": "dead"}


@pytest.mark.parametrize("lines", ["ping 10.0.0.1\nping 10.0.0.1\n", "ping_group g 10.0.0.1 ::1\n"])
def test_nonsense_in_ha_cf_is_refused(lines: str) -> None:
    with pytest.raises(HaCfError):
        parse(CONFIG + lines, "ha.cf")


def test_the_checksum_is_that_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D  # the example of the RFC, inverted
    body = HEADER.pack(8, 0, 0, 77, 1) + b"odd"
    assert checksum(HEADER.pack(8, 0, checksum(body), 77, 1) + b"odd") == 0
