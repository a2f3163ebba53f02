# SPDX-License-Identifier: GPL-2.0-or-later
"""The process stonithd: makes sure that a lost node is down, by fence agents."""

from __future__ import annotations

from ha.root import Root
from ha.runner.server import ForkServer
from ha.runner.spool import Spool
from ha.shell import run_worker
from ha.stonith.core import build
from ha.stonith.io import FenceAdapter


def main(root: Root) -> int:
    node = root.node_name()
    spool = Spool(root.run_dir / "stonith")
    # First of all: the fork server must be forked from a process of one thread.
    server = ForkServer.start(spool, f"ha-runners {node} stonithd")
    adapters = [FenceAdapter(root, spool, server)]
    return run_worker("stonithd", build(node=node), root=root, adapters=adapters, settings={"node": node})
