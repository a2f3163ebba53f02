# SPDX-License-Identifier: GPL-2.0-or-later
"""Durable data of a worker: each name a file that is replaced as a whole and survives a power cut."""

from __future__ import annotations

from pathlib import Path

from ha import whole_file
from ha.ipc.limits import MAX_PERSISTED_BYTES


class DurableError(RuntimeError):
    """The state of an earlier run cannot be read; the text names the file."""


def load(folder: Path) -> dict[str, bytes]:
    """Everything that was persisted, by name, in the order of the names. An absent folder is an empty state.

    Raises DurableError, OSError."""
    if not folder.is_dir():
        return {}
    state: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith(whole_file.SUFFIX):
            path.unlink()  # a crash left it half written; nobody else writes here
            continue
        if not path.is_file():
            continue
        if path.stat().st_size > MAX_PERSISTED_BYTES:
            raise DurableError(f"{path}: larger than {MAX_PERSISTED_BYTES} bytes; this is not a file of ours")
        state[path.name] = path.read_bytes()
    return state


def save(folder: Path, name: str, data: bytes) -> None:
    """Replace `name`; on return the data and the name are on stable storage. Raises OSError."""
    assert "/" not in name and not name.endswith(whole_file.SUFFIX), name
    assert len(data) <= MAX_PERSISTED_BYTES, f"{name}: {len(data)} bytes would not be read back"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    whole_file.replace(folder / name, data)
