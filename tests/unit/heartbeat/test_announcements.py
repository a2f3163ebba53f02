# SPDX-License-Identifier: GPL-2.0-or-later
"""What the haresources worker has said, and what it hears: from a Heartbeat 3.0.6, and from a node of ours."""

from __future__ import annotations

import pytest

from ha.heartbeat.core.legacy import is_announcement
from ha.heartbeat.model.wire import unpack
from ha.heartbeat.msg import Announce, Announced, NodeStatus, NothingRuns
from ha.ipc.codec import decode
from ha.machine import Connected, Effect, Local, Note, Received, Send, Stopping
from tests.unit.heartbeat.test_legacy import OldPeer, of_type
from tests.unit.heartbeat.wire_world import KEYS, World

WORKER = Local("haresources")
HELD = {"t": "resource", "rsc_hold": "none", "rtype": "full", "isstable": "0"}


def old_pair() -> OldPeer:
    world = World(["a", "b"])
    world.start("a")
    world.run(50)
    peer = OldPeer(world)
    for state in ("init", "up", "active"):
        peer.status(state)
    return peer


def told(effects: list[Effect], kind: type) -> list[object]:
    return [e.message for e in effects if isinstance(e, Send) and e.to == WORKER and isinstance(e.message, kind)]


def test_the_worker_is_told_of_nodes() -> None:
    statuses = told(old_pair().world.step("a", Connected(WORKER)), NodeStatus)
    assert {(status.node, status.state) for status in statuses} >= {("b", "active")}  # type: ignore[attr-defined]


def test_an_announcement_goes_to_a_heartbeat_3_as_a_numbered_packet() -> None:
    peer = old_pair()
    peer.world.step("a", Connected(WORKER))
    effects = peer.world.step("a", Received(WORKER, Announce(fields=HELD)))
    packets = [unpack(e.message.data, KEYS) for e in effects if isinstance(e, Send) and hasattr(e.message, "data")]
    said = of_type(packets, "resource")
    assert said
    assert {name: said[0].text(name) for name in HELD} == HELD
    assert said[0].hexadecimal("seq")


def test_what_a_heartbeat_3_says_reaches_the_worker_in_order_and_once() -> None:
    peer = old_pair()
    world = peer.world
    world.step("a", Connected(WORKER))
    heard: list[object] = []
    step = world.step

    def listen(node: str, event: object) -> list[Effect]:
        effects = step(node, event)  # type: ignore[arg-type]
        heard.extend(told(effects, Announced))
        return effects

    world.step = listen  # type: ignore[method-assign]
    first = peer.seq + 1
    peer.say("ask_resources", seq=first + 1, rsc_hold="all", info="me")
    assert heard == []
    peer.say("resource", seq=first, rsc_hold="all", rtype="full", isstable="1")
    peer.say("resource", seq=first, rsc_hold="all", rtype="full", isstable="1")
    assert [message.fields["t"] for message in heard] == ["resource", "ask_resources"]  # type: ignore[attr-defined]
    assert heard[0].fields == {"t": "resource", "rsc_hold": "all", "rtype": "full", "isstable": "1"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "fields", [{}, {"t": "status"}, {"t": "resource", "src": "x"}, {"t": "resource", "info": "a\nb"},
               {"t": "resource", "info": "x" * 2000}],
)  # fmt: skip
def test_what_is_no_announcement_is_not_sent(fields: dict[str, str]) -> None:
    assert not is_announcement(fields)
    peer = old_pair()
    peer.world.step("a", Connected(WORKER))
    effects = peer.world.step("a", Received(WORKER, Announce(fields=fields)))
    assert [effect.level for effect in effects if isinstance(effect, Note)] == ["error"]
    assert not [effect for effect in effects if isinstance(effect, Send)]


@pytest.mark.parametrize(("nothing_runs", "goodbye"), [(True, True), (False, False)])
def test_goodbye_is_said_when_the_worker_says_that_nothing_runs(nothing_runs: bool, goodbye: bool) -> None:
    world = old_pair().world
    world.step("a", Connected(WORKER))
    if nothing_runs:
        world.step("a", Received(WORKER, NothingRuns()))
    effects = world.step("a", Stopping())
    assert any(isinstance(effect, Send) for effect in effects) == goodbye


def test_between_our_nodes_it_travels_in_the_association() -> None:
    world = World(["a", "b"])
    for name in ("a", "b"):
        world.start(name)
    world.run(3_000)
    world.step("b", Connected(WORKER))
    world.step("a", Connected(WORKER))
    world.step("a", Received(WORKER, Announce(fields=HELD)))
    world.run(500)
    delivered = [message for module, message in world.hosts["b"].delivered if module == "haresources"]
    assert [decode(message.body) for message in delivered] == [Announced(node="a", fields=HELD)]
