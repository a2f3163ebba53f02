# SPDX-License-Identifier: GPL-2.0-or-later
"""rmd's dealings with apphbd: what it is told, what it reports, and what becomes of the hung, apphbd included."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from supervisor.states import ProcessStates

from ha.apphbd.msg import (
    Beat,
    ClientEvent,
    Expect,
    Gone,
    LeaseLapsed,
    Promised,
    ShuttingDown,
    Watchdog,
)
from ha.ipc.codec import CodecError
from ha.machine import Instant, Message
from ha.rmd.core.pair import PairWatch
from ha.rmd.io import evidence
from ha.rmd.io.lease import LeaseKeeper
from ha.rmd.io.pair import BeatLine, Channel
from ha.rmd.model import APPHBD, Escalation, Settings

if TYPE_CHECKING:
    from ha.rmd.io.loop import RootSupervisor
    from ha.rmd.io.process import Worker

APPHBD_START_MS = 10_000
"""apphbd beats for the first time within this, or is killed and forked again."""

UNCONFIRMED_KILL_MS = 5_000
"""A worker that was killed and has not ended by then hangs in the kernel."""


class Guard:
    """`reset(reason)` is called when a killed process does not end: nothing may be started in its place."""

    def __init__(self, supervisor: RootSupervisor, settings: Settings, reset: Callable[[str], None]) -> None:
        self.supervisor = supervisor
        self.channel = Channel(settings)
        self.beat_line = BeatLine()
        self.lease = LeaseKeeper(supervisor, self)
        self._interval_ms = settings.pair_interval_ms
        self._reset = reset
        self._watch = PairWatch(APPHBD_START_MS, settings.pair_deadline_ms)
        self._beat_at: Instant = 0
        self._descriptor: int | None = None
        self._kills: dict[int, tuple[str, Instant]] = {}

    # Processes come and go -------------------------------------------------------------------------------------------

    def forked(self, worker: Worker) -> None:
        if worker.name != APPHBD:
            self._expect(worker)
            return
        self.channel.forked()
        self._watch.started(self.supervisor.now())
        self._descriptor = self.channel.descriptor
        assert self._descriptor is not None
        self.supervisor.watch(self._descriptor, self.listen)
        self._tell_everything(worker)

    def ended(self, worker: Worker, pid: int) -> None:
        self._kills.pop(pid, None)
        if worker.name != APPHBD:
            self.channel.send(Gone(module=worker.name, pid=pid))
            return
        self.close()
        if worker.state == ProcessStates.STOPPED and not self.supervisor.stopping:
            self.supervisor.warn("apphbd is stopped: nobody watches the workers, and nobody pets the watchdog")

    def _tell_everything(self, apphbd: Worker) -> None:
        self.channel.beat()
        self.lease.tell()
        for worker in self.supervisor.workers():
            if worker is not apphbd and worker.pid:
                self._expect(worker)
        if self.supervisor.stopping:
            self.channel.send(ShuttingDown())

    def _expect(self, worker: Worker) -> None:
        if worker.notify is None:
            self.channel.send(_expectation(worker))
        else:
            self.channel.send(worker.notify.expectation(worker.name, worker.pid), worker.notify.heard.fileno())

    def close(self) -> None:
        self._watch.ended()
        self._unwatch()
        self.channel.close()

    def _unwatch(self) -> None:
        if self._descriptor is not None:
            self.supervisor.unwatch(self._descriptor)
            self._descriptor = None

    # Each turn of the loop -------------------------------------------------------------------------------------------

    def held_up(self, late_ms: int) -> None:
        """The loop was woken `late_ms` later than it had asked for."""
        self._watch.held_up(late_ms, self.supervisor.now())

    def due(self) -> Instant:
        """When the loop must turn for the pair's sake."""
        return self._beat_at if self._watch.due is None else min(self._beat_at, self._watch.due)

    def turn(self) -> None:
        now = self.supervisor.now()
        apphbd = self.supervisor.worker(APPHBD)
        if apphbd is not None and apphbd.pid and not apphbd.killing and self._watch.frozen(now):
            self._kill_hung(apphbd, f"no beat for {self._watch.silent_ms(now)} ms")
            self._watch.ended()
        for pid, (name, deadline) in list(self._kills.items()):
            if now >= deadline:
                del self._kills[pid]
                self._does_not_end(name, pid)
        if now >= self._beat_at:
            self._beat_at = (now // self._interval_ms + 1) * self._interval_ms  # with the workers
            self.channel.beat()

    def _does_not_end(self, name: str, pid: int) -> None:
        """The cluster cannot do without a worker. A program is missed by those who use it: its stanza says how much."""
        text = f"{name} (pid {pid}) was killed and does not end: {evidence.of_the_hung(pid)}"
        worker = self.supervisor.worker(name)
        if worker is None or worker.function is not None or worker.recovery.escalation is Escalation.RESET:
            self._reset(text)
        else:
            self.supervisor.critical(f"{text}; it is started again when it has ended")

    # What apphbd says ------------------------------------------------------------------------------------------------

    def listen(self) -> None:
        if self._descriptor is None:
            return
        try:
            while (message := self.channel.receive()) is not None:
                self._heard(message)
        except EOFError:
            self._unwatch()  # its end follows as the end of its process
        except CodecError as error:
            self.supervisor.error(f"apphbd's channel: {error}")

    def _heard(self, message: Message) -> None:
        match message:
            case Beat():
                self._watch.beat(self.supervisor.now())
                if (apphbd := self.supervisor.worker(APPHBD)) is not None:
                    apphbd.become_running()
            case ClientEvent(reset=True, event=event, module=module, pid=pid, silent_ms=silent_ms):
                self._reset(f"{module} (pid {pid}) asked for it should it fail: {event} after {silent_ms} ms")
            case ClientEvent(event=event, module=module, pid=pid, silent_ms=silent_ms):
                worker = self.supervisor.worker(module)
                if worker is not None and worker.pid == pid:
                    self._heard_of(worker, message)
                    return
                if event in {"HBWARN", "NOHB", "HUP"}:
                    text = f"{module} (pid {pid}), which is no worker of rmd: {event} after {silent_ms} ms"
                    self.supervisor.warn(text)
                if message.name:
                    self.supervisor.recoveries.heard(message)
            case Watchdog(timeout_ms=timeout_ms):
                self.lease.watchdog_timeout_ms = timeout_ms
                self.supervisor.watchdog_is_armed(timeout_ms)
            case LeaseLapsed(late_ms=late_ms):
                self._reset(f"self-fencing: the lease ran out {late_ms} ms ago, and the watchdog has not acted")
            case Promised(module=module, pid=pid):
                worker = self.supervisor.worker(module)
                if worker is not None and worker.pid == pid and worker.notify is not None:
                    worker.notify.promised(message)
            case _:
                self.supervisor.error(f"apphbd said {type(message).__name__}, which rmd does not know")

    def _heard_of(self, worker: Worker, report: ClientEvent) -> None:
        label = f"{worker.name} (pid {worker.pid})"
        silent_ms = report.silent_ms
        match report.event:
            case "HBREG":
                worker.deadline_ms = report.deadline_ms
                worker.become_running()
            case "HBWARN" if worker.function is None:
                self.supervisor.warn(f"{label}: no WATCHDOG=1 for {silent_ms} ms: it is late")
            case "HBWARN":
                path = evidence.stacks_file(self.supervisor.root, worker.name)
                self.supervisor.warn(f"{label}: no beat for {silent_ms} ms: its stacks go to {path}")
                evidence.ask_for_stacks(worker.pid)
            case "NOHB" if worker.function is None and worker.killing:
                self.supervisor.info(f"{label}: no beat for {silent_ms} ms while it stops: it has stopwaitsecs")
            case "NOHB":
                self._kill_hung(worker, f"no beat for {silent_ms} ms")
            case "HBAGAIN":
                self.supervisor.warn(f"{label}: beats again after {silent_ms} ms")
            case "HBUNREG" if worker.notify is not None:
                self.supervisor.info(f"{label}: it says that it stops, and is watched no more")
                worker.notify.ended_its_watch()
            case "HUP" | "HBUNREG":
                self.supervisor.options.logger.debug(f"{label}: {report.event}")

    def _kill_hung(self, worker: Worker, reason: str) -> None:
        seen = evidence.of_the_hung(worker.pid)
        self.supervisor.error(f"{worker.name} (pid {worker.pid}) is hung: {reason}; {seen}: killed and started again")
        self._kills[worker.pid] = (worker.name, self.supervisor.now() + UNCONFIRMED_KILL_MS)
        worker.kill_hung()


def _expectation(worker: Worker) -> Expect:
    """One that has been ready owes its next beat within its own deadline, also to a new apphbd."""
    deadline_ms = worker.deadline_ms or worker.restarts.start_deadline_ms
    return Expect(module=worker.name, pid=worker.pid, deadline_ms=deadline_ms if worker.watched else 0)
