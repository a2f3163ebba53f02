# SPDX-License-Identifier: GPL-2.0-or-later
"""Applications that have themselves watched: each is a connection, and its end without a word is a failure too.

Those of a former apphbd have lost theirs without a fault of their own. Until they register again only the end of their
process counts as a failure.

Names, defaults and answers are those of Heartbeat's apphbd, so that its clients run unchanged.
"""

from __future__ import annotations

import errno

from ha.apphbd.core.watched import EventName, Key, Watched
from ha.apphbd.model.registrations import AwaitEnd, KeepRegistrations, Registration
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
from ha.machine import Client, Effect, Execute, Instant, Message, Note, Reply

MAX_APPLICATIONS = 256
MAX_PER_USER = 64
"""Of one user who is not root: no single user may take all the places."""
MAX_SUBSCRIBERS = 16
MAX_NAME_LENGTH = 255
FIRST_INTERVAL_MS = 600_000
"""Until the application says otherwise. Source: Heartbeat 3.0.6."""

ADOPTED = "its connection ended with a former apphbd: only its end is seen until it registers again"

Report = tuple[Watched, EventName, int]
"""Who, what, and after which silence in milliseconds."""


class Applications:
    """`clients` is apphbd's table of all clients: applications stand in it beside the workers."""

    def __init__(self, clients: dict[Key, Watched]) -> None:
        self._clients = clients
        self._by_program: dict[Client, Watched] = {}
        self._adopted: dict[Key, Watched] = {}
        self.changed = False
        """The registrations have, since they were kept."""
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
                self.changed = True
                client.interval_ms = client.deadline_ms = max(0, interval_ms)
                effects.append(Reply(program, AppAnswer(error=0)))
                client.beat(now)
            case AppWarn(warntime_ms=warntime_ms):
                self.changed = True
                client.warntime_ms = max(0, warntime_ms)
                effects.append(Reply(program, AppAnswer(error=0)))
                client.beat(now)
            case AppBoot(reset=reset):
                self.changed = True
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
        if key in self._adopted and self._adopted[key].registered == request:
            del self._adopted[key], self._clients[key]
        if key in self._clients:
            return errno.EEXIST
        self.changed = True
        client = Watched(module, program.pid, "well", now, deadline_ms=FIRST_INTERVAL_MS, expected=True)
        client.kind = "application"
        client.registered = request
        client.interval_ms = FIRST_INTERVAL_MS
        self._clients[key] = self._by_program[program] = client
        effects.append(Note("info", f"{client.label} of uid {program.uid} is watched"))
        return 0

    def _forget(self, program: Client, client: Watched) -> None:
        self.changed = True
        del self._by_program[program]
        self._clients.pop((client.module, client.pid), None)


    # Of a former apphbd ----------------------------------------------------------------------------------------------

    def adopt(self, registrations: tuple[Registration, ...], now: Instant, effects: list[Effect]) -> None:
        for one in registrations[:MAX_APPLICATIONS]:
            key = (f"{one.name}/{one.instance}", one.pid)
            if key in self._clients:
                continue  # it was quicker
            client = Watched(*key, "well", now, expected=True, reset=one.reset, kind="application", status=ADOPTED)
            client.registered = Register(
                name=one.name, instance=one.instance, pid=one.pid, uid=one.uid, gid=one.gid
            )
            client.interval_ms = one.interval_ms
            self._clients[key] = self._adopted[key] = client
            effects.append(Execute(f"life {one.pid} {key[0]}", AwaitEnd(one.pid, one.begun)))
        if registrations:
            self.changed = True
            effects.append(Note("info", f"{len(registrations)} applications of a former apphbd: watched for their end"))

    def ended(self, operation: str, now: Instant) -> list[Report]:
        """The process of an application of a former apphbd. One that has registered again hangs up by itself."""
        _, pid, module = operation.split(" ", 2)
        client = self._adopted.pop((module, int(pid)), None)
        if client is None:
            return []
        self.changed = True
        del self._clients[module, int(pid)]
        return [(client, "HUP", now - client.since)]

    def kept(self) -> KeepRegistrations:
        """All there are, for a successor."""
        self.changed = False
        clients = [*self._by_program.values(), *self._adopted.values()]
        return KeepRegistrations(tuple(_registration(client) for client in clients))


def _registration(client: Watched) -> Registration:
    who = client.registered
    assert who is not None, client
    return Registration(
        name=who.name, instance=who.instance, pid=who.pid, uid=who.uid, gid=who.gid,
        interval_ms=client.interval_ms, warntime_ms=client.warntime_ms, reset=client.reset,
    )  # fmt: skip


def _beat(client: Watched, now: Instant) -> list[Report]:
    silent_ms = now - client.since
    report = client.beat(now)
    return [] if report is None else [(client, report, silent_ms)]


def _printable(name: str) -> bool:
    return name.isprintable()
