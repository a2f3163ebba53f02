# SPDX-License-Identifier: GPL-2.0-or-later
"""The way to the disk: one append at a time, carrying all that has gathered since (group commit), and checkpoints.

`stored` is called with the seq that is durable now. A failed write is repeated: until it works nothing is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable

from ha.cib.core.context import Context
from ha.cib.core.replica import Replica
from ha.cib.model.store import MAX_JOURNAL_BYTES, AppendRecords, Change, CheckpointCib, Record, encode_record
from ha.cib.msg import Entry

RETRY_MS = 500
SETTLE_MS = 2_000
"""After a change of the configuration cib.xml follows within this time; until then the journal has it."""
MAX_APPEND_BYTES = 8 * 1024 * 1024


class Journal:
    """Serialises records and hands them to the adapter in order."""

    def __init__(self, context: Context, replica: Replica, stored: Callable[[], None]) -> None:
        self._context = context
        self._replica = replica
        self._stored = stored
        self._waiting: list[tuple[bytes, bool]] = []
        self._busy: AppendRecords | CheckpointCib | None = None
        self._serial = 0
        self._whole_wanted = False
        self._backup_wanted = False
        self._size_bytes = 0  # appended since the last checkpoint; what that itself wrote does not count
        self.given = 0
        """How many records were given to the journal, and how many of them are durable."""
        self.durable = 0

    @property
    def is_idle(self) -> bool:
        return self._busy is None and not self._waiting and not self._whole_wanted

    def add(self, record: Record, durable: bool) -> int:
        """Queue a record; returns its number, to be compared with `durable`."""
        self._waiting.append((encode_record(record), durable))
        self.given += 1
        return self.given

    def add_entry(self, entry: Entry) -> int:
        if entry.configuration and not self._backup_wanted:
            self._backup_wanted = True
            self._context.arm("settle", SETTLE_MS)
        return self.add(Change(entry=entry), durable=entry.configuration)

    def replace(self) -> int:
        """The head was replaced by a whole document: fold everything into cib.xml. Returns the number to wait for."""
        self._waiting.clear()
        self._whole_wanted = True
        self.given += 1
        return self.given

    def settle(self) -> None:
        """The timer after a change of the configuration: bring cib.xml up to date."""
        if self._backup_wanted:
            self._whole_wanted = True
            self.given += 1
            self.flush()

    def flush(self) -> None:
        """Begin what waits, unless something is under way."""
        if self._busy is not None:
            return
        if self._whole_wanted:
            self._begin(self._checkpoint())
        elif self._waiting:
            size, count = 0, 0
            while count < len(self._waiting) and size < MAX_APPEND_BYTES:
                size += len(self._waiting[count][0])
                count += 1
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            self._size_bytes += size
            durable = any(wanted for _, wanted in batch)
            self._begin(AppendRecords(tuple(data for data, _ in batch), durable))

    def _checkpoint(self) -> CheckpointCib:
        """The committed document as cib.xml, and what is pending as the journal's first records.

        When the pending entries are not at hand one by one, as after an installation, the head itself is written.
        """
        replica = self._replica
        entries = [pending.entry for pending in replica.pending if pending.entry is not None]
        alone = len(entries) == len(replica.pending) and (
            not entries or entries[0].before == replica.published.digest or bool(entries[0].whole)
        )
        snapshot = replica.published if alone else replica.head
        records: list[Record] = [replica.base(snapshot)]
        if alone:
            records += [Change(entry=entry) for entry in entries]
        self._whole_wanted = False
        backup, self._backup_wanted = self._backup_wanted, False
        self._waiting.clear()
        encoded = tuple(map(encode_record, records))
        self._size_bytes = 0
        return CheckpointCib(snapshot.to_bytes(), encoded, snapshot.version, backup)

    def _begin(self, request: AppendRecords | CheckpointCib) -> None:
        self._busy = request
        self._serial += 1
        self._covers = self.given - len(self._waiting)
        self._context.execute(f"store:{self._serial}", request)

    def finished(self, operation: str, outcome: object) -> None:
        """An append or checkpoint has ended."""
        assert operation == f"store:{self._serial}", f"{operation} ended, store:{self._serial} is under way"
        assert self._busy is not None, "only what was begun can end"
        if isinstance(outcome, OSError):
            self._context.note("critical", f"cannot write the CIB: {outcome}; nothing is acknowledged until it works")
            self._context.arm("store-again", RETRY_MS)
            return
        self._busy = None
        self.durable = self._covers
        limit = max(MAX_JOURNAL_BYTES, 2 * sum(map(len, self._replica.head.parts)))
        if self._size_bytes > limit and not self._whole_wanted:
            self._whole_wanted = True
            self.given += 1
        self._stored()
        self.flush()

    def again(self) -> None:
        """The timer after a failed write: the same once more."""
        assert self._busy is not None, "the failed write is still the one under way"
        self._serial += 1
        self._context.execute(f"store:{self._serial}", self._busy)
