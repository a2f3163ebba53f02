# SPDX-License-Identifier: GPL-2.0-or-later
"""Deadlines that do not go together are named; those that do are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.cli.config.check import examine
from ha.cli.config.timing_conditions import (
    MIN_HANG_MS,
    Timing,
    breaches,
    least_deadtime_ms,
)
from ha.heartbeat import daemon as heartbeat
from ha.heartbeat.model.ha_cf import PROFILES
from ha.rmd.model import Settings
from tests.unit.cli.test_for_people import CIB, node

UNFENCED = Timing(fencing=False, stop_chain_ms=40_000)
FENCED = Timing(fencing=True, stop_chain_ms=40_000)
PETTED = replace(FENCED, watchdog_timeout_ms=10_000)
SELF = "stonith-watchdog-timeout"


def weights(timing: Timing) -> list[tuple[str, str]]:
    """Of each breach, and its first words."""
    return [(breach.weight, " ".join(breach.what.split()[:2])) for breach in breaches(timing)]


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        (Timing(), []),
        (FENCED, []),
        (UNFENCED, []),
        # heartbeat hangs: keepalive + deadtime / 3 + 150 < deadtime
        (replace(UNFENCED, deadtime_ms=525), [("error", "deadtime 525")]),
        (replace(UNFENCED, deadtime_ms=526), []),
        (replace(FENCED, deadtime_ms=525), [("warning", "deadtime 525")]),
        (Timing(keepalive_ms=25, deadtime_ms=150), [("warning", "deadtime 150")]),
        # takeover-grace: 2 deadtimes, a hung worker, the chain of stops
        (replace(UNFENCED, takeover_grace_ms=43_499), [("error", "takeover-grace 43499")]),
        (replace(UNFENCED, takeover_grace_ms=43_500), []),
        (replace(UNFENCED, takeover_grace_ms=0), []),  # the explicit choice, warned of elsewhere
        (replace(FENCED, takeover_grace_ms=1), []),
        (replace(FENCED, fencing=None, takeover_grace_ms=1), []),
        # the watchdog: interval + the pair's deadline + 500
        (replace(FENCED, watchdog_timeout_ms=2_500), [("error", "watchdog_timeout_ms 2500")]),
        (replace(FENCED, watchdog_timeout_ms=2_501), []),
        (replace(FENCED, watchdog_timeout_ms=1_200, watchdog_interval_ms=300, pair_deadline_ms=300), []),
        # and the resources of a frozen host
        (replace(UNFENCED, stop_chain_ms=0, watchdog_timeout_ms=4_299), []),
        (replace(UNFENCED, stop_chain_ms=0, watchdog_timeout_ms=4_300), [("warning", "a frozen")]),
        (replace(UNFENCED, takeover_grace_ms=0, watchdog_timeout_ms=60_000), []),
        # self-fencing: a deadtime, a hung worker, the lease, the watchdog, a margin; and the grace is not shorter
        (replace(PETTED, watchdog_wait_ms=15_999), [("error", f"{SELF} 15999")]),
        (replace(PETTED, watchdog_wait_ms=16_000), []),
        (replace(PETTED, watchdog_wait_ms=16_000, tie_breaker_wait_ms=1), [("error", f"{SELF} 16000")]),
        (replace(PETTED, watchdog_timeout_ms=5_999, watchdog_wait_ms=-1), [("error", f"{SELF} 11998")]),
        (replace(PETTED, watchdog_timeout_ms=6_000, watchdog_wait_ms=-1), []),
        (replace(FENCED, watchdog_wait_ms=-1), []),  # without a device nothing is counted on
        (replace(UNFENCED, watchdog_timeout_ms=30_000, watchdog_wait_ms=-1, takeover_grace_ms=59_999),
         [("error", "takeover-grace 59999")]),
        (replace(UNFENCED, watchdog_timeout_ms=30_000, watchdog_wait_ms=-1), []),
        # leaving
        (replace(FENCED, leave_timeout_ms=39_999), [("error", "leave_timeout_ms 39999")]),
        (replace(FENCED, leave_timeout_ms=40_000), []),
    ],
)
def test_each_condition_at_its_limit(timing: Timing, expected: list[tuple[str, str]]) -> None:
    assert weights(timing) == expected


@given(keepalive_ms=st.integers(10, 5_000), deadtime_ms=st.integers(50, 60_000))
def test_the_deadtime_that_is_recommended_is_enough(keepalive_ms: int, deadtime_ms: int) -> None:
    timing = Timing(keepalive_ms=keepalive_ms, deadtime_ms=deadtime_ms, fencing=False)
    least_ms = least_deadtime_ms(keepalive_ms)
    if weights(timing):
        assert least_ms > deadtime_ms
        assert weights(replace(timing, deadtime_ms=least_ms)) == []


def test_what_is_assumed_of_the_other_modules_is_so() -> None:
    assert heartbeat.MIN_HANG_DEADLINE_MS == MIN_HANG_MS
    default, timing = PROFILES["default"], Timing()
    assert (default.keepalive_ms, default.deadtime_ms) == (timing.keepalive_ms, timing.deadtime_ms)
    settings = Settings()
    assert (settings.pair_deadline_ms, settings.leave_timeout_ms) == (timing.pair_deadline_ms, timing.leave_timeout_ms)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"rmd.cf": "reset never\n"}, "reset is one of"),
        ({"apphbd.cf": "watchdog_timeout_ms 5\n"}, "watchdog_timeout_ms is a number"),
        ({"apphbd.cf": "watchdog_device /dev/watchdog\nwatchdog_timeout_ms 2000\n"}, "nobody pets the watchdog"),
        ({"rmd.cf": "pair_deadline_ms 30000\n", "apphbd.cf": "watchdog_device /dev/w\nwatchdog_timeout_ms 20000\n"},
         "nobody pets the watchdog"),
    ],
)  # fmt: skip
def test_the_root_pairs_files_are_read_too(short_path: Path, files: dict[str, str], words: str) -> None:
    root = node(short_path)
    for name, text in files.items():
        (root.config_dir / name).write_text(text)
    errors = [finding.what for finding in examine(root) if finding.weight == "error"]
    assert [error for error in errors if words in error], errors


@pytest.mark.parametrize(
    ("fencing", "grace", "words"),
    [
        ("false", "5s", "takeover-grace 5000 ms is shorter"),
        ("false", "auto", ""),
        ("false", "0", ""),
        ("false", "25s", ""),
    ],
)
def test_the_cibs_grace_is_held_against_its_stops(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, fencing: str, grace: str, words: str
) -> None:
    option = f'<nvpair id="o-g" name="takeover-grace" value="{grace}"/></cluster_property_set>'
    file = short_path / "cib.xml"
    root = node(short_path)
    filled = CIB.format(quorum="1", fencing=fencing, n2="true", n2_crmd="online", n2_join="member")
    file.write_text(filled.replace("</cluster_property_set>", option))
    monkeypatch.setenv("CIB_file", str(file))
    errors = [finding.what for finding in examine(root) if finding.weight == "error"]
    assert len(errors) == bool(words), errors
    assert all(words in error for error in errors)
