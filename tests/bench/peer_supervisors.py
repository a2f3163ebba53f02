# SPDX-License-Identifier: GPL-2.0-or-later
"""Other supervisors with the same Python worker, for comparison in one run: supervisord, s6, runit, if installed."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.real.rmd_node import REPOSITORY
from tests.real.waiting import wait_for

ASK_AGAIN_S = 0.001

WORKER = f"""
import os, signal, sys
sys.path.insert(0, {str(REPOSITORY)!r})
import tests.real.workers
with open(sys.argv[1] + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
signal.pause()
"""
"""Ready is when its number stands in the file; what it loads is what our test worker has loaded."""


def _run_script(folder: Path) -> Path:
    script = folder / "run"
    script.parent.mkdir(parents=True, exist_ok=True)
    place = folder.parent.parent
    script.write_text(f"#!/bin/sh\nexec {sys.executable} {place}/worker.py {place}/ready\n")
    script.chmod(0o755)
    return script


def _supervisord(folder: Path) -> list[str]:
    script = _run_script(folder / "services" / "w")
    conf = folder / "supervisord.conf"
    conf.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={folder}/pid\n"
        f"[program:w]\ncommand={script}\nautorestart=true\n"
    )
    return [str(Path(sys.executable).with_name("supervisord")), "-c", str(conf)]


def _scanned(program: str) -> Callable[[Path], list[str]]:
    def prepare(folder: Path) -> list[str]:
        _run_script(folder / "services" / "w")
        return [program, str(folder / "services")]

    return prepare


PEERS: dict[str, tuple[str, Callable[[Path], list[str]]]] = {
    "supervisord": (str(Path(sys.executable).with_name("supervisord")), _supervisord),
    "s6": ("s6-svscan", _scanned("s6-svscan")),
    "runit": ("runsvdir", _scanned("runsvdir")),
}
"""By name: the program that has to be there, and what prepares a folder and says how it is run."""


def is_installed(name: str) -> bool:
    return shutil.which(PEERS[name][0]) is not None


@contextlib.contextmanager
def running(name: str) -> Iterator[Path]:
    """Yields the file in which the worker's number stands when it is ready."""
    with tempfile.TemporaryDirectory(prefix="ha-peer-", ignore_cleanup_errors=True) as text:
        folder = Path(text)
        (folder / "worker.py").write_text(WORKER)
        command = PEERS[name][1](folder)
        silent = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=silent, stderr=silent, start_new_session=True)
        try:
            wait_for((folder / "ready").exists, f"the worker under {name} is ready")
            yield folder / "ready"
        finally:
            _end(process, folder / "ready")


def _end(process: subprocess.Popen[bytes], ready: Path) -> None:
    """Its supervisors have sessions or groups of their own: all descendants are ended, the parents first."""
    family = [process.pid]
    for pid in family:
        with contextlib.suppress(FileNotFoundError):
            family += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(20)


def killed_times_ms(ready: Path, rounds: int, settle: Callable[[], None]) -> list[float]:
    """From SIGKILL of the worker to the next one's word."""
    times = []
    for _ in range(rounds):
        settle()
        former = ready.read_text()
        begun = time.monotonic()
        os.kill(int(former), signal.SIGKILL)
        while ready.read_text() == former:
            if time.monotonic() - begun > 30:
                raise TimeoutError("not back after 30 s")
            select.select([], [], [], ASK_AGAIN_S)
        times.append((time.monotonic() - begun) * 1000)
    return times
