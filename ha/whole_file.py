# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are replaced as a whole: a reader sees the old one or the new one, never a mixture, nor does a power cut.

Source: rename(2) is atomic; the folder itself must be synced for the new name to last (fsync(2)).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

SUFFIX = ".new"
"""Of the file beside the target in which the new contents are collected."""


def replace(target: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """With `durable` data and name are on stable storage on return; without it a power cut may bring the old file back.

    Of two writers at a time the last one wins. The target keeps nothing of its former owner and mode. Raises OSError;
    then the target is as it was.
    """
    temporary = target.with_name(f"{target.name}.{os.getpid()}{SUFFIX}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(descriptor, mode)  # whatever the umask says
            write_all(descriptor, data)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if durable:
        sync_folder(target.parent)


def write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """The names in it are on stable storage. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
