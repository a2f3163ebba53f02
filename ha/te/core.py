# SPDX-License-Identifier: GPL-2.0-or-later
"""The transition engine: carries out one graph at a time.

An action begins when every input of its synapse is done. What depends on a failed action is skipped; the rest goes on
until the crmd aborts. After an abort nothing new begins below the abort's priority and what runs is awaited.

Safety (P1): an action on a node waits for that node's fencing whenever the graph fences it, whether or not the graph
orders the two; a start waits for every stop of the same resource in the graph. A graph that forbids itself in this
way ends as `failed`, it never runs ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, cast

from ha.machine import (
    Arm,
    Connected,
    Disarm,
    Effect,
    Event,
    Fired,
    Instant,
    Local,
    Lost,
    Note,
    Received,
    Send,
    Started,
    Stopping,
    Wall,
)
from ha.te.model import Action, Graph, GraphError, Synapse, parse_graph
from ha.te.msg import AbortTransition, ActionDone, RequestAction, StartTransition, TransitionDone

CRMD = Local("crmd")
STARTING_TASKS = ("start", "promote", "migrate_from")
Progress = Literal["waiting", "running", "done", "failed", "skipped"]


def build() -> Engine:
    """The machine of the tengine worker."""
    return Engine()


@dataclass(slots=True)
class Run:
    """A transition under way. `priority` is the floor below which nothing new begins (None: not aborted)."""

    order: StartTransition
    graph: Graph
    progress: dict[int, Progress]
    synapse_of: dict[int, Synapse]
    missing: dict[int, int]
    dependents: dict[int, list[Synapse]]
    ready: list[Synapse]
    unfenced: dict[str, set[int]]
    unstopped: dict[str, set[int]]
    held: list[Synapse] = field(default_factory=list)
    running: int = 0
    migrating: dict[str, int] = field(default_factory=dict)
    abort_priority: int | None = None
    reason: str = ""
    failed: bool = False


class Engine:
    """Pure; see the module's text. Effects of one step follow the order of the graph."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self.out: list[Effect] = []
        self.now: Instant = 0

    def step(self, event: Event, now: Instant) -> list[Effect]:
        assert now >= self.now, "time went back"
        self.now, self.out = now, []
        if isinstance(event, Received):
            assert event.sender == CRMD, f"only the crmd speaks to the tengine, not {event.sender}"
            handler = _HANDLERS.get(type(event.message))
            assert handler is not None, f"protocol error: {type(event.message).__name__} to the tengine"
            handler(self, event.message)
        elif isinstance(event, Fired):
            self._timed_out(event.timer)
        elif isinstance(event, Lost) and event.peer == CRMD:
            self._forget("the crmd is gone; it decides anew when it is back")
        else:
            assert isinstance(event, (Started, Wall, Connected, Lost, Stopping)), f"unexpected {event!r}"
        return self.out

    # Orders of the crmd ----------------------------------------------------------------------------------------------

    def start(self, message: object) -> None:
        order = cast(StartTransition, message)
        self._forget(f"transition {order.transition_id} replaces it")
        try:
            graph = parse_graph(order.graph)
        except GraphError as error:
            self.out.append(Note("error", f"transition {order.transition_id} is refused: {error}"))
            self._say_done(order.transition_id, "failed", reason=str(error))
            return
        self.run = _prepare(order, graph)
        self.out.append(
            Note("info", f"transition {order.transition_id} begins: {len(graph.actions)} actions, "
                 f"{len(graph.synapses)} synapses")
        )
        self._advance()

    def action_done(self, message: object) -> None:
        done = cast(ActionDone, message)
        run = self.run
        if run is None or done.transition_id != run.order.transition_id:
            self.out.append(Note("debug", f"late result of {done.transition_id}/{done.action_id} is ignored"))
            return
        if run.progress.get(done.action_id) != "running":
            self.out.append(Note("debug", f"action {done.action_id} is not running; its result is ignored"))
            return
        self._finish(run, run.graph.actions[done.action_id], done.ok, done.reason)
        self._advance()

    def abort(self, message: object) -> None:
        wish = cast(AbortTransition, message)
        run = self.run
        if run is None or wish.transition_id != run.order.transition_id:
            self._say_done(wish.transition_id, "stopped", reason="no such transition runs")
            return
        if run.abort_priority is None or wish.priority > run.abort_priority:
            run.abort_priority = wish.priority
            run.reason = wish.reason
            self.out.append(Note("info", f"transition {wish.transition_id} is aborted: {wish.reason}"))
        self._advance()

    # Carrying out ----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Begin whatever may begin, until nothing moves; end the transition when nothing runs."""
        run = self.run
        assert run is not None, "only a transition can advance"
        while True:
            candidates = sorted({id(s): s for s in run.ready + run.held}.values(), key=lambda s: s.id)
            run.ready, run.held = [], []
            moved = False
            for synapse in candidates:
                moved = self._begin_synapse(run, synapse) or moved
            if not (moved and run.ready):
                break
        if run.running == 0:
            self._end(run)

    def _begin_synapse(self, run: Run, synapse: Synapse) -> bool:
        """Whether anything was begun or done. What must wait for a limit or for safety is kept in `held`."""
        moved = False
        for number in synapse.actions:
            if run.progress[number] != "waiting":
                continue
            action = run.graph.actions[number]
            if run.abort_priority is not None and synapse.priority < run.abort_priority:
                continue
            if _forbidden(run, action) or _over_limit(run, action):
                run.held.append(synapse)
                continue
            self._begin(run, action)
            moved = True
        return moved

    def _begin(self, run: Run, action: Action) -> None:
        assert run.missing[run.synapse_of[action.id].id] == 0, f"action {action.id} has an input that is not done"
        if action.kind == "pseudo_event":
            self._count(run, action, +1)
            run.progress[action.id] = "running"
            self._finish(run, action, True, "")
            return
        assert not _forbidden(run, action), f"action {action.id} may not run before fencing or stop is confirmed"
        run.progress[action.id] = "running"
        self._count(run, action, +1)
        self.out.append(Send(CRMD, _request(run.order, action)))
        if action.no_wait:
            self._finish(run, action, True, "")
        else:
            self.out.append(Arm(_timer(run, action), self.now + _patience_ms(run.graph, action)))

    def _finish(self, run: Run, action: Action, ok: bool, reason: str) -> None:
        assert run.progress[action.id] == "running", f"action {action.id} ended without having begun"
        self._count(run, action, -1)
        if action.kind != "pseudo_event" and not action.no_wait:
            self.out.append(Disarm(_timer(run, action)))
        if not ok:
            run.progress[action.id] = "failed"
            run.failed = True
            run.reason = run.reason or f"{action.operation_key or action.task} on {action.node or '-'}: {reason}"
            self.out.append(Note("warning", f"transition {run.order.transition_id} action {action.id} "
                                 f"({action.operation_key}) on {action.node} failed: {reason}"))
            return
        run.progress[action.id] = "done"
        for waiting in (run.unfenced.get(action.node), run.unstopped.get(_resource_id(action))):
            if waiting is not None:
                waiting.discard(action.id)
        for synapse in run.dependents.get(action.id, ()):
            run.missing[synapse.id] -= 1
            assert run.missing[synapse.id] >= 0, f"synapse {synapse.id} has more inputs done than it has"
            if run.missing[synapse.id] == 0:
                run.ready.append(synapse)

    def _count(self, run: Run, action: Action, change: int) -> None:
        run.running += change
        assert run.running >= 0, "more actions ended than began"
        if action.task in ("migrate_to", "migrate_from"):
            run.migrating[action.node] = run.migrating.get(action.node, 0) + change

    def _timed_out(self, timer: str) -> None:
        run = self.run
        transition, _, number = timer.partition("/")[2].partition("/")
        if run is None or transition != str(run.order.transition_id) or run.progress[int(number)] != "running":
            return
        action = run.graph.actions[int(number)]
        self._finish(run, action, False, f"no result within {_patience_ms(run.graph, action)} ms")
        self._advance()

    def _end(self, run: Run) -> None:
        done = sum(state == "done" for state in run.progress.values())
        left = [number for number, state in run.progress.items() if state == "waiting"]
        outcome: Literal["complete", "stopped", "failed"] = "complete"
        if run.abort_priority is not None and left:
            outcome = "stopped"
        elif run.failed or left:
            outcome = "failed"
        if outcome == "failed" and not run.failed:
            first = run.graph.actions[left[0]]
            run.reason = f"action {first.id} ({first.operation_key}) waits for what will never come"
            self.out.append(Note("error", f"transition {run.order.transition_id}: {run.reason}"))
        self.run = None
        self._say_done(run.order.transition_id, outcome, done, len(left), run.reason)

    def _say_done(
        self, transition_id: int, outcome: Literal["complete", "stopped", "failed"],
        done: int = 0, skipped: int = 0, reason: str = "",
    ) -> None:
        self.out.append(Note("info", f"transition {transition_id} ends {outcome}: {done} done, {skipped} skipped"
                             + (f" ({reason})" if reason else "")))
        self.out.append(Send(CRMD, TransitionDone(
            transition_id=transition_id, outcome=outcome, done=done, skipped=skipped, reason=reason)))

    def _forget(self, why: str) -> None:
        run = self.run
        if run is None:
            return
        for number, state in run.progress.items():
            if state == "running":
                self.out.append(Disarm(_timer(run, run.graph.actions[number])))
        self.out.append(Note("notice", f"transition {run.order.transition_id} is dropped: {why}"))
        self.run = None


