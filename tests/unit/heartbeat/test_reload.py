# SPDX-License-Identifier: GPL-2.0-or-later
"""ha.cf read again: what is applied, what is named."""

from __future__ import annotations

import pytest

from ha.heartbeat.core.reload import APPLIED, FOLLOW, merge
from ha.heartbeat.model import HaCf, parse

FILE = "keepalive 200ms\ndeadtime 2\nnode a b\nbcast eth0\n"


def read(text: str) -> HaCf:
    return parse(text, "ha.cf")


@pytest.mark.parametrize(
    ("change", "applied", "refused"),
    [
        (("", ""), [], []),
        (("keepalive 200ms", "keepalive 100ms"), ["keepalive 100 ms"], []),
        (("deadtime 2", "deadtime 5"), ["deadtime 5000 ms", "deadping 5000"], []),
        (("deadtime 2", "deadtime 1"), ["deadping 1000"], ["a shorter deadtime"]),
        (("a b", "a b c"), [], ["nodes"]),
        (("eth0", "eth1"), [], ["media"]),
        (("node", "ping 10.0.0.1\nnode"), [], ["ping"]),
        (("node", "log_badpack off\napiauth x uid=1\nnode"), ["log_badpack False", "apiauth"], []),
    ],
)
def test_changes(change: tuple[str, str], applied: list[str], refused: list[str]) -> None:
    merged, did, did_not = merge(read(FILE), read(FILE.replace(*change) if change[0] else FILE))
    assert did_not == refused
    assert len(did) == len(applied)
    assert all(any(words in said for said in did) for words in applied), did
    if refused:
        assert (merged.nodes, merged.media, merged.ping, merged.deadtime_ms) == (("a", "b"), read(FILE).media, (), 2000)


def test_every_field_is_named_once() -> None:
    assert set(APPLIED) <= set(HaCf.__dataclass_fields__)
    assert not set(APPLIED) & set(FOLLOW)
