# SPDX-License-Identifier: GPL-2.0-or-later
"""Deciding on a kept model that follows diffs is deciding from scratch: the same graph, scores and table of scores.

HA_DIFF_SEQUENCES says how many random sequences are tried (see also tests/unit/pe/test_incremental.py).
"""

from __future__ import annotations

import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.unit.pe.following import Follower, disturb
from tests.unit.pe.small_cib import DUMMY, NOW, absent, cib, operation, primitive, running

SEQUENCES = int(os.environ.get("HA_DIFF_SEQUENCES", "25"))
STEPS = 6
NODES = ("n1", "n2", "n3")
CLONE = f'<clone id="c"><primitive id="cp" {DUMMY}/></clone>'
GROUP = f'<group id="g"><primitive id="g1" {DUMMY}/><primitive id="g2" {DUMMY}/></group>'
CONSTRAINTS = (
    '<rsc_colocation id="near" rsc="A" with-rsc="B" score="100"/>'
    '<rsc_order id="after" first="B" then="A"/>'
    '<rsc_location id="there" rsc="B" node="n2" score="50"/>'
)


def start() -> bytes:
    failed = {"n2": {"A": operation("A", "monitor", "n2", interval_ms=10_000, rc=1, call=9)}}
    timed = primitive("B", meta={"failure-timeout": "60s", "migration-threshold": "2"})
    return cib(
        nodes=NODES,
        resources=primitive("A") + timed + GROUP + CLONE + primitive("D", meta={"target-role": "Stopped"}),
        constraints=CONSTRAINTS,
        history=(
            running("A", "n1"), absent("A", ("n2", "n3")), failed, running("B", "n2"), running("g1", "n1"),
            running("cp", "n1"), running("cp", "n2"), running("D", "n3"), running("gone", "n3"),
        ),
        transient={"n1": {"fail-count-A#monitor_10000": "1", "last-failure-A#monitor_10000": str(NOW - 30)}},
    )  # fmt: skip


@settings(max_examples=SEQUENCES, deadline=None)
@given(st.integers(min_value=0))
def test_a_kept_model_decides_as_a_new_one(seed: int) -> None:
    chance = random.Random(seed)
    follower = Follower(start())
    now_s = NOW
    follower.check(now_s)
    for _ in range(STEPS):
        changed = etree.fromstring(follower.text())
        for _ in range(chance.randint(1, 3)):
            disturb(changed, chance)
        now_s += chance.choice((0, 1, 45, 3600))
        follower.follow(etree.tostring(changed))
        follower.check(now_s)
