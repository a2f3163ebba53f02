# SPDX-License-Identifier: GPL-2.0-or-later
"""Any course of requests, failures, kills, losses and returns: stonithd's promises hold."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ha.machine import Message
from ha.stonith.model.execution import FenceAgentResult, RunFenceAgent
from ha.stonith.msg import Fenced, FenceNode
from tests.unit.stonith.world import Behaviour, Killed, World, primitive

NAMES = ("n1", "n2", "n3", "n4")
ALL = primitive("all", pcmk_host_list="n1 n2 n3 n4")
SOME = primitive("some", pcmk_host_list="n3 n4", pcmk_delay_max="1s")
FATES = ("ok", "ok", "fails", "hangs", "slow")

fences = st.tuples(
    st.just("fence"), st.sampled_from(NAMES[:2]), st.sampled_from(NAMES), st.sampled_from(("off", "reboot", "on"))
)
courses = st.lists(
    st.one_of(
        fences,
        fences,
        st.tuples(st.just("time"), st.sampled_from((1, 120, 3_000))),
        st.tuples(st.just("kill"), st.sampled_from(NAMES), st.integers(1, 8)),
        st.tuples(st.just("lose"), st.sampled_from(NAMES[2:])),
        st.tuples(st.just("return"), st.sampled_from(NAMES[2:])),
        st.tuples(st.just("deaf"), st.booleans()),
    ),
    max_size=16,
)


class Course:
    """n1 and n2 are asked; n3 and n4 come and go; any stonithd may be killed."""

    def __init__(self, fates: list[str]) -> None:
        self.fates = fates
        self.world = World(ALL + SOME, NAMES, self.behave)
        self.asked: dict[str, list[FenceNode]] = {name: [] for name in NAMES}

    def behave(self, node: str, request: RunFenceAgent) -> Behaviour:
        if not request.target:
            return Behaviour()
        match self.fates[len(self.world.calls) % len(self.fates)]:
            case "fails":
                return Behaviour(50, FenceAgentResult(ok=False, rc=1, reason="no"))
            case "hangs":
                return Behaviour(None)
            case "slow":
                return Behaviour(2_500)
        return Behaviour()

    def guarded(self, deed: object) -> None:
        assert callable(deed)
        try:
            deed()
        except Killed:
            self.bring_back()

    def bring_back(self) -> None:
        """rmd starts what was killed, and its crmd asks again."""
        for node in self.world.nodes.values():
            if node.effects_left is not None and node.effects_left <= 0:
                node.start()
                self.ask_again(node.name)

    def ask_again(self, name: str) -> None:
        for request in self.unanswered(name):
            node = self.world.nodes[name]
            node.fences(request.target, request.action, request.request_id, view=request.view, timeout_ms=8_000)

    def unanswered(self, name: str) -> list[FenceNode]:
        answered = {told.request_id for told in self.world.nodes[name].fenced()}
        return [request for request in self.asked[name] if request.request_id not in answered]

    def do(self, number: int, step: tuple[object, ...]) -> None:
        world = self.world
        match step:
            case ("fence", str(leader), str(target), str(action)):
                request = FenceNode(
                    request_id=f"f{number}", target=target, action=action, timeout_ms=8_000, view=world.view_id  # type: ignore[arg-type]
                )
                self.asked[leader].append(request)
                self.guarded(lambda: world.nodes[leader].fences(target, action, f"f{number}", timeout_ms=8_000))
            case ("time", int(duration_ms)):
                self.guarded(lambda: world.advance(duration_ms))
            case ("kill", str(name), int(after)):
                world.nodes[name].effects_left = after
            case ("lose", str(name)) if world.nodes[name].up:
                self.guarded(lambda: world.lose(name))
            case ("return", str(name)) if not world.nodes[name].up:
                world.nodes[name].up = True
                members = tuple(n for n in NAMES if world.nodes[n].up)
                self.guarded(lambda: world.new_view(*members))
            case ("deaf", bool(deaf)):
                world.lost_mail = (lambda sender, to, message: True) if deaf else self.hears_all

    @staticmethod
    def hears_all(sender: str, to: str, message: Message) -> bool:
        return False


@settings(max_examples=120, deadline=None)
@given(courses, st.lists(st.sampled_from(FATES), min_size=1, max_size=5))
def test_any_course(course: list[tuple[object, ...]], fates: list[str]) -> None:
    walk = Course(fates)
    world = walk.world
    for number, step in enumerate(course):
        walk.do(number, step)
    for node in world.nodes.values():
        node.effects_left = None
    walk.fates = ["ok"]
    world.lost_mail = Course.hears_all
    for name in ("n1", "n2"):
        walk.ask_again(name)
    world.advance(60_000)

    for name in ("n1", "n2"):
        assert not walk.unanswered(name), "every request is answered"
    # That no node carries out its own fence is asserted by the world.
    for node in world.nodes.values():
        for told in node.fenced():
            if told.ok:
                assert confirmed(world, told), f"{told} without a confirmation"
    live = [node for node in world.nodes.values() if node.up]
    assert all(not node.left_jobs() for node in live), "nothing is left in the spools"
    assert all(call.node != call.request.target or call.request.action in ("on", "status") for call in world.calls)


def confirmed(world: World, told: Fenced) -> bool:
    """Whether an agent that acted on that target as told has ended well."""
    return any(
        call.request.target == told.target
        and call.request.action == told.action
        and call.result.ok
        and call.end_ms is not None
        and (call.end_ms + 1_700_000_000_000) // 1000 <= told.at_s
        for call in world.calls
    )
