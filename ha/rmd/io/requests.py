# SPDX-License-Identifier: GPL-2.0-or-later
"""rmd.sock: what the crmd and programs ask of rmd."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.states import getProcessStateDescription

from ha.apphbd.io.links import Door
from ha.machine import Client, Instant, Local, Message
from ha.rmd.msg import (
    GetWorkers,
    LeaveCluster,
    LeftCluster,
    ReleaseLease,
    RenewLease,
    ResetNode,
    ResourcesStopped,
    StartWorker,
    StopResources,
    StopWorker,
    WatchdogArmed,
    WorkerLine,
    Workers,
)

if TYPE_CHECKING:
    from ha.rmd.io.loop import RootSupervisor
    from ha.rmd.io.process import Worker

CRMD = Local("crmd")
LRMD = Local("lrmd")
HARESOURCES = Local("haresources")
"""Without a CRM: it leaves and stops resources, as crmd and lrmd do."""


class Requests:
    """Serves the door `rmd` of the node. `reset(reason)` carries out ResetNode."""

    def __init__(self, supervisor: RootSupervisor, reset: Callable[[str], None]) -> None:
        self.supervisor = supervisor
        self._reset = reset
        self._standing: dict[Local | Client, Message] = {}
        """What a worker was asked to do and has not answered: it is asked again when it comes back."""
        incarnation = f"{supervisor.node}-{supervisor.pid}-{supervisor.now():x}"
        self._door = Door("rmd", supervisor.node, incarnation, supervisor.root, self)

    def close(self) -> None:
        self._door.close()

    def ask_to_leave(self) -> None:
        self._ask(self._manager(CRMD), LeaveCluster())

    def ask_to_stop_resources(self) -> None:
        self._standing.pop(self._manager(CRMD), None)
        self._ask(self._manager(LRMD), StopResources())

    def _manager(self, otherwise: Local) -> Local:
        return HARESOURCES if self.supervisor.worker(HARESOURCES.module) is not None else otherwise

    def _ask(self, worker: Local, order: Message) -> None:
        self._standing[worker] = order
        self._door.send(worker, order)

    def now(self) -> Instant:
        return self.supervisor.now()

    # The door's host -------------------------------------------------------------------------------------------------

    def watch(self, descriptor: int, on_readable: Callable[[], None]) -> None:
        self.supervisor.watch(descriptor, on_readable)

    def watch_writable(self, descriptor: int, on_writable: Callable[[], None] | None) -> None:
        self.supervisor.watch_writable(descriptor, on_writable)

    def unwatch(self, descriptor: int) -> None:
        self.supervisor.unwatch(descriptor)

    def note_link(self, text: str) -> None:
        self.supervisor.options.logger.info(text)

    def watchdog_is_armed(self, timeout_ms: int) -> None:
        self._door.send(CRMD, WatchdogArmed(timeout_ms=timeout_ms))

    def linked(self, peer: Local | Client) -> None:
        if peer == CRMD and self.supervisor.lease.watchdog_timeout_ms:
            self.watchdog_is_armed(self.supervisor.lease.watchdog_timeout_ms)
        if (order := self._standing.get(peer)) is not None:
            self._door.send(peer, order)

    def unlinked(self, peer: Local | Client) -> None:
        """A worker's end is noticed by its process."""

    def heard(self, peer: Local | Client, message: Message) -> None:
        if isinstance(message, GetWorkers):
            self._door.send(peer, Workers(workers=[_line(worker) for worker in self.supervisor.workers()]))
            return
        if isinstance(peer, Client) and peer.uid not in {0, os.geteuid()}:
            self._door.complain(f"{peer.program} (uid {peer.uid}) may not say {type(message).__name__} to rmd")
            return
        match message:
            case StartWorker(worker=name) | StopWorker(worker=name):
                self._order(name, start=isinstance(message, StartWorker), sender=peer)
            case LeftCluster(nothing_runs=nothing_runs) if peer in (CRMD, HARESOURCES):
                if isinstance(self._standing.get(peer), LeaveCluster):
                    del self._standing[peer]
                self.supervisor.crmd_has_left(nothing_runs=nothing_runs)
            case ResourcesStopped(failed=failed) if peer in (LRMD, HARESOURCES):
                self._standing.pop(peer, None)
                self.supervisor.resources_are_stopped(tuple(failed))
            case RenewLease(until=until) if peer == CRMD:
                self.supervisor.lease.renew(until)
            case ReleaseLease() if peer == CRMD:
                self.supervisor.lease.release()
            case ResetNode(reason=reason):
                self._reset(reason)
            case _:
                self._door.complain(f"{peer} said {type(message).__name__}, which rmd does not serve")

    def _order(self, name: str, *, start: bool, sender: Local | Client) -> None:
        worker = self.supervisor.worker(name)
        if worker is None:
            self._door.complain(f"{sender} asks for {name}, which is in no stanza")
        elif start and self.supervisor.accepts_starts:
            worker.ensure_started()
        elif not start:
            worker.ensure_stopped()


def _line(worker: Worker) -> WorkerLine:
    return WorkerLine(
        worker=worker.name,
        pid=worker.pid,
        state=getProcessStateDescription(worker.state),
        restarts=worker.restarts.restarts,
        ready_ms=worker.ready_ms,
    )
