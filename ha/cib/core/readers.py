# SPDX-License-Identifier: GPL-2.0-or-later
"""Those who read: queries by socket, publication in shared memory, and subscribers.

A subscriber hears of a version when it is in shared memory, so that it can read it there.
"""

from __future__ import annotations

from collections import deque

from lxml import etree

from ha.cib.core.context import Caller, Context
from ha.cib.core.replica import Pending, Replica
from ha.cib.model.document import SECTIONS, Document, Snapshot
from ha.cib.model.query import answer
from ha.cib.model.refusal import Refusal
from ha.cib.model.store import PublishCib
from ha.cib.msg import Answer, Changed, Query

MAX_SUBSCRIBERS = 512
RETRY_MS = 500
ALL_SECTIONS = ("cib", *SECTIONS, "status")


class Readers:
    """Publishes one version after the other, each as a generation of its own."""

    def __init__(self, context: Context, replica: Replica) -> None:
        self._context = context
        self._replica = replica
        self._subscribers: dict[Caller, None] = {}
        self._joining: dict[Caller, None] = {}
        self._queue: deque[tuple[PublishCib, Changed]] = deque()
        self._given = 0
        self.generation = 0
        self._tree: tuple[str, Document] | None = None

    # Publishing ------------------------------------------------------------------------------------------------------

    def resume(self, generation: int, is_shown: bool) -> None:
        """After loading: go on counting; show the replica's version if shared memory does not."""
        self.generation = self._given = generation
        if not is_shown:
            self.publish(Pending(0, None, self._replica.published))

    def publish(self, pending: Pending) -> None:
        """Show this version, as soon as those before it are shown."""
        entry, snapshot = pending.entry, pending.snapshot
        if snapshot.digest == self._replica.published.digest and self._given:
            return
        follows = entry is not None and entry.before == self._replica.published.digest
        self._replica.published = snapshot
        self._given += 1
        diff = entry.diff if entry is not None and follows else ""
        sections = entry.sections if entry is not None and follows else ALL_SECTIONS
        changed = Changed(
            generation=self._given,
            version=snapshot.version,
            digest=snapshot.digest,
            diff=diff,
            sections=sections,
            origin=entry.origin if entry is not None else "",
        )
        request = PublishCib(self._given, snapshot.version, snapshot.digest, snapshot.parts, diff.encode())
        self._queue.append((request, changed))
        if len(self._queue) == 1:
            self._begin()

    def _begin(self) -> None:
        request, _ = self._queue[0]
        self._context.execute(f"publish:{request.generation}", request)

    def finished(self, operation: str, outcome: object) -> None:
        request, changed = self._queue[0]
        assert operation == f"publish:{request.generation}", f"{operation} ended, {request.generation} is under way"
        if isinstance(outcome, OSError):
            self._context.note("critical", f"cannot write the CIB to shared memory: {outcome}; readers see an old one")
            self._context.arm("publish-again", RETRY_MS)
            return
        self._queue.popleft()
        self.generation = request.generation
        whole = "" if changed.diff else b"".join(request.parts).decode()
        for subscriber in self._subscribers:
            self._context.answer(subscriber, _with_whole(changed, whole) if whole else changed)
        shown = Snapshot(request.version, request.digest, request.parts)
        joining, self._joining = self._joining, {}
        for caller in joining:
            self._join(caller, shown)
        if self._queue:
            self._begin()

    def again(self) -> None:
        if self._queue:
            self._begin()

    # Subscribers -----------------------------------------------------------------------------------------------------

    def subscribe(self, caller: Caller) -> None:
        """The first Changed carries the whole CIB that is shown now; later ones, the changes since."""
        if len(self._subscribers) + len(self._joining) >= MAX_SUBSCRIBERS and caller not in self._subscribers:
            self._context.note("warning", f"{caller} may not subscribe: {MAX_SUBSCRIBERS} others have")
            return
        if self._queue:
            self._joining[caller] = None  # after the publication under way: nothing is missed, nothing comes twice
            return
        self._join(caller, self._replica.published)

    def _join(self, caller: Caller, shown: Snapshot) -> None:
        self._subscribers[caller] = None
        if self.generation == 0:
            return
        changed = Changed(
            generation=self.generation,
            version=shown.version,
            digest=shown.digest,
            whole=shown.to_bytes().decode(),
            sections=ALL_SECTIONS,
        )
        self._context.answer(caller, changed)

    def forget(self, caller: Caller) -> None:
        self._subscribers.pop(caller, None)
        self._joining.pop(caller, None)

    # Queries ---------------------------------------------------------------------------------------------------------

    def query(self, caller: Caller, query: Query) -> None:
        snapshot = self._replica.published
        try:
            found = answer(self._document(snapshot).root, query.scope, query.xpath, query.no_children)
        except Refusal as refusal:
            reply = Answer(
                request_id=query.request_id, rc=refusal.rc, reason=str(refusal), generation=self.generation,
                version=snapshot.version,
            )  # fmt: skip
            self._context.answer(caller, reply)
            return
        xml = etree.tostring(found, encoding="unicode", with_tail=False)
        reply = Answer(request_id=query.request_id, xml=xml, generation=self.generation, version=snapshot.version)
        self._context.answer(caller, reply)

    def _document(self, snapshot: Snapshot) -> Document:
        """The published version as a tree: the head when they are the same, else a parsed copy that is kept."""
        if snapshot.digest == self._replica.head.digest:
            return self._replica.document
        if self._tree is None or self._tree[0] != snapshot.digest:
            self._tree = (snapshot.digest, Document.from_bytes(snapshot.to_bytes()))
        return self._tree[1]


def _with_whole(changed: Changed, whole: str) -> Changed:
    return Changed(
        generation=changed.generation,
        version=changed.version,
        digest=changed.digest,
        whole=whole,
        sections=changed.sections,
        origin=changed.origin,
    )
