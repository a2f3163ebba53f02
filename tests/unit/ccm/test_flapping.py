# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that come and go: held out for a growing time, let in again, and never at the price of the quorum."""

from __future__ import annotations

from ha.ccm.core.flapping import FIRST_HOLD_MS, FREE_RETURNS, MAX_HOLD_MS, WINDOW_MS, Returns
from tests.unit.ccm.test_membership import started
from tests.unit.ccm.world import DEADTIME_MS, World

LOST_MS = 3 * DEADTIME_MS
SOON_MS = 500
LONG_MS = 2 * MAX_HOLD_MS


def flap(world: World, name: str, rest: str) -> int:
    """Cut the node off until the rest has gone on, and heal; returns how long it takes until it is a member again."""
    for other in rest:
        world.cut_off(name, other)
    world.run(LOST_MS)
    assert world.agreement(rest), world.log[-20:]
    world.heal()
    healed = world.now
    assert world.run(LONG_MS, lambda: world.agreement(rest + name)), world.log[-20:]
    return world.now - healed


def has_cluster(world: World) -> bool:
    """Whether anybody is in a view with quorum that is not in doubt."""
    told = [node.told for node in world.nodes.values()]
    return any(event is not None and event.event in ("NEW_MEMBERSHIP", "PRIMARY_RESTORED") for event in told)


def test_the_first_returns_are_free_and_then_the_time_grows_to_a_limit() -> None:
    returns = Returns()
    holds = [returns.returned("a", 100 * number) for number in range(FREE_RETURNS + 8)]
    assert holds[:FREE_RETURNS] == [0] * FREE_RETURNS
    assert holds[FREE_RETURNS : FREE_RETURNS + 3] == [FIRST_HOLD_MS, 2 * FIRST_HOLD_MS, 4 * FIRST_HOLD_MS]
    assert holds[-1] == MAX_HOLD_MS
    assert returns.returned("b", 0) == 0, "each node by itself"
    assert returns.returned("a", 2 * WINDOW_MS) == 0, "what is long ago is forgotten"


def test_a_flapping_node_is_held_out_and_comes_back() -> None:
    world = started("abc")
    times = [flap(world, "c", "ab") for _ in range(FREE_RETURNS + 3)]
    assert max(times[:FREE_RETURNS]) < SOON_MS
    assert times[FREE_RETURNS] >= FIRST_HOLD_MS
    assert times[-1] > times[FREE_RETURNS]


def test_while_it_is_held_out_the_others_keep_their_view() -> None:
    world = started("abc")
    for _ in range(FREE_RETURNS):
        flap(world, "c", "ab")
    for other in "ab":
        world.cut_off("c", other)
    assert world.run(LOST_MS, lambda: world.agreement("ab"))
    before = world.nodes["a"].told
    world.heal()
    world.run(FIRST_HOLD_MS // 2)
    assert world.nodes["a"].told == before
    assert before is not None
    assert before.event == "NEW_MEMBERSHIP"


def test_nobody_is_held_out_who_is_needed_for_the_quorum() -> None:
    world = started("abc")
    for _ in range(FREE_RETURNS):
        flap(world, "c", "ab")
    for other in "ab":
        world.cut_off("c", other)
    assert world.run(LOST_MS, lambda: world.agreement("ab"))
    world.heal()
    world.run(SOON_MS)
    world.power_off("b")
    assert world.run(SOON_MS, lambda: world.agreement("ac")), world.log[-20:]


def test_a_switch_that_flips_costs_no_quorum() -> None:
    """Everybody sees everybody come and go. Who has no quorum holds nobody out: there is a cluster at once."""
    world = started("abcd")
    for _ in range(FREE_RETURNS + 3):
        for one in "ab":
            for other in "cd":
                world.cut_off(one, other)
        world.run(LOST_MS)
        assert not has_cluster(world)
        world.heal()
        assert world.run(SOON_MS, lambda: has_cluster(world)), world.log[-20:]
        assert world.run(LONG_MS, lambda: world.agreement("abcd")), world.log[-20:]


def test_a_node_that_was_started_anew_is_not_flapping() -> None:
    world = started("abc")
    for _ in range(FREE_RETURNS + 3):
        world.power_off("c")
        assert world.run(LOST_MS, lambda: world.agreement("ab"))
        world.power_on("c")
        assert world.run(SOON_MS, lambda: world.agreement("abc")), world.log[-20:]
