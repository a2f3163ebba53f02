# SPDX-License-Identifier: GPL-2.0-or-later
"""The pengine worker: runs on the DC only, started and stopped by rmd at the crmd's request."""

from __future__ import annotations

from ha.cib.io.reader import CibReader
from ha.pe.core.worker import build
from ha.pe.io.decisions import DecisionAdapter
from ha.root import Root
from ha.shell import Adapter, BeatTimes, run_worker

BEAT = BeatTimes()


def main(root: Root) -> int:
    """Run until rmd ends it. Returns the exit status."""
    adapters: list[Adapter] = [CibReader(root), DecisionAdapter(root.state("pengine") / "inputs", root)]
    return run_worker("pengine", build(), root=root, adapters=adapters, beat=BEAT)
