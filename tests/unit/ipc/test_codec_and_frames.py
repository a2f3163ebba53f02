# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages and frames: whole ones come through, garbage gets one error type and costs no memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.ipc import codec
from ha.ipc.frames import FrameError, FrameReader, frame
from ha.ipc.links import DIALS, WITHOUT_CRM, WORKERS, allowed, linked
from ha.lrm.msg import Resource, RunOperation
from ha.rmd.msg import StartWorker

LIMIT = 1000


def test_every_message_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in codec.MESSAGES]
    assert len(set(tags)) == len(tags)
    assert all(isinstance(tag, str) and "." in tag for tag in tags)


def test_a_message_comes_back_equal() -> None:
    order = RunOperation(
        resource=Resource(id="web", agent_class="ocf", agent_type="Dummy", provider="heartbeat"),
        operation="start", timeout_ms=20_000, parameters={"state": "/a b"},
    )  # fmt: skip
    assert codec.decode(codec.encode(order)) == order


def test_unknown_fields_are_ignored_and_unknown_types_refused() -> None:
    import msgspec

    newer = msgspec.msgpack.encode({"t": "rmd.StartWorker", "worker": "pengine", "colour": "red"})
    assert codec.decode(newer) == StartWorker(worker="pengine")
    with pytest.raises(codec.CodecError, match=r"rmd\.Explode"):
        codec.decode(msgspec.msgpack.encode({"t": "rmd.Explode"}))


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_one_error(data: bytes) -> None:
    with pytest.raises(codec.CodecError):
        codec.decode(data)


@given(st.data())
def test_a_mutated_message_decodes_or_is_refused(data: st.DataObject) -> None:
    good = bytearray(codec.encode(StartWorker(worker="pengine")))
    good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        again = codec.decode(bytes(good))
    except codec.CodecError:
        return
    assert isinstance(again, codec.MESSAGES)


@given(st.lists(st.binary(min_size=1, max_size=LIMIT), max_size=8), st.integers(1, 50))
def test_frames_survive_any_cut_of_the_stream(bodies: list[bytes], step: int) -> None:
    stream = b"".join(frame(body, LIMIT) for body in bodies)
    reader = FrameReader(LIMIT)
    found = [body for i in range(0, len(stream), step) for body in reader.feed(stream[i : i + step])]
    assert found == bodies


def test_a_frame_over_the_limit_is_refused_by_its_header_alone() -> None:
    with pytest.raises(FrameError, match="over the link's limit"):
        FrameReader(LIMIT).feed((LIMIT + 1).to_bytes(4, "big"))
    with pytest.raises(FrameError):
        frame(b"x" * (LIMIT + 1), LIMIT)


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(FrameError, match="empty"):
        FrameReader(LIMIT).feed(b"\0\0\0\0")


def test_pe_and_te_are_linked_to_the_crmd_alone() -> None:
    for engine in ("pengine", "tengine"):
        assert [worker for worker in WORKERS if linked(engine, worker)] == ["crmd"]


def test_links_point_from_workers_to_workers_started_before_them() -> None:
    for dialler, listeners in DIALS.items():
        order = WORKERS if dialler in WORKERS else WITHOUT_CRM
        for listener in listeners:
            assert order.index(listener) < order.index(dialler)
            assert not allowed(listener, dialler)
