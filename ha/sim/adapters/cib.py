# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of `ha.cib.io`: cib.xml, its journal, and the generations in shared memory.

The journal is appended to; what was not synced survives the worker, not the power. A checkpoint replaces cib.xml and
then the journal: a death between the two leaves the new document with the old journal. Left out: torn records (the
adapter drops them by their checksums), damaged files, a full disk.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ha.cib.model.acl import User
from ha.cib.model.store import AppendRecords, CheckpointCib, FindUser, KeepDropped, LoadCib, LoadedCib, PublishCib
from ha.cib.msg import CibCopy, CibGone, ReadCib
from ha.sim.agenda import MS, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable

    from ha.sim.node import Node
    from ha.sim.process import Process
    from ha.sim.world import Service

STORE = "cib"
MEMORY = "cib"

KEPT_GENERATIONS = 4
"""As in production: older segments are unlinked."""

PUBLISH_US = MS // 10
WRITE_US = MS // 20
"""A write to the page cache, without a sync."""


@dataclass
class CibStore:
    """The files of one node. `cached` are journal records that were written and not synced."""

    node: Node
    xml: bytes = b""
    journal: list[bytes] = field(default_factory=list)
    cached: list[bytes] = field(default_factory=list)
    dropped: list[bytes] = field(default_factory=list)
    _under_way: tuple[Ticket, tuple[bytes, ...]] | None = None

    def records(self) -> tuple[bytes, ...]:
        return (*self.journal, *self.cached)

    def begin(self, delay_us: int, records: tuple[bytes, ...], done: Callable[[], None]) -> None:
        """`records` may reach the disk if we are interrupted, the first ones first."""

        def end() -> None:
            self._under_way = None
            done()

        assert self._under_way is None, "one write at a time"
        self._under_way = (self.node.world.agenda.after(delay_us, end), records)

    def process_died(self) -> None:
        if self._under_way is None:
            return
        ticket, records = self._under_way
        self._under_way = None
        ticket.cancel()
        self.cached += records[: self.node.disk.chance.randrange(len(records) + 1)]

    def power_lost(self) -> None:
        """Some of what was only cached may have been on its way to the disk."""
        self.journal += self.cached[: self.node.disk.chance.randrange(len(self.cached) + 1)]
        self.cached.clear()

    def sync(self) -> None:
        self.journal += self.cached
        self.cached.clear()


@dataclass
class Segments:
    """Shared memory: the newest generation and those before it that are still kept."""

    newest: int = 0
    kept: dict[int, CibCopy] = field(default_factory=dict)


def store(node: Node) -> CibStore:
    found = node.disk.stores.setdefault(STORE, CibStore(node))
    assert isinstance(found, CibStore)
    return found


def segments(node: Node) -> Segments:
    found = node.memory.setdefault(MEMORY, Segments())
    assert isinstance(found, Segments)
    return found


def serve(process: Process, operation: str, request: object) -> None:
    match request:
        case LoadCib():
            _load(process, operation)
        case AppendRecords():
            _append(process, operation, request)
        case CheckpointCib():
            _checkpoint(process, operation, request)
        case PublishCib():
            _publish(process, operation, request)
        case KeepDropped() if process.node.disk.full:
            process.finish(operation, no_space())
        case KeepDropped():
            store(process.node).dropped.append(request.xml)
            process.finish(operation, f"cib-dropped-{request.version}.xml")
        case FindUser(uid, _, wanted):
            process.finish(operation, User(wanted or str(uid), privileged=uid == 0))
        case ReadCib():
            _read(process, operation, request)
        case _:
            raise AssertionError(f"no request of the cib: {request!r}")


def no_space() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _load(process: Process, operation: str) -> None:
    found, shown = store(process.node), segments(process.node)
    copy = shown.kept.get(shown.newest)
    loaded = LoadedCib(
        xml=found.xml,
        records=found.records(),
        generation=shown.newest,
        published=copy.xml if copy is not None else b"",
    )
    process.world.agenda.after(MS, lambda: process.finish(operation, loaded))


def _append(process: Process, operation: str, request: AppendRecords) -> None:
    found = store(process.node)
    delay_us = process.node.disk.sync_us() if request.durable else WRITE_US

    def done() -> None:
        if process.node.disk.full:
            process.finish(operation, no_space())
            return
        found.cached += request.records
        if request.durable:
            found.sync()
        process.finish(operation, None)

    found.begin(delay_us, request.records, done)


def _checkpoint(process: Process, operation: str, request: CheckpointCib) -> None:
    found, disk = store(process.node), process.node.disk

    def document_replaced() -> None:
        if disk.full:
            process.finish(operation, no_space())
            return
        found.xml = request.xml
        found.begin(disk.sync_us(), (), journal_replaced)

    def journal_replaced() -> None:
        found.journal, found.cached = list(request.records), []
        process.finish(operation, None)

    found.begin(disk.sync_us(), (), document_replaced)


def _publish(process: Process, operation: str, request: PublishCib) -> None:
    def done() -> None:
        if not process.alive:
            return
        shown = segments(process.node)
        assert request.generation > shown.newest, "a generation is published once"
        shown.newest = request.generation
        shown.kept[request.generation] = CibCopy(request.generation, request.version, b"".join(request.parts))
        for generation in [g for g in shown.kept if g <= request.generation - KEPT_GENERATIONS]:
            del shown.kept[generation]
        process.finish(operation, None)

    process.world.agenda.after(PUBLISH_US, done)


def _read(process: Process, operation: str, request: ReadCib) -> None:
    shown = segments(process.node)
    copy = shown.kept.get(request.generation or shown.newest)
    gone = CibGone("nothing is published yet" if not shown.newest else f"the newest is {shown.newest}")
    process.finish(operation, copy if copy is not None else gone)


REQUESTS: tuple[type, ...] = (LoadCib, AppendRecords, CheckpointCib, PublishCib, KeepDropped, FindUser, ReadCib)

SERVICES: dict[type, Service] = dict.fromkeys(REQUESTS, serve)
