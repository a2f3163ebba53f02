# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha.apphbd.model import ConfigError
from ha.rmd.core.handover import MAX_TEXT_BYTES, FormerWorker, Handover, from_text, rounds, to_text
from ha.rmd.io import handover

NUMBERS = st.integers(3, (1 << 31) - 1)
OUTPUTS = st.lists(NUMBERS, max_size=2).map(tuple)
WORKERS = st.builds(FormerWorker, name=st.text(max_size=20), pid=NUMBERS, outputs=OUTPUTS)
HANDOVERS = st.builds(
    Handover, workers=st.lists(WORKERS, max_size=12).map(tuple), lock=NUMBERS, channel=st.none() | NUMBERS
)


@given(HANDOVERS)
def test_what_is_written_is_read(given: Handover) -> None:
    assert from_text(to_text(given)) == given


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "1", "null", "{", "[" * 5000, "x" * (MAX_TEXT_BYTES + 1),
        '{"workers": [], "lock": 3}', '{"workers": [], "lock": 2, "channel": null}',
        '{"workers": [], "lock": true, "channel": null}', '{"workers": [["a", 1, []]], "lock": 3, "channel": null}',
        '{"workers": [["a", -9, []]], "lock": 3, "channel": 4}', '{"workers": [[1, 9, []]], "lock": 3, "channel": 4}',
        '{"workers": [["a", 9, [0]]], "lock": 3, "channel": null}', '{"workers": [["a", 9]], "lock": 3, "channel": 4}',
    ],
)  # fmt: skip
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_other_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError):
        from_text(json.dumps(value))


def test_heartbeat_and_apphbd_are_ended_last() -> None:
    workers = [FormerWorker(name, 10 + i, ()) for i, name in enumerate(["apphbd", "logd", "heartbeat", "crmd"])]
    assert [[worker.name for worker in together] for together in rounds(workers)] == [
        ["logd", "crmd"], ["apphbd", "heartbeat"],
    ]  # fmt: skip
    assert rounds(workers[:1]) == [(workers[0],)]
    assert rounds([]) == []


def sleeping() -> int:
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pause()
        os._exit(0)
    return pid


def test_former_workers_are_killed_and_reaped_and_strangers_let_alone() -> None:
    children = [sleeping(), sleeping()]
    dead = sleeping()
    os.kill(dead, signal.SIGKILL)
    workers = [FormerWorker("w", pid, ()) for pid in (*children, dead, os.getppid())]
    assert handover.end(workers, 20_000) == ()
    for pid in (*children, dead):
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, 0)
    os.kill(os.getppid(), 0)


def test_the_last_words_are_read_and_the_streams_closed() -> None:
    read, write = os.pipe()
    silent, other = os.pipe()
    os.write(write, b"I was about to\n")
    assert handover.last_output(FormerWorker("w", 9, (read, silent))) == "I was about to"
    for descriptor in (read, silent):
        with pytest.raises(OSError):
            os.fstat(descriptor)
    os.close(write)
    os.close(other)


def test_what_is_inherited_is_taken_once_and_goes_to_no_further_program(monkeypatch: pytest.MonkeyPatch) -> None:
    assert handover.inherited() is None
    read, write = os.pipe()
    os.set_inheritable(read, True)
    given = Handover((FormerWorker("w", 9, (read,)),), lock=write, channel=None)
    monkeypatch.setenv(handover.HANDOVER_VARIABLE, to_text(given))
    assert handover.inherited() == given
    assert not os.get_inheritable(read)
    assert handover.inherited() is None
    os.close(read)
    os.close(write)
    monkeypatch.setenv(handover.HANDOVER_VARIABLE, to_text(given))
    with pytest.raises(ConfigError, match=r"HA_RMD_HANDOVER: .*Bad file descriptor"):
        handover.inherited()
