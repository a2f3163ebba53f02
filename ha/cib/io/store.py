# SPDX-License-Identifier: GPL-2.0-or-later
"""The adapter that serves what the cib's core asks of disk and shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.cib.io.files import CibFiles
from ha.cib.io.publisher import Publisher
from ha.cib.model.store import AppendRecords, CheckpointCib, KeepDropped, LoadCib, LoadedCib, PublishCib
from ha.root import Root

if TYPE_CHECKING:
    from ha.shell import Loop


class StoreAdapter:
    """What must be synced goes to an I/O thread; the core has one such operation under way at a time."""

    requests: tuple[type, ...] = (LoadCib, AppendRecords, CheckpointCib, PublishCib, KeepDropped)

    def __init__(self, root: Root) -> None:
        self._root = root
        self._files = CibFiles(root.cib_dir)
        self._publisher: Publisher | None = None
        self._loop: Loop | None = None

    def open(self, loop: Loop) -> None:
        self._loop = loop

    def execute(self, operation: str, request: object) -> None:
        loop = self._loop
        assert loop is not None, "open comes first"
        match request:
            case LoadCib():
                loop.in_thread(operation, self._load)
            case AppendRecords(records, True):
                loop.in_thread(operation, self._files.append, records, True)
            case AppendRecords(records, False):
                loop.finish(operation, self._try_append(records))
            case CheckpointCib():
                loop.in_thread(operation, self._files.checkpoint, request)
            case PublishCib():
                loop.finish(operation, self._try_publish(request))
            case KeepDropped(version, xml):
                loop.in_thread(operation, self._files.keep_dropped, version, xml)
            case _:
                raise AssertionError(f"{type(request).__name__} is not the store's")

    def _load(self) -> LoadedCib:
        self._root.run_dir.mkdir(parents=True, exist_ok=True)
        xml, records, notes = self._files.load()
        self._publisher = Publisher(self._root)
        shown = self._publisher.last()
        return LoadedCib(
            xml=xml, records=records, generation=self._publisher.generation, notes=notes,
            published=shown.xml if shown is not None else b"",
        )  # fmt: skip

    def _try_append(self, records: tuple[bytes, ...]) -> OSError | None:
        try:
            self._files.append(records, durable=False)
        except OSError as error:
            return error
        return None

    def _try_publish(self, request: PublishCib) -> OSError | None:
        assert self._publisher is not None, "loading comes first"
        try:
            self._publisher.publish(request)
        except OSError as error:
            return error
        return None

    def close(self) -> None:
        self._files.close()
        if self._publisher is not None:
            self._publisher.close()
