# SPDX-License-Identifier: GPL-2.0-or-later
"""apphbd's adapters: the fake watchdog, and beats as the kernel and strangers deliver them."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ha.apphbd.io.beats import MAX_REFUSALS_NOTED, Beats
from ha.apphbd.io.watchdog import Watchdog, WatchdogError
from ha.apphbd.msg import Beat, GetClients, Goodbye
from ha.ipc import codec
from ha.rmd.io.pair import BeatLine


def test_a_file_serves_as_a_watchdog(tmp_path: Path) -> None:
    device = tmp_path / "watchdog"
    device.touch()
    watchdog = Watchdog(str(device), timeout_ms=4000)
    watchdog.pet()
    watchdog.pet()
    assert device.read_bytes() == b"11"
    watchdog.close()
    assert device.read_bytes() == b"11V"


def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WatchdogError, match="nowhere: No such file"):
        Watchdog(str(tmp_path / "nowhere"), 0)


class Inbox:
    def __init__(self) -> None:
        self.heard: list[Beat | Goodbye] = []
        self.refused: list[str] = []
        line = BeatLine()
        self.hearing = socket.socket(fileno=os.dup(line.end_of("apphbd")))
        self.saying = socket.socket(fileno=os.dup(line.end_of("cib")))
        self.beats = Beats(self.hearing, self.heard.append, self.refused.append)

    def send(self, data: bytes) -> None:
        self.saying.send(data)
        self.beats.readable()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    yield inbox
    inbox.hearing.close()
    inbox.saying.close()


def beat(**changes: object) -> Beat:
    fields = {"module": "cib", "pid": os.getpid(), "interval_ms": 1, "warntime_ms": 2, "deadline_ms": 3, **changes}
    return Beat(**fields)  # type: ignore[arg-type]


def test_a_true_beat_is_heard(inbox: Inbox) -> None:
    inbox.send(codec.encode(beat()))
    assert inbox.heard == [beat()]
    assert inbox.refused == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lambda: codec.encode(beat(pid=1)), "speaks for pid 1"),
        (lambda: codec.encode(beat(module="rmd")), "gives itself out as rmd"),
        (lambda: codec.encode(beat(deadline_ms=0)), "deadline 0 ms"),
        (lambda: codec.encode(beat(warntime_ms=9)), "warntime 9"),
        (lambda: codec.encode(GetClients()), "sent GetClients"),
        (lambda: b"", "not a message"),
        (lambda: b"\xff" * 1000, "not a message"),
        (lambda: b"x" * 70_000, "longer than"),
    ],
)
def test_what_is_no_true_beat_is_refused_with_the_reason(inbox: Inbox, data: Callable[[], bytes], reason: str) -> None:
    inbox.send(data())
    assert inbox.heard == []
    assert len(inbox.refused) == 1
    assert reason in inbox.refused[0]


def test_garbage_neither_ends_it_nor_fills_the_log(inbox: Inbox) -> None:
    chance = random.Random(7)
    good = codec.encode(beat())
    for _ in range(2000):
        mutated = bytearray(good)
        mutated[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        inbox.send(chance.choice([chance.randbytes(chance.randrange(200)), bytes(mutated[: chance.randrange(1, 200)])]))
    assert len(inbox.refused) == MAX_REFUSALS_NOTED
    inbox.heard.clear()
    inbox.send(good)
    assert inbox.heard == [beat()]
