# SPDX-License-Identifier: GPL-2.0-or-later
"""A blocking connection to one worker of a node, for programs.

with Connection.open(root, "cib", program="cibadmin") as cib:
    answer = cib.ask(Query(request_id=cib.new_request_id()), timeout_ms=30_000)
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections import deque
from types import TracebackType

from ha.ipc.dialect import Dialect
from ha.ipc.frames import FrameError, FrameReader, frame
from ha.ipc.hello import PROTOCOL, Hello, Refused, Welcome
from ha.ipc.limits import CLIENT_READ_BYTES, MAX_FRAME_BYTES
from ha.machine import Message
from ha.root import Root

CONNECT_TIMEOUT_MS = 5_000


class NotConnected(Exception):
    """The worker is not there, hung up, or does not let this program in. Tools exit with 102."""


class TimedOut(NotConnected):
    """No answer came in time. Tools exit with 124."""


class Connection:
    """One program's link to one worker. Not for threads."""

    def __init__(self, stream: socket.socket, welcome_timeout_ms: int, program: str, worker: str) -> None:
        self.worker = worker
        self._socket = stream
        self._dialect = Dialect(worker)
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._arrived: deque[Message] = deque()
        self._requests = 0
        self._identity = f"{program}-{os.getpid()}-{time.time_ns():x}-{os.urandom(3).hex()}"
        self.send(Hello(protocol=PROTOCOL, kind="program", name=program))
        reply = self.receive(welcome_timeout_ms)
        if isinstance(reply, Refused):
            raise NotConnected(f"{worker} refuses: {reply.reason}")
        if not isinstance(reply, Welcome):
            raise NotConnected(f"{worker} answered {type(reply).__name__} to Hello: is it another version?")
        self.node = reply.node

    @classmethod
    def open(cls, root: Root, worker: str, *, program: str, timeout_ms: int = CONNECT_TIMEOUT_MS) -> Connection:
        """Raises NotConnected with a sentence for the operator."""
        path = root.socket(worker)
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        stream.settimeout(timeout_ms / 1000)
        try:
            stream.connect(str(path))
            return cls(stream, timeout_ms, program, worker)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            stream.close()
            raise NotConnected(f"the cluster is not running on this node: no {worker} at {path}") from error
        except PermissionError as error:
            stream.close()
            raise NotConnected(f"no permission to speak to {worker} ({path}): be root or in group haclient") from error
        except OSError as error:
            stream.close()
            raise NotConnected(f"{worker} cannot be reached at {path}: {error}") from error
        except NotConnected:
            stream.close()
            raise

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For select: readable when receive() may find something."""
        return self._socket.fileno()

    def new_request_id(self) -> str:
        """Never used before by any program on any node."""
        self._requests += 1
        return f"{self._identity}-{self._requests}"

    def send(self, message: Message) -> None:
        try:
            self._socket.sendall(frame(self._dialect.encode(message), MAX_FRAME_BYTES))
        except FrameError:
            raise
        except OSError as error:
            raise NotConnected(f"{self.worker} hung up: {error}") from error

    def receive(self, timeout_ms: int) -> Message:
        """The next message. Raises TimedOut, or NotConnected when the worker hung up or spoke nonsense."""
        deadline = time.monotonic() + timeout_ms / 1000
        while not self._arrived:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._socket], [], [], left)[0]:
                raise TimedOut(f"no answer from {self.worker} within {timeout_ms} ms")
            try:
                data = self._socket.recv(CLIENT_READ_BYTES)
                if not data:
                    raise NotConnected(f"{self.worker} hung up")
                self._arrived.extend(self._dialect.decode(body) for body in self._reader.feed(data))
            except (OSError, FrameError, ValueError) as error:
                raise NotConnected(f"{self.worker}: {error}") from error
        return self._arrived.popleft()

    def ask(self, request: Message, timeout_ms: int) -> Message:
        """Send a request and return the message that answers it: the one with the same request_id, if it has one.

        Other messages that come meanwhile are kept for receive().
        """
        self.send(request)
        wanted = getattr(request, "request_id", None)
        deadline = time.monotonic() + timeout_ms / 1000
        passed: list[Message] = []
        try:
            while True:
                left_ms = max(0, int((deadline - time.monotonic()) * 1000))
                message = self.receive(left_ms)
                if wanted is None or getattr(message, "request_id", None) == wanted:
                    return message
                passed.append(message)
        finally:
            self._arrived.extendleft(reversed(passed))
