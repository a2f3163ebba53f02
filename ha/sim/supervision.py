# SPDX-License-Identifier: GPL-2.0-or-later
"""Twins of rmd and apphbd on one node: they start the workers, restart the dead, kill and restart the hung.

rmd's conversation with the crmd (StartWorker, LeaveCluster ...) is a machine like any other, `RmdTwin`, so that it is
linked, traced and ordered like the workers; the rest of the pair acts on processes directly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ha.ipc import codec
from ha.machine import Connected, Effect, Event, Instant, Local, Received, Reply, Send, Stopping
from ha.rmd.msg import (
    GetWorkers,
    LeaveCluster,
    LeftCluster,
    ReleaseLease,
    RenewLease,
    ResetNode,
    StartWorker,
    StopWorker,
    WatchdogArmed,
    WorkerLine,
    Workers,
)
from ha.sim.agenda import MS, SECOND, Ticket
from ha.sim.watchdog import WatchdogTwin

CRMD = Local("crmd")

if TYPE_CHECKING:
    from ha.sim.node import Node
    from ha.sim.process import Process

RESTART_US = 12 * MS
"""From a worker's death to its successor's first event (measured with forked workers: 6.6 ms, under load 20)."""

SPAWN_US = 4 * MS
"""Between one worker's start and the next's when the node starts."""

STOP_US = 100 * MS
"""What a worker gets after Stopping before it is killed."""

BEAT_US = 100 * MS
"""A frozen worker may have beaten up to this long before it froze."""

INTENSITY = 50
INTENSITY_PERIOD_US = 60 * SECOND
"""More restarts of one worker in the period than this are a crash loop: the run stops with a broken invariant."""


class RmdTwin:
    """What rmd answers to the crmd and to programs."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor

    def step(self, event: Event, now: Instant) -> list[Effect]:
        if isinstance(event, Connected) and event.peer == CRMD and self.supervisor.watchdog is not None:
            return [Send(CRMD, WatchdogArmed(timeout_ms=self.supervisor.watchdog.timeout_ms))]
        if not isinstance(event, Received):
            return []
        message, sender = event.message, event.sender
        if isinstance(message, StartWorker):
            self.supervisor.want(message.worker)
        elif isinstance(message, StopWorker):
            self.supervisor.stop(message.worker)
        elif isinstance(message, LeftCluster):
            self.supervisor.left()
        elif isinstance(message, RenewLease):
            self.supervisor.lease(message.until)
        elif isinstance(message, ReleaseLease):
            self.supervisor.lease(None)
        elif isinstance(message, ResetNode):
            self.supervisor.reset(str(sender), message.reason)
        elif isinstance(message, GetWorkers) and not isinstance(sender, Local):
            return [Reply(sender, self._workers())]  # type: ignore[arg-type]
        else:
            raise AssertionError(f"rmd does not know {type(message).__name__}")
        return []

    def _workers(self) -> Workers:
        restarts = self.supervisor.restarts
        return Workers(
            workers=[
                WorkerLine(worker=name, pid=1, state="RUNNING", restarts=len(restarts.get(name, [])), ready_ms=0)
                for name in self.supervisor.node.processes
            ]
        )


