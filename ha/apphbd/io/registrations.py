# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of applications, and the lives of their processes (pidfd_open(2): no number that is used again deceives)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from ha import whole_file
from ha.apphbd.model.registrations import (
    MAX_FILE_BYTES,
    AwaitEnd,
    Ended,
    Registration,
    RegistrationsError,
    decode,
    encode,
)
from ha.machine import Level
from ha.root import Root

FILE = "applications"
"""Below the run directory: gone after a boot, like the processes that it names."""

_START_TIME = 19
"""The field of /proc/PID/stat, counted after the name. Source: proc(5), field 22."""


class Host(Protocol):
    """What is needed of the loop."""

    def watch(self, fd: int, on_readable: Callable[[], None], /) -> None: ...
    def unwatch(self, fd: int, /) -> None: ...
    def note(self, level: Level, text: str) -> None: ...
    def finished(self, operation: str, outcome: object) -> None: ...


class RegistrationFile:
    def __init__(self, root: Root, host: Host) -> None:
        self.path = root.run_dir / FILE
        self._host = host
        self._begun: dict[int, int] = {}

    def load(self) -> tuple[Registration, ...]:
        """Of a former apphbd. A file that is no good is told, and is as good as none."""
        try:
            with self.path.open("rb") as file:
                found = decode(file.read(MAX_FILE_BYTES + 1))
        except FileNotFoundError:
            return ()
        except (OSError, RegistrationsError) as error:
            self._host.note("error", f"{self.path}: applications of the former apphbd are forgotten: {error}")
            return ()
        self._begun = {one.pid: one.begun for one in found}
        return found

    def keep(self, registrations: tuple[Registration, ...]) -> None:
        self._begun = {one.pid: self._begun.get(one.pid) or begun(one.pid) for one in registrations}
        known = tuple(msgspec.structs.replace(one, begun=self._begun[one.pid]) for one in registrations)
        try:
            if known:
                whole_file.replace(self.path, encode(known), durable=False)
            else:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            self._host.note("warning", f"{self.path} cannot be written: {error.strerror}")

    def await_end(self, operation: str, request: AwaitEnd) -> None:
        try:
            life = os.pidfd_open(request.pid)
        except OSError:
            self._host.finished(operation, Ended())
            return
        if begun(request.pid) != request.begun:
            os.close(life)
            self._host.finished(operation, Ended())
            return
        self._host.watch(life, lambda: self._ended(operation, life))

    def _ended(self, operation: str, life: int) -> None:
        self._host.unwatch(life)
        os.close(life)
        self._host.finished(operation, Ended())


def begun(pid: int) -> int:
    """0 when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[_START_TIME]) if fields[0] not in {"Z", "X"} else 0
