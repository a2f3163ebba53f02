# SPDX-License-Identifier: GPL-2.0-or-later
"""Recordings: every event and effect survives the way through bytes; garbage is refused; a replay finds differences."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.ccm.msg import Member, MembershipEvent, View, ViewId
from ha.cib.msg import CibCopy, ReadCib, Version
from ha.machine import (
    Arm,
    Client,
    Connected,
    Disarm,
    Effect,
    Event,
    Everyone,
    Execute,
    Finished,
    Fired,
    Instant,
    Local,
    Lost,
    Machine,
    Note,
    Persist,
    Received,
    Remote,
    Reply,
    Send,
    Started,
    Stopping,
    Wall,
)
from ha.recording import Header, RecordingError, Step, frame, read
from ha.sim.replay import replay
from tests.sim.toys import Pulse

VIEW = View(id=ViewId(3, "n1-ccm"), members=(Member("n1", 1), Member("n2", 3)), quorate=True, evidence={"n3": "silent"})
MESSAGE = MembershipEvent(event="NEW_MEMBERSHIP", view=VIEW)
EVENTS: list[Event] = [
    Started("n1-1", 42, {"a": b"\x00\xff"}),
    Wall(-5),
    Connected(Local("cib")),
    Lost(Client("crm_mon", 3, 0)),
    Received(Remote("n2", "crmd"), MESSAGE),
    Fired("t"),
    Finished("read", CibCopy(1, Version(0, 1, 2), b"<cib/>")),
    Finished("open", OSError(13, "Permission denied")),
    Stopping(),
]
EFFECTS: list[Effect] = [
    Send(Everyone("ccm"), MESSAGE),
    Reply(Client("crm_mon", 3, 0), MESSAGE),
    Arm("t", 99),
    Disarm("t"),
    Persist("view", b"3"),
    Execute("read", ReadCib(7)),
    Note("notice", "a => b"),
]


def test_what_was_recorded_is_read_back() -> None:
    entries: list[Header | Step] = [Header("ccm", "n1", {"nodes": ("n1", "n2"), "options": {"x": 1}})]
    entries += [Step(number, event, EFFECTS) for number, event in enumerate(EVENTS)]
    data = b"".join(map(frame, entries))
    again = list(read(data))
    assert len(again) == len(entries)
    for before, after in zip(entries, again, strict=True):
        assert repr(before) == repr(after)  # an OSError equals only itself


def test_a_recording_cut_short_ends_at_its_last_whole_step() -> None:
    whole = frame(Header("ccm", "n1", {})) + frame(Step(1, Fired("a"), []))
    for cut in range(len(frame(Step(2, Fired("b"), [])))):
        assert len(list(read(whole + frame(Step(2, Fired("b"), []))[:cut]))) == 2


@dataclass
class Stranger:
    value: int


def test_types_that_are_not_ours_are_refused_both_ways() -> None:
    with pytest.raises(RecordingError, match="no type of ours"):
        frame(Step(1, Finished("x", Stranger(1)), []))
    body = msgspec.msgpack.encode(["object", "subprocess:Popen", "true"])
    with pytest.raises(RecordingError, match="no type of ours"):
        list(read(len(body).to_bytes(4) + body))
    body = msgspec.msgpack.encode(["object", "ha.recording:frame", 1])
    with pytest.raises(RecordingError, match="no type"):
        list(read(len(body).to_bytes(4) + body))


def test_a_step_where_the_header_belongs_is_refused() -> None:
    with pytest.raises(RecordingError, match="Header"):
        list(read(frame(Step(1, Fired("a"), []))))


@given(st.binary(max_size=200))
def test_garbage_is_refused_or_empty(garbage: bytes) -> None:
    try:
        list(read(garbage))
        list(read(len(garbage).to_bytes(4) + garbage))
    except RecordingError:
        return


def record(machine: Machine, events: list[tuple[Instant, Event]]) -> bytes:
    frames = [frame(Header("attrd", "n1", {"node": "n1"}))]
    frames += [frame(Step(now, event, machine.step(event, now))) for now, event in events]
    return b"".join(frames)


def test_a_replay_finds_the_first_different_decision() -> None:
    events: list[tuple[Instant, Event]] = [(1, Started("i", 1, {"count": b"4"})), (101, Fired("pulse"))]
    data = record(Pulse("n1"), events)
    assert replay(read(data), lambda header: Pulse(**header.settings)) == (2, None)

    class Skipping(Pulse):
        def step(self, event: Event, now: Instant) -> list[Effect]:
            self.count += isinstance(event, Fired)
            return super().step(event, now)

    number, difference = replay(read(data), lambda header: Skipping(**header.settings))
    assert number == 2
    assert difference is not None
    assert "Persist(name='count', data=b'5')" in str(difference)
    assert "Persist(name='count', data=b'6')" in str(difference)
