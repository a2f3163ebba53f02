# SPDX-License-Identifier: GPL-2.0-or-later
"""One look at the newest CIB in shared memory, for programs that look once and end: `CibReader` without what it keeps,
and without the messages, which take a small tool longer to import than all else it does."""

from __future__ import annotations

from ha.cib.io.layout import (
    CONTROL_BYTES,
    HEADER_BYTES,
    MAGIC,
    MAGIC_INDEX,
    WORD_INDEX,
    checksum,
    fields_of,
    map_segment,
)
from ha.root import Root

ATTEMPTS = 50
"""Each failure means that the generation was replaced while we looked."""


def newest_xml(root: Root) -> bytes | None:
    """The text of the newest CIB, None when there is none. Raises SharedMemoryError when this user may not read it."""
    name = root.shared_memory("cib")
    for _ in range(ATTEMPTS):
        try:
            generation = _published(name)
            text = _text(f"{name}.{generation}", generation) if generation else None
        except FileNotFoundError:
            continue
        if text is not None or generation == 0:
            return text
    return None


def _published(name: str) -> int:
    """The newest generation, 0 for none."""
    with map_segment(name) as control, memoryview(control).cast("Q") as words:
        return words[WORD_INDEX] if len(control) == CONTROL_BYTES and words[MAGIC_INDEX] == MAGIC else 0


def _text(name: str, generation: int) -> bytes | None:
    """None when the segment is not whole (any more)."""
    with map_segment(name) as segment:
        found = fields_of(segment[:HEADER_BYTES], len(segment))
        if found is None or found.generation != generation:
            return None
        text = segment[HEADER_BYTES : HEADER_BYTES + found.length]
    return text if checksum(text) == found.checksum else None
