# SPDX-License-Identifier: GPL-2.0-or-later
"""The crmd worker: takes the nodes and timings from ha.cf and runs the machine."""

from __future__ import annotations

import sys
from typing import Any

from ha.crm.core import build
from ha.heartbeat.io import load_as_member
from ha.heartbeat.model import HaCfError
from ha.root import Root
from ha.shell import PROFILE_BEATS, run_worker

EXIT_CONFIG = 78
"""ha.cf is unusable (EX_CONFIG of sysexits.h)."""


def main(root: Root) -> int:
    """Run until SIGTERM. Returns EXIT_CONFIG, with the reason on stderr, when ha.cf cannot be used."""
    try:
        ha_cf = load_as_member(root)
    except HaCfError as error:
        print(f"crmd: {error}", file=sys.stderr)
        return EXIT_CONFIG
    settings: dict[str, Any] = {
        "node": root.node_name(),
        "nodes": ha_cf.nodes,
        "deadtime_ms": ha_cf.deadtime_ms,
        "initdead_ms": ha_cf.initdead_ms,
        "has_tie_breaker": ha_cf.tie_breaker is not None,
        "tie_breaker_wait_ms": ha_cf.tie_breaker_wait_ms,
    }
    machine = build(**settings)
    return run_worker("crmd", machine, root=root, beat=PROFILE_BEATS[ha_cf.profile], settings=settings)