_HANDLERS: dict[type, Callable[[Engine, object], None]] = {
    StartTransition: Engine.start,
    ActionDone: Engine.action_done,
    AbortTransition: Engine.abort,
}


def _prepare(order: StartTransition, graph: Graph) -> Run:
    dependents: dict[int, list[Synapse]] = {}
    unfenced: dict[str, set[int]] = {}
    unstopped: dict[str, set[int]] = {}
    for synapse in graph.synapses:
        for wanted in synapse.inputs:
            dependents.setdefault(wanted, []).append(synapse)
    for action in graph.actions.values():
        if action.fences:
            unfenced.setdefault(action.node, set()).add(action.id)
        if action.kind == "rsc_op" and action.task == "stop" and "clone" not in action.meta:
            unstopped.setdefault(_resource_id(action), set()).add(action.id)
    return Run(
        order=order,
        graph=graph,
        progress=dict.fromkeys(graph.actions, "waiting"),
        synapse_of={number: synapse for synapse in graph.synapses for number in synapse.actions},
        missing={synapse.id: len(synapse.inputs) for synapse in graph.synapses},
        dependents=dependents,
        ready=[synapse for synapse in graph.synapses if not synapse.inputs],
        unfenced=unfenced,
        unstopped=unstopped,
    )


def _forbidden(run: Run, action: Action) -> bool:
    if action.kind != "rsc_op":
        return False
    if any(run.unfenced.get(node) for node in (action.node, action.router) if node):
        return True
    return (
        action.task in STARTING_TASKS[:1]
        and "clone" not in action.meta
        and bool(run.unstopped.get(_resource_id(action)))
    )


