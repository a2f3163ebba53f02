# SPDX-License-Identifier: GPL-2.0-or-later
"""--daemonize: keep a file up to date in the background. The agent ClusterMon runs it, and ends it by the pid file."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from daemon import DaemonContext

from ha.cib.msg import Subscribe
from ha.ipc.client import Connection, NotConnected, TimedOut
from ha.root import Root

PROGRAM = "crm_mon"
RETRY_S = 1.0


class PidFile:
    """Names the background process for as long as it lives; what another one left there is replaced."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._path.write_text(f"{os.getpid()}\n")

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)


def keep_up_to_date(root: Root, pid: str | None, interval_s: float, write: Callable[[], int]) -> NoReturn:
    """The process that called ends; another goes on. `write` brings the file up to date. `pid` is the pid file."""
    pid_file = PidFile(Path(pid).absolute()) if pid else None
    with DaemonContext(pidfile=pid_file, umask=0o022, working_directory=os.getcwd()):  # type: ignore[no-untyped-call]
        while True:
            write()
            try:
                with Connection.open(root, "cib", program=PROGRAM) as cib:
                    cib.send(Subscribe())
                    with contextlib.suppress(TimedOut):
                        while True:
                            cib.receive(int(interval_s * 1000))
                            write()
            except NotConnected:
                time.sleep(RETRY_S)
