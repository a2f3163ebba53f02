# SPDX-License-Identifier: GPL-2.0-or-later
"""Three crmds under any sequence of troubles: one copy of each resource, one DC per view; then all heal and agree.

The world is the scenarios' (tests/scenarios/crm): real crmd and tengine cores, scripted neighbours, virtual time.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ha.ccm.msg import ViewId
from ha.machine import Message
from tests.scenarios.crm.policy import decide
from tests.scenarios.crm.test_cluster import RESOURCES, active_on, recurring
from tests.scenarios.crm.world import World

NAMES = ("n1", "n2", "n3")
names = st.sampled_from(NAMES)
troubles = st.one_of(
    st.tuples(st.just("crash"), names, st.integers(1, 60)),
    st.tuples(st.just("power-off"), names, st.just(0)),
    st.tuples(st.just("return"), names, st.just(0)),
    st.tuples(st.just("fail"), st.sampled_from(("A", "B")), st.just(0)),
    st.tuples(st.just("te"), names, st.just(0)),
    st.tuples(st.just("lossy"), names, st.integers(0, 6)),
    st.tuples(st.just("wait"), names, st.integers(1, 400)),
)


class Troubled:
    def __init__(self) -> None:
        self.world = World(*NAMES, decide=decide)
        self.world.configure(RESOURCES)
        for name in NAMES:
            self.world.start(name)
        self.world.agree(*NAMES)
        self.world.settle()
        self.leaders: dict[tuple[ViewId, int], str] = {}

    def do(self, what: str, name: str, number: int) -> None:
        world = self.world
        if what == "crash" and world.nodes[name].crmd is not None:
            world.crash = (name, world.effects[name] + number)
        elif what == "power-off" and len(world.views) == 3 and name in world.views:
            world.lose(name)
        elif what == "return" and name not in world.views:
            world.start(name)
            world.agree(*[n for n in NAMES if n in world.views or n == name])
        elif what == "fail":
            self._fail(name)
        elif what == "te" and world.nodes[name].te is not None and world.nodes[name].crmd is not None:
            world.kill(name, "tengine")
        elif what == "lossy":
            self._lossy(number)
        elif what == "wait":
            self.run(number)
        self.run(3)

    def _fail(self, resource: str) -> None:
        for name in active_on(self.world, resource):
            for order in recurring(self.world, name):
                if order.resource.id == resource:
                    self.world.result(name, order, 7)

    def _lossy(self, number: int) -> None:
        count = 0

        def drop(source: str, target: str, message: Message) -> bool:
            nonlocal count
            count += 1
            return number > 0 and count % (number + 2) == 0

        self.world.drop = drop

    def run(self, ms: int) -> None:
        for _ in range(ms):
            self.world.run(1)
            self.check()

    def check(self) -> None:
        """P1 by what the agents do, P2 by who calls itself DC."""
        world = self.world
        for resource in ("A", "B"):
            holders = {
                name for name, node in world.nodes.items()
                if any(order.resource.id == resource and order.operation == "start" for order in node.running.values())
            } | set(active_on(world, resource))
            assert len(holders) <= 1, f"{resource} on {sorted(holders)}\n" + world.story()
        for name in world.dcs():
            crmd = world.nodes[name].crmd
            assert crmd is not None
            view = crmd.context.view_id
            assert view is not None
            first = self.leaders.setdefault((view, crmd.election.term), name)
            assert first == name, f"{first} and {name} are DC of {view} in one term"

    def heal(self) -> None:
        world = self.world
        world.crash, world.drop = None, lambda source, target, message: False
        self.run(200)
        for _ in range(5):
            for name in NAMES:
                if name not in world.views:
                    world.start(name)
                    world.agree(*[n for n in NAMES if n in world.views or n == name])
                elif world.nodes[name].crmd is None:
                    world.start(name)
            self.run(200)
            world.settle()
        self.check()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(story=st.lists(troubles, max_size=12))
def test_any_trouble_leaves_one_copy_and_one_dc(story: list[tuple[str, str, int]]) -> None:
    troubled = Troubled()
    for what, name, number in story:
        troubled.do(what, name, number)
    troubled.heal()
    world = troubled.world
    for resource in ("A", "B"):
        assert len(active_on(world, resource)) == 1, world.story()
    assert all(world.state(name)["join"] == "member" for name in NAMES)
    assert len(world.dcs()) == 1


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_same_story_gives_the_same_trace(data: Any) -> None:
    """P6: nothing but the inputs decides."""
    story = data.draw(st.lists(troubles, max_size=4))
    traces = []
    for _ in range(2):
        troubled = Troubled()
        for what, name, number in story:
            troubled.do(what, name, number)
        traces.append(troubled.world.story())
    assert traces[0] == traces[1]
