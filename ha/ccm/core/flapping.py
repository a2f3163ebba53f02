# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that come and go: who returned too often of late is held out for a growing time before it is let in again.

Each return costs a change of view, and what runs is moved for nothing. Held out is a node only by members of a view
with quorum that it is not in, so that holding out never costs anyone the quorum; a node that was started anew, or had
left, is not flapping. The times grow as in the damping of routes that flap (RFC 2439), without its figures.
"""

from __future__ import annotations

from collections import deque

from ha.machine import Instant

WINDOW_MS = 120_000
"""How long a return is remembered."""
FREE_RETURNS = 3
"""So many within the window are let in at once: a cable that is plugged in again, a switch that restarts."""
FIRST_HOLD_MS = 2_000
MAX_HOLD_MS = 60_000


class Returns:
    """When which node came back after it was lost, though it had not been started anew."""

    def __init__(self) -> None:
        self._returns: dict[str, deque[Instant]] = {}

    def returned(self, node: str, now: Instant) -> int:
        """Count a return; gives how long the node is to be held out, in ms (0: not at all)."""
        times = self._returns.setdefault(node, deque())
        times.append(now)
        while times[0] <= now - WINDOW_MS:
            times.popleft()
        excess = len(times) - FREE_RETURNS
        return min(FIRST_HOLD_MS << min(excess - 1, 16), MAX_HOLD_MS) if excess > 0 else 0

    def forget(self, node: str) -> None:
        self._returns.pop(node, None)
