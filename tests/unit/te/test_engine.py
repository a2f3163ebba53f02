# SPDX-License-Identifier: GPL-2.0-or-later
"""The transition engine: order of actions, failures, aborts, limits, timers and what P1 forbids."""

from __future__ import annotations

import pytest

from ha.ccm.msg import ViewId
from ha.machine import Arm, Connected, Disarm, Effect, Fired, Local, Lost, Received, Send, Started
from ha.te.core import Engine, build
from ha.te.msg import AbortTransition, ActionDone, RequestAction, StartTransition, TransitionDone

CRMD = Local("crmd")
VIEW = ViewId(instance=3, coordinator="c")


def rsc(number: int, task: str, resource: str = "A", node: str = "n1", **meta: str) -> str:
    attributes = "".join(f' CRM_meta_{name}="{value}"' for name, value in meta.items())
    return (
        f'<rsc_op id="{number}" operation="{task}" operation_key="{resource}_{task}_0" on_node="{node}">'
        f'<primitive id="{resource}" class="ocf" provider="heartbeat" type="Dummy"/>'
        f'<attributes CRM_meta_timeout="20000" CRM_meta_op_target_rc="0" state="/x"{attributes}/></rsc_op>'
    )


def pseudo(number: int, key: str = "all_0") -> str:
    return f'<pseudo_event id="{number}" operation="x" operation_key="{key}"/>'


def fence(number: int, node: str) -> str:
    return (
        f'<crm_event id="{number}" operation="stonith" operation_key="stonith-{node}-reboot" on_node="{node}">'
        '<attributes CRM_meta_stonith_action="reboot"/></crm_event>'
    )


def graph(*synapses: tuple[str, tuple[int, ...]] | tuple[str, tuple[int, ...], int], head: str = "") -> str:
    text = ""
    for number, (actions, inputs, *priority) in enumerate(synapses):
        triggers = "".join(f'<trigger><rsc_op id="{i}"/></trigger>' for i in inputs)
        rank = f' priority="{priority[0]}"' if priority else ""
        text += f'<synapse id="{number}"{rank}><action_set>{actions}</action_set><inputs>{triggers}</inputs></synapse>'
    return f'<transition_graph cluster-delay="60s" transition_id="1" {head}>{text}</transition_graph>'


class Bench:
    """An engine and the effects it asked for."""

    def __init__(self) -> None:
        self.engine: Engine = build()
        self.now = 0
        self.effects: list[Effect] = self.engine.step(Started(incarnation="i", seed=1), 0)

    def give(self, message: object, now: int | None = None) -> list[Effect]:
        self.now = now if now is not None else self.now
        self.effects = self.engine.step(Received(CRMD, message), self.now)  # type: ignore[arg-type]
        return self.effects

    def start(self, text: str, number: int = 1, **options: int) -> list[int]:
        self.give(StartTransition(transition_id=number, te_uuid="uuid", graph=text, view=VIEW, **options))
        return self.requested()

    def done(self, action_id: int, ok: bool = True, number: int = 1) -> list[int]:
        self.give(ActionDone(transition_id=number, action_id=action_id, ok=ok, reason="" if ok else "rc 1"))
        return self.requested()

    def requested(self) -> list[int]:
        return [e.message.action_id for e in self.effects if isinstance(e, Send)
                and isinstance(e.message, RequestAction)]

    def end(self) -> TransitionDone | None:
        ends = [e.message for e in self.effects if isinstance(e, Send) and isinstance(e.message, TransitionDone)]
        assert len(ends) <= 1
        return ends[0] if ends else None


def test_an_empty_graph_is_complete_at_once() -> None:
    bench = Bench()
    assert bench.start("<transition_graph/>") == []
    end = bench.end()
    assert end is not None and (end.outcome, end.done, end.skipped) == ("complete", 0, 0)


def test_actions_follow_their_inputs_and_pseudo_events_are_done_at_once() -> None:
    bench = Bench()
    text = graph((rsc(1, "stop"), ()), (pseudo(2), (1,)), (rsc(3, "start", node="n2"), (2,)))
    assert bench.start(text) == [1]
    assert bench.end() is None
    assert bench.done(1) == [3]
    assert bench.done(3) == []
    end = bench.end()
    assert end is not None and (end.outcome, end.done) == ("complete", 3)


