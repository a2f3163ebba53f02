# SPDX-License-Identifier: GPL-2.0-or-later
"""One program of a stanza: forked from rmd's image, or executed; reaped; started again.

What differs from supervisor's Subprocess: RUNNING comes with a worker's first beat; a death is answered at once and
repeated deaths after fractions of a second, for ever or until they are too many; what cannot be loaded is FATAL.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from supervisor.options import BadCommand
from supervisor.process import Subprocess
from supervisor.states import RUNNING_STATES, ProcessStates

from ha.apphbd.io.rmd import CHANNEL_VARIABLE
from ha.apphbd.msg import BEATS_VARIABLE
from ha.machine import Instant
from ha.rmd.core.handover import FormerWorker
from ha.rmd.core.restarts import Restarts
from ha.rmd.io import child, evidence
from ha.rmd.io.loading import LoadError, load
from ha.rmd.io.notify import NotifySocket
from ha.rmd.io.systemd import VARIABLES as SYSTEMD_VARIABLES
from ha.rmd.model import APPHBD, Escalation, Recovery, recovery, worker_function
from ha.root import Root

if TYPE_CHECKING:
    from ha.rmd.io.loop import RootSupervisor
    from ha.rmd.io.options import WorkerConfig


EXITS_FOR_GOOD = frozenset({71, 78})
"""sysexits.h EX_OSERR and EX_CONFIG: a device or a file is not as it must be. A worker that ends with one of them at
its first start is not started again: it would say the same."""

MAX_LAST_WORDS_BYTES = 1000


class Worker(Subprocess):
    """`config` is a WorkerConfig; `supervisor` is set before the first transition."""

    def __init__(self, config: WorkerConfig, supervisor: RootSupervisor) -> None:
        super().__init__(config)
        self.supervisor = supervisor
        self.name: str = config.name
        self.function = worker_function(config.command)
        self.recovery: Recovery = recovery(config.environment or {}, config.name)
        self.restarts = Restarts(self.recovery)
        self.restart_at: Instant | None = None
        self.start_after_stop = False
        self.start_after: Worker | None = None
        """It is started once this one runs again, or is given up."""
        self.forked_at: Instant = 0
        self.ready_ms = 0
        self.deadline_ms = 0
        """The silence that it promised with its first beat; 0 before."""
        self.hung = False
        self.was_ready = False
        """At least once: its configuration was good enough."""
        self.notify: NotifySocket | None = None
        """Of the program that runs; None for a worker, and for a program that is offered none."""
        self._unloadable = False
        self._main: Callable[[Root], int] | None = None

    @property
    def watched(self) -> bool:
        """Whether it owes beats to apphbd."""
        return self.function is not None and self.recovery.beats and self.name != APPHBD

    @property
    def may_start(self) -> bool:
        """Before a reload programs are stopped, and workers live on."""
        return self.supervisor.accepts_starts or (self.supervisor.reloads and self.function is not None)

    @property
    def is_unloadable(self) -> bool:
        """It is a worker whose code could not be imported when last tried."""
        return self._unloadable

    @property
    def waits_for_beat(self) -> bool:
        owes_one = self.watched or self.name == APPHBD or (self.notify is not None and self.notify.owes_ready)
        return self.state == ProcessStates.STARTING and owes_one

    @property
    def is_wanted(self) -> bool:
        """It runs, or will run again soon: neither stopped by hand, nor ended for good, nor given up."""
        match self.state:
            case ProcessStates.STARTING | ProcessStates.RUNNING | ProcessStates.BACKOFF:
                return True
            case ProcessStates.EXITED:
                return self._is_to_restart()
            case ProcessStates.STOPPED | ProcessStates.STOPPING:
                return self.start_after_stop or (self.config.autostart and not self.laststart)
        return False

    # Loading ---------------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Import the worker's main, so that the fork need not. Raises BadCommand naming module and error."""
        if self.function is None or self._main is not None:
            return
        if self.function.module not in sys.modules:
            self.supervisor.announce_long_step()
        try:
            self._main = load(self.function)
        except LoadError as error:
            raise BadCommand(f"{self.name}: {error}") from error
        finally:
            self.supervisor.end_long_step()

    def get_execv_args(self) -> tuple[str, list[str]]:
        if self.function is None:
            filename, arguments = super().get_execv_args()
            return filename, arguments
        try:
            self.load()
        except BadCommand as error:
            self._unloadable = True
            self.supervisor.error(error.args[0])
            raise
        self._unloadable = False
        return self.config.command, [self.config.command]

    # Starting --------------------------------------------------------------------------------------------------------

    def spawn(self) -> int | None:
        if self.name == APPHBD:
            self.supervisor.channel.open()
            self.supervisor.beat_line.drain()
        pid: int | None = super().spawn()
        if self.state == ProcessStates.BACKOFF:
            self._not_started()
        return pid

    def open_notify_socket(self) -> None:
        """Before the fork. Raises OSError for a program that has to be heard; any other runs without."""
        self._close_notify_socket()
        settings = self.config.notify
        if not settings.offered:
            return
        try:
            self.notify = NotifySocket(self.supervisor.root, self.name, settings, self.config.notify_uid)
        except OSError as error:
            self.supervisor.warn(f"{self.name}: no NOTIFY_SOCKET: {error.strerror}")
            if settings.start_deadline_ms:
                raise

    def _close_notify_socket(self) -> None:
        if self.notify is not None:
            self.notify.close()
            self.notify = None

    def _not_started(self) -> None:
        if self._unloadable:
            self.give_up()  # no retry can help: an operator starts it again when its code is repaired
            return
        self.supervisor.error(f"{self.name} is not started: {self.spawnerr}")
        self.restart_at = self.supervisor.now() + self.restarts.died(0, self.supervisor.now()).delay_ms

    def _spawn_as_parent(self, pid: int) -> int:
        result: int = super()._spawn_as_parent(pid)
        self.forked_at = self.supervisor.now()
        self.ready_ms = 0
        self.deadline_ms = 0
        self.restart_at = None
        self.hung = False
        self.supervisor.forked(self)
        return result

    def _spawn_as_child(self, filename: str, argv: list[str]) -> None:
        child.begin(executes=self.function is None)
        if self.function is not None:
            self._become_worker()
        for variable in SYSTEMD_VARIABLES:
            os.environ.pop(variable, None)
        if self.notify is not None:
            self.notify.tell(os.environ)
        super()._spawn_as_child(filename, argv)

    def _become_worker(self) -> NoReturn:
        supervisor = self.supervisor
        assert self._main is not None
        parent = supervisor.pid
        try:
            os.setpgid(0, 0)
            handed = [supervisor.beat_line.end_of(self.name)]
            if self.name == APPHBD:
                handed.append(supervisor.channel.theirs)
            child.prepare_descriptors(self.pipes, redirect_stderr=self.config.redirect_stderr, handed=handed)
            self._set_environment()
            os.environ[BEATS_VARIABLE] = str(child.FIRST_HANDED)
            if self.name == APPHBD:
                os.environ[CHANNEL_VARIABLE] = f"{child.FIRST_HANDED + 1}:{parent}"
            if self.config.umask is not None:
                os.umask(self.config.umask)
            if self.config.directory is not None:
                os.chdir(self.config.directory)
            refusal = self.set_uid()
            if refusal:
                raise PermissionError(refusal)
            evidence.dump_on_signal(supervisor.root, self.name)
        except Exception:
            os.write(2, f"{self.name} was not started:\n{traceback.format_exc()}".encode())
            os._exit(child.EXIT_CRASHED)
        child.run(self.name, supervisor.node, self._main, supervisor.root)

    def _set_environment(self) -> None:
        """What supervisor gives to programs, and the root; what systemd said is for the root pair alone."""
        if self.name != APPHBD:
            for variable in SYSTEMD_VARIABLES:
                os.environ.pop(variable, None)
        os.environ["SUPERVISOR_ENABLED"] = "1"
        os.environ["SUPERVISOR_PROCESS_NAME"] = self.name
        os.environ["SUPERVISOR_GROUP_NAME"] = self.group.config.name
        os.environ["SUPERVISOR_SERVER_URL"] = self.config.serverurl or self.config.options.serverurl
        os.environ["HA_ROOT"] = self.supervisor.root.prefix
        os.environ.update(self.config.environment or {})

    def _prepare_child_fds(self) -> None:
        """For programs that are executed."""
        child.prepare_descriptors(self.pipes, redirect_stderr=self.config.redirect_stderr, handed=[])

    def set_uid(self) -> str | None:
        """In the fork, after descriptors and before main or exec. Returns why it could not be done."""
        refusal: str | None = super().set_uid()
        if refusal is None and self.name != APPHBD:
            child.bind_to_parent(self.supervisor.pid)
        return refusal

    def as_former(self) -> FormerWorker:
        """Its process, for the image that comes after this one."""
        outputs = (self.pipes.get("stdout"), self.pipes.get("stderr"))
        return FormerWorker(self.name, self.pid, tuple(output for output in outputs if output is not None))

    # Ending ----------------------------------------------------------------------------------------------------------

    def finish(self, pid: int, sts: int) -> None:
        super().finish(pid, sts)
        supervisor = self.supervisor
        supervisor.ended(self, pid)
        self._close_notify_socket()
        if self.state not in (ProcessStates.EXITED, ProcessStates.BACKOFF):
            return
        now = supervisor.now()
        if self.state == ProcessStates.EXITED and not self._is_to_restart():
            supervisor.warn(f"{self.name} ended and is not to be started again (exit status {self.exitstatus})")
            return
        if self.exitstatus in EXITS_FOR_GOOD and not self.was_ready:
            self._give_up(f"{self.name} cannot start: {self._last_words()}")
            return
        if self.hung and not self.ready_ms:
            self.restarts.hung_in_start()
        verdict = self.restarts.died(now - self.forked_at, now)
        if verdict.exceeded and self._escalate():
            return
        if verdict.delay_ms:
            self.restart_at = now + verdict.delay_ms
            if self.state == ProcessStates.EXITED:
                self.change_state(ProcessStates.BACKOFF)
        supervisor.restart_dependants(self)

    def _is_to_restart(self) -> bool:
        how = self.config.autorestart
        return bool(how) and (not self._restarts_when_unexpected(how) or self.exitstatus not in self.config.exitcodes)

    @staticmethod
    def _restarts_when_unexpected(how: Any) -> bool:
        return getattr(how, "__name__", "") == "RestartWhenExitUnexpected"

    def _escalate(self) -> bool:
        """True when the worker is given up."""
        kind = self.recovery.escalation
        limit = f"{self.recovery.max_restarts} times in {self.recovery.period_ms // 1000} s"
        text = f"{self.name} was restarted more than {limit}"
        if kind is Escalation.KEEP:
            self.supervisor.error(f"{text}: it is still restarted (HA_ESCALATION keep)")
            return False
        self._give_up(text)
        return True

    def _give_up(self, text: str) -> None:
        if self.state == ProcessStates.EXITED:
            self.change_state(ProcessStates.BACKOFF)
        self.give_up()
        self.spawnerr = text
        self.supervisor.escalate(self.recovery.escalation, self.name, text)

    def _last_words(self) -> str:
        """The last line of its captured output: there a worker says which file and line it cannot obey."""
        try:
            with open(self.config.stdout_logfile, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - MAX_LAST_WORDS_BYTES))
                lines = log.read(MAX_LAST_WORDS_BYTES).decode("utf-8", "replace").splitlines()
        except (OSError, TypeError):
            return "see its log"
        return lines[-1] if lines else "see its log"

    def kill_hung(self) -> None:
        """SIGKILL without supervisor's notion of a wished stop: its death is answered by a restart."""
        self.hung = True
        try:
            if self.notify is not None:
                self.notify.kill(self.pid)
            else:
                self.config.options.kill(self.pid, signal.SIGKILL)
        except OSError as error:
            if error.errno != errno.ESRCH:
                raise

    # States ----------------------------------------------------------------------------------------------------------

    def become_running(self) -> None:
        """Its first beat has come."""
        if self.state != ProcessStates.STARTING:
            return
        self.was_ready = True
        if self.notify is not None:
            self.notify.became_ready()
        self.ready_ms = self.supervisor.now() - self.forked_at
        if self.watched:
            self.restarts.became_ready(self.ready_ms, self.deadline_ms)
        self.delay = 0
        self.backoff = 0
        self.change_state(ProcessStates.RUNNING)
        self.supervisor.info(f"{self.name} (pid {self.pid}) ready after {self.ready_ms} ms")
        self.supervisor.became_running(self)

    def transition(self) -> None:
        match self.state:
            case ProcessStates.EXITED:
                if self.may_start and self._is_to_restart():
                    self.spawn()
            case ProcessStates.BACKOFF:
                if self.may_start and self._restart_is_due():
                    self.spawn()
            case ProcessStates.STARTING if self.waits_for_beat:
                pass
            case ProcessStates.STOPPED if self.supervisor.holds_back(self):
                pass
            case ProcessStates.STOPPED if self.start_after is not None and self.start_after.is_starting:
                pass
            case ProcessStates.STOPPED if self.start_after_stop and self.may_start:
                self.start_after_stop = False
                self.start_after = None
                self.spawn()
            case _:
                super().transition()

    def _restart_is_due(self) -> bool:
        return self.restart_at is None or self.supervisor.now() >= self.restart_at

    def change_state(self, new_state: int, expected: bool = True) -> None:
        super().change_state(new_state, expected)
        if new_state == ProcessStates.BACKOFF:
            self.delay = 0  # supervisor's own, in whole seconds; ours is restart_at

    def stop(self) -> str | None:
        self.start_after_stop = False
        self.start_after = None
        self.restart_at = None
        result: str | None = super().stop()
        return result

    def ensure_started(self) -> None:
        """Repeatable. Raises nothing: what fails is in the log and in the state."""
        if self.state == ProcessStates.STOPPING:
            self.start_after_stop = True
        elif self.state not in RUNNING_STATES:
            self.restarts.forgive()
            self.spawn()

    def ensure_stopped(self) -> None:
        """Repeatable."""
        self.start_after_stop = False
        if self.state in RUNNING_STATES:
            self.stop()

    @property
    def is_starting(self) -> bool:
        """It will run soon."""
        return self.state != ProcessStates.RUNNING and self.is_wanted

    def restart_after(self, other: Worker) -> bool:
        """Stop it, and start it again when `other` runs. False when it does not run, or is stopping already."""
        if self.state not in RUNNING_STATES or not self.pid:
            return False
        self.stop()
        self.start_after_stop, self.start_after = True, other
        return True

    def due(self) -> float | None:
        """In how many seconds this process wants to be looked at, None: not before something happens."""
        match self.state:
            case ProcessStates.BACKOFF:
                if self.restart_at is None or not self.may_start:
                    return None
                return max(0, self.restart_at - self.supervisor.now()) / 1000
            case ProcessStates.STOPPING:
                return max(0.0, float(self.delay) - time.time())
            case ProcessStates.STARTING if not self.waits_for_beat:
                return max(0.0, float(self.laststart + self.config.startsecs) - time.time())
        return None
