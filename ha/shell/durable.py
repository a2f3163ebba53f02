# SPDX-License-Identifier: GPL-2.0-or-later
"""Durable data of a worker: each name a file that is replaced as a whole and survives a power cut."""

from __future__ import annotations

import os
from pathlib import Path

from ha.ipc.limits import MAX_PERSISTED_BYTES

TEMPORARY_SUFFIX = ".new"


class DurableError(RuntimeError):
    """The state of an earlier run cannot be read; the text names the file."""


def load(folder: Path) -> dict[str, bytes]:
    """Everything that was persisted, by name, in the order of the names. An absent folder is an empty state."""
    if not folder.is_dir():
        return {}
    state: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        if not path.is_file() or path.name.endswith(TEMPORARY_SUFFIX):
            continue
        if path.stat().st_size > MAX_PERSISTED_BYTES:
            raise DurableError(f"{path}: larger than {MAX_PERSISTED_BYTES} bytes; this is not a file of ours")
        state[path.name] = path.read_bytes()
    return state


def save(folder: Path, name: str, data: bytes) -> None:
    """Replace `name`; on return the data and the name are on stable storage. Raises OSError.

    Source: rename(2) is atomic, and the folder itself must be synced for the name to last (fsync(2)).
    """
    assert "/" not in name and not name.endswith(TEMPORARY_SUFFIX), name
    assert len(data) <= MAX_PERSISTED_BYTES, f"{name}: {len(data)} bytes would not be read back"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = folder / (name + TEMPORARY_SUFFIX)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, folder / name)
    parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
