# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks for the smallest change that brings a resource to a node, by trying each on a copy of the CIB."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

from lxml.etree import _Element as Element

from ha.cli.explain.changes import Candidates, Change, Number
from ha.cli.explain.trial import Judgement, homes, judge, reaches, subject
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.scores import INFINITY

LIMIT_S = 20.0
"""How long to look for changes for one node; large clusters take seconds for every trial."""


class OutOfTime(Exception):
    """The search took longer than it may."""


@dataclass(frozen=True, slots=True)
class Found:
    """A change that was tried and does what it is to do, and where it sends other resources."""

    change: Change
    elsewhere: list[str]


class Search:
    """One search. `clock` gives seconds, from any origin."""

    def __init__(
        self, root: Element, judged: Judgement, resource: Resource, node: Node, now_s: int, clock: Callable[[], float]
    ) -> None:
        self.root = root
        self.judged = judged
        self.resource = resource
        self.node = node
        self.now_s = now_s
        self.clock = clock
        self.ends = clock() + LIMIT_S
        self.candidates = Candidates(root, judged, resource, node)

    def run(self) -> list[Found]:
        """The smallest change, and the plain move as well if that would do; nothing if no single change does.

        Raises OutOfTime.
        """
        found = next(self._working(self.candidates.mild()), None) or self._smallest_number()
        move = next(self._working(iter([self.candidates.move()])), None)
        if found is None and move is None:
            found = next(self._working(self.candidates.harsh()), None)
        return [each for each in (found, move) if each is not None]

    def run_pairs(self) -> Found | None:
        """For when no single change does it: two together, a move as the second or both enabling. Raises OutOfTime."""
        move = self.candidates.move()
        enabling = list(self.candidates.enabling())
        pairs = [first.and_then(second) for first, second in combinations(enabling, 2)]
        pairs += [first.and_then(move) for first in (*enabling, *self.candidates.harsh())]
        return next(self._working(iter(pairs)), None)

    def _working(self, changes: Iterator[Change]) -> Iterator[Found]:
        for change in changes:
            found = self.attempt(change)
            if found is not None:
                yield found

    def attempt(self, change: Change) -> Found | None:
        """What comes of a change, None if the resource would not get to the node."""
        if self.clock() > self.ends:
            raise OutOfTime
        root = copy.deepcopy(self.root)
        change.apply(root)
        after = judge(root, self.now_s)
        resource, node = after.cluster.find(self.resource.id), after.cluster.node(self.node.name)
        if resource is None or node is None or not reaches(resource, node):
            return None
        return Found(change, list(self._elsewhere(after)))

    def _elsewhere(self, after: Judgement) -> Iterator[str]:
        for resource in self.judged.cluster.resources:
            changed = after.cluster.find(resource.id)
            if changed is None or resource is self.resource.outermost:
                continue
            one, other = homes(self.judged.cluster, resource), homes(after.cluster, changed)
            if one != other:
                yield f"{resource.id} goes from {', '.join(one) or 'nowhere'} to {', '.join(other) or 'nowhere'}"

    # One number ------------------------------------------------------------------------------------------------

    def _smallest_number(self) -> Found | None:
        best: tuple[int, bool, Found] | None = None
        for number in self.candidates.numbers():
            found = self._nearest(number)
            if found is not None and (best is None or found[:2] < best[:2]):
                best = found
        return None if best is None else best[2]

    def _nearest(self, number: Number) -> tuple[int, bool, Found] | None:
        """(how far it must be changed, whether downwards, the change) for the least change of one number that works."""
        down = number.value + (0 if number.value > 0 else INFINITY)
        for sign, farthest in ((1, INFINITY - number.value), (-1, down)):
            found = self.attempt(number.changed(number.value + sign * farthest))
            if found is not None:
                return self._bisect(number, sign, farthest, found)
        return None

    def _bisect(self, number: Number, sign: int, works: int, found: Found) -> tuple[int, bool, Found]:
        fails = 0
        guess = self._gap()
        while works - fails > 1:
            middle = guess if fails < guess < works else (works + fails) // 2
            tried = self.attempt(number.changed(number.value + sign * middle))
            if tried is None:
                fails, guess = middle, middle + 1
            else:
                works, found, guess = middle, tried, middle - 1 if guess == middle else 0
        return works, sign < 0, found

    def _gap(self) -> int:
        """By how much the node falls behind, as the accounts say; a first guess."""
        one = subject(self.judged, self.resource, self.node)
        entry = one.allowed.get(self.node.id)
        best = None if one.assigned is None else one.allowed.get(one.assigned.node.id)
        if entry is None or best is None or best.score >= INFINITY or entry.score <= -INFINITY:
            return 0
        return best.score - entry.score
