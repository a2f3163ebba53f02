# SPDX-License-Identifier: GPL-2.0-or-later
"""Importing a worker's main, as its stanza names it."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable

from ha.rmd.model import WorkerFunction
from ha.root import Root


class LoadError(Exception):
    """The text names the function, the error and its place."""


def load(function: WorkerFunction) -> Callable[[Root], int]:
    """Raises LoadError."""
    command = f"{function.module}:{function.function}"
    try:
        main: object = getattr(importlib.import_module(function.module), function.function)
    except Exception as error:  # whatever a worker's text does when imported: this worker's failure, not the caller's
        frames = traceback.extract_tb(error.__traceback__)
        files = [f" ({frame.filename}:{frame.lineno})" for frame in frames if not frame.filename.startswith("<")]
        place = files[-1] if len(files) > 1 else ""
        raise LoadError(f"cannot load {command}: {type(error).__name__}: {error}{place}") from error
    if not callable(main):
        raise LoadError(f"{command} is not a function")
    return main
