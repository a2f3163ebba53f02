# SPDX-License-Identifier: GPL-2.0-or-later
"""Log lines to logd. A worker never waits for the log: what does not fit is dropped and counted."""

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

MAX_HELD_RECORDS = 2_000
"""Lines kept while logd is away or behind; the oldest are kept, later ones dropped and counted."""

MAX_TEXT_CHARACTERS = 8_000
assert MAX_TEXT_CHARACTERS * 4 < MAX_DATAGRAM_BYTES


class Journal:
    """Without logd (a worker run alone) lines of notice and above go to standard error, if that takes them at once."""

    def __init__(self, worker: str, node: str, root: Root) -> None:
        self._worker = worker
        self._node = node
        self._path = str(root.socket(RECORDS_SOCKET))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._held: deque[Record] = deque()
        self._dropped = 0
        self._alone = "HA_LOG_STDERR" in os.environ

    def write(self, level: Level, text: str, now: Instant) -> None:
        record = Record(
            at_ms=time.time_ns() // 1_000_000,
            boot_ms=now,
            module=self._worker,
            node=self._node,
            pid=os.getpid(),
            level=level,
            text=text[:MAX_TEXT_CHARACTERS],
            dropped=self._dropped,
        )
        if self._alone and level != "debug":
            self._to_stderr(f"{self._node} {self._worker}: {level}: {record.text}\n")
        if len(self._held) >= MAX_HELD_RECORDS:
            self._dropped += 1
            return
        self._held.append(record)
        self._dropped = 0
        self.flush()

    def flush(self) -> None:
        """Send what is held, as far as the socket takes it. Called again from the loop's every turn."""
        while self._held:
            try:
                self._socket.sendto(codec.encode(self._held[0]), self._path)
            except (FileNotFoundError, ConnectionRefusedError, BlockingIOError, PermissionError):
                return
            self._held.popleft()

    @staticmethod
    def _to_stderr(line: str) -> None:
        try:
            if select.select([], [2], [], 0)[1]:
                os.write(2, line.encode("utf-8", "replace"))
        except OSError:
            return  # standard error is closed: nobody is there to be told
