# SPDX-License-Identifier: GPL-2.0-or-later
"""When the cluster's own fences are held back: by a person (disarmed), or because too many nodes went at once.

Both are safe by P1: a node that is lost and not fenced keeps its resources, they are started nowhere else. So only
fences of nodes that are *lost* are braked. A member that must be fenced (a stop that failed, a resource active twice)
may be holding two copies right now; it is shot without delay. What a person orders is always done.
"""

from __future__ import annotations

from ha.machine import Instant
from ha.stonith.core.registry import Registry

MASS_WINDOW_MS = 60_000
"""Losses within it are taken to have one cause."""


class Brake:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lost: dict[str, Instant] = {}  # targets that the crmd asked for, and when first
        self._waited: set[str] = set()  # held once; they do not wait again

    def disarmed(self, unix_s: float) -> str:
        """Why the cluster may fence nobody now; "" when it may."""
        options = self._registry.configuration.options
        if not options.disarmed_at(unix_s):
            return ""
        return f"fencing is disarmed for another {int(options.disarmed_until_s - unix_s)} s (ha fencing arm ends it)"

    def hold_ms(self, target: str, now: Instant) -> int:
        """How long a fence of a lost node waits. Called once for each such fence."""
        options = self._registry.configuration.options
        self._lost = {name: at for name, at in self._lost.items() if now - at < MASS_WINDOW_MS}
        self._lost.setdefault(target, now)
        if not options.mass_limit or len(self._lost) <= options.mass_limit or target in self._waited:
            return 0
        self._waited.add(target)
        return options.mass_hold_ms

    def seen(self, members: tuple[str, ...]) -> None:
        """Who is back was not lost for good."""
        self._lost = {name: at for name, at in self._lost.items() if name not in members}
        self._waited.difference_update(members)
