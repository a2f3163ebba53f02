# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster as the policy engine reads it from a CIB: nodes, resources, where they run, what failed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ha.pe.model.values import integer

if TYPE_CHECKING:
    from ha.pe.model.cluster import Cluster
    from ha.pe.model.resource import Resource

RC_WORDS = {
    0: "ok", 1: "error", 2: "invalid parameter", 3: "unimplemented feature", 4: "insufficient privileges",
    5: "not installed", 6: "not configured", 7: "not running", 8: "promoted", 9: "promoted (failed)",
    190: "degraded", 191: "degraded promoted", 193: "(pending)",
}  # fmt: skip
"""Exit codes of agents, in the words that clients expect."""


def view_of(cib: bytes, now_s: int) -> Cluster:
    """Raises `ha.pe.model.document.CibError` for a text that is no CIB."""
    from ha.pe.core import read

    return read(cib, now_s)


MAX_SECONDS = 253_402_300_799
"""The end of the year 9999: what is later in a CIB is no date."""


def moment(seconds: str | int | float | None) -> str:
    """Unix seconds as clients expect a date; what is no number, or far off, gives none."""
    count = _seconds(seconds)
    return time.ctime(count) if count else ""


def iso_moment(seconds: str | int | None) -> str:
    """Unix seconds as 2026-11-23 19:00:00Z, the form of dates in failures."""
    count = _seconds(seconds)
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(count)) if count else ""


def _seconds(given: str | int | float | None) -> int:
    count = integer(given) or 0 if isinstance(given, str) else int(given or 0)
    return count if 0 < count <= MAX_SECONDS else 0


def primitives(resources: Iterable[Resource]) -> Iterator[Resource]:
    """Every primitive instance, in the order of the configuration."""
    for resource in resources:
        if resource.children:
            yield from primitives(resource.children)
        elif resource.is_primitive:
            yield resource


def disabled(resource: Resource) -> bool:
    from ha.pe.core.resources import is_disabled

    return is_disabled(resource) or (resource.parent is not None and disabled(resource.parent))


def agent_name(resource: Resource) -> str:
    """class[:provider]:type."""
    parts = (resource.xml.get("class"), resource.xml.get("provider"), resource.xml.get("type"))
    return ":".join(str(part) for part in parts if part)


def is_shown(name: str) -> bool:
    """Attributes of the machinery itself are not."""
    return not name.startswith(("#", "fail-count-", "last-failure-")) and name not in (
        "terminate", "shutdown", "standby", "probe_complete",
    )  # fmt: skip
