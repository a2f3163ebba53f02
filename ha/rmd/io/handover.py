# SPDX-License-Identifier: GPL-2.0-or-later
"""A reload: rmd executes itself anew and keeps its workers until the new image is loaded. See ha.rmd.core.handover.

Source: execve(2) (the process number, the children, blocked signals and descriptors without FD_CLOEXEC are kept; a
child's parent-death signal is not sent), pidfd_open(2).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from ha.apphbd.model import ConfigError
from ha.rmd.core.handover import FormerWorker, Handover, from_text, to_text
from ha.rmd.io.succession import GENERATIONS_VARIABLE, package_path
from ha.root import Root

HANDOVER_VARIABLE = "HA_RMD_HANDOVER"

HELD_SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR2, signal.SIGCHLD)
"""Wait over the exec for the new image's handlers: by default they would end rmd."""

MAX_LAST_OUTPUT_BYTES = 64 * 1024
"""Of a worker's captured output that is read after its end: what a pipe holds (pipe(7))."""


def execute_anew(root: Root, handover: Handover) -> NoReturn:
    """The same process number, freshly read code and configuration. Raises OSError."""
    command = [sys.executable, "-P", "-m", "ha.rmd", "--foreground", *(["--root", root.prefix] if root.prefix else [])]
    os.environ["PYTHONPATH"] = os.pathsep.join(package_path())
    os.environ[HANDOVER_VARIABLE] = to_text(handover)
    os.environ.pop(GENERATIONS_VARIABLE, None)
    for descriptor in handover.descriptors:
        os.set_inheritable(descriptor, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD_SIGNALS)
    os.execv(sys.executable, command)


def inherited() -> Handover | None:
    """What this process was given by the image before it. Raises ConfigError when that cannot be used."""
    text = os.environ.pop(HANDOVER_VARIABLE, None)
    if text is None:
        return None
    try:
        handover = from_text(text)
        for descriptor in handover.descriptors:
            os.set_inheritable(descriptor, False)
    except (ValueError, OSError) as error:
        raise ConfigError(f"{HANDOVER_VARIABLE}: {error}") from error
    return handover


def let_signals_in() -> None:
    """Once the handlers are there."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_SIGNALS)


def end(workers: Sequence[FormerWorker], patience_ms: int) -> tuple[FormerWorker, ...]:
    """Kills and reaps them, as they die with an rmd that dies. Returns those that have not ended by then."""
    lives = {life: worker for worker in workers if (life := _kill(worker.pid)) is not None}
    poll = select.poll()
    for life in lives:
        poll.register(life, select.POLLIN)
    give_up_at = time.monotonic() + patience_ms / 1000
    while lives and (left_s := give_up_at - time.monotonic()) > 0:
        for life, _ in poll.poll(left_s * 1000):
            os.waitpid(lives.pop(life).pid, 0)
            poll.unregister(life)
            os.close(life)
    for life in lives:
        os.close(life)
    return tuple(lives.values())


def _kill(pid: int) -> int | None:
    """A descriptor that becomes readable with its end; None when that is past, or no child of ours has the number."""
    try:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return None
    except ChildProcessError:
        return None
    life = os.pidfd_open(pid)
    signal.pidfd_send_signal(life, signal.SIGKILL)
    return life


def last_output(worker: FormerWorker) -> str:
    """What it has said since the old image read for the last time; its streams are closed."""
    said = b""
    for descriptor in worker.outputs:
        os.set_blocking(descriptor, False)
        try:
            said += os.read(descriptor, MAX_LAST_OUTPUT_BYTES)
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
    return said.decode("utf-8", "replace").strip()