class Supervisor:
    """The pair on one node, from power-on to power-off."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.world = node.world
        self.wanted: list[str] = []
        self.restarts: dict[str, list[int]] = {}
        self._hang: dict[Process, Ticket] = {}
        timeout_ms = int(self.world.options.get("watchdog", "0"))
        self.watchdog = WatchdogTwin(node, timeout_ms) if node.powered and timeout_ms else None
        """Its `watchdog` option is the timeout in milliseconds; none without."""

    def start(self) -> None:
        """All workers of the stack that start with the node, in its order."""
        delay_us = 0
        for kind in self.world.stack.workers:
            if kind.on_demand:
                continue
            self.wanted.append(kind.name)
            self._spawn_after(kind.name, delay_us)
            delay_us += SPAWN_US

    def want(self, name: str) -> None:
        if name not in self.wanted:
            self.wanted.append(name)
            self._spawn_after(name, RESTART_US)

    def restart(self, process: Process) -> None:
        """`supervisorctl restart`: SIGTERM, SIGKILL when it takes too long, and a successor."""
        process.post(Stopping())

        def overdue() -> None:
            if process.alive:
                self.died(process)

        self.world.agenda.after(STOP_US, overdue)

    def exited(self, process: Process) -> None:
        """Of itself, after its last words."""
        self.node.kill(process)
        if process.name in self.wanted:
            self._spawn_after(process.name, RESTART_US)

    def stop(self, name: str) -> None:
        """SIGTERM, and SIGKILL when it takes too long."""
        if name in self.wanted:
            self.wanted.remove(name)
        process = self.node.processes.get(name)
        if process is not None:
            process.post(Stopping())
            self.world.agenda.after(STOP_US, lambda: self._end(process))

    def _end(self, process: Process) -> None:
        if process.alive and process.name not in self.wanted:
            self.node.kill(process)

    def leave(self) -> None:
        """An orderly stop of the node was asked for: the crmd moves the resources off first."""
        rmd = self.node.processes["rmd"]
        rmd.send_local("crmd", codec.encode(LeaveCluster()))

    def left(self) -> None:
        """The crmd has nothing running here any more: end the workers, the latest started first."""
        self.world.log(f"{self.node.name}/rmd", "notice", "left the cluster, stopping the workers")
        self.wanted.clear()
        delay_us = 0
        for process in reversed(self.node.processes.values()):
            delay_us += SPAWN_US
            self.world.agenda.after(delay_us, lambda process=process: self._term(process))  # type: ignore[misc]

    def _term(self, process: Process) -> None:
        if process.alive:
            process.post(Stopping())
            self.world.agenda.after(STOP_US, lambda: self._end(process))

    def lease(self, until: Instant | None) -> None:
        if self.watchdog is not None:
            self.watchdog.told(until)

    def reset(self, sender: str, reason: str) -> None:
        self.world.log(f"{self.node.name}/rmd", "critical", f"resets the node for {sender}: {reason}")
        self.world.agenda.after(0, lambda: self.node.power_cycle("reset by its own rmd"))

    def died(self, process: Process) -> None:
        """A worker is to end without a word; its successor comes at once."""
        self.node.kill(process)
        if process.name not in self.wanted:
            return
        recent = self.restarts.setdefault(process.name, [])
        recent.append(self.world.agenda.now_us)
        while recent[0] < self.world.agenda.now_us - INTENSITY_PERIOD_US:
            recent.pop(0)
        assert len(recent) <= INTENSITY, f"{process!r} is in a crash loop"
        self._spawn_after(process.name, RESTART_US)

    def froze(self, process: Process) -> None:
        """SIGSTOP: apphbd misses its beat at the deadline, rmd kills it and starts a successor."""
        early_us = self.world.chance("supervision").randrange(BEAT_US)
        deadline_us = self.world.stack.kind(process.name).deadline_ms * MS
        ticket = self.world.agenda.after(max(deadline_us - early_us, MS), lambda: self._hung(process))
        self._hang[process] = ticket

    def thawed(self, process: Process) -> None:
        ticket = self._hang.pop(process, None)
        if ticket is not None:
            ticket.cancel()

    def _hung(self, process: Process) -> None:
        self._hang.pop(process, None)
        if process.alive and process.frozen:
            self.world.log(f"{process!r}", "supervision", "hung beyond its deadline: killed")
            self.died(process)

    def _spawn_after(self, name: str, delay_us: int) -> None:
        boot = self.node.boot
        self.world.agenda.after(delay_us, lambda: self._spawn(name, boot))

    def _spawn(self, name: str, boot: int) -> None:
        node = self.node
        if node.powered and node.boot == boot and name in self.wanted and name not in node.processes:
            node.spawn(name)
