# SPDX-License-Identifier: GPL-2.0-or-later
"""Those who read: queries by socket, publication in shared memory, and subscribers.

A subscriber hears of a version when it is in shared memory, so that it can read it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lxml import etree

from ha.cib.core.context import Caller, Context
from ha.cib.core.replica import Pending, Replica
from ha.cib.model.acl import Permissions, User, is_judged
from ha.cib.model.document import Document, Snapshot
from ha.cib.model.query import answer
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.model.sections import SECTIONS
from ha.cib.model.store import PublishCib
from ha.cib.msg import Answer, Changed, Entry, Query, Written

MAX_SUBSCRIBERS = 512
RETRY_MS = 500
ALL_SECTIONS = ("cib", *SECTIONS, "status")


@dataclass(frozen=True, slots=True)
class _Shown:
    """A version on its way to the readers. `follows`: `entry` leads to it from the one before."""

    snapshot: Snapshot
    entry: Entry | None
    follows: bool

    @property
    def diff(self) -> str:
        return self.entry.diff if self.entry is not None and self.follows else ""

    def changed(self, generation: int) -> Changed:
        diff, snapshot = self.diff, self.snapshot
        return Changed(
            generation=generation,
            version=snapshot.version,
            digest=snapshot.digest,
            diff=diff,
            whole="" if diff else snapshot.to_bytes().decode(),
            sections=self.entry.sections if self.entry is not None and self.follows else ALL_SECTIONS,
            origin=self.entry.origin if self.entry is not None else "",
        )


class Readers:
    """Publishes versions in order. A generation holds all that were committed since the one before.

    Who is told that his change is committed finds it in shared memory then, and so does whatever he starts: unless
    this node is still catching up, and would not answer a query with it either.
    """

    def __init__(self, context: Context, replica: Replica) -> None:
        self._context = context
        self._replica = replica
        self._subscribers: dict[Caller, User] = {}
        self._joining: dict[Caller, User] = {}
        self._waiting: list[_Shown] = []
        self._showing: list[_Shown] = []
        self._told_with_waiting: list[tuple[Caller, Written]] = []
        self._told_with_showing: list[tuple[Caller, Written]] = []
        self._has_shown = False
        self.generation = 0
        self._generation_begun = 0
        self._tree: tuple[str, Document] | None = None

    # Publishing ------------------------------------------------------------------------------------------------------

    def resume(self, generation: int, is_shown: bool) -> None:
        """After loading: go on counting; show the replica's version if shared memory does not."""
        self.generation, self._has_shown = generation, is_shown
        if not is_shown:
            self.publish([Pending(0, None, self._replica.published)])

    def publish(self, versions: Sequence[Pending]) -> None:
        """Show these versions, as soon as those before them are shown. Those that wait together are shown together."""
        for pending in versions:
            self._enqueue(pending)
        if self._waiting and not self._showing:
            self._begin()

    def _enqueue(self, pending: Pending) -> None:
        entry, snapshot, known = pending.entry, pending.snapshot, self._replica.published
        if snapshot.digest == known.digest and self._has_shown:
            return
        follows = entry is not None and entry.before == known.digest
        self._replica.published = snapshot
        self._has_shown = True
        self._waiting.append(_Shown(snapshot, entry, follows))

    def _begin(self) -> None:
        self._showing, self._waiting = self._waiting, []
        self._told_with_showing += self._told_with_waiting
        self._told_with_waiting = []
        self._generation_begun = self.generation + 1
        newest = self._showing[-1].snapshot
        steps = self._showing if all(shown.diff for shown in self._showing) else []
        diffs = tuple(shown.diff.encode() for shown in steps)
        request = PublishCib(self._generation_begun, newest.version, newest.digest, newest.parts, diffs)
        self._context.execute(f"publish:{request.generation}", request)

    def finished(self, operation: str, outcome: object) -> None:
        assert operation == f"publish:{self._generation_begun}", f"{operation} ended, not {self._generation_begun}"
        if isinstance(outcome, OSError):
            self._context.note("critical", f"cannot write the CIB to shared memory: {outcome}; readers see an old one")
            self._context.arm("publish-again", RETRY_MS)
            self._tell()  # it is committed all the same
            return
        self.generation = self._generation_begun
        done, self._showing = self._showing, []
        self._tell()
        self._turn_away()
        for shown in done:
            changed = shown.changed(self.generation)
            for subscriber in self._subscribers:
                self._context.answer(subscriber, changed)
        joining, self._joining = self._joining, {}
        for caller, user in joining.items():
            self._join(caller, user, done[-1].snapshot)
        if self._waiting:
            self._begin()

    def tell_when_shown(self, caller: Caller, written: Written) -> None:
        """The answer to a write, when all that is committed by now is shown."""
        if self._waiting:
            self._told_with_waiting.append((caller, written))
        elif self._showing:
            self._told_with_showing.append((caller, written))
        else:
            self._context.answer(caller, written)

    def _tell(self) -> None:
        told, self._told_with_showing = self._told_with_showing, []
        for caller, written in told:
            self._context.answer(caller, written)

    def again(self) -> None:
        """The timer after a failure: what has come since goes with it."""
        self._waiting, self._showing = self._showing + self._waiting, []
        self._begin()

    # Subscribers -----------------------------------------------------------------------------------------------------

    def _turn_away(self) -> None:
        """Where ACLs are on, whoever they are for sees what he asks for and no more: no whole CIBs, no diffs."""
        judged = [caller for caller, user in self._subscribers.items() if not user.privileged]
        root = self._document(self._replica.published).root if judged else None
        for caller in judged:
            if root is not None and is_judged(root, self._subscribers[caller]):
                self._context.note("notice", f"{caller} hears of no more changes: ACLs are on")
                del self._subscribers[caller]

    def subscribe(self, caller: Caller, user: User) -> None:
        """The first Changed carries the whole CIB that is shown now; later ones, the changes since."""
        if len(self._subscribers) + len(self._joining) >= MAX_SUBSCRIBERS and caller not in self._subscribers:
            self._context.note("warning", f"{caller} may not subscribe: {MAX_SUBSCRIBERS} others have")
            return
        if self._showing:
            self._joining[caller] = user  # after the publication under way: nothing is missed, nothing comes twice
            return
        self._join(caller, user, self._replica.published)

    def _join(self, caller: Caller, user: User, shown: Snapshot) -> None:
        if not user.privileged and is_judged(self._document(shown).root, user):
            self._context.note("notice", f"{caller} may not subscribe: ACLs are on for {user.name!r}")
            return
        self._subscribers[caller] = user
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

    def query(self, caller: Caller, query: Query, user: User) -> None:
        snapshot = self._replica.published
        text = _text_of(snapshot, query) if user.privileged else None
        if text is not None:
            reply = Answer(
                request_id=query.request_id, xml=text.decode(), generation=self.generation, version=snapshot.version
            )
            self._context.answer(caller, reply)
            return
        try:
            root = _seen_by(self._document(snapshot).root, user)
            found = answer(root, query.scope, query.xpath, query.no_children)
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


def _seen_by(root: etree._Element, user: User) -> etree._Element:
    """The CIB as far as the user may see it. Raises Refusal (4) when that is not at all."""
    if not is_judged(root, user):
        return root
    seen = Permissions(root, user).visible()
    if seen is None:
        raise Refusal(Rc.PRIVILEGE, f"user {user.name!r} may see nothing of the CIB (ACLs are on)")
    return seen


def _text_of(snapshot: Snapshot, query: Query) -> bytes | None:
    """The answer where it lies ready as text; None when the tree must be asked."""
    if query.xpath or query.no_children:
        return None
    if query.scope in ("", "cib", "all"):
        return snapshot.to_bytes()
    is_section = query.scope == "configuration" or query.scope in ALL_SECTIONS
    return snapshot.section_bytes(query.scope) if is_section else None
