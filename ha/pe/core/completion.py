# SPDX-License-Identifier: GPL-2.0-or-later
"""The last stage before writing: every graph comes to an end.

Orderings can wait in a ring (two constraints that contradict each other, a probe on a guest that is restarted), or for
what is not in the graph. Pacemaker's transition then stands still until its timer gives up, and the next is the same.
Here a ring is opened where that is harmless: at a probe, or where the order is mere advice. What waits in vain all
the same is held back: it becomes unrunnable, so that it is reported as blocked.
"""

from __future__ import annotations

from dataclasses import dataclass

from ha.pe.model.action import IF_REQUIRED_ON_SAME_NODE, ORDERED, PSEUDO, RUNNABLE, Action, Relation


@dataclass(slots=True)
class Synapse:
    """An action of the graph, what is written of it (before and behind its number), and what it waits for."""

    action: Action
    priority: int
    lead: str
    text: str
    inputs: list[Relation]


def completable(synapses: list[Synapse]) -> list[Synapse]:
    """The synapses that can all be done, in the same order; the inputs of some are fewer."""
    whole = synapses
    while stuck := _stuck(synapses):
        ring = _ring(stuck)
        opened = ring is not None and _open(ring)
        if not opened:
            synapses = _without_one_hold_up(synapses, stuck, ring)
    return synapses if synapses is whole else _without_idle(synapses)


def _stuck(synapses: list[Synapse]) -> dict[int, Synapse]:
    """Those that never get their turn, by the action's id, in the order of the graph."""
    waiting: dict[int, int] = {}
    followers: dict[int, list[Synapse]] = {}
    ready: list[Synapse] = []
    for synapse in synapses:
        if not synapse.inputs:
            ready.append(synapse)
            continue
        waiting[synapse.action.id] = len(synapse.inputs)
        for relation in synapse.inputs:
            followers.setdefault(relation.action.id, []).append(synapse)
    for synapse in ready:
        for follower in followers.get(synapse.action.id, ()):
            id = follower.action.id
            waiting[id] -= 1
            if waiting[id] == 0:
                ready.append(follower)
    if len(ready) == len(synapses):
        return {}
    return {synapse.action.id: synapse for synapse in synapses if waiting.get(synapse.action.id)}


def _ring(stuck: dict[int, Synapse]) -> list[tuple[Synapse, Relation]] | None:
    """One ring of synapses, each with the input that makes it wait for the next; None if there is none.

    Follows what each waits for, and leaves what leads to nothing.
    """
    finished: set[int] = set()
    for start in stuck.values():
        path: list[tuple[Synapse, Relation]] = []
        places: dict[int, int] = {}
        trail = [(start, iter(start.inputs))]
        while trail:
            synapse, inputs = trail[-1]
            places.setdefault(synapse.action.id, len(trail) - 1)
            following = next((r for r in inputs if r.action.id in stuck and r.action.id not in finished), None)
            if following is None:
                trail.pop()
                finished.add(synapse.action.id)
                places.pop(synapse.action.id)
                if path:
                    path.pop()
                continue
            path.append((synapse, following))
            place = places.get(following.action.id)
            if place is not None:
                return path[place:]
            follower = stuck[following.action.id]
            trail.append((follower, iter(follower.inputs)))
    return None


def _open(ring: list[tuple[Synapse, Relation]]) -> bool:
    """Takes the most harmless input out of a ring; whether there was one."""
    best = min(ring, key=lambda link: _harm(link[0].action, link[1]))
    if _harm(best[0].action, best[1]) > _MOST_HARM:
        return False
    best[0].inputs.remove(best[1])
    return True


_MOST_HARM = 2


def _harm(then: Action, relation: Relation) -> int:
    """0 and 1 for the order after a probe, 2 for advice, 3 for what must not be broken."""
    first = relation.action
    if first.task == "monitor" and first.meta.get("interval", "0") == "0":
        # Of two probes the one that has nothing to do with what waits; a resource's own start needs to know.
        same = first.resource is not None and first.resource is then.resource
        return 1 if same and then.task != "stop" else 0
    if relation.flags in (ORDERED, IF_REQUIRED_ON_SAME_NODE) and first.resource is not then.resource:
        return 2
    return 3


def _without_one_hold_up(
    synapses: list[Synapse], stuck: dict[int, Synapse], ring: list[tuple[Synapse, Relation]] | None
) -> list[Synapse]:
    """Holds back a ring that cannot be opened, else all that waits for what is not there; and all that waits for it."""
    held: set[int] = set()
    if ring is not None:
        held.update(synapse.action.id for synapse, _ in ring)
    else:
        known = {synapse.action.id for synapse in synapses}
        held.update(
            synapse.action.id for synapse in stuck.values() if any(r.action.id not in known for r in synapse.inputs)
        )
    growing = True
    while growing:
        before = len(held)
        for id, synapse in stuck.items():
            if id not in held and any(relation.action.id in held for relation in synapse.inputs):
                held.add(id)
        growing = len(held) > before
    assert held, "what is stuck waits in a ring or for what is not there"
    for id in held:
        stuck[id].action.clear(RUNNABLE)
    held |= _announcements(synapses, held)
    return [synapse for synapse in synapses if synapse.action.id not in held]


def _announces(action: Action) -> bool:
    """Whether an action is a notification or a mark, and so changes nothing by itself."""
    return action.task != "stonith" and (action.task == "notify" or action.has(PSEUDO))


def _without_idle(synapses: list[Synapse]) -> list[Synapse]:
    """Leaves out the notifications and marks of resources that no work comes before or after.

    Else they would be all that is left to do, and be done again by each transition.
    """
    before = {s.action.id: [relation.action.id for relation in s.inputs] for s in synapses}
    after: dict[int, list[int]] = {}
    for follower, firsts in before.items():
        for first in firsts:
            after.setdefault(first, []).append(follower)
    work = [synapse.action.id for synapse in synapses if not _announces(synapse.action)]
    busy = _reached(work, before) | _reached(work, after)
    idle = {s.action.id for s in synapses if s.action.id not in busy and s.action.resource is not None}
    for synapse in synapses:
        synapse.inputs[:] = [relation for relation in synapse.inputs if relation.action.id not in idle]
    return [synapse for synapse in synapses if synapse.action.id not in idle]


def _reached(starts: list[int], steps: dict[int, list[int]]) -> set[int]:
    found = set(starts)
    waiting = list(starts)
    while waiting:
        for id in steps.get(waiting.pop(), ()):
            if id not in found:
                found.add(id)
                waiting.append(id)
    return found


def _announcements(synapses: list[Synapse], held: set[int]) -> set[int]:
    """The notifications and marks that only announce what is held back; else they would be repeated for ever."""
    followers: dict[int, list[int]] = {}
    for synapse in synapses:
        for relation in synapse.inputs:
            followers.setdefault(relation.action.id, []).append(synapse.action.id)
    idle: set[int] = set()
    waiting = sorted(held)
    by_id = {synapse.action.id: synapse for synapse in synapses}
    while waiting:
        for relation in by_id[waiting.pop()].inputs:
            first = relation.action
            if first.id in held or first.id in idle or first.id not in by_id:
                continue
            if _announces(first) and all(id in held or id in idle for id in followers[first.id]):
                idle.add(first.id)
                waiting.append(first.id)
    return idle
