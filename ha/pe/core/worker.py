# SPDX-License-Identifier: GPL-2.0-or-later
"""The pengine's Machine: one decision at a time, always the newest that is wanted.

    Schedule ──► ReadCib ──► Decide ──► Scheduled

A request that comes while a decision is under way replaces the one that waits; the decision under way is then
thrown away, because nobody waits for it any more.
"""

from __future__ import annotations

from ha.cib.msg import CibCopy, CibGone, ReadCib
from ha.machine import (
    Connected,
    Effect,
    Event,
    Execute,
    Finished,
    Instant,
    Local,
    Lost,
    Machine,
    Note,
    Received,
    Send,
)
from ha.pe.model.requests import Decide, Decided
from ha.pe.msg import Schedule, Scheduled

CRMD = Local("crmd")


class PolicyEngine:
    """`current` is the request that is worked on, `waiting` the newer one that will be next."""

    def __init__(self) -> None:
        self.current: Schedule | None = None
        self.waiting: Schedule | None = None
        self.operations = 0

    def step(self, event: Event, now: Instant) -> list[Effect]:
        if isinstance(event, Received):
            return self._received(event)
        if isinstance(event, Finished):
            return self._finished(event)
        if isinstance(event, Connected | Lost):
            # A crmd that was away repeats what it still wants to know.
            self.waiting = None
        return []

    def _received(self, event: Received) -> list[Effect]:
        message = event.message
        if event.sender != CRMD or not isinstance(message, Schedule):
            return [Note("warning", f"refused a {type(message).__name__} from {event.sender}")]
        if self.current is not None:
            self.waiting = message
            return []
        return self._begin(message)

    def _begin(self, request: Schedule) -> list[Effect]:
        assert self.current is None
        self.current = request
        return [self._execute("read", ReadCib(generation=request.generation))]

    def _execute(self, what: str, request: object) -> Effect:
        self.operations += 1
        return Execute(f"{what}-{self.operations}", request)

    def _finished(self, event: Finished) -> list[Effect]:
        request = self.current
        assert request is not None
        outcome = event.outcome
        if self.waiting is not None:
            newer, self.waiting, self.current = self.waiting, None, None
            return self._begin(newer)
        if isinstance(outcome, CibCopy):
            return [self._execute("decide", Decide(outcome.xml, request.now_s, outcome.generation))]
        self.current = None
        return self._answer(request, outcome)

    def _answer(self, request: Schedule, outcome: object) -> list[Effect]:
        if isinstance(outcome, Decided):
            result = outcome
        elif isinstance(outcome, CibGone):
            result = Decided(error=f"generation {request.generation} of the CIB is gone: {outcome.reason}")
        else:
            result = Decided(error=f"the CIB cannot be read: {outcome}")
        scheduled = Scheduled(
            request_id=request.request_id,
            generation=request.generation,
            graph=result.graph,
            error=result.error,
            saved_as=result.saved_as,
            recheck_at_s=result.recheck_at_s,
            took_ms=result.took_ms,
        )
        notes: list[Effect] = [Note("error", f"no decision: {result.error}")] if result.error else []
        return [*notes, Send(CRMD, scheduled)]


def build() -> Machine:
    """The machine of the pengine worker; it needs no settings."""
    return PolicyEngine()
