# SPDX-License-Identifier: GPL-2.0-or-later
"""Where supervisor's configuration comes from: a file rmd writes into the run directory, and the stanzas it includes.

Defaults of a stanza that differ from supervisor's own, so that stanzas stay short:

    autorestart=unexpected with exitcodes=100   (100 as in Heartbeat: do not start me again)
    startsecs=0  stopwaitsecs=5  redirect_stderr=true
    stdout_logfile=<log directory>/<name>.log, 1 MB, two kept
    user=NAME is obeyed where rmd is root and that user exists, and passed over with a warning elsewhere
"""

from __future__ import annotations

import os
import pwd
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor import loggers
from supervisor.options import ProcessConfig, ServerOptions, UnhosedConfigParser

from ha import whole_file
from ha.apphbd.io.stderr import to_stderr
from ha.apphbd.model import ConfigError
from ha.rmd.io import child
from ha.rmd.io.notify import owner_of
from ha.rmd.model import recovery, worker_function
from ha.rmd.model.notify import NotifySettings, notify_settings, refuse_for_worker
from ha.root import Root

if TYPE_CHECKING:
    from ha.rmd.io.loop import RootSupervisor
    from ha.rmd.io.process import Worker

CONFIGURATION = "supervisord.conf"
CLIENT_CONFIGURATION = "supervisorctl.conf"
SOCKET = "supervisor"
LOG = "rmd.log"

MAX_STANZAS = 200

_SERVER = """\
; Written by rmd at its start: changes here are lost. Stanzas are in {stanzas}
[supervisord]
logfile={log}
logfile_maxbytes=10MB
logfile_backups=3
loglevel=info
pidfile={run}/rmd.pid
identifier=rmd
childlogdir={log_dir}
nodaemon=true
silent=true
umask=022

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files={stanzas}/*.conf
"""

_CLIENT = """\
; Written by rmd: supervisorctl -c {run}/supervisorctl.conf status
[supervisorctl]
serverurl=unix://{socket}
prompt=rmd
"""

_DEFAULTS = {
    "autorestart": "unexpected",
    "exitcodes": "100",
    "startsecs": "0",
    "stopwaitsecs": "5",
    "redirect_stderr": "true",
    "stdout_logfile_maxbytes": "1MB",
    "stdout_logfile_backups": "2",
}


def write_configuration(root: Root, stanzas: Path, folder: Path | None = None) -> Path:
    """Returns the server's file. `folder`: where, instead of the run directory. Raises OSError."""
    folder = folder or root.run_dir
    names = {
        "run": root.run_dir,
        "log_dir": root.log_dir,
        "log": root.log_dir / LOG,
        "socket": root.socket(SOCKET),
        "stanzas": stanzas,
    }
    for name, text in ((CONFIGURATION, _SERVER), (CLIENT_CONFIGURATION, _CLIENT)):
        whole_file.replace(folder / name, text.format(**names).encode(), mode=0o644, durable=False)
    return folder / CONFIGURATION


class WorkerConfig(ProcessConfig):
    """A stanza whose process is a Worker."""

    notify = NotifySettings(access="none")
    """Of a program; with `notify_uid`, whose processes may send to its socket."""
    notify_uid = -1

    def read_environment(self) -> None:
        """Raises ConfigError."""
        environment = self.environment or {}
        recovery(environment, self.name)
        if worker_function(self.command) is not None:
            refuse_for_worker(environment, self.name)
            return
        self.notify = notify_settings(environment, self.name)
        self.notify_uid = owner_of(self.notify, self.name, self.uid)

    def make_process(self, group: Any = None) -> Worker:
        from ha.rmd.io.process import Worker  # it names this class in turn

        process = Worker(self, self.options.supervisor)
        process.group = group
        return process

    def make_dispatchers(self, proc: Worker) -> tuple[dict[int, Any], dict[str, int]]:
        """As supervisor's, but pipes whose log cannot be opened are closed again: it is tried once a second."""
        pipes: list[dict[str, int]] = []
        make_pipes = self.options.make_pipes

        def remember(stderr: bool = True) -> dict[str, int]:
            pipes.append(make_pipes(stderr))
            return pipes[-1]

        self.options.make_pipes = remember
        try:
            made: tuple[dict[int, Any], dict[str, int]] = super().make_dispatchers(proc)
            proc.open_notify_socket()
            return made
        except OSError:
            for opened in pipes:
                self.options.close_parent_pipes(opened)
                self.options.close_child_pipes(opened)
            raise
        finally:
            del self.options.make_pipes


