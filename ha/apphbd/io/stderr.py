# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard error, without ever waiting for it: a terminal or a pipe that is not read must not stop the root pair."""

from __future__ import annotations

import os
import select


def to_stderr(line: str) -> None:
    """What does not fit at once is lost. A writable pipe takes up to 4096 bytes at once (pipe(7), PIPE_BUF)."""
    try:
        if select.select([], [2], [], 0)[1]:
            os.write(2, line.encode("utf-8", "replace")[: select.PIPE_BUF])
    except OSError:
        return  # standard error is closed: nobody is there to be told
