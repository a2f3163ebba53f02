# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are all written or none, and never over others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ha.whole_file import sync_folder


@dataclass(frozen=True, slots=True)
class NewFile:
    """`owner` is (uid, gid), None for whoever writes it. `is_secret`: never shown."""

    path: Path
    data: bytes
    mode: int
    owner: tuple[int, int] | None = None
    is_secret: bool = False


class PlacingError(OSError):
    """Nothing was written; the text names the file and the reason."""


def in_the_way(files: Sequence[NewFile]) -> list[Path]:
    return [file.path for file in files if file.path.exists() or file.path.is_symlink()]


def place(files: Sequence[NewFile]) -> None:
    """Write them in order, each whole or not at all. What was written is taken back when a later one cannot be.

    Raises PlacingError, also when one of the names is taken.
    """
    written: list[Path] = []
    try:
        for file in files:
            file.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            _write(file)
            written.append(file.path)
        for folder in {file.path.parent for file in files}:
            sync_folder(folder)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        where = files[len(written)].path if len(written) < len(files) else files[-1].path
        raise PlacingError(f"{where}: {error.strerror}; nothing was written") from error


def _write(file: NewFile) -> None:
    new = file.path.with_name(f".{file.path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as opened:
            opened.write(file.data)
            opened.flush()
            if file.owner is not None:
                os.fchown(descriptor, *file.owner)
            os.fchmod(descriptor, file.mode)
            os.fsync(descriptor)
        os.link(new, file.path)  # unlike a rename, it refuses a name that is taken
    finally:
        new.unlink()
