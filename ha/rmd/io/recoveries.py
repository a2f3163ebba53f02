# SPDX-License-Identifier: GPL-2.0-or-later
"""Carries out recoverymgrd.conf: ends what is left of an application, and runs its script.

A script has a clean environment, no descriptor but the standard ones, a session of its own, and no right but its
user's. It outlives rmd: half a restart would be worse than one of which the next rmd knows nothing. Its output goes to
recovery.log, and not through a pipe of rmd's: an application that the script leaves behind may write there for ever.
"""

from __future__ import annotations

import os
import signal
import stat
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from supervisor.options import decode_wait_status

from ha.apphbd.msg import ClientEvent
from ha.machine import Instant, Level
from ha.rmd.core.recoveries import EndScript, Key, KillProcess, Order, Recoveries, RunScript, Tell
from ha.rmd.io import child
from ha.rmd.model.recoverymgrd import Account, RecoveryAction

if TYPE_CHECKING:
    from ha.rmd.io.loop import RootSupervisor

LOG = "recovery.log"
MAX_LOG_BYTES = 1024 * 1024
"""A log that has grown beyond this is begun anew by the next script."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

EXIT_NOT_RUN = 127


class Script:
    """One that runs; supervisor's table of children holds it until it is reaped."""

    def __init__(self, runner: RecoveryRunner, key: Key, pid: int) -> None:
        self._runner = runner
        self._key = key
        self.pid = pid

    def finish(self, pid: int, status: int) -> None:
        """supervisor's call when it has reaped the process."""
        self._runner.script_ended(self._key, "" if status == 0 else decode_wait_status(status)[1])


