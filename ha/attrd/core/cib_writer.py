# SPDX-License-Identifier: GPL-2.0-or-later
"""Brings the attributes that this attrd owns into the CIB: one request at a time, repeated until it is answered.

What is to be written is looked up when its turn comes, so a value that changed meanwhile is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ha.attrd import model
from ha.attrd.core.table import AttributeTable, Key
from ha.attrd.msg import Entry, Stamp
from ha.cib.msg import Answer, Query, Write, Written
from ha.machine import Effect, Instant, Local, Note, Send

CIB = Local("cib")
REPEAT_MS = 500
"""An unanswered request is sent again, with the same id: it is done once."""

RETRY_MS = 300
"""After a refusal: there may be no quorum, or no node_state of the node yet."""

NO_SUCH = 105
BATCH_LIMIT = 500
"""Most attributes in one request."""


@dataclass(slots=True)
class Request:
    """What is at the cib: a Query for a node's id, or a Write of `entries` (or of a node's clearing)."""

    node: str
    message: Query | Write
    entries: list[Entry] = field(default_factory=list)
    clears: bool = False


class CibWriter:
    """`wrote(key, stamp, rc, reason)` is called for every attribute that was committed or refused."""

    def __init__(self, table: AttributeTable, wrote: Callable[[Key, Stamp, int, str], None]) -> None:
        self._table = table
        self._wrote = wrote
        self._ready_at: dict[Key, Instant] = {}
        self._to_clear: set[str] = set()
        self._ids: dict[str, str] = {}
        self._request: Request | None = None
        self._not_before: Instant = 0
        self._repeat_at: Instant = 0
        self._serial = 0
        self._incarnation = ""
        self._connected = False

    def start(self, incarnation: str) -> None:
        self._incarnation = incarnation

    def dirty(self, key: Key) -> bool:
        sent = self._request is not None and any((e.node, e.name) == key for e in self._request.entries)
        return key in self._ready_at or sent

    def mark(self, keys: Iterable[Key], ready_at: Instant) -> None:
        """These have to be written, not before `ready_at` (dampening: a later mark waits anew)."""
        for key in keys:
            self._ready_at[key] = ready_at

    def mark_clear(self, node: str) -> None:
        self._to_clear.add(node)

    def forget(self, node: str) -> None:
        """Another attrd owns the node's attributes now."""
        self._to_clear.discard(node)
        for key in [key for key in self._ready_at if key[0] == node]:
            del self._ready_at[key]

    def connected(self, connected: bool) -> None:
        self._connected = connected
        self._not_before = 0
        self._repeat_at = 0

    def hurry(self) -> None:
        """Something has changed that may let a refused write succeed."""
        self._not_before = 0

    # Answers ---------------------------------------------------------------------------------------------------------

    def on_answer(self, message: Answer, now: Instant) -> list[Effect]:
        request = self._request
        if request is None or request.message.request_id != message.request_id:
            return []
        self._request = None
        if message.rc == 0:
            try:
                self._ids[request.node], _ = model.read_state(message.xml)
            except ValueError as error:
                self._not_before = now + RETRY_MS
                return [Note("error", f"node_state of {request.node} in the CIB: {error}")]
        else:
            # The node has not been taken in by the DC yet: whoever waits for the write waits on.
            self._not_before = now + RETRY_MS
        return []

    def on_written(self, message: Written, now: Instant) -> list[Effect]:
        request = self._request
        if request is None or request.message.request_id != message.request_id or message.outcome == "unknown":
            return []
        self._request = None
        if message.outcome == "committed":
            for entry in request.entries:
                self._wrote((entry.node, entry.name), entry.stamp, 0, "")
            return []
        self._not_before = now + RETRY_MS
        if message.rc == NO_SUCH:
            self._ids.pop(request.node, None)
        for entry in request.entries:
            self._ready_at.setdefault((entry.node, entry.name), now)
            self._wrote((entry.node, entry.name), entry.stamp, message.rc, message.reason)
        if request.clears:
            self._to_clear.add(request.node)
        return [Note("warning", f"attributes of {request.node} not written, tried again: {message.reason}")]

    # Requests --------------------------------------------------------------------------------------------------------

    def advance(self, now: Instant) -> list[Effect]:
        """Send the next request, or the unanswered one again when it is time."""
        if not self._connected:
            return []
        if self._request is not None:
            if now < self._repeat_at:
                return []
        elif now >= self._not_before:
            self._request = self._next(now)
        if self._request is None:
            return []
        self._repeat_at = now + REPEAT_MS
        return [Send(CIB, self._request.message)]

    def due(self) -> Instant | None:
        """When to advance again, if nothing happens before."""
        if not self._connected:
            return None
        if self._request is not None:
            return self._repeat_at
        if self._to_clear:
            return self._not_before
        if self._ready_at:
            return max(self._not_before, min(self._ready_at.values()))
        return None

    def _next(self, now: Instant) -> Request | None:
        for node in sorted(self._to_clear):
            self._to_clear.remove(node)
            xpath = model.set_path(node)
            return Request(node, Write(request_id=self._id(), operation="delete-all", xpath=xpath), clears=True)
        ready = sorted(key for key, at in self._ready_at.items() if at <= now)
        if not ready:
            return None
        node = ready[0][0]
        entries = []
        for key in [key for key in ready if key[0] == node]:
            entry = self._table.entries.get(key)
            if entry is None or entry.private:
                del self._ready_at[key]
            else:
                entries.append(entry)
        return self._of_node(node, entries) if entries else self._next(now)

    def _of_node(self, node: str, entries: list[Entry]) -> Request:
        """Removals first: they need no id of the node. Then what has a value."""
        removed = [entry for entry in entries if entry.value is None][:BATCH_LIMIT]
        if removed:
            xpath = model.pairs_path(node, [entry.name for entry in removed])
            return self._write(node, removed, Write(request_id=self._id(), operation="delete-all", xpath=xpath))
        path = model.state_path(node)
        node_id = self._ids.get(node)
        if node_id is None:
            return Request(node, Query(request_id=self._id(), xpath=path, no_children=True))
        batch = entries[:BATCH_LIMIT]
        xml = model.to_xml(node_id, [(entry.set_id, entry.name, entry.value or "") for entry in batch])
        return self._write(node, batch, Write(request_id=self._id(), operation="modify", xpath=path, xml=xml))

    def _write(self, node: str, entries: list[Entry], message: Write) -> Request:
        for entry in entries:
            del self._ready_at[entry.node, entry.name]
        return Request(node, message, entries)

    def _id(self) -> str:
        self._serial += 1
        return f"attrd-{self._incarnation}-{self._serial}"
