# SPDX-License-Identifier: GPL-2.0-or-later
"""Notices that authkeys says something else than before: a key can be rotated without a missed heartbeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.heartbeat.io.config import load_authkeys
from ha.heartbeat.model.authkeys import AuthKeysError, WatchKeys
from ha.root import Root

if TYPE_CHECKING:
    from ha.shell import Loop

LOOK_EVERY_MS = 2_000


class KeyFile:
    """Looks at the file's state now and then: one stat, no thread beside the loop that beats."""

    requests: tuple[type, ...] = (WatchKeys,)

    def __init__(self, root: Root) -> None:
        self._root = root
        self._seen: tuple[int, int, int] | None = None
        self._problem = ""

    def open(self, loop: Loop) -> None:
        self._loop = loop

    def close(self) -> None:
        """Nothing is held."""

    def execute(self, operation: str, request: object) -> None:
        assert isinstance(request, WatchKeys)
        self._look(operation, request)

    def _look(self, operation: str, request: WatchKeys) -> None:
        state = self._state()
        if state is not None and state != self._seen:
            self._seen = state
            try:
                keys = load_authkeys(self._root)
            except AuthKeysError as error:
                if str(error) != self._problem:
                    self._problem = str(error)
                    self._loop.note("error", f"{error}; the keys that we have stay in force")
            else:
                self._problem = ""
                if keys != request.known:
                    self._loop.finish(operation, keys)
                    return
        self._loop.call_at(self._loop.now() + LOOK_EVERY_MS, lambda: self._look(operation, request))

    def _state(self) -> tuple[int, int, int] | None:
        """What changes when the file or its mode does; None while there is none."""
        try:
            status = self._root.authkeys.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_ctime_ns
