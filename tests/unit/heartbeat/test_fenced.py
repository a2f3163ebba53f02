# SPDX-License-Identifier: GPL-2.0-or-later
"""A confirmed fencing shortens what a silence must last, and a sign of life takes that back."""

from __future__ import annotations

from ha.heartbeat.core.detector import Silence
from ha.heartbeat.model.ha_cf import PROFILES

TIMES = PROFILES["default"]


def test_a_fenced_node_is_dead_after_two_keepalives() -> None:
    silence = Silence(last_heard=1_000, deadline=1_000 + TIMES.deadtime_ms)
    silence.confirm_fenced(1_100, TIMES)
    assert silence.deadline == 1_100 + 2 * TIMES.keepalive_ms
    assert "its fencing is confirmed" in silence.evidence(1_500, TIMES)


def test_it_never_lengthens_a_silence() -> None:
    silence = Silence(last_heard=1_000, deadline=1_000 + TIMES.deadtime_ms)
    silence.confirm_fenced(1_990, TIMES)
    assert silence.deadline == 2_000


def test_a_node_that_is_heard_again_has_its_whole_deadtime() -> None:
    silence = Silence(last_heard=1_000, deadline=1_000 + TIMES.deadtime_ms)
    silence.confirm_fenced(1_100, TIMES)
    silence.heard(1_200, TIMES, "eth0")
    assert silence.deadline == 1_200 + TIMES.deadtime_ms
    assert "fencing" not in silence.evidence(1_300, TIMES)
