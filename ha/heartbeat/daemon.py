# SPDX-License-Identifier: GPL-2.0-or-later
"""The process `heartbeat`: builds the core and its adapters and hands them to the shell."""

from __future__ import annotations

import dataclasses
import os
import sys

# Loaded into rmd's image, from which this worker is forked: loading it at each restart would take longer than half of
# a short deadtime.
import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401

from ha.heartbeat.core import build
from ha.heartbeat.io.config import boot_id, load, load_authkeys, numeric_apiauth
from ha.heartbeat.io.keyfile import KeyFile
from ha.heartbeat.io.media import Media
from ha.heartbeat.io.realtime import Punctual
from ha.heartbeat.io.register import Register
from ha.heartbeat.io.reload import Reload
from ha.heartbeat.io.udp import is_own_line
from ha.heartbeat.model import AuthKeysError, HaCf, HaCfError
from ha.ipc.journal import Journal
from ha.root import Root
from ha.shell import Adapter, BeatTimes, run_worker
from ha.shell.loop import boot_time_ms

MIN_HANG_DEADLINE_MS = 50


def main(root: Root) -> int:
    """Runs until SIGTERM. Exit status 78 (EX_CONFIG) when the configuration cannot be used: the log says why."""
    node = root.node_name()
    try:
        ha_cf, keys = _of_this_node(load(root), node), load_authkeys(root)
    except (HaCfError, AuthKeysError) as error:
        print(f"heartbeat: {error}", file=sys.stderr)
        Journal("heartbeat", node, root).write("critical", str(error), boot_time_ms())
        return os.EX_CONFIG
    boot = boot_id(root)
    machine = build(node=node, ha_cf=ha_cf, keys=keys, boot_id=boot, watch_keys=True)
    settings = {"node": node, "ha_cf": ha_cf, "keys": keys, "boot_id": boot, "watch_keys": True}
    adapters: list[Adapter] = [
        Punctual(ha_cf.realtime, ha_cf.rtprio),
        Media([*ha_cf.media, *(medium for ping in ha_cf.ping for medium in ping.media())]),
        Register(root),
        KeyFile(root),
        Reload(lambda: _of_this_node(load(root), node)),
    ]
    return run_worker("heartbeat", machine, root=root, adapters=adapters, beat=_beat(ha_cf), settings=settings)


def _of_this_node(ha_cf: HaCf, node: str) -> HaCf:
    """Without the lines that name this very host. Raises HaCfError when this node is not in the cluster."""
    if node not in ha_cf.nodes and ha_cf.autojoin != "any":
        raise HaCfError(
            (f"this node calls itself {node}, which is none of the nodes of ha.cf: {', '.join(ha_cf.nodes)}",)
        )
    others = tuple(medium for medium in ha_cf.media if not is_own_line(medium))
    return dataclasses.replace(ha_cf, media=others, apiauth=numeric_apiauth(ha_cf.apiauth))


def _beat(ha_cf: HaCf) -> BeatTimes:
    """Hung after a third of deadtime: so the replacement is heard before the peers give us up (design section 4)."""
    deadline_ms = max(ha_cf.deadtime_ms // 3, MIN_HANG_DEADLINE_MS)
    return BeatTimes(interval_ms=deadline_ms * 33 // 100, warntime_ms=deadline_ms * 2 // 3, deadline_ms=deadline_ms)
