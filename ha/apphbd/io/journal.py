# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines of the root pair to logd. Neither ever waits for the log: what logd does not take is kept, then dropped."""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque

from ha.ipc import codec
from ha.ipc.limits import MAX_DATAGRAM_BYTES
from ha.logd.msg import RECORDS_SOCKET, Record
from ha.machine import Instant, Level
from ha.root import Root

MAX_HELD_RECORDS = 500
"""Lines kept while logd is away; later ones are dropped and counted in the next."""

MAX_TEXT_CHARACTERS = 8_000
assert MAX_TEXT_CHARACTERS * 4 < MAX_DATAGRAM_BYTES


class Journal:
    def __init__(self, module: str, node: str, root: Root) -> None:
        self._module = module
        self._node = node
        self._path = str(root.socket(RECORDS_SOCKET))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._held: deque[Record] = deque()
        self._dropped = 0

    def write(self, level: Level, text: str, now: Instant) -> None:
        if len(self._held) >= MAX_HELD_RECORDS:
            self._dropped += 1
            return
        record = Record(
            at_ms=time.time_ns() // 1_000_000,
            boot_ms=now,
            module=self._module,
            node=self._node,
            pid=os.getpid(),
            level=level,
            text=text[:MAX_TEXT_CHARACTERS],
            dropped=self._dropped,
        )
        self._dropped = 0
        self._held.append(record)
        self.flush()

    @property
    def waiting(self) -> bool:
        return bool(self._held)

    def flush(self) -> None:
        """As far as logd takes it now. Called again from the loop."""
        while self._held:
            try:
                self._socket.sendto(codec.encode(self._held[0]), self._path)
            except OSError:
                return  # logd is away or behind: the line is held, and counted if it must be dropped
            self._held.popleft()

    def close(self) -> None:
        self._socket.close()


def to_stderr(line: str) -> None:
    """Without ever blocking: a pipe takes up to 4096 bytes at once when it is writable (pipe(7), PIPE_BUF)."""
    try:
        if select.select([], [2], [], 0)[1]:
            os.write(2, line.encode("utf-8", "replace")[: select.PIPE_BUF])
    except OSError:
        return  # standard error is closed: nobody is there to be told
