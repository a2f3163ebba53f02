# SPDX-License-Identifier: GPL-2.0-or-later
"""The process lrmd: runs resource agents on this node at the crmd's orders."""

from __future__ import annotations

import os

from ha.lrm.core import build
from ha.lrm.io import AgentAdapter
from ha.root import Root
from ha.runner.server import ForkServer
from ha.runner.spool import Spool
from ha.shell import run_worker


def main(root: Root) -> int:
    node = root.node_name()
    spool = Spool(root.run_dir / "lrm")
    # First of all: the fork server must be forked from a process of one thread.
    server = ForkServer.start(spool, f"ha-runners {node} lrmd")
    processors = os.cpu_count() or 1
    machine = build(node=node, processors=processors)
    settings = {"node": node, "processors": processors}
    return run_worker("lrmd", machine, root=root, adapters=[AgentAdapter(root, spool, server)], settings=settings)
