# SPDX-License-Identifier: GPL-2.0-or-later
"""The ccm worker: takes the nodes and timings from ha.cf and runs the machine."""

from __future__ import annotations

import sys
from typing import Any

from ha.ccm.core import build
from ha.ccm.io import for_tie_breaker
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
        print(f"ccm: {error}", file=sys.stderr)
        return EXIT_CONFIG
    settings: dict[str, Any] = {
        "node": root.node_name(),
        "nodes": ha_cf.nodes,
        "keepalive_ms": ha_cf.keepalive_ms,
        "deadtime_ms": ha_cf.deadtime_ms,
        "initdead_ms": ha_cf.initdead_ms,
        "weights": dict(ha_cf.weights),
        "tie_breaker": ha_cf.tie_breaker,
        "tie_breaker_wait_ms": ha_cf.tie_breaker_wait_ms,
    }
    try:
        machine = build(**settings)
    except ValueError as error:
        print(f"ccm: ha.cf: {error}", file=sys.stderr)
        return EXIT_CONFIG
    adapters = [] if ha_cf.tie_breaker is None else for_tie_breaker(ha_cf.tie_breaker)
    return run_worker("ccm", machine, root=root, adapters=adapters, beat=PROFILE_BEATS[ha_cf.profile],
                      settings=settings)  # fmt: skip
