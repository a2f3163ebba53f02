# SPDX-License-Identifier: GPL-2.0-or-later
"""What every worker finds in memory: it is forked from rmd's image and reads nothing of the program from disk.

A worker may have no right to the program's files (they may lie in somebody's home), and under a node that is being
upgraded they may be of another version. The standard library imports some of its parts when they are first used;
those are named here.
"""

from __future__ import annotations

import codecs
import gc
import importlib

ENCODINGS = ("ascii", "latin-1", "utf-8", "idna", "unicode_escape")
LATE_MODULES = (
    "concurrent.futures.thread",
    "fcntl",
    "importlib.readers",
    "importlib.resources",
    "linecache",
    "random",
    "shlex",
    "tempfile",
    "tokenize",
    "traceback",
    "uuid",
    "zipfile",
)


def preload() -> None:
    """To be called by rmd before its first fork."""
    for encoding in ENCODINGS:
        codecs.lookup(encoding)
    for module in LATE_MODULES:
        importlib.import_module(module)


def freeze() -> None:
    """To be called right before the first fork: no collection, in rmd or a worker, writes into what all of them share.

    Source: the gc module's documentation of freeze().
    """
    gc.collect()
    gc.freeze()
