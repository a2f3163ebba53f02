# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster's one writer, while this node's crmd is the DC.

    IDLE ──Lead──► COLLECTING ──all members told──► FETCHING (if another has more) ──► LEADING
     ▲                 │  ▲                             │                                │
     └────Follow, or outvoted by a newer view───────────┴────────────────────────────────┘

Collecting makes every member promise our ballot and tell what it has. The greatest (ballot, version) is adopted,
brought to all who differ, and topped with an entry of our own; when all have that, Leading is told to the crmd.
Each write is validated, applied, sent and journalled at once; it is committed when every member has it durable.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from lxml import etree

from ha.ccm.msg import ViewId
from ha.cib.core.askers import PRIVILEGED_NAMES
from ha.cib.core.callers import verdict
from ha.cib.core.context import Context
from ha.cib.core.journal import Journal
from ha.cib.core.member import install, whole_of
from ha.cib.core.readers import Readers
from ha.cib.core.replica import Mismatch, Replica
from ha.cib.model.acl import Permissions, User, is_judged
from ha.cib.model.document import Snapshot
from ha.cib.model.edit import Transaction
from ha.cib.model.judge import apply_write
from ha.cib.model.operations import set_version, stamp
from ha.cib.model.refusal import Rc, Refusal
from ha.cib.model.schema import Schema
from ha.cib.model.store import Promise
from ha.cib.msg import (
    OPENING,
    Accepted,
    Ballot,
    Collect,
    Commit,
    Entry,
    Fetch,
    Forward,
    Have,
    Leading,
    Outvoted,
    Propose,
    Version,
    Whole,
    Written,
)
from ha.machine import Local, Send

REPEAT_MS = 300
MAX_LOG = 2048
"""Entries kept for members that must catch up; one that is further behind gets the whole CIB."""
MAX_IN_FLIGHT = 1024
MAX_BATCH_BYTES = 4 * 1024 * 1024
BATCHES = 2
"""Proposals on their way to a member at once. What comes meanwhile goes together in the next (group commit)."""


class Phase(Enum):
    IDLE = "idle"
    COLLECTING = "collecting"
    FETCHING = "fetching"
    LEADING = "leading"


@dataclass(slots=True)
class _Peer:
    """`acked` and `sent` are seqs of our ballot; -1: unknown, the member must tell what it has first."""

    have: Have | None = None
    acked: int = -1
    sent: int = -1
    batches: deque[int] = field(default_factory=deque)
    heard: bool = False


@dataclass(frozen=True, slots=True)
class _Asker:
    node: str
    request_id: str


