# SPDX-License-Identifier: GPL-2.0-or-later
"""The conditions between deadlines under which nobody acts too early; docs/timing.md derives each of them.

A breach is an error where it may cost a second copy of a resource, or a healthy node; else a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ha.crm.model.self_fencing import least_wait_ms, wait_of
from ha.crm.model.takeover import HUNG_WORKER_MS, SKEW_DEADTIMES

BACK_MS = 150
"""From the death of heartbeat or rmd to the first word of the next heartbeat worker, on a machine with four busy
processes per core: 64 to 115 ms were measured, and 139 when a core was dumped (docs/qualification.md)."""

PAIR_BACK_MS = 500
"""From the kill of a frozen half of the root pair until the watchdog is petted again, also by a fresh interpreter
(350 ms)."""

MIN_HANG_MS = 50
"""heartbeat is called hung after a third of deadtime, and not before this."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds. `watchdog_timeout_ms`: 0 without a device, or where the device's own holds. `takeover_grace_ms`
    None: auto. `fencing` None: the CIB is not known, and what depends on it is not judged.
    `watchdog_wait_ms` is stonith-watchdog-timeout, negative: twice the watchdog's timeout."""

    keepalive_ms: int = 200
    deadtime_ms: int = 1_000
    fencing: bool | None = None
    takeover_grace_ms: int | None = None
    stop_chain_ms: int = 0
    watchdog_interval_ms: int = 1_000
    watchdog_timeout_ms: int = 0
    watchdog_wait_ms: int = 0
    tie_breaker_wait_ms: int = 0
    pair_deadline_ms: int = 1_000
    leave_timeout_ms: int = 20 * 60_000

    @property
    def silence_ms(self) -> int:
        """The longest that peers hear nothing of a healthy host."""
        return self.keepalive_ms + max(self.deadtime_ms // 3, MIN_HANG_MS) + BACK_MS

    @property
    def auto_grace_ms(self) -> int:
        return max(self.stopped_ms, wait_of(self.watchdog_wait_ms, self.watchdog_timeout_ms))

    @property
    def stopped_ms(self) -> int:
        """After which a node that is cut off has stopped its resources, if the stops succeed."""
        return SKEW_DEADTIMES * self.deadtime_ms + HUNG_WORKER_MS + self.stop_chain_ms

    @property
    def grace_ms(self) -> int:
        return self.auto_grace_ms if self.takeover_grace_ms is None else self.takeover_grace_ms

    @property
    def longest_petting_gap_ms(self) -> int:
        """Of a root pair one of whose halves froze and was replaced."""
        return self.watchdog_interval_ms + self.pair_deadline_ms + PAIR_BACK_MS


@dataclass(frozen=True, slots=True)
class Breach:
    weight: Literal["error", "warning"]
    what: str
    remedy: str


def breaches(timing: Timing) -> Iterator[Breach]:
    """In the order of docs/timing.md."""
    yield from _silence(timing)
    yield from _grace(timing)
    yield from _watchdog(timing)
    yield from _self_fencing(timing)
    if timing.stop_chain_ms > timing.leave_timeout_ms:
        yield Breach(
            "error", f"leave_timeout_ms {timing.leave_timeout_ms} of rmd.cf is shorter than the longest ordered chain "
            f"of stops, {timing.stop_chain_ms} ms by their timeouts: an orderly stop could end in a reset",
            f"set leave_timeout_ms to {timing.stop_chain_ms} or more",
        )  # fmt: skip


def _silence(timing: Timing) -> Iterator[Breach]:
    """A heartbeat worker that hangs is heard again before its node is given up."""
    if timing.silence_ms < timing.deadtime_ms:
        return
    what = (
        f"deadtime {timing.deadtime_ms} ms: a healthy host whose heartbeat worker hangs is silent for up to "
        f"{timing.silence_ms} ms (keepalive {timing.keepalive_ms}, its hang deadline, {BACK_MS} to be back)"
    )
    remedy = f"raise deadtime to {least_deadtime_ms(timing.keepalive_ms)} ms"
    if timing.fencing is False:
        yield Breach("error", f"{what}, and without fencing nothing then keeps a second copy away",
                     f"{remedy}, or configure fencing")  # fmt: skip
    else:
        yield Breach("warning", f"{what}, and its peers then fence it", remedy)


def least_deadtime_ms(keepalive_ms: int) -> int:
    """The smallest that satisfies the condition of `_silence`, a round number."""
    deadtime_ms = 50
    while Timing(keepalive_ms=keepalive_ms, deadtime_ms=deadtime_ms).silence_ms >= deadtime_ms:
        deadtime_ms += 50
    return deadtime_ms


def _grace(timing: Timing) -> Iterator[Breach]:
    """A node that is cut off has stopped its resources before its peers start them."""
    if timing.fencing is not False or not timing.takeover_grace_ms:
        return
    if timing.takeover_grace_ms < timing.stopped_ms:
        yield Breach(
            "error", f"takeover-grace {timing.takeover_grace_ms} ms is shorter than what a node that is cut off may "
            f"need to stop its resources: {timing.stopped_ms} ms ({SKEW_DEADTIMES} deadtimes, {HUNG_WORKER_MS} ms "
            f"for a worker that hangs, {timing.stop_chain_ms} ms for the longest ordered chain of stops by timeouts)",
            "set takeover-grace to auto, or shorten the timeouts of the stops; 0 says that you accept two copies",
        )  # fmt: skip


def _self_fencing(timing: Timing) -> Iterator[Breach]:
    """Peers that count on a node's watchdog wait until it must have acted."""
    timeout_ms = timing.watchdog_timeout_ms
    wait_ms = wait_of(timing.watchdog_wait_ms, timeout_ms)
    if not wait_ms:
        return
    least_ms = least_wait_ms(timing.deadtime_ms, timeout_ms, timing.tie_breaker_wait_ms)
    if timeout_ms and wait_ms < least_ms:
        yield Breach(
            "error", f"stonith-watchdog-timeout {wait_ms} ms: after its peers have lost it a node may live for "
            f"{least_ms} ms until its watchdog ({timeout_ms} ms) resets it: it will not fence itself",
            f"set stonith-watchdog-timeout to {-(-least_ms // 1000)}s or more",
        )  # fmt: skip
    if timing.fencing is False and timing.takeover_grace_ms and timing.takeover_grace_ms < wait_ms:
        yield Breach(
            "error", f"takeover-grace {timing.takeover_grace_ms} ms is shorter than stonith-watchdog-timeout "
            f"{wait_ms} ms: peers do not wait for the watchdog of a node whose stops fail",
            "set takeover-grace to auto",
        )  # fmt: skip


def _watchdog(timing: Timing) -> Iterator[Breach]:
    timeout_ms = timing.watchdog_timeout_ms
    if not timeout_ms:
        return
    if timeout_ms <= timing.longest_petting_gap_ms:
        yield Breach(
            "error", f"watchdog_timeout_ms {timeout_ms} of apphbd.cf: when rmd or apphbd freezes, and is replaced, "
            f"nobody pets the watchdog for up to {timing.longest_petting_gap_ms} ms (watchdog_interval_ms "
            f"{timing.watchdog_interval_ms}, pair_deadline_ms {timing.pair_deadline_ms}, {PAIR_BACK_MS} to be back): "
            "the node would be reset for it",
            f"set it to more than {timing.longest_petting_gap_ms}, or shorten the other two",
        )  # fmt: skip
    covered_ms = timing.deadtime_ms + timing.grace_ms
    frozen_ms = timeout_ms + timing.keepalive_ms
    if timing.fencing is False and timing.grace_ms and covered_ms <= frozen_ms:
        yield Breach(
            "warning", f"a frozen host is reset by its watchdog within {timeout_ms} ms, and its resources start "
            f"elsewhere after {covered_ms} ms (deadtime and takeover-grace): there may be two copies meanwhile",
            f"set takeover-grace to more than {frozen_ms - timing.deadtime_ms} ms, or configure fencing",
        )  # fmt: skip
