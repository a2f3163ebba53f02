# SPDX-License-Identifier: GPL-2.0-or-later
"""The writing side of the CIB in shared memory."""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ha.cib.io.layout import (
    CONTROL_BYTES,
    DIFF_END,
    HEADER_BYTES,
    MAGIC,
    MAGIC_INDEX,
    WORD_INDEX,
    Header,
    SharedMemoryError,
    checksum,
    make_segment,
    map_segment,
    unlink,
)
from ha.cib.io.lock import WriterLock
from ha.cib.io.reader import CibReader
from ha.cib.model.store import PublishCib
from ha.cib.msg import CibCopy
from ha.root import Root

KEPT_MIN, KEPT_MAX = 4, 32
"""Generations that stay readable: so many at least, more while they are small."""
KEPT_BYTES = 8 * 1024 * 1024
SHARED_MEMORY_DIR = Path("/dev/shm")


class Publisher:
    """Publishes generations of the CIB of one root."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._name = root.shared_memory("cib")
        self._control = self._open_control()
        self._words = memoryview(self._control).cast("Q")
        self._lock = WriterLock(self._control, f"{self._name}.lock", root.run_dir / "cib.lock")
        self._kept: deque[tuple[int, int]] = deque()
        with self._lock.held():
            self._sweep()

    def _open_control(self) -> mmap.mmap:
        """The control segment of an earlier run goes on; a damaged one is replaced."""
        try:
            control = map_segment(self._name, writable=True)
            if len(control) == CONTROL_BYTES and memoryview(control).cast("Q")[MAGIC_INDEX] == MAGIC:
                return control
        except (FileNotFoundError, SharedMemoryError):
            control = None  # it is made anew below; readers that mapped a damaged one open it again
        fresh = make_segment(self._name, CONTROL_BYTES)
        memoryview(fresh).cast("Q")[MAGIC_INDEX] = MAGIC
        return fresh

    def close(self) -> None:
        """The segments stay: readers go on without us."""
        self._lock.close()
        self._words.release()
        self._control.close()

    @property
    def generation(self) -> int:
        return self._words[WORD_INDEX]

    def last(self) -> CibCopy | None:
        """What an earlier run published last, if it is whole."""
        if self.generation == 0:
            return None
        found = CibReader(self._root).read()
        return found if isinstance(found, CibCopy) and found.generation == self.generation else None

    def publish(self, request: PublishCib) -> None:
        """Make `request` the newest generation. Raises SharedMemoryError with everything as it was."""
        with self._lock.held():
            assert request.generation > self.generation, f"{request.generation} follows {self.generation}"
            self._put(request)

    def publish_next(self, request: Callable[[int], PublishCib]) -> None:
        """Publish what `request` makes for the next generation, whoever published the one before."""
        with self._lock.held():
            self._put(request(self.generation + 1))

    def _put(self, request: PublishCib) -> None:
        size = self._write(request)
        self._words[WORD_INDEX] = request.generation
        self._kept.append((request.generation, size))
        self._thin_out()

    def _write(self, request: PublishCib) -> int:
        length = sum(map(len, request.parts))
        crc = 0
        for part in request.parts:
            crc = checksum(part, crc)
        diffs = DIFF_END.join(request.diffs)
        header = Header(request.generation, request.version, length, crc, len(diffs), checksum(diffs), request.digest)
        size = HEADER_BYTES + length + len(diffs)
        with make_segment(f"{self._name}.{request.generation}", size) as segment:
            at = HEADER_BYTES
            for part in (*request.parts, diffs):
                segment[at : at + len(part)] = part
                at += len(part)
            packed = header.pack()
            segment[: len(packed)] = packed
        return size

    def _thin_out(self) -> None:
        while len(self._kept) > KEPT_MIN and (
            len(self._kept) > KEPT_MAX or sum(size for _, size in self._kept) > KEPT_BYTES
        ):
            generation, _ = self._kept.popleft()
            unlink(f"{self._name}.{generation}")

    def _sweep(self) -> None:
        """Remove what a dead writer left unpublished, and what is too old to be asked for."""
        current = self.generation
        for path in sorted(SHARED_MEMORY_DIR.glob(f"{self._name[1:]}.*")):
            suffix = path.name.rpartition(".")[2]
            if not suffix.isdigit():
                continue
            generation = int(suffix)
            if not current - KEPT_MIN < generation <= current:
                unlink(f"{self._name}.{generation}")
            else:
                self._kept.append((generation, os.stat(path).st_size))
        self._kept = deque(sorted(self._kept))


def purge(root: Root) -> None:
    """Remove everything of this root from shared memory: for a node that is gone for good (playground, tests)."""
    name = root.shared_memory("cib")
    for path in sorted(SHARED_MEMORY_DIR.glob(f"{name[1:]}*")):
        unlink(f"/{path.name}")
    (SHARED_MEMORY_DIR / f"sem.{name[1:]}.lock").unlink(missing_ok=True)
