# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of stanzas that speak the notify protocol: what each of their words means for the watch.

A service beats twice within its WatchdogSec (sd_watchdog_enabled(3)). So it is late when three quarters of that have
passed without a beat, and hung when all of it has: then systemd would kill it too.
"""

from __future__ import annotations

from ha.apphbd.core.watched import EventName, Key, Watched
from ha.apphbd.msg import ExpectProgram, Notice, Promised
from ha.machine import Effect, Instant, Local, Note, Send

RMD = Local("rmd")

Report = tuple[Watched, EventName, int]
"""Who, what, and after which silence in milliseconds."""


class Programs:
    """`clients` is apphbd's table of all clients: programs stand in it beside workers and applications."""

    def __init__(self, clients: dict[Key, Watched]) -> None:
        self._clients = clients
        self._promised: dict[Key, Promised] = {}
        """What rmd knows of each."""

    def expect(self, program: ExpectProgram, now: Instant) -> None:
        key = (program.module, program.pid)
        client = Watched(*key, "well", now, expected=True, kind="program")
        self._clients[key] = client
        self._promised[key] = Promised(
            module=program.module, pid=program.pid, main_pid=program.main_pid, watchdog_ms=program.watchdog_ms
        )
        if program.start_deadline_ms:
            client.state = "starting"
            client.deadline_ms = program.start_deadline_ms
        else:
            self._watch(client)

    def forget(self, key: Key) -> None:
        self._promised.pop(key, None)

    def heard(self, notice: Notice, now: Instant, effects: list[Effect]) -> list[Report]:
        """One that has said STOPPING=1 is shown until it has ended, and what it says then changes nothing."""
        key = (notice.module, notice.pid)
        client = self._clients.get(key)
        if client is None or client.kind != "program" or key not in self._promised:
            return []
        self._promise(key, notice, effects)
        if notice.status is not None:
            client.status = notice.status
        if notice.stopping:
            del self._promised[key]
            client.state = "well"
            client.interval_ms = client.warntime_ms = client.deadline_ms = 0
            client.status = client.status or "stopping"
            return [(client, "HBUNREG", now - client.since)]
        silent_ms = now - client.since
        if notice.watchdog == "trigger":
            return self._become_hung(client, silent_ms, effects)
        report: EventName | None = None
        if notice.watchdog == "1" or (notice.ready and client.state == "starting"):
            report = client.beat(now)
        if client.state != "starting":
            self._watch(client)
        return [] if report is None else [(client, report, silent_ms)]

    def _promise(self, key: Key, notice: Notice, effects: list[Effect]) -> None:
        former = self._promised[key]
        promised = Promised(
            module=notice.module,
            pid=notice.pid,
            main_pid=former.main_pid if notice.main_pid is None else notice.main_pid,
            watchdog_ms=former.watchdog_ms if notice.watchdog_ms is None else notice.watchdog_ms,
        )
        if promised != former:
            self._promised[key] = promised
            effects.append(Send(RMD, promised))

    def _watch(self, client: Watched) -> None:
        watchdog_ms = self._promised[(client.module, client.pid)].watchdog_ms
        client.interval_ms = watchdog_ms // 2
        client.warntime_ms = watchdog_ms * 3 // 4
        client.deadline_ms = watchdog_ms

    @staticmethod
    def _become_hung(client: Watched, silent_ms: int, effects: list[Effect]) -> list[Report]:
        if client.state == "hung":
            return []
        client.state = "hung"
        effects.append(Note("warning", f"{client.label}: says itself that it hangs (WATCHDOG=trigger)"))
        return [(client, "NOHB", silent_ms)]
