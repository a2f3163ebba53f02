# SPDX-License-Identifier: GPL-2.0-or-later
"""Incidents: what several processes said of one event is one Entry, and entries that belong together one Incident."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ha.cli.timeline.causality import CLOCKS_APART_MS, Skew, in_order
from ha.cli.timeline.events import Event, Kind, recognise
from ha.cli.timeline.log_lines import LogLine

MAX_EVENTS = 50_000
"""Of more the newest are told."""
QUIET_MS = 10_000
"""After so long without an event an incident that is not being recovered is over."""
OPEN_MS = 600_000
"""After so long without an event one that is being recovered is over too: its end is in no log that we have."""

PHASES: tuple[Kind, ...] = (
    "loss-seen", "view-agreed", "decided", "fencing", "fenced", "start-ordered", "started", "done",
)  # fmt: skip
"""Of a recovery, as the crmd tells them."""
_LAST_COUNTS: tuple[Kind, ...] = ("fenced", "start-ordered", "started", "done")
"""A phase that is over when the last of its events has come; of the others the first counts."""
_BEGINS_ANEW: dict[Kind, Kind] = {"start-ordered": "started", "fencing": "fenced"}
"""After an order its result is another event than the one before."""
_TROUBLE: tuple[Kind, ...] = ("worker", "silent", "in-doubt", "loss-seen", "fencing", "fenced", "not-fenced", "failed")


@dataclass(slots=True)
class Entry:
    """One event, and who told of it; the first one is its first witness in the order of causes."""

    events: list[Event]

    @property
    def first(self) -> Event:
        return self.events[0]

    @property
    def at_ms(self) -> int:
        return self.first.at_ms

    @property
    def kind(self) -> Kind:
        return self.first.kind

    @property
    def detail(self) -> str:
        """In the words that say most: a phase of the crmd names a loss with all evidence."""
        return max((event.detail for event in self.events), key=len)

    @property
    def nodes(self) -> list[str]:
        return sorted({event.node for event in self.events})


@dataclass(slots=True)
class Incident:
    entries: list[Entry] = field(default_factory=list)
    skews: list[Skew] = field(default_factory=list)

    @property
    def begins_ms(self) -> int:
        return min(entry.at_ms for entry in self.entries)

    @property
    def ends_ms(self) -> int:
        return max(entry.at_ms for entry in self.entries)

    @property
    def is_trouble(self) -> bool:
        return any(entry.kind in _TROUBLE for entry in self.entries)

    @property
    def lost(self) -> list[str]:
        """What was lost, in the words of the first sight of each loss."""
        return [entry.first.subject[0] for entry in self.entries if entry.kind == "loss-seen"]

    def events(self) -> list[Event]:
        return [event for entry in self.entries for event in entry.events]


@dataclass(frozen=True, slots=True)
class Phases:
    """`at_ms` is Unix time by the clock of `node`; a phase that did not come is absent."""

    node: str
    at_ms: dict[Kind, int]

    def since_loss_ms(self) -> dict[Kind, int]:
        began = self.at_ms["loss-seen"]
        return {kind: at_ms - began for kind, at_ms in self.at_ms.items()}


def incidents_in(lines: Iterable[LogLine]) -> list[Incident]:
    """Every incident in the lines of one or several logs, the oldest first."""
    unique = dict.fromkeys(lines)  # a log that was given twice
    events = recognise(unique)
    if len(events) > MAX_EVENTS:
        events = sorted(events, key=lambda event: event.at_ms)[-MAX_EVENTS:]
    ordered, skews = in_order(events)
    found = [incident for incident in _split(_merge(ordered)) if incident.is_trouble]
    for incident in found:
        nodes = {event.node for event in incident.events()}
        incident.skews = [skew for skew in skews if {skew.slow, skew.fast} <= nodes]
    return found


def _merge(events: list[Event]) -> list[Entry]:
    entries: list[Entry] = []
    latest: dict[tuple[Kind, tuple[str, ...]], Entry] = {}
    for event in events:
        key = (event.kind, event.subject)
        entry = latest.get(key)
        if entry is not None and _is_of(event, entry):
            entry.events.append(event)
            continue
        if event.kind in _BEGINS_ANEW:
            latest.pop((_BEGINS_ANEW[event.kind], event.subject), None)
        latest[key] = Entry([event])
        entries.append(latest[key])
    return entries


def _is_of(event: Event, entry: Entry) -> bool:
    """A process that says the same once more in the same words tells of another event."""
    if abs(event.at_ms - entry.at_ms) > CLOCKS_APART_MS:
        return False
    return all((known.process, known.form) != (event.process, event.form) for known in entry.events)


def _split(entries: list[Entry]) -> list[Incident]:
    found: list[Incident] = []
    is_open = had_loss = False
    latest_ms = 0
    for entry in entries:
        gap_ms = entry.at_ms - latest_ms
        is_new = gap_ms > (OPEN_MS if is_open else QUIET_MS)
        if had_loss and not is_open and entry.kind in ("silent", "in-doubt", "loss-seen"):
            is_new = True
        if entry.kind in _TROUBLE and found and not found[-1].is_trouble:
            is_new = True  # what went well before it is no part of it
        if not found or is_new:
            found.append(Incident())
            is_open = had_loss = False
            latest_ms = entry.at_ms
        found[-1].entries.append(entry)
        latest_ms = max(latest_ms, entry.at_ms)
        if entry.kind == "loss-seen":
            is_open = had_loss = True
        elif entry.kind == "done":
            is_open = False
    return found


def phases_of(events: Iterable[Event]) -> Phases | None:
    """The phases as one crmd tells them, so that one clock measures them: the one that has told of most.

    None when no crmd has seen a loss.
    """
    told: dict[str, list[Event]] = {}
    for event in events:
        if event.form == "timeline":
            told.setdefault(event.node, []).append(event)
    seen = {node: own for node, own in told.items() if any(event.kind == "loss-seen" for event in own)}
    if not seen:
        return None
    node = max(sorted(seen), key=lambda name: (len({e.kind for e in seen[name]}), len(seen[name])))
    at_ms: dict[Kind, int] = {}
    began = min(event.at_ms for event in seen[node] if event.kind == "loss-seen")
    for kind in PHASES:
        times = [event.at_ms for event in seen[node] if event.kind == kind and event.at_ms >= began]
        if times:
            at_ms[kind] = max(times) if kind in _LAST_COUNTS else min(times)
    return Phases(node, at_ms)
