# SPDX-License-Identifier: GPL-2.0-or-later
"""Properties of the smallest parts: the agenda's order, clocks that drift, the words of the configuration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.sim.agenda import Agenda
from ha.sim.clock import NodeClock
from ha.sim.configuration import ConfigurationError, to_xml


@given(st.lists(st.integers(0, 50), max_size=60), st.data())
def test_the_agenda_keeps_time_and_then_order(times: list[int], data: st.DataObject) -> None:
    agenda = Agenda()
    done: list[tuple[int, int]] = []
    tickets = [agenda.at(at, lambda n=n: done.append((agenda.now_us, n))) for n, at in enumerate(times)]  # type: ignore[misc]
    cancelled = data.draw(st.sets(st.sampled_from(range(len(times))))) if times else set()
    for number in cancelled:
        tickets[number].cancel()
    agenda.run_until(30)
    assert agenda.now_us == 30
    assert done == sorted((at, n) for n, at in enumerate(times) if at <= 30 and n not in cancelled)


@given(st.integers(0, 10**12), st.integers(-500, 500), st.integers(10_000, 10**10))
def test_a_deadline_is_reached_at_the_first_microsecond_that_shows_it(booted: int, drift: int, deadline: int) -> None:
    clock = NodeClock(booted_us=booted, drift_ppm=drift)
    at_us = clock.reaches(deadline)
    assert clock.instant(at_us) >= deadline
    assert at_us == booted or clock.instant(at_us - 1) < deadline


def test_the_wall_clock_is_the_boot_clock_and_an_offset() -> None:
    clock = NodeClock(booted_us=5_000_000, drift_ppm=100, skew_ms=-3_000)
    now_us = 60_000_000
    unix_ms = clock.instant(now_us) + clock.wall_offset_ms(now_us)
    assert unix_ms == 1_700_000_000_000 + 60_000 - 3_000


def test_words_become_the_cib_schema() -> None:
    assert to_xml(
        [
            "property stonith-enabled=false",
            "primitive ip ocf:heartbeat:IPaddr2 params ip=127.0.0.9 op monitor interval=10s timeout=20s",
            "primitive web lsb:web meta migration-threshold=3",
            "group site ip web",
            "location l site 100: n2",
            "colocation c inf: ip web",
            "order o ip web",
        ]
    ) == (
        '<configuration><crm_config><cluster_property_set id="cib-bootstrap-options">'
        '<nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="false"/>'
        '</cluster_property_set></crm_config><resources><group id="site">'
        '<primitive id="ip" class="ocf" type="IPaddr2" provider="heartbeat">'
        '<instance_attributes id="ip-instance-attributes"><nvpair id="ip-instance-attributes-ip" name="ip" '
        'value="127.0.0.9"/></instance_attributes><operations>'
        '<op id="ip-monitor-10s" name="monitor" interval="10s" timeout="20s"/></operations></primitive>'
        '<primitive id="web" class="lsb" type="web"><meta_attributes id="web-meta-attributes">'
        '<nvpair id="web-meta-attributes-migration-threshold" name="migration-threshold" value="3"/>'
        "</meta_attributes></primitive></group></resources>"
        '<constraints><rsc_location id="l" rsc="site" score="100" node="n2"/>'
        '<rsc_colocation id="c" score="INFINITY" rsc="ip" with-rsc="web"/>'
        '<rsc_order id="o" first="ip" then="web"/></constraints></configuration>'
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("frobnicate web", "none of property"),
        ("group g nobody", "nobody is not defined"),
        ("primitive web", "values to unpack"),
        ("location l web inf n1", "no score"),
        ("primitive web lsb:web params x", "no NAME=VALUE"),
    ],
)
def test_what_is_not_understood_is_named(line: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        to_xml([line])
