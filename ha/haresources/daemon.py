# SPDX-License-Identifier: GPL-2.0-or-later
"""The process haresources: runs the groups of haresources on one of two nodes, without a CRM."""

from __future__ import annotations

import os
import sys

from ha.haresources.core import build
from ha.haresources.io.config import load_haresources, settings_of
from ha.haresources.io.fencing import StonithAdapter
from ha.haresources.io.scripts import ScriptAdapter
from ha.haresources.model.haresources import HaresourcesError
from ha.heartbeat.io.config import load
from ha.heartbeat.model import HaCfError
from ha.ipc.journal import Journal
from ha.root import Root
from ha.runner.server import ForkServer
from ha.runner.spool import Spool
from ha.shell import Adapter, run_worker
from ha.shell.loop import boot_time_ms


def main(root: Root) -> int:
    """Runs until SIGTERM. Exit status 78 (EX_CONFIG) when the configuration cannot be used: the log says why."""
    node = root.node_name()
    spool = Spool(root.run_dir / "haresources")
    # First of all: the fork server must be forked from a process of one thread.
    server = ForkServer.start(spool, f"ha-runners {node} haresources")
    try:
        ha_cf = load(root)
        settings = settings_of(root, ha_cf, load_haresources(root))
    except (HaCfError, HaresourcesError) as error:
        print(f"haresources: {error}", file=sys.stderr)
        Journal("haresources", node, root).write("critical", str(error), boot_time_ms())
        return os.EX_CONFIG
    adapters: list[Adapter] = [ScriptAdapter(root, spool, server, ha_cf.parameters), StonithAdapter()]
    return run_worker("haresources", build(settings=settings), root=root, adapters=adapters)
