# SPDX-License-Identifier: GPL-2.0-or-later
"""Beside a Heartbeat 3.0.6, whose word on what it holds runs ahead of what it does."""

from __future__ import annotations

import pytest

from ha.heartbeat.msg import Announced, NodeState, NodeStatus
from ha.machine import Local, Received
from tests.unit.haresources.pair_world import PairWorld

HEARTBEAT = Local("heartbeat")


class OldPeer:
    """Node beta by hand; alpha is ours."""

    def __init__(self) -> None:
        self.world = PairWorld(fencing=False)
        self.world._see = lambda: None  # type: ignore[method-assign]
        self.world.power_on("alpha")
        self.alpha = self.world.nodes["alpha"]
        self.world.nodes["beta"].generation = 1
        self.state("active")

    def state(self, state: NodeState) -> None:
        self.alpha.peer_state = state
        status = NodeStatus(node="beta", state=state, generation=1)
        self.world.post(self.alpha, Received(HEARTBEAT, status))
        self.world.run(20)

    def say(self, kind: str, hold: str, run_ms: int = 500, **fields: str) -> list[str]:
        """What alpha says in answer."""
        self.world.said.clear()
        message = Announced(node="beta", fields={"t": kind, "rsc_hold": hold, **fields})
        self.world.post(self.alpha, Received(HEARTBEAT, message))
        self.world.run(run_ms)
        return [text for _, text in self.world.said]


@pytest.fixture
def peer() -> OldPeer:
    made = OldPeer()
    made.world.run(500)
    return made


def stable(peer: OldPeer) -> None:
    peer.say("resource", "local", rtype="full", isstable="1")
    assert peer.alpha.active == {"ip::1", "web"}


def test_two_that_start_wait_for_each_other(peer: OldPeer) -> None:
    peer.say("starting", "")
    peer.say("resource", "none", rtype="full", isstable="0", run_ms=9_000)
    assert peer.alpha.active == set()
    peer.world.run(2_000)
    assert peer.alpha.active == {"ip::1", "web"}


def test_what_it_is_about_to_release_at_its_end_is_left_alone_until_it_has_left(peer: OldPeer) -> None:
    peer.say("resource", "none", rtype="full", isstable="0", info="shutdown", run_ms=60_000)
    assert peer.alpha.active == set()
    peer.state("left")
    peer.world.run(1_000)
    assert peer.alpha.active == {"ip::1", "web", "ip::2", "db"}


@pytest.mark.parametrize("restart", [False, True])
def test_its_standby_is_done_when_it_says_done(peer: OldPeer, restart: bool) -> None:
    stable(peer)
    assert peer.say("ask_resources", "all", info="me") == ["ask_resources all other"]
    peer.say("resource", "none", rtype="full", isstable="0", info="standby")
    if restart:
        peer.world.kill_worker("alpha")
        peer.world.run(5_000)
    peer.say("resource", "none", rtype="full", isstable="1", run_ms=60_000)
    assert peer.alpha.active == {"ip::1", "web"}
    said = peer.say("ask_resources", "all", info="done")
    assert peer.alpha.active == {"ip::1", "web", "ip::2", "db"}
    assert said == ["resource all full 1", "ask_resources all done"]


def test_what_it_has_acquired_is_not_taken_back_before_it_says_so(peer: OldPeer) -> None:
    stable(peer)
    peer.world.standby("alpha", "all")
    peer.world.run(100)
    said = peer.say("ask_resources", "all", info="other")
    assert said == ["resource none full 0 standby", "ask_resources all done"]
    peer.say("ask_resources", "all", info="done", run_ms=5_000)
    assert peer.alpha.active == set()
    peer.say("resource", "all", rtype="full", isstable="1", run_ms=5_000)
    assert peer.alpha.active == set()


def test_what_its_scripts_say_in_passing_is_not_the_whole(peer: OldPeer) -> None:
    stable(peer)
    peer.say("resource", "foreign", info="mach_down", run_ms=5_000)
    assert peer.alpha.active == {"ip::1", "web"}
