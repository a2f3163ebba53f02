# SPDX-License-Identifier: GPL-2.0-or-later
"""A unix stream socket that carries whole messages and never blocks: what cannot be sent at once is queued.

Used by the workers' switchboard (ha.shell) and by the root pair's doors (ha.apphbd), which are below it.
"""

from __future__ import annotations

import os
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ha.ipc import codec
from ha.ipc.frames import FrameError, FrameReader, frame
from ha.ipc.limits import MAX_FRAME_BYTES, MAX_HELLO_BYTES, READ_BYTES
from ha.machine import Message

_inbox = memoryview(bytearray(READ_BYTES))
"""What one read takes, until it is cut into frames: a fresh buffer of this size for each is a mapping and three calls
of the kernel, more than the rest of a small message costs. One thread of a process reads streams."""


class Watcher(Protocol):
    """The loop that waits for descriptors."""

    def watch(self, fd: int, on_readable: Callable[[], None], /) -> None: ...
    def watch_writable(self, fd: int, on_writable: Callable[[], None] | None, /) -> None: ...
    def unwatch(self, fd: int, /) -> None: ...


class MessageStream(ABC):
    """One connection. `limit` bounds a frame from the peer, `max_queued` the bytes that wait for it."""

    def __init__(self, watcher: Watcher, stream: socket.socket, *, limit: int, max_queued: int) -> None:
        self.stream = stream
        self.reader = FrameReader(limit)
        self.max_queued = max_queued
        self.closed = False
        self._watcher = watcher
        self._out: deque[memoryview] = deque()
        self._out_bytes = 0
        watcher.watch(stream.fileno(), self._readable)

    @abstractmethod
    def arrived(self, message: Message) -> None:
        """A whole, valid message came."""

    @abstractmethod
    def gone(self, reason: str) -> None:
        """The connection has closed; `reason` is empty when the peer hung up."""

    @abstractmethod
    def misspoke(self, text: str) -> None:
        """The peer sent what is no message of ours; the connection closes right after."""

    def send(self, message: Message) -> None:
        body = codec.encode(message)
        if len(body) > MAX_FRAME_BYTES:
            self.close(f"a message of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
            return
        self.send_frame(frame(body, MAX_FRAME_BYTES))

    def send_frame(self, data: bytes) -> None:
        if self.closed:
            return
        if self._out_bytes + len(data) > self.max_queued:
            self.close(f"it does not read: {self._out_bytes} bytes wait for it")
            return
        self._out.append(memoryview(data))
        self._out_bytes += len(data)
        if len(self._out) == 1:
            self._writable()

    def close(self, reason: str = "") -> None:
        if self.closed:
            return
        self.closed = True
        self._watcher.unwatch(self.stream.fileno())
        self.stream.close()
        self._out.clear()
        # A timer may hold this object for a while yet: what it had read must not stay with it.
        self.reader = FrameReader(0)
        self.gone(reason)

    def _writable(self) -> None:
        try:
            while self._out:
                sent = self.stream.send(self._out[0], socket.MSG_NOSIGNAL)
                self._out_bytes -= sent
                if sent == len(self._out[0]):
                    self._out.popleft()
                else:
                    self._out[0] = self._out[0][sent:]
        except BlockingIOError:
            self._watcher.watch_writable(self.stream.fileno(), self._writable)
            return
        except OSError as error:
            self.close(os.strerror(error.errno or 0))
            return
        self._watcher.watch_writable(self.stream.fileno(), None)

    def _readable(self) -> None:
        try:
            # Whoever may say no more than a hello is read no further.
            size = self.stream.recv_into(_inbox, min(READ_BYTES, max(self.reader.limit, MAX_HELLO_BYTES)))
        except BlockingIOError:
            return
        except OSError as error:
            self.close(os.strerror(error.errno or 0))
            return
        if not size:
            self.close()
            return
        try:
            for body in self.reader.feed(_inbox[:size]):
                self.arrived(codec.decode(body))
                if self.closed:
                    return
        except (FrameError, codec.CodecError) as error:
            self.misspoke(str(error))
            self.close()
