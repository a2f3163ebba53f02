# SPDX-License-Identifier: GPL-2.0-or-later
"""The tengine worker: runs on the DC only, started and stopped by rmd at the crmd's request."""

from __future__ import annotations

from ha.root import Root
from ha.shell import BeatTimes, run_worker
from ha.te.core import build

BEAT = BeatTimes()


def main(root: Root) -> int:
    """Run until rmd ends it. Returns the exit status."""
    return run_worker("tengine", build(), root=root, adapters=[], beat=BEAT)