def test_the_request_carries_key_parameters_and_meta_apart() -> None:
    bench = Bench()
    bench.start(graph((rsc(7, "start", interval="0", name="start"), ())))
    request = next(e.message for e in bench.effects if isinstance(e, Send) and isinstance(e.message, RequestAction))
    assert request.transition_key == "7:1:0:uuid"
    assert request.attributes == {"state": "/x"}
    assert request.meta == {"timeout": "20000", "op_target_rc": "0", "interval": "0", "name": "start"}
    assert request.resource == {"id": "A", "class": "ocf", "provider": "heartbeat", "type": "Dummy"}
    assert (request.node, request.timeout_ms, request.kind) == ("n1", 20_000, "rsc_op")


def test_what_depends_on_a_failed_action_is_skipped_and_the_rest_goes_on() -> None:
    bench = Bench()
    text = graph((rsc(1, "start"), ()), (rsc(2, "monitor"), (1,)),
                 (rsc(3, "start", "B"), ()), (rsc(4, "monitor", "B"), (3,)))
    assert bench.start(text) == [1, 3]
    assert bench.done(1, ok=False) == []
    assert bench.done(3) == [4]
    bench.done(4)
    end = bench.end()
    assert end is not None and (end.outcome, end.done, end.skipped) == ("failed", 2, 1)
    assert "A_start_0 on n1: rc 1" in end.reason


def test_an_abort_awaits_what_runs_and_begins_nothing_below_its_priority() -> None:
    bench = Bench()
    text = graph((rsc(1, "start"), ()), (rsc(2, "monitor"), (1,)), (rsc(3, "start", "B"), (1,), 10))
    bench.start(text)
    bench.give(AbortTransition(transition_id=1, reason="news", priority=5))
    assert bench.end() is None
    assert bench.done(1) == [3]
    bench.done(3)
    end = bench.end()
    assert end is not None and (end.outcome, end.skipped, end.reason) == ("stopped", 1, "news")


def test_an_abort_with_nothing_running_ends_at_once_and_of_an_unknown_transition_too() -> None:
    bench = Bench()
    bench.start(graph((rsc(1, "start"), ())))
    bench.done(1)
    bench.give(AbortTransition(transition_id=1, reason="late"))
    end = bench.end()
    assert end is not None and end.outcome == "stopped"


def test_the_batch_limit_bounds_what_runs_at_once() -> None:
    bench = Bench()
    text = graph(*((rsc(i, "start", f"R{i}"), ()) for i in range(1, 6)), head='batch-limit="2"')
    assert bench.start(text) == [1, 2]
    assert bench.done(2) == [3]
    assert bench.done(1) == [4]
    assert Bench().start(text, batch_limit=3) == [1, 2, 3]


def test_the_migration_limit_counts_per_node() -> None:
    bench = Bench()
    text = graph((rsc(1, "migrate_to", "A", "n1"), ()), (rsc(2, "migrate_to", "B", "n1"), ()),
                 (rsc(3, "migrate_to", "C", "n2"), ()), head='migration-limit="1"')
    assert bench.start(text) == [1, 3]
    assert bench.done(1) == [2]


def test_an_action_without_result_fails_after_timeout_and_cluster_delay() -> None:
    bench = Bench()
    bench.start(graph((rsc(1, "start"), ()), (rsc(2, "monitor"), (1,))))
    arm = next(e for e in bench.effects if isinstance(e, Arm))
    assert arm.deadline == 20_000 + 60_000
    bench.effects = bench.engine.step(Fired(arm.timer), arm.deadline)
    end = bench.end()
    assert end is not None and (end.outcome, end.skipped) == ("failed", 1)
    assert "no result within 80000 ms" in end.reason


def test_a_result_stops_the_timer_and_a_late_one_is_ignored() -> None:
    bench = Bench()
    bench.start(graph((rsc(1, "start"), ()), (rsc(2, "start", "B"), ())))
    bench.done(1)
    assert Disarm("action/1/1") in bench.effects
    assert bench.done(1, ok=False) == []
    bench.done(2)
    end = bench.end()
    assert end is not None and end.outcome == "complete"


