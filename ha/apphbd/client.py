# SPDX-License-Identifier: GPL-2.0-or-later
"""For Python programs that want to be watched, of whatever user.

with Application.register(Root.choose(), "backup", "nightly", interval_ms=60_000) as application:
    for file in files:
        copy(file)
        application.beat()

Who leaves the block in good order is watched no more. Who dies in it, or is silent for longer than the interval, has
failed: rmd, `ha apphb watch` and every subscriber are told. This is the classic protocol: its socket is for everybody.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import dataclass
from types import TracebackType

from ha.apphbd.model.applications import ANSWER_BYTES, SOCKET, ProtocolError, encode, error_of
from ha.apphbd.msg import AppBeat, AppBoot, AppInterval, AppRequest, AppUnregister, AppWarn, Register
from ha.ipc.client import NotConnected
from ha.root import Root

ANSWER_TIMEOUT_S = 5.0
AGAIN_TIMEOUT_S = 1.0
"""A beat that has to register anew waits no longer for each answer."""

PATIENCE_S = 10.0
"""An apphbd that died is back within a second or two; one that is away for longer is told to the program."""


class Refused(Exception):
    """apphbd does not watch this program as asked; `error` is the errno, the text says what it means."""

    def __init__(self, request: AppRequest, error: int) -> None:
        super().__init__(f"apphbd refuses {type(request).__name__}: {os.strerror(error)}")
        self.error = error


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What has to be said to any apphbd."""

    name: str
    instance: str
    interval_ms: int
    warntime_ms: int
    reset: bool

    def requests(self) -> list[AppRequest]:
        said: list[AppRequest] = [
            Register(name=self.name, instance=self.instance, pid=os.getpid(), uid=os.geteuid(), gid=os.getegid()),
            AppInterval(interval_ms=self.interval_ms),
        ]
        if self.warntime_ms:
            said.append(AppWarn(warntime_ms=self.warntime_ms))
        if self.reset:
            said.append(AppBoot(reset=True))
        return said


class Application:
    """Not for threads. When apphbd was replaced it registers anew by itself, with the next beat."""

    def __init__(self, root: Root, wishes: _Wishes) -> None:
        self._path = str(root.path(SOCKET))
        self._wishes = wishes
        self._link: socket.socket | None = None
        self._lost_at_s: float | None = None

    @classmethod
    def register(
        cls, root: Root, name: str, instance: str, *, interval_ms: int, warntime_ms: int = 0, reset: bool = False
    ) -> Application:
        """`interval_ms`: the silence that is a failure; `warntime_ms`: the late one, 0: none is late. `reset`: the node
        is to be reset when this program fails (root alone may ask for that). Raises NotConnected, Refused.
        """
        application = cls(root, _Wishes(name, instance, interval_ms, warntime_ms, reset))
        application._open(ANSWER_TIMEOUT_S)
        return application

    def beat(self) -> None:
        """I am well. Costs a message and waits for nothing, unless apphbd was replaced: then up to a second per answer.

        Raises NotConnected when there has been no apphbd for PATIENCE_S; a later beat tries again all the same.
        """
        if self._link is not None:
            try:
                self._link.sendall(encode(AppBeat()))
                return
            except OSError:
                self._hang_up()
        self._register_anew()

    def unregister(self) -> None:
        """Watch me no more. Raises NotConnected when there is no apphbd that could be told."""
        try:
            self._ask(AppUnregister())
        except NotConnected:  # it was replaced, and its successor awaits this program's end
            self._hang_up()
            self._open(ANSWER_TIMEOUT_S)
            self._ask(AppUnregister())
        self._hang_up()

    def _register_anew(self) -> None:
        now_s = time.monotonic()
        try:
            self._open(AGAIN_TIMEOUT_S)
        except NotConnected:
            if self._lost_at_s is None:
                self._lost_at_s = now_s
            if now_s - self._lost_at_s >= PATIENCE_S:
                raise

    def _open(self, timeout_s: float) -> None:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        link.settimeout(timeout_s)
        self._link = link
        try:
            link.connect(self._path)
            for request in self._wishes.requests():
                self._ask(request)
        except OSError as error:
            self._hang_up()
            raise NotConnected(f"no apphbd at {self._path}: {error.strerror or error}") from error
        except BaseException:
            self._hang_up()
            raise
        self._lost_at_s = None

    def _hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _ask(self, request: AppRequest) -> None:
        if self._link is None:
            raise NotConnected("apphbd was lost, and has not been found again")
        try:
            data = encode(request)
        except ValueError as error:
            raise Refused(request, errno.EINVAL) from error
        try:
            self._link.sendall(data)
            answer = self._answer(self._link)
            refusal = error_of(answer)
        except (OSError, ProtocolError) as error:
            raise NotConnected(f"apphbd at {self._path}: {error}") from error
        if refusal:
            raise Refused(request, refusal)

    @staticmethod
    def _answer(link: socket.socket) -> bytes:
        answer = b""
        while len(answer) < ANSWER_BYTES:
            data = link.recv(ANSWER_BYTES - len(answer))
            if not data:
                raise ConnectionResetError("it hung up")
            answer += data
        return answer

    def __enter__(self) -> Application:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An exception is a failure: it hangs up without a word."""
        if kind is None:
            self.unregister()
        else:
            self._hang_up()
