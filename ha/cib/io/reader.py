# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the CIB from shared memory: no lock, no waiting, and no need of a living cib worker."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import TYPE_CHECKING

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
    map_segment,
)
from ha.cib.msg import CibCopy, CibGone, ReadCib
from ha.root import Root

if TYPE_CHECKING:
    from lxml import etree

    from ha.cib.model.document import Document
    from ha.shell import Loop

ATTEMPTS = 50
"""Looks at the newest generation before giving up: each failure means that it was replaced while we looked."""
MAX_STEPS_BY_DIFF = 16
"""A kept tree further behind is parsed anew."""


class CibReader:
    """One root's CIB. Keeps the tree it parsed: an unchanged generation costs one look at a word, a new one its diff.

    Also the adapter that serves ReadCib to machines.
    """

    requests: tuple[type, ...] = (ReadCib,)

    def __init__(self, root: Root, on_parts: Callable[[list[etree._Element]], None] | None = None) -> None:
        """`on_parts` hears which parts of the kept tree (see `ha.cib.model.document`) each diff has touched."""
        self._on_parts = on_parts
        self._name = root.shared_memory("cib")
        self._control: mmap.mmap | None = None
        self._words: memoryview | None = None
        self._tree: tuple[int, Document] | None = None
        self._loop: Loop | None = None

    # As an adapter ---------------------------------------------------------------------------------------------------

    def open(self, loop: Loop) -> None:
        self._loop = loop

    def execute(self, operation: str, request: object) -> None:
        assert isinstance(request, ReadCib), type(request)
        assert self._loop is not None, "open comes first"
        self._loop.finish(operation, self.read(request.generation))

    def close(self) -> None:
        words, self._words = self._words, None
        if words is not None:
            words.release()
        if self._control is not None:
            self._control.close()
            self._control = None

    # Reading ---------------------------------------------------------------------------------------------------------

    def generation(self) -> int:
        """The newest generation; 0 when there is none (no cluster on this node since it booted).

        Raises SharedMemoryError (an OSError) when this user may not read it.
        """
        words = self._words if self._words is not None else self._attach()
        return words[WORD_INDEX] if words is not None else 0

    def _attach(self) -> memoryview | None:
        try:
            control = map_segment(self._name)
        except FileNotFoundError:
            return None
        words = memoryview(control).cast("Q")
        if len(control) != CONTROL_BYTES or words[MAGIC_INDEX] != MAGIC:
            words.release()
            control.close()
            return None
        self._control, self._words = control, words
        return words

    def read(self, generation: int = 0) -> CibCopy | CibGone:
        """The newest CIB, or that of `generation` if it is still kept."""
        for _ in range(ATTEMPTS if generation == 0 else 1):
            newest = self.generation()
            if newest == 0:
                return CibGone("no CIB in shared memory: the cluster is not running on this node")
            found = self._read_segment(generation or newest)
            if found is not None:
                return found[0]
        return CibGone(f"generation {generation or 'newest'} is not in shared memory (any more)")

    def _read_segment(self, generation: int) -> tuple[CibCopy, str] | None:
        """The copy and its digest; None when the segment is gone or not whole."""
        try:
            segment = map_segment(f"{self._name}.{generation}")
        except FileNotFoundError:
            return None
        with segment:
            header = Header.unpack(segment[:HEADER_BYTES], len(segment))
            if header is None or header.generation != generation:
                return None
            xml = segment[HEADER_BYTES : HEADER_BYTES + header.length]
        if checksum(xml) != header.checksum:
            return None
        return CibCopy(generation, header.version, xml), header.digest

    def _read_diffs(self, generation: int) -> tuple[list[bytes], str] | None:
        """The diffs from the generation before and the digest they lead to; None when there are none."""
        try:
            segment = map_segment(f"{self._name}.{generation}")
        except FileNotFoundError:
            return None
        with segment:
            header = Header.unpack(segment[:HEADER_BYTES], len(segment))
            if header is None or header.generation != generation or header.diff_length == 0:
                return None
            start = HEADER_BYTES + header.length
            diffs = segment[start : start + header.diff_length]
        return (diffs.split(DIFF_END), header.digest) if checksum(diffs) == header.diff_checksum else None

    def tree(self) -> etree._Element | None:
        """The newest CIB as a tree, which belongs to the reader and is not to be changed; None without one.

        The same element object comes again while the generation is the same, and is changed in place by diffs.
        """
        newest = self.generation()
        if self._tree is not None and self._tree[0] == newest:
            return self._tree[1].root
        if newest == 0:
            return None
        if self._tree is not None and not self._follow(newest):
            self._tree = None
        if self._tree is None:
            self._tree = self._parse()
        return self._tree[1].root if self._tree is not None else None

    def tree_of(self, generation: int, xml: bytes) -> etree._Element:
        """A published generation, whose text is `xml`, on the terms of `tree`.

        It comes from the kept tree by diffs where that can be done, else it is parsed.
        Raises ha.cib.model.refusal.Refusal for what is no CIB.
        """
        from ha.cib.model.document import Document

        if self._tree is not None and self._tree[0] != generation and not self._follow(generation):
            self._tree = None
        if self._tree is None:
            self._tree = (generation, Document.from_bytes(xml))
        return self._tree[1].root

    def _follow(self, newest: int) -> bool:
        """Bring the kept tree up to `newest` by diffs; False when that cannot be done."""
        from ha.cib.model.diff import apply_diff
        from ha.cib.model.edit import Transaction
        from ha.cib.model.parse import parse
        from ha.cib.model.refusal import Refusal

        assert self._tree is not None, "there is a tree to follow with"
        at, document = self._tree
        if not 0 < newest - at <= MAX_STEPS_BY_DIFF:
            return False
        digest = ""
        for generation in range(at + 1, newest + 1):
            step = self._read_diffs(generation)
            if step is None:
                return False
            diffs, digest = step
            for diff in diffs:
                transaction = Transaction(document)
                try:
                    apply_diff(transaction, parse(diff, is_own=True))
                except Refusal:
                    return False
                if self._on_parts is not None:
                    self._on_parts(transaction.parts())
        self._tree = (newest, document)
        return document.snapshot().digest == digest

    def _parse(self) -> tuple[int, Document] | None:
        from ha.cib.model.document import Document

        copy = self.read()
        return (copy.generation, Document.from_bytes(copy.xml)) if isinstance(copy, CibCopy) else None


__all__ = ["CibReader", "SharedMemoryError"]
