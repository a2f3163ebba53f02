# SPDX-License-Identifier: GPL-2.0-or-later
"""From the fork to the worker's main: the steps between are few, and their order matters.

Signals are blocked around the fork and let in once the handlers are the default ones: a SIGTERM that comes early ends
the worker instead of being lost in rmd's handler. The garbage collector is frozen before anything else: no object of
rmd may be collected here and close a descriptor number that is the worker's by then. The parent-death signal is set
after privileges are dropped, because dropping them clears it. The process is left by os._exit alone.

Source: prctl(2) PR_SET_PDEATHSIG, fork(2), close_range(2).
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from setproctitle import setproctitle

from ha.apphbd.io.rmd import Succession
from ha.rmd.io import succession
from ha.root import Root

PR_SET_PDEATHSIG = 1

FIRST_HANDED = 3
"""The number that the first of the descriptors handed to a worker has there."""

EXIT_CRASHED = 70
"""sysexits.h EX_SOFTWARE: the worker's main raised; the trace is in its captured output."""

HANDLED_BY_RMD = (
    signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGPIPE,
)  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)
"""Loaded in rmd, so that nothing has to be looked up in the fork."""


def block_signals() -> set[signal.Signals]:
    """Before the fork. Returns what was blocked, for `signal.pthread_sigmask` in the parent."""
    return {signal.Signals(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())}


def begin(*, executes: bool) -> None:
    """First in the fork: nothing of rmd's may act here any more.

    A program gets the default of SIGPIPE, a worker Python's: a closed pipe is an error there, not an end.
    """
    gc.freeze()
    signal.set_wakeup_fd(-1)
    for number in HANDLED_BY_RMD:
        signal.signal(number, signal.SIG_DFL)
    if not executes:
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def prepare_descriptors(pipes: dict[str, int], *, redirect_stderr: bool, handed: Sequence[int]) -> None:
    """Standard streams from the pipes; `handed` become FIRST_HANDED and so on; everything else is closed."""
    os.dup2(pipes["child_stdin"], 0)
    os.dup2(pipes["child_stdout"], 1)
    os.dup2(pipes["child_stdout"] if redirect_stderr else pipes["child_stderr"], 2)
    after = FIRST_HANDED + len(handed)
    # First out of the way of each other's new numbers.
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, after) for descriptor in handed]
    for number, descriptor in enumerate(aside, FIRST_HANDED):
        os.dup2(descriptor, number, inheritable=False)
    os.closerange(after, os.sysconf("SC_OPEN_MAX"))


def bind_to_parent(parent: int) -> None:
    """From now on this process is killed when rmd ends; if rmd has ended already, at once."""
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(EXIT_CRASHED)


def run(name: str, node: str, main: Callable[[Root], int], root: Root) -> NoReturn:
    """Call the worker's main and leave with its status."""
    setproctitle(f"ha-{name} {node}")
    random.seed()
    status = EXIT_CRASHED
    try:
        status = main(root)
    except Succession as call:
        succession.succeed(root, call)
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else EXIT_CRASHED
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(status & 0xFF)
