# SPDX-License-Identifier: GPL-2.0-or-later
"""The order of events of several nodes whose clocks differ: causes first, then time.

A process's lines are in order; an order comes before its result on another node, and the result before the word of it;
a fencing before its confirmation; the proposal of a view before the view. Where that contradicts the clocks, the clocks
are wrong, and by how much at least is told.
Source: L. Lamport, Time, Clocks, and the Ordering of Events in a Distributed System (1978).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from ha.cli.timeline.events import CAUSAL_RANK, Event

SHOWN_SKEW_MS = 20
"""Less may come from when a process wrote its line."""

CALM_MARGIN_MS = 2_000
"""Clocks that are kept by NTP, and processes on a busy machine, differ by less."""
CLOCKS_APART_MS = 60_000
"""Clocks that differ by more are not made sense of."""


@dataclass(frozen=True, slots=True)
class Skew:
    """The clock of `slow` is at least `ms` behind that of `fast`."""

    slow: str
    fast: str
    ms: int


def in_order(events: list[Event]) -> tuple[list[Event], list[Skew]]:
    """All events, each after its causes, and of those that could come next the earliest first."""
    edges = sorted(set(_edges(events)))
    followers: dict[int, list[int]] = defaultdict(list)
    causes = [0] * len(events)
    for before, after in edges:
        followers[before].append(after)
        causes[after] += 1
    keys = [(event.at_ms, CAUSAL_RANK[event.kind], event.node, event.module, event.serial, n)
            for n, event in enumerate(events)]  # fmt: skip
    ready = [keys[n] for n, count in enumerate(causes) if count == 0]
    heapq.heapify(ready)
    waiting = sorted(key for key in keys if causes[key[-1]])
    waiting.reverse()
    done = [False] * len(events)
    ordered: list[Event] = []
    while len(ordered) < len(events):
        if not ready:
            # Forged or damaged lines can contradict each other: then the clock decides.
            while done[waiting[-1][-1]]:
                waiting.pop()
            ready.append(waiting.pop())
        number = heapq.heappop(ready)[-1]
        if done[number]:
            continue
        done[number] = True
        ordered.append(events[number])
        for after in followers[number]:
            causes[after] -= 1
            if causes[after] == 0:
                heapq.heappush(ready, keys[after])
    return ordered, _skews(events, edges)


def _edges(events: list[Event]) -> Iterator[tuple[int, int]]:
    """(cause, effect) as places in `events`."""
    yield from _within_processes(events)
    yield from _views(events)
    yield from _orders(events)
    yield from _fencings(events)


def _views(events: list[Event]) -> Iterator[tuple[int, int]]:
    """The proposal comes before the view wherever it is told."""
    agreed: dict[tuple[str, ...], list[int]] = defaultdict(list)
    proposed: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, event in enumerate(events):
        if event.kind in ("proposed", "view-agreed"):
            (proposed if event.kind == "proposed" else agreed)[event.subject].append(number)
    for subject, effects in agreed.items():
        # Two proposals of one number: an attempt was given up, and which of them was agreed to is not said.
        if len(proposed[subject]) == 1:
            yield from ((proposed[subject][0], effect) for effect in effects)


def _within_processes(events: list[Event]) -> Iterator[tuple[int, int]]:
    processes: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for number, event in enumerate(events):
        if not event.is_retold:
            processes[event.process].append(number)
    for numbers in processes.values():
        numbers.sort(key=lambda n: events[n].serial)
        yield from pairwise(numbers)


def _orders(events: list[Event]) -> Iterator[tuple[int, int]]:
    """The DC's order, the result on its node, the DC's word of it."""
    ordered: dict[tuple[str, ...], list[int]] = defaultdict(list)
    results: dict[tuple[str, ...], list[int]] = defaultdict(list)
    told: dict[tuple[tuple[str, ...], tuple[str, str, int]], list[int]] = defaultdict(list)
    for number, event in enumerate(events):
        if event.kind == "start-ordered":
            ordered[event.subject].append(number)
        elif event.kind == "started" and event.form == "timeline":
            told[event.subject, event.process].append(number)
        elif event.kind == "started":
            results[event.subject].append(number)
    for numbers in told.values():
        numbers.sort(key=lambda n: events[n].serial)
    for subject, orders in ordered.items():
        at_hand = sorted(results[subject], key=lambda n: events[n].at_ms)
        taken: set[int] = set()
        for order in _by_serial(events, orders):
            words = told[subject, events[order].process]
            place = bisect_right(words, events[order].serial, key=lambda n: events[n].serial)
            word = words[place] if place < len(words) else order
            result = _result(events, order, word, at_hand, taken)
            if result is not None:
                taken.add(result)
                yield order, result
                if word != order:
                    yield result, word


def _result(events: list[Event], order: int, word: int, results: list[int], taken: set[int]) -> int | None:
    """The result between an order and the word of it: the only one there by the clocks, else the only one near."""
    for margin_ms in (CALM_MARGIN_MS, CLOCKS_APART_MS):
        begin = bisect_left(results, events[order].at_ms - margin_ms, key=lambda n: events[n].at_ms)
        end = bisect_right(results, events[word].at_ms + margin_ms, key=lambda n: events[n].at_ms)
        near = [n for n in results[begin:end] if n not in taken]
        if near:
            return near[0] if len(near) == 1 else None
    return None


def _fencings(events: list[Event]) -> Iterator[tuple[int, int]]:
    """The DC's order to fence comes before each word that it is done."""
    orders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    words: dict[tuple[tuple[str, ...], tuple[str, str, int], str], list[int]] = defaultdict(list)
    for number, event in enumerate(events):
        if event.kind == "fencing" and event.form == "timeline":
            orders[event.subject].append(number)
        elif event.kind == "fenced":
            words[event.subject, event.process, event.form].append(number)
    for (subject, _, _), numbers in words.items():
        if len(orders[subject]) == len(numbers):
            yield from zip(_by_serial(events, orders[subject]), _by_serial(events, numbers), strict=True)


def _by_serial(events: list[Event], numbers: list[int]) -> list[int]:
    """In the order of time; of one process in that of its lines."""
    return sorted(numbers, key=lambda n: (events[n].at_ms, events[n].serial))


def _skews(events: list[Event], edges: list[tuple[int, int]]) -> list[Skew]:
    worst: dict[tuple[str, str], int] = {}
    for before, after in edges:
        cause, effect = events[before], events[after]
        ms = cause.at_ms - effect.at_ms
        if cause.node != effect.node and ms >= SHOWN_SKEW_MS:
            pair = (effect.node, cause.node)
            worst[pair] = max(ms, worst.get(pair, 0))
    return [Skew(slow, fast, ms) for (slow, fast), ms in sorted(worst.items())]
