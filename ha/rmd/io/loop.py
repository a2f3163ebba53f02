# SPDX-License-Identifier: GPL-2.0-or-later
"""The root supervisor: waits for whatever comes first, reaps, restarts, listens to apphbd, serves rmd.sock.

Rules of this file

* Reaping is followed at once by the transitions that restart what was reaped; nothing waits for a next poll.
* Nothing here blocks: no wait without a deadline, no write that may not be taken, no name service.
* The beat to apphbd is sent at the end of a turn, by the loop itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from supervisor import events
from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ProcessException
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.supervisord import Supervisor

from ha.apphbd.io.realtime import become_ordinary
from ha.apphbd.msg import ShuttingDown
from ha.ipc.journal import Journal
from ha.ipc.moderation import Moderation
from ha.machine import Instant, Level
from ha.rmd.core.departure import Alive, AskCrmd, AskLrmd, Departure, EndWorkers, Order, Phase, ResetNode, Tell
from ha.rmd.core.dependants import dependants_of
from ha.rmd.core.handover import Handover, rounds
from ha.rmd.io import evidence, handover, image
from ha.rmd.io.guard import UNCONFIRMED_KILL_MS, Guard
from ha.rmd.io.lease import LeaseKeeper
from ha.rmd.io.options import RootOptions
from ha.rmd.io.pair import BeatLine, Channel
from ha.rmd.io.process import Worker
from ha.rmd.io.recoveries import RecoveryRunner
from ha.rmd.io.requests import Requests
from ha.rmd.io.reset import reset_machine
from ha.rmd.io.systemd import Systemd
from ha.rmd.model import APPHBD, CRMD, HARESOURCES, HEARTBEAT, LRMD, Escalation, Reset, Settings
from ha.root import Root

MAX_WAIT_S = 1.0
"""Between two looks at supervisor's own clockwork (its tick events)."""


MAX_REQUEST_BYTES = 256 * 1024
"""Of one request on supervisorctl's socket; its sender is hung up on beyond that."""

HEAD_START_MS = 300
"""After a succession the heartbeat worker has the processors for so long, or until it is ready."""

ROOT_INTERVAL_MS = 1_000
"""How often a node in a root of its own looks whether that is still there."""


