# SPDX-License-Identifier: GPL-2.0-or-later
"""Applications that have themselves watched: each is a connection, and its end without a word is a failure too.

Names, defaults and answers are those of Heartbeat's apphbd, so that its clients run unchanged.
"""

from __future__ import annotations

import errno

from ha.apphbd.core.watched import EventName, Key, Watched
from ha.apphbd.msg import (
    AppAnswer,
    AppBeat,
    AppBoot,
    AppInterval,
    AppRequest,
    AppUnregister,
    AppWarn,
    Register,
    Subscribe,
)
from ha.machine import Client, Effect, Instant, Message, Note, Reply

MAX_APPLICATIONS = 256
MAX_PER_USER = 64
"""Of one user who is not root: no single user may take all the places."""
MAX_SUBSCRIBERS = 16
MAX_NAME_LENGTH = 255
FIRST_INTERVAL_MS = 600_000
"""Until the application says otherwise. Source: Heartbeat 3.0.6."""

Report = tuple[Watched, EventName, int]
"""Who, what, and after which silence in milliseconds."""


class Applications:
    """`clients` is apphbd's table of all clients: applications stand in it beside the workers."""

    def __init__(self, clients: dict[Key, Watched]) -> None:
        self._clients = clients
        self._by_program: dict[Client, Watched] = {}
        self.subscribers: list[Client] = []

    @staticmethod
    def understand(message: Message) -> bool:
        return isinstance(message, AppRequest | Subscribe)

    def heard(self, program: Client, message: Message, now: Instant, effects: list[Effect]) -> list[Report]:
        client = self._by_program.get(program)
        match message:
            case Subscribe():
                effects.append(Reply(program, AppAnswer(error=self._subscribe(program))))
            case Register():
                effects.append(Reply(program, AppAnswer(error=self._register(program, message, now, effects))))
            case AppBeat():
                return [] if client is None else _beat(client, now)
            case _ if client is None:
                effects.append(Reply(program, AppAnswer(error=errno.ESRCH)))
            case AppInterval(interval_ms=interval_ms):
                client.interval_ms = client.deadline_ms = max(0, interval_ms)
                effects.append(Reply(program, AppAnswer(error=0)))
                client.beat(now)
            case AppWarn(warntime_ms=warntime_ms):
                client.warntime_ms = max(0, warntime_ms)
                effects.append(Reply(program, AppAnswer(error=0)))
                client.beat(now)
            case AppBoot(reset=reset):
                allowed = program.uid == 0
                client.reset = reset and allowed
                effects.append(Reply(program, AppAnswer(error=0 if allowed or not reset else errno.EPERM)))
            case AppUnregister():
                self._forget(program, client)
                effects.append(Reply(program, AppAnswer(error=0)))
                return [(client, "HBUNREG", now - client.since)]
        return []

    def hung_up(self, program: Client, now: Instant) -> list[Report]:
        """Its connection has ended. Whoever had not unregistered has failed."""
        if program in self.subscribers:
            self.subscribers.remove(program)
        client = self._by_program.get(program)
        if client is None:
            return []
        self._forget(program, client)
        return [(client, "HUP", now - client.since)]

    def _subscribe(self, program: Client) -> int:
        if program not in self.subscribers:
            if len(self.subscribers) >= MAX_SUBSCRIBERS:
                return errno.ENOSPC
            self.subscribers.append(program)
        return 0

    def _register(self, program: Client, request: Register, now: Instant, effects: list[Effect]) -> int:
        if program in self._by_program:
            return errno.EEXIST
        names = (request.name, request.instance)
        if not request.name or any(len(name) > MAX_NAME_LENGTH or not _printable(name) for name in names):
            return errno.EINVAL
        if (request.pid, request.uid, request.gid) != (program.pid, program.uid, program.gid):
            return errno.EINVAL
        same_user = sum(other.uid == program.uid for other in self._by_program)
        if len(self._by_program) >= MAX_APPLICATIONS or (program.uid and same_user >= MAX_PER_USER):
            effects.append(Note("warning", f"{request.name} (pid {request.pid}) is not watched: too many are"))
            return errno.ENOSPC
        module = f"{request.name}/{request.instance}"
        key = (module, program.pid)
        if key in self._clients:
            return errno.EEXIST
        client = Watched(module, program.pid, "well", now, deadline_ms=FIRST_INTERVAL_MS, expected=True)
        client.kind = "application"
        client.registered = request
        client.interval_ms = FIRST_INTERVAL_MS
        self._clients[key] = self._by_program[program] = client
        effects.append(Note("info", f"{client.label} of uid {program.uid} is watched"))
        return 0

    def _forget(self, program: Client, client: Watched) -> None:
        del self._by_program[program]
        self._clients.pop((client.module, client.pid), None)


def _beat(client: Watched, now: Instant) -> list[Report]:
    silent_ms = now - client.since
    report = client.beat(now)
    return [] if report is None else [(client, report, silent_ms)]


def _printable(name: str) -> bool:
    return name.isprintable()
