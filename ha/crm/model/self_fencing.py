# SPDX-License-Identifier: GPL-2.0-or-later
"""How long peers have to wait for a node's watchdog; docs/timing.md derives it."""

from __future__ import annotations

from ha.apphbd.msg import LEASE_MS
from ha.crm.model.takeover import HUNG_WORKER_MS, SKEW_DEADTIMES

MARGIN_MS = 500
"""For the clocks of two machines, the watchdog's own rounding, and the last pet on its way."""

AUTO_FACTOR = 2
"""Source: Pacemaker 2.1, stonith-watchdog-timeout: a negative value is twice the watchdog's timeout."""


def wait_of(option_ms: int, watchdog_timeout_ms: int) -> int:
    """What `stonith-watchdog-timeout` means for a node with such a watchdog, in milliseconds; 0: nothing."""
    return AUTO_FACTOR * watchdog_timeout_ms if option_ms < 0 else option_ms


def least_wait_ms(deadtime_ms: int, watchdog_timeout_ms: int, tie_breaker_wait_ms: int = 0) -> int:
    """Peers miss a node one deadtime after its last packet, and begin to wait. It renews its lease for the last time
    at most SKEW_DEADTIMES deadtimes and HUNG_WORKER_MS after that packet, its watchdog is petted for the last time
    LEASE_MS later, and resets it `watchdog_timeout_ms` after that. The wait has to be longer than the rest of this.
    A node that waits for a tie-breaker's word knows later that it has lost."""
    last_renewal_ms = SKEW_DEADTIMES * deadtime_ms + tie_breaker_wait_ms + HUNG_WORKER_MS
    return last_renewal_ms + LEASE_MS + watchdog_timeout_ms + MARGIN_MS - deadtime_ms
