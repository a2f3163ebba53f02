# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads ha.cf again when the process gets SIGHUP, as Heartbeat 3.0.6 does (`supervisorctl signal HUP heartbeat`)."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ha.heartbeat.model import HaCf, HaCfError
from ha.heartbeat.model.ha_cf import WatchHaCf

if TYPE_CHECKING:
    from ha.shell import Loop


class Reload:
    requests: tuple[type, ...] = (WatchHaCf,)

    def __init__(self, read: Callable[[], HaCf]) -> None:
        """`read` gives the file's content for this node, or raises HaCfError."""
        self._read = read
        self._operation = ""
        self._previous: Any = None

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._previous = signal.signal(signal.SIGHUP, self._on_signal)

    def close(self) -> None:
        signal.signal(signal.SIGHUP, self._previous)

    def execute(self, operation: str, request: object) -> None:
        assert isinstance(request, WatchHaCf)
        self._operation = operation

    def _on_signal(self, number: int, frame: Any) -> None:
        """Between any two instructions of the loop: only noted here, done in the loop's turn."""
        self._loop.call_threadsafe(self._again)

    def _again(self) -> None:
        try:
            ha_cf = self._read()
        except HaCfError as error:
            for problem in error.problems:
                self._loop.note("error", f"{problem}; the configuration that we have stays in force")
            return
        if self._operation:
            operation, self._operation = self._operation, ""
            self._loop.finish(operation, ha_cf)
