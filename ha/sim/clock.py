# SPDX-License-Identifier: GPL-2.0-or-later
"""A node's two clocks: CLOCK_BOOTTIME, which may run fast or slow, and the wall clock, which may be plain wrong."""

from __future__ import annotations

from dataclasses import dataclass

from ha.machine import Instant

MAX_DRIFT_PPM = 500
"""A quartz that is worse than this is broken (NTP refuses to correct more)."""

EPOCH_MS = 1_700_000_000_000
"""Unix time at which every simulated world begins (14 November 2023)."""


@dataclass
class NodeClock:
    """`booted_us` is when the machine was switched on: BOOTTIME counts from there. `drift_ppm` bends both clocks."""

    booted_us: int = 0
    drift_ppm: int = 0
    skew_ms: int = 0
    uptime_ms: int = 10_000

    def __post_init__(self) -> None:
        assert abs(self.drift_ppm) <= MAX_DRIFT_PPM, self.drift_ppm

    def instant(self, now_us: int) -> Instant:
        return self.uptime_ms + (now_us - self.booted_us) * (1_000_000 + self.drift_ppm) // 1_000_000_000

    def reaches(self, deadline: Instant) -> int:
        """The first microsecond of the world at which this clock shows `deadline` or more."""
        rate = 1_000_000 + self.drift_ppm
        return self.booted_us + -(-(deadline - self.uptime_ms) * 1_000_000_000 // rate)

    def wall_offset_ms(self, now_us: int) -> int:
        return EPOCH_MS + now_us // 1_000 + self.skew_ms - self.instant(now_us)
