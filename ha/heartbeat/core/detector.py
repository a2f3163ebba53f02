# SPDX-License-Identifier: GPL-2.0-or-later
"""When silence means death.

Intuition: a peer is dead when nothing came from it for `deadtime` while we were listening. The second half matters. A
node that was itself stopped (a frozen virtual machine, SIGSTOP, a starved processor) finds on waking that everybody
has been silent for long, and would accuse the whole cluster. So time in which our own loop did not run does not count
as the peer's silence, and after such a pause each peer has at least `warntime` left to be heard.

How we know that we were late: the keepalive timer fires at a known moment. When a step comes later than that by more
than a tolerance, we were away for the difference.

Prior art: Lifeguard's local health (Dadgar et al. 2018, memberlist's awareness.go).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ha.heartbeat.model import Times
from ha.machine import Instant

MAX_LATENESSES = 100
FENCED_KEEPALIVES = 2
"""So long a node must be silent after its fencing was confirmed."""


@dataclass(slots=True)
class Silence:
    """What we know of one peer's silence."""

    last_heard: Instant
    deadline: Instant
    """The peer is dead if it was not heard by then."""
    last_link: str = ""
    excused_ms: int = 0
    """How much of the time since `last_heard` we were away ourselves."""
    longest_ms: int = 0
    """The longest silence so far between two packets."""
    fenced: bool = False
    """Its power was cut since it was last heard."""

    def heard(self, now: Instant, times: Times, link: str) -> int:
        """Note a sign of life. Returns the silence that it ended, less what was our own absence."""
        silent_ms = max(now - self.last_heard - self.excused_ms, 0)
        self.longest_ms = max(self.longest_ms, silent_ms)
        self.last_heard = now
        self.last_link = link
        self.excused_ms = 0
        self.fenced = False
        self.deadline = now + times.deadtime_ms
        return silent_ms

    def confirm_fenced(self, now: Instant, times: Times) -> None:
        """Stronger evidence than silence. What was sent before the cut may still arrive: a few keepalives for that."""
        self.fenced = True
        self.deadline = min(self.deadline, now + FENCED_KEEPALIVES * times.keepalive_ms)

    def excuse(self, absence_ms: int, now: Instant, times: Times) -> None:
        """We were away for `absence_ms` until now."""
        assert absence_ms > 0
        self.excused_ms += absence_ms
        self.deadline = max(self.deadline + absence_ms, now + times.warntime_ms)

    def evidence(self, now: Instant, times: Times) -> str:
        silent = f"silent for {now - self.last_heard} ms (deadtime {times.deadtime_ms} ms)"
        last = f"last heard on {self.last_link}" if self.last_link else "never heard"
        away = f", of which we were away {self.excused_ms} ms" if self.excused_ms else ""
        fenced = ", its fencing is confirmed" if self.fenced else ""
        return f"{silent}{away}, {last}{fenced}"


class Punctuality:
    """Whether our own loop runs when it should."""

    def __init__(self, times: Times) -> None:
        self.configure(times)
        self.expected_by: Instant | None = None
        """Some step must come by then: the next keepalive is due."""
        self.worst: deque[tuple[Instant, int]] = deque(maxlen=MAX_LATENESSES)
        """When our own loop was late, and by how much."""

    def configure(self, times: Times) -> None:
        self.tolerance_ms = max(times.deadtime_ms // 8, 10)
        self.deadtime_ms = times.deadtime_ms

    def worst_ms(self, now: Instant) -> int:
        """How late our own loop was at worst within the last deadtime."""
        return max((late_ms for moment, late_ms in self.worst if moment > now - self.deadtime_ms), default=0)

    def expect(self, deadline: Instant) -> None:
        self.expected_by = deadline

    def absence_ms(self, now: Instant) -> int:
        """How long we were away until now: 0 when the loop is on time, within the tolerance."""
        if self.expected_by is None or now <= self.expected_by:
            return 0
        late_ms = now - self.expected_by
        if self.worst and self.worst[-1][0] - self.worst[-1][1] == self.expected_by:
            self.worst.pop()  # of one delay, the last word counts
        self.worst.append((now, late_ms))
        if late_ms <= self.tolerance_ms:
            return 0
        self.expected_by = now  # counted once
        return late_ms
