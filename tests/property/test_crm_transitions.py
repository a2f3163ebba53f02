# SPDX-License-Identifier: GPL-2.0-or-later
"""Any graph, any results, any limit: the transition engine obeys the inputs, asks once, and ends."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ha.machine import Effect, Send
from ha.te.msg import AbortTransition, RequestAction, TransitionDone
from tests.unit.te.test_engine import Bench, graph, pseudo, rsc


@st.composite
def graphs(draw: st.DrawFn) -> dict[int, tuple[bool, tuple[int, ...]]]:
    """Action -> whether it is a pseudo event, and the actions before it (smaller numbers: no circles)."""
    size = draw(st.integers(1, 12))
    return {
        number: (draw(st.booleans()), tuple(sorted(draw(st.sets(st.integers(1, number - 1), max_size=3)))
                                            if number > 1 else ()))
        for number in range(1, size + 1)
    }


@settings(max_examples=200, deadline=None)
@given(plan=graphs(), data=st.data(), limit=st.integers(0, 3), abort_at=st.integers(0, 20))
def test_the_engine_obeys_the_graph_and_ends(
    plan: dict[int, tuple[bool, tuple[int, ...]]], data: Any, limit: int, abort_at: int
) -> None:
    bench = Bench()
    text = graph(*((pseudo(n) if is_pseudo else rsc(n, "monitor", f"R{n}"), inputs)
                   for n, (is_pseudo, inputs) in plan.items()))
    requested: list[int] = []
    ok: dict[int, bool] = {}
    open_actions: list[int] = []
    ends: list[TransitionDone] = []
    aborted = False

    def done(number: int) -> bool:
        is_pseudo, inputs = plan[number]
        return all(done(i) for i in inputs) if is_pseudo else ok.get(number, False)

    def look(effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send) and isinstance(effect.message, RequestAction):
                number = effect.message.action_id
                assert number not in requested and not ends and not aborted
                assert all(done(i) for i in plan[number][1]), f"{number} before its inputs"
                requested.append(number)
                open_actions.append(number)
            elif isinstance(effect, Send) and isinstance(effect.message, TransitionDone):
                ends.append(effect.message)
        assert not limit or len(open_actions) <= limit

    bench.start(text, batch_limit=limit)
    look(bench.effects)
    while open_actions:
        if not aborted and len(ok) == abort_at:
            aborted = True
            bench.give(AbortTransition(transition_id=1, reason="test"))
            look(bench.effects)
        number = data.draw(st.sampled_from(open_actions))
        open_actions.remove(number)
        ok[number] = data.draw(st.booleans())
        bench.done(number, ok[number])
        look(bench.effects)
    assert len(ends) == 1
    wanted = {n for n, (is_pseudo, inputs) in plan.items() if not is_pseudo and all(done(i) for i in inputs)}
    assert aborted or set(requested) == wanted, "what may run has run"
    everything = all(done(n) for n in plan)
    assert (ends[0].outcome == "complete") == everything or aborted