class RecoveryRunner:
    def __init__(self, supervisor: RootSupervisor, actions: Sequence[RecoveryAction]) -> None:
        self._supervisor = supervisor
        self._core = Recoveries(actions)
        self._scripts: dict[Key, Script] = {}
        self._dying: dict[Key, int] = {}
        """Descriptors of processes whose end is awaited."""

    @property
    def due(self) -> Instant | None:
        """When `turn` has something to do. While the node stops nothing is begun any more: never."""
        return self._core.due if self._supervisor.accepts_starts else None

    def heard(self, event: ClientEvent) -> None:
        self._carry_out(self._core.heard(event, self._now()))

    def turn(self) -> None:
        due, now = self.due, self._now()
        if due is not None and now >= due:
            self._carry_out(self._core.fired(now))

    def _now(self) -> Instant:
        return self._supervisor.now()

    def _carry_out(self, orders: list[Order]) -> None:
        for order in orders:
            match order:
                case Tell(level, text):
                    self._tell(level, text)
                case _ if not self._supervisor.accepts_starts:
                    self._tell("info", f"left undone, for the node stops: {type(order).__name__} {order.key[1]}")
                case KillProcess(key, pid, uid):
                    self._kill(key, pid, uid)
                case RunScript(key, action, event):
                    self._run(key, action, event)
                case EndScript(key):
                    self._end(self._scripts[key])

    def _tell(self, level: Level, text: str) -> None:
        match level:
            case "error":
                self._supervisor.error(text)
            case "warning":
                self._supervisor.warn(text)
            case _:
                self._supervisor.info(text)

    # The process that failed -----------------------------------------------------------------------------------------

    def _kill(self, key: Key, pid: int, uid: int) -> None:
        self._forget_dying(key)
        try:
            life = os.pidfd_open(pid)
        except ProcessLookupError:
            self._carry_out(self._core.ended(key, self._now()))
            return
        uids = _uids_of(pid)
        if uid not in uids:
            os.close(life)
            if uids:
                self._supervisor.warn(f"pid {pid} is no process of uid {uid} any more: it is not killed")
            self._carry_out(self._core.ended(key, self._now()))
            return
        self._dying[key] = life
        self._supervisor.watch(life, lambda: self._died(key))
        try:
            signal.pidfd_send_signal(life, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has ended meanwhile, and its descriptor says so

    def _died(self, key: Key) -> None:
        self._forget_dying(key)
        self._carry_out(self._core.ended(key, self._now()))

    def _forget_dying(self, key: Key) -> None:
        life = self._dying.pop(key, None)
        if life is not None:
            self._supervisor.unwatch(life)
            os.close(life)

    # The script ------------------------------------------------------------------------------------------------------

    def _run(self, key: Key, action: RecoveryAction, event: ClientEvent) -> None:
        self._forget_dying(key)
        failure = _why_not(action.stanza.script, action.account)
        pid = 0
        if not failure:
            try:
                pid = self._supervisor.options.fork()
            except OSError as error:
                failure = f"no process can be made: {error.strerror}"
        if failure:
            self._carry_out(self._core.finished(key, failure, self._now()))
            return
        if pid == 0:
            self._become_script(action, event)
        script = Script(self, key, pid)
        self._scripts[key] = script
        self._supervisor.options.pidhistory[pid] = script

    def script_ended(self, key: Key, failure: str) -> None:
        del self._scripts[key]
        if failure:
            failure = f"{failure}: see {self._supervisor.root.log_dir / LOG}"
        self._carry_out(self._core.finished(key, failure, self._now()))

    @staticmethod
    def _end(script: Script) -> None:
        """Not reaped yet, so its number is still its own."""
        try:
            os.killpg(script.pid, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(script.pid, signal.SIGKILL)  # it has no session of its own yet

    def _become_script(self, action: RecoveryAction, event: ClientEvent) -> NoReturn:
        account, path = action.account, action.stanza.script
        argument = action.stanza.arguments[event.event]
        try:
            child.begin(executes=True)
            os.setsid()
            self._prepare_descriptors()
            os.umask(0o022)
            os.chdir("/")
            if os.geteuid() == 0:
                os.setgroups(account.groups)
                os.setgid(account.gid)
                os.setuid(account.uid)
            os.execve(path, [path] if argument is None else [path, argument], environment_of(account, event))
        except BaseException:
            os.write(2, f"{path} was not run:\n{traceback.format_exc()}".encode())
        finally:
            os._exit(EXIT_NOT_RUN)

    def _prepare_descriptors(self) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        log = null
        try:
            log = os.open(self._supervisor.root.log_dir / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            if os.fstat(log).st_size > MAX_LOG_BYTES:
                os.ftruncate(log, 0)
        except OSError:
            pass  # a full or read-only disk must not keep a script from running: its output is lost, its status not
        child.prepare_descriptors({"child_stdin": null, "child_stdout": log}, redirect_stderr=True, handed=[])


def environment_of(account: Account, event: ClientEvent) -> dict[str, str]:
    """All that a script finds in its environment."""
    return {
        "PATH": PATH,
        "HOME": account.home,
        "LOGNAME": account.user,
        "USER": account.user,
        "SHELL": account.shell,
        "LANG": "C",
        "HA_APPLICATION": event.name,
        "HA_INSTANCE": event.instance,
        "HA_PID": str(event.pid),
        "HA_EVENT": f"APPHB_{event.event}",
        "HA_SILENT_MS": str(event.silent_ms),
    }


def _why_not(path: str, account: Account) -> str:
    """Why the script is not run: somebody else could have written what runs with this user's rights. "" when it is."""
    try:
        found = os.stat(path)
    except OSError as error:
        return str(error.strerror)
    if not stat.S_ISREG(found.st_mode):
        return "it is no file"
    if found.st_uid not in {0, account.uid}:
        return f"it belongs to uid {found.st_uid}, neither root nor {account.user}"
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and found.st_gid != 0):
        return "others may write to it"
    return ""


def _uids_of(pid: int) -> set[int]:
    """Real, effective, saved and file system's; empty for a process that has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            line = next((line for line in file if line.startswith("Uid:")), "")
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {int(number) for number in line.split()[1:]}
