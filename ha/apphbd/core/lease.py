# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster's word that this node may live: without it the watchdog is petted no more (watchdog self-fencing).

    not in force ──► valid ◄──► ended ──► lapsed
    (no lease was     until it      the watchdog    the watchdog has not acted: rmd resets the node
     ever given,      runs out      runs down       by its own means
     or released)

A lease that has ended may still be renewed: then the node has stopped what it ran, or has found its quorum again,
before the watchdog ran down. docs/timing.md says what peers may conclude, and when.
"""

from __future__ import annotations

from ha.apphbd.msg import LEASE_MS, Lease
from ha.machine import Effect, Instant, Note


class LeaseWatch:
    """`until` None: not in force. `timeout_ms` is the watchdog's."""

    def __init__(self, until: Instant | None, timeout_ms: int) -> None:
        self.until = until
        self.timeout_ms = timeout_ms
        self._said_ended = False
        self.lapsed = False

    @property
    def in_force(self) -> bool:
        return self.until is not None

    def allows(self, now: Instant) -> bool:
        """Whether the watchdog may be petted."""
        return not self.lapsed and (self.until is None or now < self.until)

    def told(self, lease: Lease, now: Instant, effects: list[Effect]) -> None:
        """rmd's word. No lease is longer than LEASE_MS, whoever gives it; what has lapsed comes to nothing."""
        was_ended = not self.allows(now)
        self.until = None if lease.until is None else min(lease.until, now + LEASE_MS)
        if was_ended and self._said_ended and self.allows(now):
            effects.append(Note("notice", "the cluster's lease is renewed: the watchdog is petted again"))
        if self.allows(now):
            self._said_ended = False

    def due(self) -> Instant | None:
        """When there is something to say or to do if nothing is heard until then."""
        if self.until is None or self.lapsed:
            return None
        return self.until + self.timeout_ms if self._said_ended else self.until

    def fired(self, now: Instant, effects: list[Effect]) -> bool:
        """True, once: the watchdog should have reset the node by now."""
        if self.until is None or self.lapsed or now < self.until:
            return False
        if not self._said_ended:
            self._said_ended = True
            effects.append(
                Note(
                    "critical", "self-fencing: no quorum, resources are active, or the crmd is silent: the cluster's "
                    f"lease has run out, and the watchdog resets this node within {self.timeout_ms} ms of its last pet",
                )
            )  # fmt: skip
        self.lapsed = now >= self.until + self.timeout_ms
        return self.lapsed