def test_nothing_runs_on_a_node_whose_fencing_is_unconfirmed_even_if_the_graph_does_not_order_it() -> None:
    bench = Bench()
    text = graph((rsc(1, "start", "A", "n1"), ()), (fence(2, "n1"), ()), (rsc(3, "start", "B", "n2"), ()))
    assert bench.start(text) == [2, 3]
    bench.done(3)
    assert bench.requested() == []
    assert bench.done(2) == [1]


def test_a_failed_fence_keeps_the_node_forbidden_and_the_transition_ends_as_failed() -> None:
    bench = Bench()
    assert bench.start(graph((rsc(1, "start", "A", "n1"), ()), (fence(2, "n1"), ()))) == [2]
    bench.done(2, ok=False)
    end = bench.end()
    assert end is not None and (end.outcome, end.skipped) == ("failed", 1)


def test_an_unfencing_forbids_nothing() -> None:
    bench = Bench()
    text = graph((fence(1, "n1").replace("reboot", "on"), ()), (rsc(2, "start"), ()))
    assert bench.start(text) == [1, 2]


def test_a_start_waits_for_the_stop_of_the_same_resource_even_if_the_graph_does_not_order_it() -> None:
    bench = Bench()
    text = graph((rsc(1, "start", "A", "n2"), ()), (rsc(2, "stop", "A", "n1"), ()))
    assert bench.start(text) == [2]
    assert bench.done(2) == [1]


def test_instances_of_a_clone_do_not_wait_for_one_another() -> None:
    bench = Bench()
    text = graph((rsc(1, "start", "A", "n2", clone="1"), ()), (rsc(2, "stop", "A", "n1", clone="0"), ()))
    assert bench.start(text) == [1, 2]


def test_an_event_that_needs_no_wait_is_done_when_it_is_sent() -> None:
    bench = Bench()
    text = graph(('<crm_event id="1" operation="do_shutdown" operation_key="do_shutdown-n1" on_node="n1">'
                  '<attributes CRM_meta_op_no_wait="true"/></crm_event>', ()))
    assert bench.start(text) == [1]
    end = bench.end()
    assert end is not None and end.outcome == "complete"


def test_a_graph_that_waits_in_a_circle_ends_as_failed() -> None:
    bench = Bench()
    bench.start(graph((rsc(1, "start"), (2,)), (rsc(2, "start", "B"), (1,))))
    end = bench.end()
    assert end is not None and end.outcome == "failed" and "will never come" in end.reason


def test_the_loss_of_the_crmd_drops_the_transition_and_its_timers() -> None:
    bench = Bench()
    bench.start(graph((rsc(1, "start"), ())))
    effects = bench.engine.step(Lost(CRMD), 5)
    assert Disarm("action/1/1") in effects and not any(isinstance(e, Send) for e in effects)
    bench.engine.step(Connected(CRMD), 6)
    bench.now = 6
    assert bench.start(graph((rsc(1, "start"), ())), number=1) == [1]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "well-formed"),
        ("<transition_graph", "well-formed"),
        ("<cib/>", "root element"),
        (graph(("", ())), "no action"),
        (graph((pseudo(1), (9,))), "not in the graph"),
        (graph((pseudo(1), ()), (pseudo(1), ())), "twice"),
        (graph(('<rsc_op id="1" operation="start"/>', ())), "primitive"),
        (graph(('<pseudo_event id="x" operation="start"/>', ())), "number"),
        (graph(('<pseudo_event operation="start"/>', ())), "no id"),
        (graph(('<pseudo_event id="1"/>', ())), "operation"),
        (graph(("<shell id='1' operation='rm'/>", ())), "no action"),
        ('<transition_graph cluster-delay="soon"/>', "duration"),
        (graph((pseudo(1), ())) .replace('synapse id="0"', 'synapse id="a"'), "number"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><transition_graph cluster-delay='&b;'/>", "duration"),
    ],
)
def test_a_broken_graph_is_refused_with_a_reason(text: str, word: str) -> None:
    bench = Bench()
    assert bench.start(text) == []
    end = bench.end()
    assert end is not None and end.outcome == "failed" and word in end.reason


def test_a_message_of_another_kind_is_a_broken_invariant() -> None:
    with pytest.raises(AssertionError, match="protocol error"):
        Bench().give(TransitionDone(transition_id=1, outcome="complete"))
