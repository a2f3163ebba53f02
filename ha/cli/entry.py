# SPDX-License-Identifier: GPL-2.0-or-later
"""How every command is entered: `[project.scripts]` names `ha.cli.entry:COMMAND`, with `_` for `-`.

Here is what all of them share and none should have to think of: `crm_mon -1 | head -1` ends quietly, Ctrl-C leaves no
traceback, and a process that lives for some milliseconds does not look for garbage.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from collections.abc import Callable

Main = Callable[[], int | None]

FUNCTIONS = {
    "crm_report": ("ha.cli.report.command", "crm_report"),
    "haresources2cib": ("ha.cli.config.convert.command", "haresources2cib"),
    "pacemaker_based": ("ha.cli.daemon_metadata", "based"),
    "pacemaker_controld": ("ha.cli.daemon_metadata", "controld"),
    "pacemaker_fenced": ("ha.cli.daemon_metadata", "fenced"),
    "pacemaker_schedulerd": ("ha.cli.daemon_metadata", "schedulerd"),
}
"""Commands that are not `main` of the module of their name."""

GARBAGE_THRESHOLD = 50_000
"""New objects between two looks for garbage; Python's own 700 is 30 looks in an import of lxml and the scheduler."""


def __getattr__(name: str) -> Main:
    """The command of that name (PEP 562). Raises AttributeError where there is none."""
    module, function = FUNCTIONS.get(name, (f"ha.cli.{name}", "main"))
    if name.startswith("_"):
        raise AttributeError(name)
    return lambda: enter(module, function)


def enter(module: str, function: str) -> int:
    """Import and run a command. Returns its exit code; 128 + the signal's number when a signal would have ended it."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        try:
            main: Main = getattr(importlib.import_module(module), function)
            return main() or 0
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has seen enough. What is still in the buffers has to go somewhere when Python ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
