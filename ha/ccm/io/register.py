# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries ReadRegister and WriteRegister out, each in a thread of its own.

The thread is a daemon and no pool's: a file server that hangs in the kernel holds neither the loop, nor the durable
record (which the shell's own threads write), nor the end of the worker. ccm asks one thing at a time.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from ha.ccm.model.register import Failed, ReadOutcome, ReadRegister, WriteOutcome, WriteRegister
from ha.machine import Finished

if TYPE_CHECKING:
    from ha.shell import Loop


class Register(Protocol):
    """Blocking calls. They raise OSError for whatever the device or the network does."""

    name: str

    def read(self) -> ReadOutcome: ...
    def write(self, version: str, data: bytes) -> WriteOutcome: ...


def _break(error: BaseException) -> None:
    """A broken invariant ends the worker, in the loop's own thread."""
    raise error


class RegisterAdapter:
    requests: tuple[type, ...] = (ReadRegister, WriteRegister)

    def __init__(self, register: Register) -> None:
        self._register = register

    def open(self, loop: Loop) -> None:
        self._loop = loop

    def close(self) -> None:
        """What is under way is nobody's any more: the register itself says what came of it."""

    def execute(self, operation: str, request: object) -> None:
        assert isinstance(request, (ReadRegister, WriteRegister))
        threading.Thread(target=self._run, args=(operation, request), name="tie-breaker", daemon=True).start()

    def _run(self, operation: str, request: ReadRegister | WriteRegister) -> None:
        outcome: ReadOutcome | WriteOutcome
        try:
            if isinstance(request, ReadRegister):
                outcome = self._register.read()
            else:
                outcome = self._register.write(request.version, request.data)
        except OSError as error:
            outcome = Failed(f"{self._register.name}: {error.strerror or error}")
        except BaseException as error:
            self._loop.call_threadsafe(lambda error=error: _break(error))  # type: ignore[misc]
            return
        self._loop.post_threadsafe(Finished(operation, outcome))
