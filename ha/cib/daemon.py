# SPDX-License-Identifier: GPL-2.0-or-later
"""The cib worker: the configuration and status of the cluster, replicated, durable, and in shared memory."""

from __future__ import annotations

from ha.cib import schema
from ha.cib.core import build
from ha.cib.io.store import StoreAdapter
from ha.root import Root
from ha.shell import BeatTimes, run_worker

BEAT = BeatTimes()

# Compiled when rmd imports this module, before it forks: the worker reads nothing of the program from disk, which it
# may have no right to, or which may be of another version by then.
schema.load()


def main(root: Root) -> int:
    """Run until rmd ends it. Returns the exit status."""
    settings = {"node": root.node_name()}
    return run_worker("cib", build(**settings), root=root, adapters=[StoreAdapter(root)], beat=BEAT, settings=settings)
