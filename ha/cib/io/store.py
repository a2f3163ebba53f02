# SPDX-License-Identifier: GPL-2.0-or-later
"""The adapter that serves what the cib's core asks of disk and shared memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING

from ha.cib.io.files import CibFiles
from ha.cib.io.publisher import Publisher
from ha.cib.io.users import find_user
from ha.cib.model.store import AppendRecords, CheckpointCib, FindUser, KeepDropped, LoadCib, LoadedCib, PublishCib
from ha.machine import Finished
from ha.root import Root

if TYPE_CHECKING:
    from ha.shell import Loop


LAST_WRITE_S = 0.3
"""How long a stopping worker waits for the write under way; the journal is whole without it."""

Call = Callable[[], object]


class StoreAdapter:
    """What must be synced goes to a thread of its own: it waits in fdatasync, never the loop that beats.

    One thread and a plain queue, not the loop's pool: a pool's futures cost more than the write (20 futex calls).
    """

    requests: tuple[type, ...] = (LoadCib, AppendRecords, CheckpointCib, PublishCib, KeepDropped, FindUser)

    def __init__(self, root: Root) -> None:
        self._root = root
        self._files = CibFiles(root.cib_dir)
        self._publisher: Publisher | None = None
        self._loop: Loop | None = None
        self._calls: SimpleQueue[tuple[str, Call] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="cib-store", daemon=True)

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._thread.start()

    def _serve(self) -> None:
        """The thread: one call after the other. What an OSError is not is a broken invariant, and ends the worker."""
        loop = self._loop
        assert loop is not None, "open starts the thread"
        while (work := self._calls.get()) is not None:
            operation, call = work
            try:
                outcome = call()
            except OSError as error:
                outcome = error
            except BaseException as error:
                loop.call_threadsafe(partial(_raise, error))
                return
            loop.post_threadsafe(Finished(operation, outcome))

    def execute(self, operation: str, request: object) -> None:
        loop = self._loop
        assert loop is not None, "open comes first"
        match request:
            case LoadCib():
                self._calls.put((operation, self._load))
            case AppendRecords(records, True):
                self._calls.put((operation, partial(self._files.append, records, True)))
            case AppendRecords(records, False):
                loop.finish(operation, self._try_append(records))
            case CheckpointCib():
                self._calls.put((operation, partial(self._files.checkpoint, request)))
            case PublishCib():
                loop.finish(operation, self._try_publish(request))
            case FindUser():
                loop.in_thread(operation, find_user, request)  # a directory service may be slow
            case KeepDropped(version, xml):
                self._calls.put((operation, partial(self._files.keep_dropped, version, xml)))
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
        self._calls.put(None)
        self._thread.join(LAST_WRITE_S)
        self._files.close()
        if self._publisher is not None:
            self._publisher.close()


def _raise(error: BaseException) -> None:
    raise error