class RootSupervisor(Supervisor):
    """`run` returns "stopped", or "reload" when rmd is to execute itself anew."""

    def __init__(self, options: RootOptions, *, root: Root, node: str, settings: Settings, systemd: Systemd) -> None:
        super().__init__(options)
        options.supervisor = self
        self.root = root
        self.node = node
        self.settings = settings
        self.systemd = systemd
        self.pid = os.getpid()
        self.failure = ""
        """Why rmd ends, when that is not because it was asked to."""
        self.on_ready: Callable[[], None] = lambda: None
        self.is_ready = False
        self._guard = Guard(self, settings, self._reset)
        self._departure = Departure(settings.leave_timeout_ms)
        self.recoveries = RecoveryRunner(self, settings.recoveries)
        self._requests: Requests | None = None
        self._journal = Journal("rmd", node, root)
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._head_start_until: Instant | None = None
        self._former: Handover | None = None
        self._reload_is_due = False
        self._kept_channel: int | None = None
        self._silent_since: Instant | None = None
        self._watchdog_at: Instant = 0
        self._root_at: Instant = 0
        self._groups: list[Any] | None = None
        self._workers: list[Worker] | None = None
        self._served: dict[int, Any] = {}
        self._complaints = Moderation("refusals on supervisorctl's socket")
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # For workers -----------------------------------------------------------------------------------------------------

    @staticmethod
    def now() -> Instant:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    @property
    def accepts_starts(self) -> bool:
        """Also while the crmd stops the node's resources: it needs its workers for that."""
        return bool(self.options.mood == SupervisorStates.RUNNING)

    @property
    def reloads(self) -> bool:
        return bool(self.options.mood == SupervisorStates.RESTARTING)

    @property
    def channel(self) -> Channel:
        return self._guard.channel

    @property
    def beat_line(self) -> BeatLine:
        return self._guard.beat_line

    def give_head_start(self) -> None:
        """To the heartbeat worker, at the start: the node was there a moment ago, and is missed."""
        self._head_start_until = self.now() + HEAD_START_MS

    def holds_back(self, worker: Worker) -> bool:
        """Whether the worker is not to be started yet, because the heartbeat worker is to be ready first."""
        if self._head_start_until is None or worker.name in {APPHBD, HEARTBEAT}:
            return False
        heartbeat = self.worker(HEARTBEAT)
        waited = (ProcessStates.STOPPED, ProcessStates.STARTING)
        if heartbeat is None or heartbeat.state not in waited or self.now() >= self._head_start_until:
            self._head_start_until = None
            return False
        return True

    def announce_long_step(self) -> None:
        self.channel.beat(busy=True)

    def end_long_step(self) -> None:
        """Take back the long silence that was promised: a rmd that freezes now is to be found soon."""
        self.channel.beat()

    def forked(self, worker: Worker) -> None:
        """In rmd, right after the fork."""
        self._guard.forked(worker)

    def ended(self, worker: Worker, pid: int) -> None:
        """Its process was reaped."""
        self._guard.ended(worker, pid)

    def escalate(self, kind: Escalation, worker: str, text: str) -> None:
        """The worker is given up, unless `kind` is KEEP."""
        self.failure = text
        match kind:
            case Escalation.LEAVE | Escalation.STOP:
                self.critical(f"{text}: this node leaves the cluster (HA_ESCALATION {kind.value})")
                at_once = kind is Escalation.STOP
                self._depart(self._departure.given_up(worker, self._alive(), self.now(), at_once=at_once))
            case Escalation.RESET:
                self._reset(text)
            case Escalation.KEEP:
                self.failure = ""
                self.error(f"{text}: the node goes on without it (HA_ESCALATION keep)")

    def became_running(self, worker: Worker) -> None:
        if worker.name == HEARTBEAT and self._silent_since is not None:
            self.info(f"reload: heartbeat was away for {self.now() - self._silent_since} ms")
            self._silent_since = None

    def restart_dependants(self, worker: Worker) -> None:
        """It has died and is started again: so are those whose stanzas want that."""
        restart_with = {other.name: other.recovery.restart_with for other in self.workers()}
        for name in dependants_of(worker.name, restart_with):
            dependant = self.worker(name)
            assert dependant is not None, name
            if dependant.restart_after(worker):
                self.info(f"{name} is started anew with {worker.name} (HA_RESTART_WITH)")

    # Notes -----------------------------------------------------------------------------------------------------------

    def info(self, text: str) -> None:
        self.options.logger.info(text)
        self._journal.write("info", text, self.now())

    def _tell(self, level: Level, text: str) -> None:
        log = {"warning": self.warn, "error": self.error, "critical": self.critical}.get(level, self.info)
        log(text)

    def warn(self, text: str) -> None:
        self.options.logger.warn(text)
        self._journal.write("warning", text, self.now())

    def error(self, text: str) -> None:
        self.options.logger.error(text)
        self._journal.write("error", text, self.now())

    def critical(self, text: str) -> None:
        self.options.logger.critical(text)
        self._journal.write("critical", text, self.now())

    # The life of rmd -------------------------------------------------------------------------------------------------

    def run(self) -> str:
        self.process_groups: dict[str, Any] = {}
        self.stop_groups: list[Any] | None = None
        events.clear()
        self._take_signals()
        handover.let_signals_in()
        try:
            self._requests = Requests(self, self._reset)
            for config in self.options.process_group_configs:
                self.add_process_group(config)
            self.options.openhttpservers(self)
            self.runforever()
        except asyncore.ExitNow:
            pass
        finally:
            if self._reload_is_due:
                self._kept_channel = self.channel.detach()
            self._close()
        return "reload" if self._reload_is_due else "stopped"

    def runforever(self) -> None:
        events.notify(events.SupervisorRunningEvent())
        self._load_all()
        image.freeze()
        if self._former is not None:
            self._replace_former(self._former)
        for group in self.groups():
            group.transition()
            self._guard.listen()
            self.channel.beat()  # on a busy machine ten forks may take longer than the pair's deadline
        become_ordinary()
        while True:
            self._judge_mood()
            self._turn()
            if self.stopping:
                self.ordered_stop_groups_phase_2()

    def _load_all(self) -> None:
        """Every worker is forked from one image, apphbd too: it may have to become the next rmd."""
        for worker in self.workers():
            with contextlib.suppress(ProcessException):  # said, and said again when it is to be started
                worker.get_execv_args()

    def _turn(self) -> None:
        asked_s = self._patience_s()
        before = self.now()
        ready = self._wait(asked_s)
        self._guard.held_up(self.now() - before - int(asked_s * 1000))
        for descriptor, mask in ready:
            self._dispatch(descriptor, mask)
        self.reap()
        for group in self.groups():
            group.transition()
        self.handle_signal()
        self.tick()
        self._judge_readiness()
        self._judge_root()
        self._journal.flush()
        self._guard.turn()
        self.recoveries.turn()
        now = self.now()
        if self.systemd.watchdog_interval_ms and now >= self._watchdog_at:
            self._watchdog_at = now + self.systemd.watchdog_interval_ms
            self.systemd.watchdog()

    def _patience_s(self) -> float:
        now = self.now()
        waits = [MAX_WAIT_S, max(0, self._guard.due() - now) / 1000]
        if self._head_start_until is not None:
            waits.append(max(0, self._head_start_until - now) / 1000)
        if (recovery_at := self.recoveries.due) is not None:
            waits.append(max(0, recovery_at - now) / 1000)
        if self._departure.due is not None:
            waits.append(max(0.001, (self._departure.due - now) / 1000))
        waits += [due for worker in self.workers() if (due := worker.due()) is not None]
        # A remote call that is not done yet is asked again after its own delay.
        waits += [channel.delay for channel in asyncore.socket_map.values() if getattr(channel, "delay", False)]
        return min(waits)

    def _wait(self, patience_s: float) -> list[tuple[int, int]]:
        poll = select.poll()
        self._served = {**self.options.get_socket_map(), **self.get_process_map()}
        for descriptor, dispatcher in self._served.items():
            mask = (select.POLLIN if dispatcher.readable() else 0) | (select.POLLOUT if dispatcher.writable() else 0)
            if mask:
                poll.register(descriptor, mask)
        poll.register(self._wake_read, select.POLLIN)
        for descriptor in {*self._readers, *self._writers}:
            mask = (select.POLLIN if descriptor in self._readers else 0) | (
                select.POLLOUT if descriptor in self._writers else 0
            )
            poll.register(descriptor, mask)
        return poll.poll(patience_s * 1000)

    def _dispatch(self, descriptor: int, mask: int) -> None:
        if descriptor == self._wake_read:
            os.read(descriptor, 4096)
        elif descriptor in self._readers or descriptor in self._writers:
            if mask & ~select.POLLOUT and (reader := self._readers.get(descriptor)):
                reader()
            if mask & select.POLLOUT and (writer := self._writers.get(descriptor)):
                writer()
        elif (dispatcher := self._served.get(descriptor)) is not None:
            self._serve(dispatcher, mask)
        # Else an earlier one of this turn has closed it: a stranger's link for which there was no place any more.

    def _serve(self, dispatcher: Any, mask: int) -> None:
        try:
            if mask & ~select.POLLOUT:
                dispatcher.handle_read_event()
                self._bound(dispatcher)
            if mask & select.POLLOUT:
                dispatcher.handle_write_event()
        except asyncore.ExitNow:
            raise
        except Exception:  # supervisor's own contract: the dispatcher logs what happened and closes itself
            dispatcher.handle_error()

    def _bound(self, dispatcher: Any) -> None:
        """supervisor's HTTP gathers what it is sent without a limit: here is one."""
        if not hasattr(dispatcher, "current_request"):
            return
        idle = dispatcher.current_request is None and not dispatcher.in_buffer and not dispatcher.ac_in_buffer
        gathered = 0 if idle else getattr(dispatcher, "gathered", 0) + dispatcher.ac_in_buffer_size
        dispatcher.gathered = gathered
        if gathered > MAX_REQUEST_BYTES:
            self._complain(f"supervisorctl's socket: a request of more than {MAX_REQUEST_BYTES} bytes: hung up")
            dispatcher.close()

    def _complain(self, text: str) -> None:
        now = self.now()
        if left_out := self._complaints.summary(now):
            self.warn(left_out)
        if self._complaints.admits(now):
            self.warn(text)

    def _take_signals(self) -> None:
        self.options.setsignals()
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        if self._requests is not None:
            self._requests.close()
        self._guard.close()
        self.options.close_httpservers()
        self.options.cleanup()
        self._journal.flush()
        os.close(self._wake_read)
        os.close(self._wake_write)

    # Mood: running, leaving, stopping --------------------------------------------------------------------------------

    def _judge_mood(self) -> None:
        """A departing node is served as before: crmd and lrmd need their workers, and the operator sees them."""
        self._depart(self._departure.fired(self._alive(), self.now()))
        if self.options.mood == SupervisorStates.SHUTDOWN and self._departure.phase is not Phase.GONE:
            self.options.mood = SupervisorStates.RUNNING
            self._depart(self._departure.asked(self._alive(), self.now()))
        if self.options.mood >= SupervisorStates.RUNNING:
            return
        if self.reloads:
            self._judge_reload()
            return
        if not self.stopping:
            self._begin_stop()
        self.ordered_stop_groups_phase_1()
        if not self.shutdown_report():
            raise asyncore.ExitNow

    def _alive(self) -> Alive:
        without_crm = self.worker(HARESOURCES)
        crmd, lrmd = without_crm or self.worker(CRMD), without_crm or self.worker(LRMD)
        return Alive(
            crmd=crmd is not None and crmd.function is not None and crmd.is_wanted,
            lrmd=None if lrmd is None or lrmd.function is None else lrmd.is_wanted,
        )

    def crmd_has_left(self, *, nothing_runs: bool) -> None:
        self._depart(self._departure.left(self._alive(), self.now(), nothing_runs=nothing_runs))

    @property
    def lease(self) -> LeaseKeeper:
        return self._guard.lease

    def watchdog_is_armed(self, timeout_ms: int) -> None:
        if self._requests is not None:
            self._requests.watchdog_is_armed(timeout_ms)

    def resources_are_stopped(self, failed: tuple[str, ...]) -> None:
        if not failed:
            self.lease.release()
        self._depart(self._departure.stopped(failed))

    def _depart(self, orders: list[Order]) -> None:
        for order in orders:
            match order:
                case AskCrmd():
                    assert self._requests is not None
                    self._requests.ask_to_leave()
                case AskLrmd():
                    assert self._requests is not None
                    self._requests.ask_to_stop_resources()
                case EndWorkers():
                    self.options.mood = SupervisorStates.SHUTDOWN
                case ResetNode(reason):
                    self._reset(reason)
                case Tell(level, text):
                    self._tell(level, text)

    def _begin_stop(self) -> None:
        self.stopping = True
        self.stop_groups = list(self.groups())
        self.systemd.stopping()
        self.channel.send(ShuttingDown())
        events.notify(events.SupervisorStoppingEvent())

    # Reload: see ha.rmd.core.handover --------------------------------------------------------------------------------

    def _judge_reload(self) -> None:
        """Programs stop first, as long as they take; workers and resources run on."""
        if self._departure.phase is not Phase.HERE:
            self.warn("no reload: this node is leaving the cluster")
            self.options.mood = SupervisorStates.RUNNING
            return
        programs = [worker for worker in self.workers() if worker.function is None]
        for program in reversed(programs):
            if program.state == ProcessStates.BACKOFF:
                program.give_up()
            else:
                program.ensure_stopped()
        if not any(program.pid for program in programs):
            self._reload_is_due = True
            self.channel.beat(busy=True)
            raise asyncore.ExitNow

    def hand_over(self, lock: int) -> Handover:
        """To be called after `run` returned "reload"; `lock` is the pid file's descriptor."""
        kept = [worker.as_former() for worker in self.workers() if worker.function is not None and worker.pid]
        return Handover(tuple(kept), lock, self._kept_channel)

    def succeed_to(self, former: Handover) -> None:
        """This image was loaded by the one before it, whose workers still run."""
        self._former = former
        if former.channel is not None:
            self.channel.adopt(former.channel)
            self.announce_long_step()

    def _replace_former(self, former: Handover) -> None:
        """Everything is loaded: from here to the heartbeat worker's first beat the peers count."""
        names = {worker.name for worker in former.workers}
        broken = [worker.name for worker in self.workers() if worker.is_unloadable and worker.name in names]
        if broken:
            # The old apphbd takes this rmd's place, and its image has them.
            self.failure = f"the new image cannot load {', '.join(broken)}: the old one goes on"
            self.critical(self.failure)
            raise asyncore.ExitNow
        for together in rounds(former.workers):
            self._silent_since = self.now()
            for worker in handover.end(together, UNCONFIRMED_KILL_MS):
                seen = evidence.of_the_hung(worker.pid)
                self._reset(f"{worker.name} (pid {worker.pid}) was killed and does not end: {seen}")
            for worker in together:
                if said := handover.last_output(worker):
                    self.info(f"{worker.name} (pid {worker.pid}), before it was replaced, said: {said}")
        self._former = None
        self.give_head_start()

    # Readiness -------------------------------------------------------------------------------------------------------

    def _judge_readiness(self) -> None:
        if self.is_ready or self.options.mood < SupervisorStates.RUNNING:
            return
        waited = (ProcessStates.STARTING, ProcessStates.BACKOFF, ProcessStates.EXITED)
        if not any(worker.state in waited for worker in self.workers() if worker.config.autostart):
            self.is_ready = True
            given_up = [worker.name for worker in self.workers() if worker.state == ProcessStates.FATAL]
            self.systemd.ready(f"without {', '.join(given_up)}" if given_up else "every worker has started")
            self.on_ready()

    def _judge_root(self) -> None:
        """Whoever removed the root of a node that has one of its own wanted the node gone; a machine's stays."""
        now = self.now()
        if now < self._root_at:
            return
        self._root_at = now + ROOT_INTERVAL_MS
        if self.root.prefix and not (self.root.run_dir / "rmd.pid").exists():
            self.failure = f"{self.root.prefix} was removed"
            self.critical(f"{self.failure}: the node ends")
            self._kill_everyone()
            raise asyncore.ExitNow

    # Descriptors of the guard and of rmd.sock ------------------------------------------------------------------------

    def watch(self, descriptor: int, on_readable: Callable[[], None]) -> None:
        self._readers[descriptor] = on_readable

    def watch_writable(self, descriptor: int, on_writable: Callable[[], None] | None) -> None:
        if on_writable is None:
            self._writers.pop(descriptor, None)
        else:
            self._writers[descriptor] = on_writable

    def unwatch(self, descriptor: int) -> None:
        self._readers.pop(descriptor, None)
        self._writers.pop(descriptor, None)

    # Inner things ----------------------------------------------------------------------------------------------------

    def groups(self) -> list[Any]:
        """In start order."""
        if self._groups is None:
            self._groups = sorted(self.process_groups.values())
        return self._groups

    def workers(self) -> list[Worker]:
        """In start order."""
        if self._workers is None:
            self._workers = [worker for group in self.groups() for worker in sorted(group.processes.values())]
        return self._workers

    def add_process_group(self, config: Any) -> bool:
        self._groups = self._workers = None
        return bool(super().add_process_group(config))

    def remove_process_group(self, name: str) -> bool:
        self._groups = self._workers = None
        return bool(super().remove_process_group(name))

    def worker(self, name: str) -> Worker | None:
        """Also one of several that a stanza's numprocs makes, which have names of their own."""
        group = self.process_groups.get(name)
        if group is not None and name in group.processes:
            worker: Worker = group.processes[name]
            return worker
        return next((worker for worker in self.workers() if worker.name == name), None)

    def _reset(self, reason: str) -> None:
        """The duty of this node cannot be done safely: reset it, or at least be gone for its peers."""
        how = self.settings.reset
        self.critical(f"reset of this node: {reason} (rmd.cf: reset {how.value})")
        self.failure = self.failure or reason
        self._kill_everyone()
        self.critical(f"every worker was killed; {reset_machine(how, self.root)}")
        if how is Reset.NONE or how is Reset.WATCHDOG:
            raise asyncore.ExitNow

    def _kill_everyone(self) -> None:
        for worker in self.workers():
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)
