# SPDX-License-Identifier: GPL-2.0-or-later
"""What can be known of a worker that is late or hung.

Late: it is asked to dump the stacks of its threads (SIGQUIT; faulthandler writes them without the interpreter's help).
Hung: only what /proc gives at once; then it is killed.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from pathlib import Path

from ha.rmd.io.directories import STACKS
from ha.root import Root

SIGNAL = signal.SIGQUIT

MAX_STACKS_BYTES = 256 * 1024
"""A file of dumps that has grown beyond this is begun anew by the worker's next start."""

MAX_PROC_BYTES = 400


def stacks_file(root: Root, worker: str) -> Path:
    return root.run_dir / STACKS / worker


def dump_on_signal(root: Root, worker: str) -> None:
    """In the worker: from now on SIGQUIT appends the stacks of all threads to the worker's file."""
    path = stacks_file(root, worker)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o640)
        if os.fstat(descriptor).st_size > MAX_STACKS_BYTES:
            os.ftruncate(descriptor, 0)
    except OSError:
        descriptor = 2  # an unwritable file must not keep a worker from starting: its captured output will do
    faulthandler.register(SIGNAL, file=descriptor, all_threads=True, chain=False)


def ask_for_stacks(pid: int) -> None:
    try:
        os.kill(pid, SIGNAL)
    except ProcessLookupError:
        return  # it died meanwhile; its end is noticed in its own way


def of_the_hung(pid: int) -> str:
    """State, wait channel and, for root, kernel stack: "state D (disk sleep), in nfs_wait_bit_killable"."""
    lines = _proc(pid, "status").splitlines()
    state = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("State:")), "unknown")
    channel = _proc(pid, "wchan").strip()
    stack = " < ".join(line.split()[-1] for line in _proc(pid, "stack").splitlines() if line.strip())
    parts = [f"state {state}"]
    if channel and channel != "0":
        parts.append(f"in {channel}")
    if stack:
        parts.append(f"kernel stack {stack[:MAX_PROC_BYTES]}")
    return ", ".join(parts)


def _proc(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read(4096)
    except OSError:
        return ""
