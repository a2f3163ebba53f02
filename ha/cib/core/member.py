# SPDX-License-Identifier: GPL-2.0-or-later
"""A member's side of replication: promise, tell, take, persist, acknowledge, publish what is committed.

One ballot is obeyed at a time: the highest that was promised. A promise is durable before it is told, so a writer of
an older view can never again gather the acknowledgements of all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ha.cib.core.context import Context
from ha.cib.core.journal import Journal
from ha.cib.core.readers import Readers
from ha.cib.core.replica import Mismatch, Replica
from ha.cib.model.refusal import Refusal
from ha.cib.model.store import KeepDropped, Promise
from ha.cib.msg import OPENING, Accepted, Ballot, Collect, Commit, Fetch, Have, Outvoted, Propose, Whole
from ha.machine import Level

PENDING_MS = 500


@dataclass(frozen=True, slots=True)
class _Debt:
    """Something to say to a writer when the journal has reached `number`. `seq` None: tell what we have."""

    number: int
    ballot: Ballot
    seq: int | None


class Member:
    """Obeys writers on other nodes. The node's own writer uses the same replica and journal directly."""

    def __init__(self, context: Context, replica: Replica, journal: Journal, readers: Readers) -> None:
        self._context = context
        self._replica = replica
        self._journal = journal
        self._readers = readers
        self._debts: deque[_Debt] = deque()
        self._seq = -1
        """What of the ballot in force was applied; -1 when we do not know where we stand in it."""
        self._is_watching = False

    def _refuses(self, ballot: Ballot) -> bool:
        """Whether `ballot` is too low; its writer is told."""
        promised, view = self._replica.promised, self._context.view
        if promised is not None and ballot < promised:
            self._context.tell(ballot.writer, Outvoted(ballot=promised))
            return True
        if view is not None and ballot.view < view:
            self._context.tell(ballot.writer, Outvoted(ballot=Ballot(view, 0, "")))
            return True
        return False

    def collect(self, node: str, message: Collect) -> None:
        """Promise, and tell what we have once that and all else is durable."""
        ballot = message.ballot
        if ballot.writer != node or self._refuses(ballot):
            return
        if ballot != self._replica.promised:
            self._begin(ballot)
        self._owe(ballot, None)

    def _begin(self, ballot: Ballot) -> None:
        self._replica.promise(ballot)
        self._replica.renumber(0)
        self._journal.add(Promise(ballot=ballot), durable=True)
        self._debts.clear()
        self._seq = -1

    def _owe(self, ballot: Ballot, seq: int | None) -> None:
        self._debts.append(_Debt(self._journal.given, ballot, seq))
        self._journal.flush()
        self.pay()

    def pay(self) -> None:
        """The journal got on: say what was waiting for it."""
        latest: Accepted | None = None
        while self._debts and self._debts[0].number <= self._journal.durable:
            debt = self._debts.popleft()
            if debt.seq is None:
                self._tell_have(debt.ballot)
            else:
                latest = Accepted(ballot=debt.ballot, seq=debt.seq)
        if latest is not None:
            self._context.tell(latest.ballot.writer, latest)
            if latest.seq >= OPENING:
                self._context.has_all(latest.ballot.view)

    def _tell_have(self, ballot: Ballot) -> None:
        """What is durable; if the head has moved on meanwhile, when that is."""
        if self._journal.durable < self._journal.given:
            self._debts.append(_Debt(self._journal.given, ballot, None))
            return
        head = self._replica.head
        have = Have(ballot=ballot, state=self._replica.state, version=head.version, digest=head.digest)
        self._context.tell(ballot.writer, have)

    def fetch(self, node: str, message: Fetch) -> None:
        if message.ballot != self._replica.promised or message.ballot.writer != node:
            return
        self._context.tell(node, whole_of(self._replica, message.ballot, seq=0))

    def whole(self, node: str, message: Whole) -> None:
        """The writer's CIB in place of ours. What of the configuration is lost by that is kept in a file."""
        ballot = message.ballot
        if ballot.writer != node or self._refuses(ballot):
            return
        if ballot != self._replica.promised:
            self._begin(ballot)
        try:
            install(self._context, self._replica, message)
        except (Mismatch, Refusal) as error:
            self._context.note("critical", f"the CIB that {node} sent is refused: {error}")
            return
        self._seq = message.seq
        self._journal.replace()
        self._owe(ballot, message.seq)
        self._watch_pending()

    def propose(self, node: str, message: Propose) -> None:
        ballot = message.ballot
        if ballot.writer != node or self._refuses(ballot):
            return
        if ballot != self._replica.promised:
            return  # its Collect was lost with an earlier incarnation of ours; the writer repeats that
        self._take_place(message)
        for entry in message.entries:
            if entry.seq <= self._seq:
                continue
            try:
                self._replica.apply(entry)
            except Mismatch as mismatch:
                if self._seq < 0 or entry.seq == self._seq + 1:
                    self._context.note("warning", f"entry {entry.seq} of {node} does not fit: {mismatch}; asking anew")
                self._owe(ballot, None)
                return
            self._seq = entry.seq
            self._journal.add_entry(entry)
        self._commit(message.committed)
        if self._seq >= 0:
            self._owe(ballot, self._seq)
        self._watch_pending()

    def _watch_pending(self) -> None:
        """What stays pending for long may be committed already, and the word of it lost: ask."""
        if self._replica.pending and not self._is_watching:
            self._is_watching = True
            self._context.arm("member", PENDING_MS)

    def tick(self) -> None:
        self._is_watching = False
        promised = self._replica.promised
        if self._replica.pending and promised is not None and promised.writer != self._context.node:
            self._owe(promised, None)
            self._watch_pending()

    def _take_place(self, message: Propose) -> None:
        """Learn where we stand in the ballot, from the writer that matched what we said we have."""
        fits = not message.entries or message.entries[0].before == self._replica.head.digest
        if self._seq < 0 and message.after >= 0 and fits:
            self._seq = message.after
            self._replica.renumber(message.after)

    def commit(self, node: str, message: Commit) -> None:
        if message.ballot == self._replica.promised and message.ballot.writer == node:
            self._commit(message.seq)

    def _commit(self, seq: int) -> None:
        """Publish what every member has, if we know our place in the ballot."""
        if self._seq < 0:
            return
        self._readers.publish(self._replica.committed(seq))

    def writer_known(self) -> None:
        """The crmd named the writer. If we do not know where we stand in its ballot, ask it to tell us."""
        promised = self._replica.promised
        context = self._context
        if promised is None or self._seq >= 0 or context.writer in ("", context.node):
            return
        if promised.view == context.view and promised.writer == context.writer:
            self._owe(promised, None)


def whole_of(replica: Replica, ballot: Ballot, seq: int) -> Whole:
    return Whole(
        ballot=ballot,
        state=replica.state,
        seq=seq,
        digest=replica.head.digest,
        xml=replica.head.to_bytes().decode(),
        requests=replica.known_requests(),
    )


def install(context: Context, replica: Replica, message: Whole) -> None:
    """Take a whole CIB; keep ours in a file when its configuration differs. Raises Mismatch or Refusal."""
    old, configuration = replica.head, replica.configuration_digest()
    replica.install(message.xml, message.digest, message.state, message.seq, message.requests)
    if configuration != replica.configuration_digest() and old.version.epoch + old.version.admin_epoch > 0:
        context.execute(f"keep:{old.digest}", KeepDropped(old.version, old.to_bytes()))
        level: Level = "warning" if old.version >= replica.head.version else "notice"
        origin = message.ballot.writer
        context.note(level, f"CIB {old.version} => {replica.head.version} from {origin}; the old one is kept in a file")
