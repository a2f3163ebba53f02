# SPDX-License-Identifier: GPL-2.0-or-later
"""The other end of the register socket: for programs that ask heartbeat something."""

from __future__ import annotations

import os
import socket
import time
from types import TracebackType

from ha.heartbeat.model.api import FAILED, HEADER, MAGIC, MAX_API_MESSAGE_BYTES, MORE, OK, REQUEST, RESPONSE
from ha.heartbeat.model.wire import Fields, WireError, decode_unsigned, encode_unsigned
from ha.root import Root

REGISTER = "/run/heartbeat/register"


class ApiError(Exception):
    """Heartbeat is not there, hung up, or refuses; the text says which."""


class NotRunning(ApiError):
    """Nobody listens at the register socket."""


class ApiTimeout(ApiError):
    """No answer came in time."""


class Refused(ApiError):
    """Heartbeat answered that it does not know, or that one may not."""


class ApiClient:
    """Signed on while it is open: `with ApiClient(root) as heartbeat: heartbeat.ask("nodelist")`.

    `name` "" makes a casual client. Raises ApiError.
    """

    def __init__(self, root: Root, name: str = "", timeout_ms: int = 5_000) -> None:
        self._name = name or str(os.getpid())
        self._timeout_ms = timeout_ms
        self._received = bytearray()
        self._stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self._stream.settimeout(timeout_ms / 1000)
        try:
            self._stream.connect(str(root.path(REGISTER)))
            self.signon = self.ask("signon")[0]
        except PermissionError as error:
            self._stream.close()
            raise ApiError(f"no permission to speak to heartbeat at {root.path(REGISTER)}") from error
        except OSError as error:
            self._stream.close()
            raise NotRunning(f"Heartbeat is not running: {root.path(REGISTER)}: {error.strerror}") from error
        except ApiError:
            self._stream.close()
            raise

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()

    def ask(self, reqtype: str, timeout_ms: int = 0, **fields: str) -> list[Fields]:
        """All messages of the answer. Raises Refused, ApiTimeout, NotRunning."""
        request = [
            ("t", REQUEST),
            ("reqtype", reqtype),
            ("from_id", self._name),
            ("pid", str(os.getpid())),
            ("uid", str(os.getuid())),
            ("gid", str(os.getgid())),
            *fields.items(),
        ]
        self.send(Fields(request))
        deadline = time.monotonic() + (timeout_ms or self._timeout_ms) / 1000
        answers: list[Fields] = []
        while True:
            answer = self.receive(deadline)
            if reqtype == "clientstatus" and answer.text("t") == "respond-cstatus":
                return [answer]  # another node's answer comes as a message of its own
            if answer.text("t") != RESPONSE or answer.text("reqtype") != reqtype:
                continue  # an event
            if answer.text("result") not in (OK, MORE):
                raise Refused(answer.text("failreason", FAILED))
            answers.append(answer)
            if answer.text("result") == OK:
                return answers

    def send(self, message: Fields) -> None:
        data = encode_unsigned(message)
        try:
            self._stream.sendall(HEADER.pack(len(data), MAGIC) + data)
        except OSError as error:
            raise NotRunning(f"heartbeat hung up: {error.strerror}") from error

    def receive(self, deadline: float) -> Fields:
        """The next message, an event or part of an answer; `deadline` by time.monotonic()."""
        length, magic = HEADER.unpack(self._exactly(HEADER.size, deadline))
        if magic != MAGIC or length > MAX_API_MESSAGE_BYTES:
            raise ApiError("what listens at the register socket is no heartbeat")
        try:
            return decode_unsigned(self._exactly(length, deadline))[0]
        except WireError as error:
            raise ApiError(f"heartbeat speaks nonsense: {error}") from error

    def _exactly(self, length: int, deadline: float) -> bytes:
        while len(self._received) < length:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise ApiTimeout("no answer in time")
            self._stream.settimeout(left_s)
            try:
                data = self._stream.recv(65536)
            except TimeoutError as error:
                raise ApiTimeout("no answer in time") from error
            except OSError as error:
                raise NotRunning(f"heartbeat hung up: {error.strerror}") from error
            if not data:
                raise NotRunning("heartbeat hung up")
            self._received += data
        taken = bytes(self._received[:length])
        del self._received[:length]
        return taken