def _over_limit(run: Run, action: Action) -> bool:
    if action.kind == "pseudo_event":
        return False
    batch_limit = run.order.batch_limit or run.graph.batch_limit
    if 0 < batch_limit <= run.running:
        return True
    limit = run.graph.migration_limit
    return action.task in ("migrate_to", "migrate_from") and 0 < limit <= run.migrating.get(action.node, 0)


def _resource_id(action: Action) -> str:
    return action.resource.get("id", "")


def _timer(run: Run, action: Action) -> str:
    return f"action/{run.order.transition_id}/{action.id}"


def _patience_ms(graph: Graph, action: Action) -> int:
    """How long an action may go without a result. Source: Pacemaker's cluster-delay, added to each timeout."""
    timeout_ms = action.timeout_ms
    if action.task == "stonith":
        timeout_ms = max(timeout_ms, graph.fencing_timeout_ms)
    delay = action.meta.get("start_delay", "0")
    return timeout_ms + graph.cluster_delay_ms + (int(delay) if delay.isdecimal() else 0)


def _request(order: StartTransition, action: Action) -> RequestAction:
    assert action.kind != "pseudo_event", "pseudo events are done here"
    return RequestAction(
        transition_id=order.transition_id,
        action_id=action.id,
        kind=action.kind,
        task=action.task,
        node=action.node,
        node_uuid=action.node_uuid,
        router=action.router,
        operation_key=action.operation_key,
        transition_key=f"{action.id}:{order.transition_id}:{action.target_rc}:{order.te_uuid}",
        target_rc=action.target_rc,
        timeout_ms=action.timeout_ms,
        resource=dict(action.resource),
        attributes=dict(action.attributes),
        meta=dict(action.meta),
    )
