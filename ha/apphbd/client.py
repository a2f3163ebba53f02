# SPDX-License-Identifier: GPL-2.0-or-later
"""For Python programs that want to be watched.

with Application.register(Root.choose(), "backup", "nightly", interval_ms=60_000) as application:
    for file in files:
        copy(file)
        application.beat()

Who leaves the block in good order is watched no more. Who dies in it, or is silent for longer than the interval, has
failed: rmd, `ha apphb watch` and every subscriber are told.
"""

from __future__ import annotations

import os
from types import TracebackType

from ha.apphbd.msg import AppAnswer, AppBeat, AppBoot, AppInterval, AppRequest, AppUnregister, AppWarn, Register
from ha.ipc.client import Connection, NotConnected
from ha.root import Root

ANSWER_TIMEOUT_MS = 5_000


class Refused(Exception):
    """apphbd does not watch this program as asked; `error` is the errno, the text says what it means."""

    def __init__(self, request: AppRequest, error: int) -> None:
        super().__init__(f"apphbd refuses {type(request).__name__}: {os.strerror(error)}")
        self.error = error


class Application:
    """Not for threads. Every method raises NotConnected when apphbd is gone: register anew then."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    def register(
        cls, root: Root, name: str, instance: str, *, interval_ms: int, warntime_ms: int = 0, reset: bool = False
    ) -> Application:
        """`interval_ms`: the silence that is a failure; `warntime_ms`: the late one, 0: none is late. `reset`: the node
        is to be reset when this program fails (root alone may ask for that). Raises NotConnected, Refused.
        """
        application = cls(Connection.open(root, "apphbd", program="application"))
        try:
            application._ask(
                Register(name=name, instance=instance, pid=os.getpid(), uid=os.geteuid(), gid=os.getegid())
            )
            application._ask(AppInterval(interval_ms=interval_ms))
            if warntime_ms:
                application._ask(AppWarn(warntime_ms=warntime_ms))
            if reset:
                application._ask(AppBoot(reset=True))
        except BaseException:
            application._connection.close()
            raise
        return application

    def beat(self) -> None:
        """I am well. Costs a message, waits for nothing."""
        self._connection.send(AppBeat())

    def unregister(self) -> None:
        """Watch me no more."""
        self._ask(AppUnregister())
        self._connection.close()

    def _ask(self, request: AppRequest) -> None:
        answer = self._connection.ask(request, ANSWER_TIMEOUT_MS)
        if not isinstance(answer, AppAnswer):
            raise NotConnected(f"apphbd answered {type(answer).__name__}: is it another version?")
        if answer.error:
            raise Refused(request, answer.error)

    def __enter__(self) -> Application:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """An exception is a failure: it hangs up without a word."""
        if kind is None:
            self.unregister()
        else:
            self._connection.close()
