# SPDX-License-Identifier: GPL-2.0-or-later
"""A register in a folder that all nodes see: a cluster file system, or NFS from version 3 on.

Each grant is a file of its own, `grant.NUMBER`, and the greatest number counts. A hard link to a name that exists is
refused by every such file system, for all but one of those who try at once: that is the compare-and-swap. (Advisory
locks and O_EXCL are not so everywhere.) A writer looks again afterwards: one that slept for so long that its number had
been swept away has not won.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from ha.ccm.model.register import GRANT_LIMIT_BYTES, Contents, Outdated, ReadOutcome, WriteOutcome, Written

KEPT = 16
"""Grants that are kept, the latest; for people who want to know what happened, too."""

_GRANT = re.compile(r"grant\.(\d{1,15})", re.ASCII)
READ_ATTEMPTS = 10


class FolderRegister:
    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self.name = f"lease in {folder}"

    def read(self) -> ReadOutcome:
        for _ in range(READ_ATTEMPTS):
            numbers = self._numbers()
            if not numbers:
                return Contents("", b"")
            try:
                with self._path(numbers[-1]).open("rb") as file:
                    return Contents(str(numbers[-1]), file.read(GRANT_LIMIT_BYTES + 1))
            except FileNotFoundError:
                continue  # swept away by writers who went on meanwhile
        raise OSError("the grants change faster than they can be read")

    def write(self, version: str, data: bytes) -> WriteOutcome:
        number = int(version or 0) + 1
        handle, name = tempfile.mkstemp(prefix="claim.", dir=self._folder)
        written = Path(name)
        try:
            self._put(handle, data)
            try:
                os.link(written, self._path(number))
            except FileExistsError:
                return Outdated()
        finally:
            written.unlink(missing_ok=True)
        self._sync_folder()
        numbers = self._numbers()
        if numbers[-1:] != [number]:
            return Outdated()
        for old in numbers[:-KEPT]:
            self._path(old).unlink(missing_ok=True)
        return Written()

    def _path(self, number: int) -> Path:
        return self._folder / f"grant.{number}"

    def _numbers(self) -> list[int]:
        return sorted(int(match[1]) for name in os.listdir(self._folder) if (match := _GRANT.fullmatch(name)))

    @staticmethod
    def _put(handle: int, data: bytes) -> None:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # the cluster's user need not have the same number on every node
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _sync_folder(self) -> None:
        handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
