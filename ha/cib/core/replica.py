# SPDX-License-Identifier: GPL-2.0-or-later
"""This node's copy of the CIB: its head (all that was applied) and what of it may be published (all that is committed).

Between the two lie pending versions: applied here, not yet known to be on every member. Readers never see those, so
two CIBs of equal version that anybody has seen are byte-equal.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass

from lxml import etree

from ha.cib.model.diff import apply_diff
from ha.cib.model.document import Document, Snapshot
from ha.cib.model.edit import Transaction
from ha.cib.model.parse import parse
from ha.cib.model.refusal import Refusal
from ha.cib.model.store import MAX_REQUESTS, Base, Change, LoadedCib, Promise, decode_record
from ha.cib.msg import Ballot, Entry, Known, Version


@dataclass(frozen=True, slots=True)
class Pending:
    """A version that is applied but not known to be committed. `seq` counts in the ballot in force; 0 is its base.

    The base is never shown by itself: it may hold what no quorum confirmed, under a version that others may have given
    to something else. The first entry on top of it has a version that is the ballot's own.
    """

    seq: int
    entry: Entry | None
    snapshot: Snapshot


class Mismatch(Exception):
    """An entry does not fit what is here: the whole document must be fetched."""


class Replica:
    """See the module's text. `state` is the ballot of the newest entry that was made with quorum."""

    def __init__(self) -> None:
        self.document = Document.empty()
        self.head: Snapshot = self.document.snapshot()
        self.published: Snapshot = self.head
        self.pending: deque[Pending] = deque()
        self.state: Ballot | None = None
        self.promised: Ballot | None = None
        self.requests: OrderedDict[str, Version] = OrderedDict()

    # Loading ---------------------------------------------------------------------------------------------------------

    def load(self, loaded: LoadedCib) -> None:
        """Rebuild the head from disk. What was published before stays so; the rest of the head is pending.

        Without a publication to go by, as after a reboot, the newest version that a record calls committed is.
        """
        if loaded.xml:
            self._reset(Document.from_bytes(loaded.xml))
        snapshots = [self.head]
        committed: Version | None = None
        self.published = self.head
        for data in loaded.records:
            record = decode_record(data)
            if isinstance(record, Base):
                self._take_base(record)
            elif isinstance(record, Promise):
                self.promise(record.ballot)
            elif self._replay(record):
                snapshots.append(self.head)
                committed = record.entry.committed or committed
        self._split(snapshots, committed, loaded.published)

    def _take_base(self, base: Base) -> None:
        self.state = base.state
        if not base.committed:
            self.published = Document.empty().snapshot()
        if base.promised is not None:
            self.promise(base.promised)
        for known in base.requests:
            self.remember(known.request_id, known.version)

    def _replay(self, record: Change) -> bool:
        entry = record.entry
        self.promise(entry.ballot)
        if entry.before != self.head.digest and not entry.whole:
            return False
        if entry.version <= self.head.version and not entry.whole:
            return False
        self.apply(entry)
        return True

    def _split(self, snapshots: list[Snapshot], committed: Version | None, published: bytes) -> None:
        shown = Document.from_bytes(published).snapshot() if published else None
        for snapshot in snapshots:
            if committed is not None and snapshot.version <= committed:
                self.published = snapshot
        if shown is not None:
            self.published = shown
        self.pending.clear()
        if self.head.digest != self.published.digest:
            self.pending.append(Pending(0, None, self.head))

    # Changing --------------------------------------------------------------------------------------------------------

    def _reset(self, document: Document) -> None:
        self.document = document
        self.head = document.snapshot()

    def apply(self, entry: Entry) -> None:
        """Bring the head to the entry's version. Raises Mismatch, with the head as it was."""
        if entry.whole:
            document = Document.from_bytes(entry.whole)
            if document.snapshot().digest != entry.digest:
                raise Mismatch(f"the whole CIB of version {entry.version} has not the digest {entry.digest}")
            self._reset(document)
        else:
            self._apply_diff(entry)
        self.settle(entry)

    def _apply_diff(self, entry: Entry) -> None:
        if entry.before != self.head.digest:
            raise Mismatch(f"{entry.version} follows {entry.before}; here is {self.head.version} {self.head.digest}")
        transaction = Transaction(self.document)
        try:
            apply_diff(transaction, parse(entry.diff, is_own=True))
        except Refusal as refusal:
            transaction.rollback()
            raise Mismatch(f"the diff to {entry.version} does not apply: {refusal}") from refusal
        snapshot = self.document.snapshot()
        if (snapshot.digest, snapshot.version) != (entry.digest, entry.version):
            transaction.rollback()
            raise Mismatch(f"{entry.version} has digest {snapshot.digest} here and {entry.digest} at its writer")
        self.head = snapshot

    def settle(self, entry: Entry) -> None:
        """The document is at the entry's version: note what goes with it."""
        self.head = self.document.snapshot()
        assert self.head.digest == entry.digest, "an entry leads to the digest it names"
        if entry.quorate:
            self.state = entry.ballot
        if entry.request_id:
            self.remember(entry.request_id, entry.version)
        self.pending.append(Pending(entry.seq, entry, self.head))

    def install(self, xml: str, digest: str, state: Ballot | None, seq: int, requests: tuple[Known, ...]) -> None:
        """Take another node's CIB as a whole. Raises Mismatch or Refusal, with everything as it was."""
        document = Document.from_bytes(xml)
        if document.snapshot().digest != digest:
            raise Mismatch(f"a whole CIB came with digest {digest}, and has another")
        self._reset(document)
        self.state = state
        self.requests.clear()
        for known in requests:
            self.remember(known.request_id, known.version)
        self.pending.clear()
        self.pending.append(Pending(seq, None, self.head))

    def committed(self, seq: int) -> list[Pending]:
        """Take off what is pending up to `seq`; return what of it is to be shown."""
        taken: list[Pending] = []
        while self.pending and self.pending[0].seq <= seq:
            taken.append(self.pending.popleft())
        return [pending for pending in taken if pending.seq > 0]

    def renumber(self, seq: int) -> None:
        """The head stands at `seq` of the ballot in force (0: its base); what is pending is pending together."""
        if self.pending:
            self.pending = deque([Pending(seq, None, self.head)])

    def remember(self, request_id: str, version: Version) -> None:
        self.requests[request_id] = version
        while len(self.requests) > MAX_REQUESTS:
            self.requests.popitem(last=False)

    def promise(self, ballot: Ballot) -> None:
        if self.promised is None or ballot > self.promised:
            self.promised = ballot

    # Telling ---------------------------------------------------------------------------------------------------------

    def known_requests(self) -> tuple[Known, ...]:
        return tuple(Known(request_id, version) for request_id, version in self.requests.items())

    def base(self, snapshot: Snapshot) -> Base:
        return Base(
            digest=snapshot.digest,
            committed=snapshot.digest == self.published.digest,
            state=self.state,
            promised=self.promised,
            requests=self.known_requests(),
        )

    def configuration_digest(self) -> bytes:
        """Of the configuration alone, to see whether a merge drops any of it."""
        configuration = self.document.root.find("configuration")
        return etree.tostring(configuration) if configuration is not None else b""