class Writer:
    """See the module's text. `settle` gets the verdicts of writes that this node itself was asked."""

    def __init__(
        self,
        context: Context,
        replica: Replica,
        journal: Journal,
        readers: Readers,
        schema: Schema,
        settle: Callable[[Written], None],
        ready: Callable[[], None],
    ) -> None:
        self._context = context
        self._replica = replica
        self._journal = journal
        self._readers = readers
        self._schema = schema
        self._settle = settle
        self._ready = ready
        self.phase = Phase.IDLE
        self._ballot: Ballot | None = None
        self._members: tuple[str, ...] = ()
        self._peers: dict[str, _Peer] = {}
        self._source = ""
        self._log: deque[Entry] = deque()
        self._stored: deque[tuple[int, int]] = deque()
        self._own_acked = -1
        self._seq = 0
        self._committed = -1
        self._askers: dict[int, list[_Asker]] = {}
        self._promise_number = 0

    # Becoming --------------------------------------------------------------------------------------------------------

    def lead(self, view: ViewId, members: tuple[str, ...]) -> None:
        """From the crmd. Said again in the same view with the same members it changes nothing."""
        assert self._context.node in members, f"{self._context.node} is to lead {members}"
        ballot = self._ballot
        if self.phase is not Phase.IDLE and ballot is not None and ballot.view == view and members == self._members:
            if self._committed >= 1:
                self._tell_leading()
            return
        self._become_collecting(view, members)

    def _become_collecting(self, view: ViewId, members: tuple[str, ...]) -> None:
        promised = self._replica.promised
        if promised is not None and view < promised.view:
            self._context.note("warning", f"not leading in view {view.instance}: {promised.view.instance} is newer")
            self.become_idle()
            return
        round_ = promised.round + 1 if promised is not None and promised.view == view else 1
        ballot = self._ballot = Ballot(view, round_, self._context.node)
        self._members = members
        self.phase = Phase.COLLECTING
        self._peers = {node: _Peer() for node in members if node != self._context.node}
        self._log.clear()
        self._stored.clear()
        self._askers.clear()
        self._seq, self._own_acked, self._committed = 0, -1, -1
        self._replica.promise(ballot)
        self._replica.renumber(0)
        self._promise_number = self._journal.add(Promise(ballot=ballot), durable=True)
        self._journal.flush()
        for node in self._peers:
            self._context.tell(node, Collect(ballot=ballot))
        self._context.arm("writer", REPEAT_MS)
        self._adopt_when_all_told()

    def become_idle(self) -> None:
        """Another leads, or nobody. Verdicts that are owed come from the next writer, which the callers ask."""
        self.phase = Phase.IDLE
        self._peers = {}
        self._askers.clear()
        self._context.disarm("writer")

    def yield_to_promise(self) -> None:
        """This node may just have promised another writer a higher ballot."""
        if self.phase is not Phase.IDLE and self._replica.promised != self._ballot:
            self.become_idle()

    def outvoted(self, message: Outvoted) -> None:
        """A member has promised a higher ballot: in a newer view we are nobody, in ours we try a higher round."""
        ballot = self._ballot
        if self.phase is Phase.IDLE or ballot is None or message.ballot < ballot:
            return
        if message.ballot.view > ballot.view or self._context.writer != self._context.node:
            self.become_idle()
            return
        self._replica.promise(message.ballot)
        self._become_collecting(ballot.view, self._members)

    def have(self, node: str, message: Have) -> None:
        peer = self._peers.get(node)
        if peer is None or message.ballot != self._ballot:
            return
        peer.have, peer.heard = message, True
        if self.phase is Phase.COLLECTING:
            self._adopt_when_all_told()
        elif self.phase is Phase.LEADING:
            self._catch_up(node, peer, message)

    def _adopt_when_all_told(self) -> None:
        if self.phase is not Phase.COLLECTING or self._journal.durable < self._promise_number:
            return
        if any(peer.have is None for peer in self._peers.values()):
            return
        best, source = _rank(self._replica.state, self._replica.head.version), self._context.node
        for node, peer in self._peers.items():
            assert peer.have is not None, "all have told"
            rank = _rank(peer.have.state, peer.have.version)
            if rank > best:
                best, source = rank, node
        if source == self._context.node:
            self._become_leading()
            return
        peer_have = self._peers[source].have
        assert peer_have is not None, "all have told"
        if peer_have.digest == self._replica.head.digest:
            self._replica.state = peer_have.state
            self._become_leading()
            return
        self.phase, self._source = Phase.FETCHING, source
        assert self._ballot is not None, "collecting has a ballot"
        self._context.tell(source, Fetch(ballot=self._ballot))

    def whole(self, node: str, message: Whole) -> None:
        """The greatest state has come."""
        if self.phase is not Phase.FETCHING or node != self._source or message.ballot != self._ballot:
            return
        try:
            install(self._context, self._replica, message)
        except (Mismatch, Refusal) as error:
            self._context.note("critical", f"the CIB that {node} sent is refused: {error}; collecting again")
            self._become_collecting(message.ballot.view, self._members)
            return
        self._journal.replace()
        self._become_leading()

    def _become_leading(self) -> None:
        """Bring the adopted state to all who differ, and top it with an entry of our own."""
        self.phase = Phase.LEADING
        self._stored.append((self._journal.given, 0))
        for node, peer in self._peers.items():
            assert peer.have is not None, "all have told"
            if peer.have.digest == self._replica.head.digest:
                peer.acked = peer.sent = 0
            else:
                self._send_whole(node, peer)
        transaction = Transaction(self._replica.document)
        set_version(transaction, self._opening_version())
        self._record(transaction, "", "", configuration=True)
        self._ready()
        self._flush()

    def _opening_version(self) -> Version:
        """Of our first entry. With quorum, the next epoch. Without, a num_updates that no other partition can take.

        Partitions without quorum share the epoch, and each counts on in a range of its own, made from the view and
        its members; so two CIBs of equal version are the same, whoever wrote them.
        """
        assert self._ballot is not None, "a leader has a ballot"
        now = self._replica.document.version
        if self._context.quorate(self._ballot.view):
            return Version(now.admin_epoch, now.epoch + 1, 0)
        names = sorted(str(node.get("uname")) for node in self._replica.document.root.iterfind("configuration/nodes/*"))
        first = min(self._members)
        if first in names:
            place, places = names.index(first), len(names)
        else:
            place, places = zlib.crc32(first.encode()) % 2**20, 2**20
        opening = (self._ballot.view.instance * places + place + 1) * 1_000_000
        return Version(now.admin_epoch, now.epoch, max(now.num_updates + 1, opening))

    def _tell_leading(self) -> None:
        assert self._ballot is not None, "a leader has a ballot"
        leading = Leading(view=self._ballot.view, version=self._replica.published.version)
        self._context.effects.append(Send(Local("crmd"), leading))

    # Writing ---------------------------------------------------------------------------------------------------------

    def write(self, node: str, forward: Forward) -> bool:
        """Carry out a write that `node` was asked. False when this node does not lead."""
        if self.phase is not Phase.LEADING:
            return False
        assert self._ballot is not None, "a leader has a ballot"
        write = forward.write
        for seq, askers in self._askers.items():
            if any(asker.request_id == write.request_id for asker in askers):
                if _Asker(node, write.request_id) not in askers:
                    askers.append(_Asker(node, write.request_id))
                assert seq > self._committed, "askers of what is committed were answered"
                return True
        if write.request_id in self._replica.requests:
            self._repeat(node, write.request_id)
            return True
        if self._seq - max(self._committed, 0) >= MAX_IN_FLIGHT:
            self._refuse(node, write.request_id, Refusal(Rc.TRY_AGAIN, f"{MAX_IN_FLIGHT} writes are under way"))
            return True
        if write.view is not None and write.view != self._ballot.view:
            rule = f"the write is of view {write.view.instance}; {self._ballot.view.instance} is in force"
            self._refuse(node, write.request_id, Refusal(Rc.QUORUM, rule))
            return True
        self._perform(node, forward)
        return True

    def _repeat(self, node: str, request_id: str) -> None:
        """A repetition of what was carried out already: answered when that is committed.

        What an earlier ballot left in our head is committed when a quorate one confirms it. Without quorum nobody can
        tell, so nobody does: the caller learns "unknown", or the answer when the cluster is whole again.
        """
        assert self._ballot is not None, "a leader has a ballot"
        version = self._replica.requests[request_id]
        waiting = [entry.seq for entry in self._log if entry.request_id == request_id and entry.seq > self._committed]
        if waiting:
            self._askers.setdefault(waiting[0], []).append(_Asker(node, request_id))
        elif not self._context.quorate(self._ballot.view):
            return
        elif self._committed >= 1:
            self._answer(node, Written(request_id=request_id, outcome="committed", version=version))
        else:
            self._askers.setdefault(1, []).append(_Asker(node, request_id))

    def _perform(self, node: str, forward: Forward) -> None:
        write, document = forward.write, self._replica.document
        try:
            transaction = apply_write(document, write, self._schema, _user_of(forward))
        except Refusal as refusal:
            self._refuse(node, write.request_id, refusal)
            return
        if transaction.is_empty or write.dry_run:
            self._answer_unchanged(node, forward, transaction)
            return
        before, after = transaction.before, document.version
        raised = (before.admin_epoch, before.epoch) != (after.admin_epoch, after.epoch)
        configuration = transaction.touches_configuration or raised
        if not self._may_write(forward, configuration):
            transaction.rollback()
            rule = "this part of the cluster has no quorum: its configuration cannot be changed now"
            self._refuse(node, write.request_id, Refusal(Rc.QUORUM, rule))
            return
        if configuration:
            stamp(transaction, write, forward.program, self._context.now + self._context.wall_offset_ms)
        seq = self._record(transaction, write.request_id, write.origin, configuration)
        self._askers.setdefault(seq, []).append(_Asker(node, write.request_id))
        self._flush()

    def _may_write(self, forward: Forward, configuration: bool) -> bool:
        """With quorum, anything; without, what the cluster itself says of its status, so that it can stop itself."""
        assert self._ballot is not None, "a leader has a ballot"
        if self._context.quorate(self._ballot.view):
            return True
        return not configuration and (forward.module or forward.write.view is not None)

    def _answer_unchanged(self, node: str, forward: Forward, transaction: Transaction) -> None:
        write, document = forward.write, self._replica.document
        xml = _shown_to(document.root, _user_of(forward)) if write.dry_run else ""
        transaction.rollback()
        version = document.version
        written = Written(request_id=write.request_id, outcome="committed", version=version, xml=xml)
        self._answer(node, written)

    def _record(self, transaction: Transaction, request_id: str, origin: str, configuration: bool) -> int:
        """Make an entry of what the transaction did, journal it, and have it sent."""
        assert self._ballot is not None, "a leader has a ballot"
        before = self._replica.head
        after: Snapshot = transaction.document.snapshot()
        assert after.version > before.version, f"{before.version} => {after.version}: a change raises the version"
        diff = transaction.diff()
        self._seq += 1
        entry = Entry(
            seq=self._seq,
            ballot=self._ballot,
            quorate=self._context.quorate(self._ballot.view),
            version=after.version,
            before=before.digest,
            digest=after.digest,
            configuration=configuration,
            diff=etree.tostring(diff, encoding="unicode") if diff is not None else "",
            whole="" if diff is not None else after.to_bytes().decode(),
            sections=tuple(transaction.sections),
            request_id=request_id,
            origin=origin,
            committed=self._replica.published.version,
        )
        self._replica.settle(entry)
        self._log.append(entry)
        while len(self._log) > MAX_LOG and self._log[0].seq <= self._committed:
            self._log.popleft()
        self._stored.append((self._journal.add_entry(entry), entry.seq))
        return entry.seq

    def _refuse(self, node: str, request_id: str, refusal: Refusal) -> None:
        written = Written(request_id=request_id, outcome="refused", rc=refusal.rc, reason=str(refusal))
        self._answer(node, written)

    def _answer(self, node: str, written: Written) -> None:
        verdict(self._context, node, written, self._settle)

    # Spreading -------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Send what each member lacks and has room for; journal our own."""
        for node, peer in self._peers.items():
            self._send_entries(node, peer)
        self._journal.flush()
        self.stored()

    def _send_entries(self, node: str, peer: _Peer) -> bool:
        """What the member lacks and has room for, with the word of what is committed; False when that is nothing."""
        assert self._ballot is not None, "a leader has a ballot"
        if peer.acked < 0 or peer.sent >= self._seq or len(peer.batches) >= BATCHES:
            return False
        first = self._log[0].seq
        assert peer.sent + 1 >= first, f"{node} lacks entry {peer.sent + 1}; the log begins with {first}"
        batch: list[Entry] = []
        size = 0
        for index in range(peer.sent + 1 - first, len(self._log)):
            entry = self._log[index]
            batch.append(entry)
            size += len(entry.diff) + len(entry.whole)
            if size > MAX_BATCH_BYTES:
                break
        peer.sent = batch[-1].seq
        peer.batches.append(peer.sent)
        after = batch[0].seq - 1
        proposal = Propose(ballot=self._ballot, after=after, entries=tuple(batch), committed=self._committed)
        self._context.tell(node, proposal)
        return True

    def _send_whole(self, node: str, peer: _Peer) -> None:
        """The head as it is; the member counts as having nothing until it says otherwise."""
        assert self._ballot is not None, "a leader has a ballot"
        peer.acked, peer.sent = -1, self._seq
        peer.batches.clear()
        self._context.tell(node, whole_of(self._replica, self._ballot, seq=self._seq))

    def _catch_up(self, node: str, peer: _Peer, have: Have) -> None:
        """A member told where it stands, after a restart or because something was lost on the way."""
        place = next((entry.seq for entry in self._log if entry.digest == have.digest), None)
        if place is None and self._log and self._log[0].before == have.digest:
            place = self._log[0].seq - 1
        if place is None:
            self._send_whole(node, peer)
            return
        peer.acked = max(peer.acked, place)
        peer.sent = place
        peer.batches.clear()
        self._advance()
        if place < self._seq:
            self._send_entries(node, peer)
        else:
            assert self._ballot is not None, "a leader has a ballot"
            self._context.tell(node, Propose(ballot=self._ballot, after=place, entries=(), committed=self._committed))

    def accepted(self, node: str, message: Accepted) -> None:
        peer = self._peers.get(node)
        if peer is None or message.ballot != self._ballot or self.phase is not Phase.LEADING:
            return
        assert message.seq <= self._seq, f"{node} accepted {message.seq} of {self._seq}"
        peer.acked, peer.heard = max(peer.acked, message.seq), True
        peer.sent = max(peer.sent, peer.acked)
        while peer.batches and peer.batches[0] <= peer.acked:
            peer.batches.popleft()
        self._advance()
        self._send_entries(node, peer)

    def stored(self) -> None:
        """Our own journal got on."""
        if self.phase is Phase.COLLECTING:
            self._adopt_when_all_told()
            return
        while self._stored and self._stored[0][0] <= self._journal.durable:
            self._own_acked = self._stored.popleft()[1]
        if self.phase is Phase.LEADING:
            if self._own_acked >= OPENING:
                assert self._ballot is not None, "a leader has a ballot"
                self._context.has_all(self._ballot.view)
            self._advance()

    def _advance(self) -> None:
        """What every member has is committed: publish it, tell the members, answer those who asked."""
        assert self._ballot is not None, "a leader has a ballot"
        everywhere = min([self._own_acked, *(peer.acked for peer in self._peers.values())])
        if everywhere <= self._committed:
            return
        opened = self._committed < 1 <= everywhere
        self._committed = everywhere
        self._readers.publish(self._replica.committed(everywhere))
        for node, peer in self._peers.items():
            if not self._send_entries(node, peer):
                self._context.tell(node, Commit(ballot=self._ballot, seq=everywhere))
        if opened:
            self._tell_leading()
        for seq in [seq for seq in self._askers if seq <= everywhere]:
            for asker in self._askers.pop(seq):
                version = self._replica.requests.get(asker.request_id, self._replica.published.version)
                written = Written(request_id=asker.request_id, outcome="committed", version=version)
                self._answer(asker.node, written)

    def tick(self) -> None:
        """Ask again those who owe an answer: what was under way to or from a restarted worker is lost."""
        if self.phase is Phase.IDLE:
            return
        assert self._ballot is not None, "only an idle writer has none"
        for node, peer in self._peers.items():
            silent = not peer.heard
            peer.heard = False
            if self.phase is Phase.COLLECTING and peer.have is None:
                self._context.tell(node, Collect(ballot=self._ballot))
            elif self.phase is Phase.FETCHING and node == self._source:
                self._context.tell(node, Fetch(ballot=self._ballot))
            elif self.phase is Phase.LEADING and peer.acked < self._seq and silent:
                self._context.tell(node, Collect(ballot=self._ballot))
        self._context.arm("writer", REPEAT_MS)


def _user_of(forward: Forward) -> User:
    name = forward.write.user
    return User(name, forward.groups, forward.module or forward.privileged or name in PRIVILEGED_NAMES)


def _shown_to(root: etree._Element, user: User) -> str:
    """What the user may see of a CIB that his dry run would make."""
    seen = Permissions(root, user).visible() if is_judged(root, user) else root
    return etree.tostring(seen, encoding="unicode") if seen is not None else ""


_NO_VIEW = ViewId(-1, "")


def _rank(state: Ballot | None, version: Version) -> tuple[ViewId, int, str, Version]:
    """Greater is newer: first by the ballot of the newest entry made with quorum, then by version."""
    if state is None:
        return _NO_VIEW, 0, "", version
    return state.view, state.round, state.writer, version
