# SPDX-License-Identifier: GPL-2.0-or-later
"""The fence history as crm_mon and stonith_admin show it: which events, their sentences, their XML elements.

| Level | Shown |
|---|---|
| 0 | nothing |
| 1 | failures and what is under way |
| 2 | successes too, of each kind the newest |
| 3 | everything |
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from ha.root import Root
    from ha.stonith.msg import FenceEvent

FULL = 3
LEVELS = ("0", "1", "2", "3")
ASK_TIMEOUT_MS = 2_000
"""A hung stonithd is replaced within a second; the rest of the report does not wait longer."""
STATUS_WORDS = {"success": "successful", "failed": "failed", "pending": "pending"}
HEADINGS = {"failed": "Failed Fencing Actions", "pending": "Pending Fencing Actions", "success": "Fencing History"}


class HistoryError(Exception):
    """stonithd cannot be asked; the text says why."""


def ask(root: Root, program: str) -> list[FenceEvent]:
    """All that this node's stonithd knows, newest first. Raises HistoryError."""
    from ha.ipc.client import Connection, NotConnected
    from ha.stonith.msg import FenceHistory, GetFenceHistory

    try:
        with Connection.open(root, "stonithd", program=program, timeout_ms=ASK_TIMEOUT_MS) as link:
            answer = link.ask(GetFenceHistory(request_id=link.new_request_id()), ASK_TIMEOUT_MS)
    except NotConnected as error:
        raise HistoryError(str(error)) from error
    if not isinstance(answer, FenceHistory):
        raise HistoryError(f"stonithd answered {type(answer).__name__}")
    return list(reversed(answer.events))


def shown(events: Sequence[FenceEvent], level: int) -> list[FenceEvent]:
    """What the level shows of events, newest first."""
    if level >= FULL:
        return list(events)
    states = {0: (), 1: ("failed", "pending"), 2: ("failed", "pending", "success")}[level]
    found: dict[tuple[str, ...], FenceEvent] = {}
    for event in events:
        who = () if event.state == "success" else (event.executor, event.client, event.origin)
        if event.state in states:
            found.setdefault((event.target, event.action, event.state, *who), event)
    return list(found.values())


def lines(events: Sequence[FenceEvent], level: int) -> Iterator[str]:
    """The sections of crm_mon's text; a failure says when the same was done after it."""
    chosen = shown(events, level)
    if level >= FULL:
        if chosen:
            yield f"{HEADINGS['success']}:"
        for event in chosen:
            yield f"  * {sentence(event, events, full=True)}"
        return
    first = True
    for state in ("failed", "success", "pending"):
        part = [event for event in chosen if event.state == state]
        if part:
            if not first:
                yield ""
            first = False
            yield f"{HEADINGS[state]}:"
        for event in part:
            yield f"  * {sentence(event, events, full=False)}"


def sentence(event: FenceEvent, events: Sequence[FenceEvent], *, full: bool) -> str:
    head = f"{event.action} of {event.target} {STATUS_WORDS[event.state]}"
    if event.state == "failed" and event.reason:
        head += f" ({event.reason})"
    if event.state == "pending":
        return f"{head}: client={event.client}, origin={event.origin}"
    if event.state == "failed":
        later = next((e for e in events if e.state == "success" and (e.target, e.action) == (event.target, event.action)
                      and e.at_s >= event.at_s), None)  # fmt: skip
        head += f" (a later attempt from {later.origin} succeeded)" if later else ""
    label = "completed" if full else "last-failed" if event.state == "failed" else "last-successful"
    return (
        f"{head}: delegate={event.executor}, client={event.client}, origin={event.origin}, "
        f"{label}='{moment(event.at_s)}'"
    )


def append_events(parent: Element, events: Sequence[FenceEvent]) -> None:
    """One <fence_event> each, as pcs reads them."""
    from lxml import etree

    from ha.cli.output.xml_result import as_xml

    for event in events:
        attributes = {
            "action": event.action, "target": event.target, "client": event.client, "origin": event.origin,
            "status": event.state, "delegate": event.executor,
        }  # fmt: skip
        if event.state != "pending":
            attributes["completed"] = moment(event.at_s)
        if event.state == "failed":
            attributes["exit-reason"] = event.reason
        etree.SubElement(parent, "fence_event", {name: as_xml(value) for name, value in attributes.items() if value})


def moment(at_s: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(at_s))
