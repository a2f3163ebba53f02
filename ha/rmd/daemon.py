# SPDX-License-Identifier: GPL-2.0-or-later
"""The command `rmd`: prepares the node's places, detaches, supervises, and hands over to itself for a reload."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import daemon
from setproctitle import setproctitle

import ha
from ha.apphbd.daemon import read_settings as read_apphbd_settings
from ha.apphbd.model import MAX_CONFIG_BYTES, ConfigError
from ha.rmd.core.handover import Handover
from ha.rmd.io import handover, image, pidfile
from ha.rmd.io.accounts import find_account
from ha.rmd.io.directories import DirectoryError, prepare, stanzas
from ha.rmd.io.loading import LoadError, load
from ha.rmd.io.loop import RootSupervisor
from ha.rmd.io.options import CLIENT_CONFIGURATION, RootOptions, write_configuration
from ha.rmd.io.pidfile import AlreadyRunning, PidFile
from ha.rmd.io.systemd import Systemd
from ha.rmd.model import Settings, read_rmd_cf, worker_function
from ha.rmd.model.recoverymgrd import read_recoverymgrd_conf
from ha.root import Root, RootError

EXIT_FAILED = 1
EXIT_NOT_RUNNING = 7
EXIT_CONFIG = 78
EXIT_GAVE_UP = 75
"""A worker could not be kept alive, or the node was to be reset: init must not simply start it again."""

TAKEOVER_WAIT_MS = 5_000
"""How long a new rmd that apphbd starts waits for the lock of the one that died."""

READY_TIMEOUT_S = 30
"""How long the starting command waits for the workers before it leaves them to rmd."""


def main_cli(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        root = Root.choose(options.root)
        os.environ["HA_ROOT"] = root.prefix
        if options.stop:
            return _stop(root)
        if options.reload:
            return _reload(root)
        if options.status:
            return _status(root)
        return _start(root, foreground=options.foreground, takeover=options.takeover)
    except (RootError, DirectoryError, AlreadyRunning) as error:
        print(f"rmd: {error}", file=sys.stderr)
        return EXIT_FAILED
    except ConfigError as error:
        print(f"rmd: configuration: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except OSError as error:
        print(f"rmd: {error.filename or 'system'}: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="rmd", description="Starts and supervises every process of this cluster node.",
        epilog=f"supervisorctl -c RUN/{CLIENT_CONFIGURATION} lists, stops and starts the workers.",
    )  # fmt: skip
    p.add_argument("--root", metavar="DIR", help="the node's root directory (default: HA_ROOT, else the machine)")
    p.add_argument("--foreground", action="store_true", help="do not detach; log lines go to standard error too")
    p.add_argument("--stop", action="store_true", help="stop the node in good order and wait for its end")
    p.add_argument("--status", action="store_true", help="say whether rmd runs: exit status 0 or 3, as LSB has it")
    p.add_argument("--reload", action="store_true", help="read code and stanzas anew; resources run on")
    p.add_argument("--takeover", metavar="REASON", help=argparse.SUPPRESS)
    p.add_argument("--version", action="version", version=f"rmd {ha.__version__}")
    return p


# Start ---------------------------------------------------------------------------------------------------------------


def _start(root: Root, *, foreground: bool, takeover: str | None) -> int:
    node = root.node_name()
    prepare(root)
    tempfile.tempdir = str(root.run_dir)  # supervisor wants one, and on a read-only system nothing else is writable
    settings = read_settings(root, takeover=takeover is not None)
    read_apphbd_settings(root)  # a mistake in apphbd.cf is better told here than by a dead apphbd
    configuration = write_configuration(root, stanzas(root))
    RootOptions(root, foreground=foreground).realize(["-c", str(configuration)], doc="rmd", progname="rmd")
    lock = PidFile(root.run_dir / "rmd.pid", wait_ms=TAKEOVER_WAIT_MS if takeover else 0)
    systemd = Systemd(os.environ)
    former = handover.inherited()
    if foreground:
        try:
            if former is not None:
                lock.adopt(former.lock)
            else:
                lock.acquire()
        except AlreadyRunning as error:
            return _adopt(systemd, error)
        try:
            return _serve(
                root, node, settings, systemd, configuration, lock, takeover=takeover, former=former, ready_pipe=None
            )
        finally:
            lock.release()
    running = pidfile.holder(lock.path)
    if running is not None:
        raise AlreadyRunning(lock.path, running)
    return _detach(root, node, settings, systemd, configuration, lock)


def _adopt(systemd: Systemd, error: AlreadyRunning) -> int:
    """systemd started a second rmd where apphbd had been quicker: it is told which one to watch."""
    if not systemd.present or error.pid is None:
        raise error
    systemd.tell("READY=1", f"MAINPID={error.pid}", "STATUS=taken over by apphbd")
    return 0


def read_settings(root: Root, *, takeover: bool = False) -> Settings:
    """rmd.cf and recoverymgrd.conf; an absent file means the defaults. Raises ConfigError.

    In a takeover a mistake in recoverymgrd.conf is only told: the node is worth more than the scripts.
    """
    path = root.config_dir / "rmd.cf"
    settings = read_rmd_cf(_text(path), str(path))
    recoveries = root.config_dir / "recoverymgrd.conf"
    try:
        stanzas = read_recoverymgrd_conf(_text(recoveries), str(recoveries))
        return replace(settings, recoveries=tuple(map(find_account, stanzas)))
    except ConfigError as error:
        if not takeover:
            raise
        print(f"rmd: no application is recovered: {error}", file=sys.stderr)
        return settings


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES + 1).decode("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error


def _detach(
    root: Root, node: str, settings: Settings, systemd: Systemd, configuration: Path, lock: PidFile
) -> int:
    """The command waits until the workers are ready, or until rmd says why they are not."""
    read, write = os.pipe()
    pid = os.fork()
    if pid != 0:
        os.close(write)
        return _await_ready(read)
    os.close(read)
    try:
        context = daemon.DaemonContext(pidfile=lock, files_preserve=[write])  # type: ignore[no-untyped-call]
        with context:
            status = _serve(
                root, node, settings, systemd, configuration, lock, takeover=None, former=None, ready_pipe=write
            )
    except (AlreadyRunning, OSError, ConfigError) as error:
        os.write(write, f"rmd: {error}".encode())
        os._exit(EXIT_FAILED)
    os._exit(status)


def _await_ready(read: int) -> int:
    if not select.select([read], [], [], READY_TIMEOUT_S)[0]:
        print(f"rmd: the workers are not ready after {READY_TIMEOUT_S} s; rmd goes on trying", file=sys.stderr)
        return EXIT_FAILED
    said = os.read(read, 4096)
    if said == b"ready":
        return 0
    print(said.decode("utf-8", "replace") or "rmd ended during its start: see its log", file=sys.stderr)
    return EXIT_FAILED


def _serve(
    root: Root,
    node: str,
    settings: Settings,
    systemd: Systemd,
    configuration: Path,
    lock: PidFile,
    *,
    takeover: str | None,
    former: Handover | None,
    ready_pipe: int | None,
) -> int:
    setproctitle(f"ha-rmd {node}")
    # A rmd that took over has the log for its standard error.
    options = RootOptions(root, foreground=ready_pipe is None and takeover is None)
    options.realize(["-c", str(configuration)], doc="rmd", progname="rmd")
    options.make_logger()
    options.set_rlimits_or_exit()
    supervisor = RootSupervisor(options, root=root, node=node, settings=settings, systemd=systemd)
    if takeover is not None:
        supervisor.critical(f"a new rmd (pid {os.getpid()}) was started by apphbd: the former one: {takeover}")
        supervisor.give_head_start()
    if former is not None:
        supervisor.succeed_to(former)
    if ready_pipe is not None:
        supervisor.on_ready = lambda: _say_ready(ready_pipe)
    image.preload()
    ended = supervisor.run()
    if supervisor.failure and ready_pipe is not None:
        _say(ready_pipe, f"rmd: {supervisor.failure}")
    options.close_logger()
    if ended == "reload":
        handover.execute_anew(root, supervisor.hand_over(lock.fileno()))
    return EXIT_GAVE_UP if supervisor.failure else 0


def _say_ready(pipe: int) -> None:
    _say(pipe, "ready")


def _say(pipe: int, text: str) -> None:
    try:
        os.write(pipe, text.encode())
    except BrokenPipeError:
        return  # the command that started rmd waits no more


# Stop, reload and status ---------------------------------------------------------------------------------------------


def _stop(root: Root) -> int:
    """Waits for rmd's end, however long the resources take to stop."""
    pid = pidfile.holder(root.run_dir / "rmd.pid")
    if pid is None:
        print("rmd: not running", file=sys.stderr)
        return 0
    life = os.pidfd_open(pid)
    signal.pidfd_send_signal(life, signal.SIGTERM)
    poll = select.poll()
    poll.register(life, select.POLLIN)
    poll.poll()
    return 0


def _reload(root: Root) -> int:
    pid = pidfile.holder(root.run_dir / "rmd.pid")
    if pid is None:
        print("rmd: not running", file=sys.stderr)
        return EXIT_NOT_RUNNING
    read_settings(root)  # a mistake is told here, where the node runs on, and not by an rmd that cannot start
    read_apphbd_settings(root)
    _try_stanzas(root)
    os.kill(pid, signal.SIGHUP)
    return 0


def _try_stanzas(root: Root) -> None:
    """This process is what rmd is about to become. Raises ConfigError when it cannot load what the stanzas name."""
    with tempfile.TemporaryDirectory() as place:
        path = write_configuration(root, stanzas(root), Path(place))
        options = RootOptions(root, foreground=True)
        options.realize(["-c", str(path)], doc="rmd", progname="rmd")
    for config in (config for group in options.process_group_configs for config in group.process_configs):
        if (function := worker_function(config.command)) is not None:
            try:
                load(function)
            except LoadError as error:
                raise ConfigError(f"{config.name}: {error}") from error


def _status(root: Root) -> int:
    pid = pidfile.holder(root.run_dir / "rmd.pid")
    print(f"rmd is running with pid {pid}" if pid else "rmd is not running")
    return 0 if pid else 3
