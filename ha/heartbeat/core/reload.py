# SPDX-License-Identifier: GPL-2.0-or-later
"""A changed ha.cf (SIGHUP): what can change while heartbeat runs is applied, what cannot is named."""

from __future__ import annotations

import dataclasses
from typing import Any

from ha.heartbeat.model import HaCf

APPLIED = (
    "times", "profile", "deadping_ms", "framing", "max_rexmit_delay_ms", "log_badpack", "apiauth", "compression",
    "compression_threshold_kib", "traditional_compression", "logfacility", "cluster", "crm",
)  # fmt: skip
"""Fields of HaCf. The others are built into sockets, associations or the process, and need a restart."""

FOLLOW = ("parameters", "warnings")
"""What the file says, whatever came of it."""


def merge(running: HaCf, read: HaCf) -> tuple[HaCf, list[str], list[str]]:
    """(what holds from now on, in words what was applied, in words what needs a restart)."""
    applied, refused = [], []
    changes: dict[str, Any] = {name: getattr(read, name) for name in FOLLOW}
    for field in dataclasses.fields(HaCf):
        name = field.name
        if name in FOLLOW or getattr(running, name) == getattr(read, name):
            continue
        if name == "times" and read.times.deadtime_ms < running.times.deadtime_ms:
            # How soon this process is replaced when it hangs follows from the deadtime it was started with.
            refused.append("a shorter deadtime")
        elif name in APPLIED:
            changes[name] = getattr(read, name)
            applied.append(_words(name, read))
        else:
            refused.append(name.removesuffix("_ms"))
    return dataclasses.replace(running, **changes), applied, refused


def _words(name: str, read: HaCf) -> str:
    times = read.times
    if name == "times":
        return (
            f"keepalive {times.keepalive_ms} ms, warntime {times.warntime_ms} ms, deadtime {times.deadtime_ms} ms, "
            f"initdead {times.initdead_ms} ms"
        )
    value = getattr(read, name)
    return name if isinstance(value, dict) else f"{name.removesuffix('_ms')} {value}"
