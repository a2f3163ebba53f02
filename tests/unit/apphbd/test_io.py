# SPDX-License-Identifier: GPL-2.0-or-later
"""apphbd's adapters: the fake watchdog, and beats as the kernel and strangers deliver them."""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ha.apphbd.io.beats import MAX_REFUSALS_NOTED, Beats
from ha.apphbd.io.watchdog import (
    WDIOC_GETBOOTSTATUS,
    WDIOC_GETSUPPORT,
    WDIOC_GETTIMEOUT,
    WDIOC_SETPRETIMEOUT,
    WDIOC_SETTIMEOUT,
    Watchdog,
    WatchdogError,
)
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


class Device:
    """Answers ioctl as a driver does; what it does not know is ENOTTY."""

    def __init__(self, known: dict[int, bytes]) -> None:
        self.known = known
        self.asked: list[tuple[int, bytes]] = []

    def ioctl(self, descriptor: int, request: int, argument: bytes) -> bytes:
        self.asked.append((request, argument))
        if request not in self.known:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        return self.known[request]


def open_device(monkeypatch: pytest.MonkeyPatch, device: Device, **settings: int) -> Watchdog:
    monkeypatch.setattr("ha.apphbd.io.watchdog.fcntl.ioctl", device.ioctl)
    return Watchdog("/dev/null", settings.pop("timeout_ms", 0), **settings)


def test_a_device_is_told_both_times_in_whole_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device({WDIOC_SETTIMEOUT: b"", WDIOC_SETPRETIMEOUT: b""})
    open_device(monkeypatch, device, timeout_ms=15_001, pretimeout_ms=5_000).close()
    assert device.asked == [(WDIOC_SETTIMEOUT, struct.pack("i", 16)), (WDIOC_SETPRETIMEOUT, struct.pack("i", 5))]


def test_a_device_without_a_pretimeout_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WatchdogError, match="no pre-timeout of 5 s: Inappropriate"):
        open_device(monkeypatch, Device({WDIOC_SETTIMEOUT: b""}), timeout_ms=15_000, pretimeout_ms=5_000)


def test_a_device_says_what_it_is_and_why_the_machine_was_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    support = struct.pack("=II32s", 0x8180, 0, b"i6300ESB timer")
    known = {WDIOC_GETSUPPORT: support, WDIOC_GETTIMEOUT: struct.pack("i", 30)}
    watchdog = open_device(monkeypatch, Device({**known, WDIOC_GETBOOTSTATUS: struct.pack("i", 0x21)}))
    assert watchdog.identity() == "watchdog /dev/null (i6300ESB timer, timeout 30 s)"
    assert watchdog.boot_reasons() == ["overheated", "a watchdog had reset it"]
    assert open_device(monkeypatch, Device(known)).boot_reasons() == []
    assert open_device(monkeypatch, Device({WDIOC_GETBOOTSTATUS: struct.pack("i", -1)})).boot_reasons() == []


def test_a_file_has_nothing_to_say(tmp_path: Path) -> None:
    device = tmp_path / "watchdog"
    device.touch()
    watchdog = Watchdog(str(device), timeout_ms=4000, pretimeout_ms=2000)
    assert watchdog.identity() == f"watchdog {device} (a file)"
    assert watchdog.boot_reasons() == []
    watchdog.close()


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