class RootOptions(ServerOptions):
    """supervisor's options. Mistakes raise ConfigError instead of ending the process."""

    supervisor: RootSupervisor

    def __init__(self, root: Root, *, foreground: bool) -> None:
        super().__init__()
        self.root = root
        self.foreground = foreground

    def usage(self, msg: object) -> None:
        raise ConfigError(str(msg))

    def _processes_from_section(
        self, parser: UnhosedConfigParser, section: str, group_name: str, klass: type | None = None
    ) -> list[ProcessConfig]:
        name = section.split(":", 1)[1]
        for option, value in _DEFAULTS.items():
            if not parser.has_option(section, option):
                parser.set(section, option, value)
        if not parser.has_option(section, "stdout_logfile"):
            parser.set(section, "stdout_logfile", str(self.root.log_dir / f"{name}.log"))
        self._judge_user(parser, section)
        configs: list[ProcessConfig] = super()._processes_from_section(
            parser, section, group_name, WorkerConfig if klass in (None, ProcessConfig) else klass
        )
        for config in configs:
            if isinstance(config, WorkerConfig):
                config.read_environment()
        if len(parser.sections()) > MAX_STANZAS:
            raise ConfigError(f"more than {MAX_STANZAS} sections in supervisor.d")
        return configs

    def process_groups_from_parser(self, parser: UnhosedConfigParser) -> list[Any]:
        groups: list[Any] = super().process_groups_from_parser(parser)
        configs = [config for group in groups for config in group.process_configs]
        names = {config.name for config in configs}
        for config in configs:
            unknown = recovery(config.environment or {}, config.name).restart_with - names
            if unknown:
                raise ConfigError(f"{config.name}: HA_RESTART_WITH names {min(unknown)}, which is in no stanza")
        return groups

    def _judge_user(self, parser: UnhosedConfigParser, section: str) -> None:
        """A node in a root of its own runs as whoever started it; hacluster need not exist there."""
        if not parser.has_option(section, "user"):
            return
        user = parser.get(section, "user")
        if os.geteuid() == 0 and not self.root.prefix:
            try:
                pwd.getpwnam(user)
                return
            except KeyError:
                self.parse_warnings.append(f"[{section}]: there is no user {user}: it runs as root")
        parser.remove_option(section, "user")

    def fork(self) -> int:
        """Signals are blocked across the fork: see `child`."""
        blocked = child.block_signals()
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid != 0:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return pid

    def setsignals(self) -> None:
        super().setsignals()
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)

    def make_logger(self) -> None:
        super().make_logger()
        self.logger.critical = _without_needless_alarm(self.logger.critical)
        if self.foreground:
            handler = _StderrHandler()
            handler.setFormat("%(levelname)s %(message)s\n")
            handler.setLevel(self.loglevel)
            self.logger.addHandler(handler)

    def openhttpservers(self, supervisord: RootSupervisor) -> None:
        # A socket left by an rmd that was killed: the lock says that nobody listens there, so supervisor need not try.
        self.root.socket(SOCKET).unlink(missing_ok=True)
        super().openhttpservers(supervisord)

    def write_pidfile(self) -> None:
        """Held by a lock from before this: see `pidfile`."""


def _without_needless_alarm(log: Callable[..., None]) -> Callable[..., None]:
    """supervisor calls a socket without a password critical; ours is guarded by the kernel (mode 0700)."""

    def critical(text: str, **keywords: Any) -> None:
        if "without any HTTP" not in text:
            log(text, **keywords)

    return critical


class _StderrHandler(loggers.Handler):
    """To standard error, where it takes the line at once: rmd waits for no terminal and no pipe."""

    def close(self) -> None:
        """Standard error stays open."""

    def emit(self, record: Any) -> None:
        to_stderr(self.fmt % record.asdict())
