# SPDX-License-Identifier: GPL-2.0-or-later
"""apphbd becomes the new rmd: in its own process, from the image that the former rmd gave it.

The image was whole when apphbd was forked, and everything is loaded in it: the node speaks again some hundred
milliseconds earlier than after an exec, and on a busy machine by more than a deadtime earlier. An image that does not
do (rmd after rmd died soon), or that has been handed on often, is left for a fresh interpreter.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

from supervisor import events
from supervisor.medusa import asyncore_25 as asyncore

import ha
from ha.apphbd.io.rmd import CHANNEL_VARIABLE, SHORT_LIVES_VARIABLE, Succession
from ha.apphbd.msg import BEATS_VARIABLE
from ha.rmd.io.evidence import SIGNAL as STACKS_SIGNAL
from ha.root import Root

GENERATIONS_VARIABLE = "HA_RMD_GENERATIONS"
"""How many rmds have handed on this image."""

EXIT_FAILED = 70
"""sysexits.h, EX_SOFTWARE."""

MAX_GENERATIONS = 16
"""Each leaves its frames and objects to the next: after so many a fresh interpreter begins."""

MAX_SHORT_LIVES_OF_IMAGE = 3
"""So many rmds in a row may die young, and the next is still made of the same image; then the image is suspected."""

_LEGACY: list[object] = []
"""What the former processes owned. Nothing of it may be collected: a socket that is would close a descriptor whose
number belongs to somebody else by then."""


def succeed(root: Root, call: Succession) -> NoReturn:
    """Does not return. An error ends the process, and is told on standard error, which is rmd's log by then: the
    watchdog, or init, is the second line."""
    status = EXIT_FAILED
    try:
        status = _become_rmd(root, call)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _become_rmd(root: Root, call: Succession) -> int:
    """Returns the new rmd's exit status.

    Real-time scheduling is kept until the new rmd has started its workers: until then this node is silent, and its
    peers count the milliseconds. What it forks is ordinary (SCHED_RESET_ON_FORK).
    """
    for variable in (CHANNEL_VARIABLE, BEATS_VARIABLE):
        os.environ.pop(variable, None)
    os.environ[SHORT_LIVES_VARIABLE] = str(call.short_lives)
    _take_the_log_for_output(root)
    os.chdir("/")
    signal.set_wakeup_fd(-1)
    arguments = ["--foreground", "--takeover", call.reason, *(["--root", root.prefix] if root.prefix else [])]
    generations = int(os.environ.get(GENERATIONS_VARIABLE, "0")) + 1
    if call.short_lives > MAX_SHORT_LIVES_OF_IMAGE or generations > MAX_GENERATIONS:
        os.environ.pop(GENERATIONS_VARIABLE, None)
        _execute(arguments)
    os.environ[GENERATIONS_VARIABLE] = str(generations)
    _forget_the_former(call)
    from ha.rmd.daemon import main_cli  # it starts the loop that forks whoever comes here

    return main_cli(arguments)


def _take_the_log_for_output(root: Root) -> None:
    """The captured output went to the rmd that is no more. What the new one cannot log itself must still be found."""
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    log = os.open(root.log_dir / "rmd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _forget_the_former(call: Succession) -> None:
    """Leave what an exec would have left: default signals, no descriptors but 0 to 2, nothing that still acts."""
    _LEGACY.append((call, dict(asyncore.socket_map), list(events.callbacks)))
    gc.freeze()
    gc.enable()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faulthandler.unregister(STACKS_SIGNAL)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    asyncore.socket_map.clear()
    events.clear()


def _execute(arguments: list[str]) -> NoReturn:
    os.environ["PYTHONPATH"] = os.pathsep.join(package_path())
    os.execv(sys.executable, [sys.executable, "-m", "ha.rmd", *arguments])


def package_path() -> list[str]:
    """PYTHONPATH with which a fresh interpreter finds this program again, also where it was run from a checkout.

    A link is left a link: it may lead to a newer release by now.
    """
    own = str(Path(ha.__file__).absolute().parents[1])
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    return inherited if own in inherited else [own, *inherited]
