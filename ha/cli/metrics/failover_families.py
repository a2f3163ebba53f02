# SPDX-License-Identifier: GPL-2.0-or-later
"""The phases of the last recovery that this node's log tells of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ha.cli.metrics.openmetrics import Family
from ha.cli.timeline.incidents import Phases, incidents_in, phases_of
from ha.cli.timeline.log_lines import read_log

MAX_LOG_BYTES = 8 * 1024 * 1024
"""Of each log file only so much of its end is read: a scrape is to be quick."""


def last_recovery(paths: list[Path]) -> Phases | None:
    """None when the logs tell of none. Raises OSError when one cannot be read."""
    lines = [line for path in paths for line in read_log(path, containing=b"timeline ", max_bytes=MAX_LOG_BYTES).lines]
    for incident in reversed(incidents_in(lines)):
        phases = phases_of(incident.events())
        if phases is not None:
            return phases
    return None


def families_of(phases: Phases) -> Iterator[Family]:
    seen = Family(
        "ha_failover_loss_seen_timestamp_seconds",
        "When the last loss or failure that was recovered from was seen, in Unix seconds.",
        unit="seconds",
    )
    seen.add(phases.at_ms["loss-seen"] / 1000)
    yield seen
    family = Family(
        "ha_failover_phase_milliseconds",
        "When each phase of the last recovery was over, since its loss was seen. A node that is not the DC knows the "
        "first ones only.",
        unit="milliseconds",
    )
    for kind, since_ms in phases.since_loss_ms().items():
        family.add(since_ms, phase=kind.replace("-", "_"))
    yield family
