# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of a wrong first idea, and what the detector does instead."""

from __future__ import annotations

from ha.heartbeat.core.detector import Punctuality, Silence
from ha.heartbeat.model import Times

TIMES = Times(keepalive_ms=200, warntime_ms=500, deadtime_ms=1000, initdead_ms=10_000)


def heard_at(moment: int) -> Silence:
    silence = Silence(0, 0)
    silence.heard(moment, TIMES, "eth0")
    return silence


def test_a_peer_is_dead_after_deadtime_of_silence() -> None:
    assert heard_at(5_000).deadline == 6_000


def test_each_sign_of_life_tells_how_long_the_silence_was() -> None:
    silence = heard_at(5_000)
    assert silence.heard(5_700, TIMES, "eth1") == 700
    assert (silence.longest_ms, silence.last_link, silence.deadline) == (5_000, "eth1", 6_700)


def test_who_was_frozen_does_not_accuse_others() -> None:
    """First idea: now - last_heard > deadtime. We are frozen for a minute; on waking all are "silent" for a minute.

    The time in which we did not listen says nothing about them: what was left of their deadtime is left still.
    """
    silence = heard_at(5_000)
    silence.excuse(60_000, 65_200, TIMES)
    assert silence.deadline == 66_000
    assert "of which we were away 60000 ms" in silence.evidence(65_200, TIMES)


def test_after_waking_there_is_always_time_to_be_heard() -> None:
    """A peer that was 999 ms silent when we froze does not die of our first millisecond awake."""
    silence = heard_at(5_000)
    silence.excuse(60_000, 65_999, TIMES)
    assert silence.deadline == 65_999 + TIMES.warntime_ms


def test_a_silence_that_we_slept_through_is_not_held_against_the_peer() -> None:
    silence = heard_at(5_000)
    silence.excuse(60_000, 65_100, TIMES)
    assert silence.heard(65_150, TIMES, "eth0") == 150


def test_evidence_says_what_was_seen() -> None:
    assert heard_at(5_000).evidence(6_003, TIMES) == ("silent for 1003 ms (deadtime 1000 ms), last heard on eth0")
    assert "never heard" in Silence(0, 0).evidence(6_003, TIMES)


def test_a_loop_on_time_was_not_away() -> None:
    punctuality = Punctuality(TIMES)
    assert punctuality.absence_ms(10**9) == 0
    punctuality.expect(1_000)
    assert punctuality.absence_ms(1_000) == 0
    assert punctuality.absence_ms(1_000 + punctuality.tolerance_ms) == 0


def test_a_late_loop_was_away_and_says_so_once() -> None:
    punctuality = Punctuality(TIMES)
    punctuality.expect(1_000)
    assert punctuality.absence_ms(4_000) == 3_000
    assert punctuality.absence_ms(4_000) == 0
    assert punctuality.absence_ms(4_005) == 0
    assert punctuality.worst_ms(4_900) == 3_000
    assert punctuality.worst_ms(4_006 + TIMES.deadtime_ms) == 0
