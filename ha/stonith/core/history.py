# SPDX-License-Identifier: GPL-2.0-or-later
"""The fence history of the cluster as this node has seen it; durable, bounded."""

from __future__ import annotations

from ha.machine import Effect, Note, Persist
from ha.stonith.model.records import HISTORY, History, RecordError, decode, encode
from ha.stonith.msg import FenceEvent

MAX_EVENTS = 500
"""Beyond it the oldest are dropped."""


class FenceLog:
    def __init__(self) -> None:
        self._events: list[FenceEvent] = []

    def restore(self, data: bytes | None) -> list[Effect]:
        if data is None:
            return []
        try:
            self._events = decode(data, History).events[-MAX_EVENTS:]
        except RecordError as error:
            return [Note("error", f"the fence history is lost: {error}")]
        return []

    def add(self, event: FenceEvent) -> list[Effect]:
        assert event.state != "pending"
        self._events = [*self._events[1 - MAX_EVENTS :], event]
        assert len(self._events) <= MAX_EVENTS
        return [self._persist()]

    def forget(self, target: str) -> list[Effect]:
        self._events = [event for event in self._events if target and event.target != target]
        return [self._persist()]

    def merge(self, events: list[FenceEvent]) -> list[Effect]:
        """What another node knows: events that are not known here are put in their places."""
        missing = [event for event in events if event not in self._events and event.state != "pending"]
        if not missing:
            return []
        self._events = sorted([*self._events, *missing], key=lambda event: event.at_s)[-MAX_EVENTS:]
        return [self._persist()]

    def of(self, target: str) -> list[FenceEvent]:
        return [event for event in self._events if target in ("", event.target)]

    def _persist(self) -> Persist:
        return Persist(HISTORY, encode(History(self._events)))
