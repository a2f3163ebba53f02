# SPDX-License-Identifier: GPL-2.0-or-later
"""Media as an adapter: real sockets on loopback, a loop that is driven by hand."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest

from ha.heartbeat.io import udp
from ha.heartbeat.io.media import MAX_PACKETS_PER_WAKE, OPENERS, RETRY_MS, Media
from ha.heartbeat.model import Medium, parse
from ha.machine import Packet, Received, Wire


class HandDrivenLoop:
    """What Media needs of the shell's loop; time stands until the test moves it."""

    def __init__(self) -> None:
        self.moment = 1_000
        self.readers: dict[int, Callable[[], None]] = {}
        self.calls: list[tuple[int, Callable[[], None]]] = []
        self.notes: list[str] = []
        self.posted: list[Received] = []

    def now(self) -> int:
        return self.moment

    def watch(self, fd: int, reader: Callable[[], None]) -> None:
        self.readers[fd] = reader

    def unwatch(self, fd: int) -> None:
        del self.readers[fd]

    def call_at(self, deadline: int, call: Callable[[], None]) -> None:
        self.calls.append((deadline, call))

    def note(self, _level: str, text: str) -> None:
        self.notes.append(text)

    def post(self, event: Received) -> None:
        self.posted.append(event)

    def pass_time(self, duration_ms: int) -> None:
        self.moment += duration_ms
        due = [call for deadline, call in self.calls if deadline <= self.moment]
        self.calls = [(deadline, call) for deadline, call in self.calls if deadline > self.moment]
        for call in due:
            call()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def opened(*lines: str) -> tuple[Media, HandDrivenLoop]:
    media = Media(parse("node a b\n" + "\n".join(lines), "ha.cf").media)
    loop = HandDrivenLoop()
    media.open(loop)  # type: ignore[arg-type]
    return media, loop


def test_packets_carry_where_they_came_from() -> None:
    ports = free_port(), free_port()
    one, loop_one = opened(f"bindaddr 127.0.0.1:{ports[0]}", f"ucast lo 127.0.0.1:{ports[1]}")
    two, loop_two = opened(f"bindaddr 127.0.0.1:{ports[1]}", f"ucast lo 127.0.0.1:{ports[0]}")
    one.send(Wire("ucast lo", f"127.0.0.1:{ports[1]}"), Packet(data=b"hello"))
    for reader in list(loop_two.readers.values()):
        reader()
    assert loop_two.posted == [Received(Wire("ucast lo", f"127.0.0.1:{ports[0]}"), Packet(data=b"hello"))]
    one.close()
    two.close()
    assert loop_one.readers == loop_two.readers == {}


def test_a_flood_is_taken_in_portions() -> None:
    ports = free_port(), free_port()
    media, loop = opened(f"bindaddr 127.0.0.1:{ports[0]}", f"ucast lo 127.0.0.1:{ports[1]}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(MAX_PACKETS_PER_WAKE + 5):
            sender.sendto(b"x", ("127.0.0.1", ports[0]))
    (reader,) = loop.readers.values()
    reader()
    assert len(loop.posted) == MAX_PACKETS_PER_WAKE
    reader()
    assert len(loop.posted) == MAX_PACKETS_PER_WAKE + 5
    media.close()


def test_errors_are_noted_once_in_a_while() -> None:
    media, loop = opened(f"bindaddr 127.0.0.1:{free_port()}", "ucast lo 127.0.0.1:9")
    oversized = Packet(data=bytes(70_000))
    for _ in range(100):
        media.send(Wire("ucast lo", "127.0.0.1:9"), oversized)
    assert len([note for note in loop.notes if "Message too long" in note]) == 1
    loop.pass_time(11_000)
    media.send(Wire("ucast lo", "127.0.0.1:9"), oversized)
    assert any("99 times more" in note for note in loop.notes)
    media.close()


def test_a_busy_port_is_tried_again_and_noted_once() -> None:
    port = free_port()
    squatter = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    squatter.bind(("127.0.0.1", port))
    media, loop = opened(f"bindaddr 127.0.0.1:{port}", "ucast lo 127.0.0.1:9")
    loop.pass_time(RETRY_MS)
    loop.pass_time(RETRY_MS)
    assert loop.readers == {}
    assert len([note for note in loop.notes if "cannot be opened" in note]) == 1
    media.send(Wire("ucast lo", "127.0.0.1:9"), Packet(data=b"lost"))
    squatter.close()
    loop.pass_time(RETRY_MS)
    assert len(loop.readers) == 1
    media.close()


def test_an_interface_that_does_not_exist_is_tried_again() -> None:
    for line in ("bcast nosuch0", "mcast nosuch0 239.1.2.3 694 1 0", "ucast nosuch0 10.0.0.1"):
        media, loop = opened(f"udpport {free_port()}" if "mcast" not in line else "", line)
        assert any("cannot be opened" in note for note in loop.notes)
        assert len(loop.calls) == 1
        media.close()


class Breaking(udp.Datagrams):
    """A medium whose interface goes away."""

    def __init__(self, _lines: list[Medium]) -> None:
        self.warnings: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))

    def target(self, _peer: str) -> tuple[str, int]:
        raise OSError(errno.ENODEV, "No such device")


def test_a_medium_that_breaks_is_opened_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPENERS, "bcast", Breaking)
    media, loop = opened("bcast eth0")
    (before,) = loop.readers
    media.send(Wire("bcast eth0", ""), Packet(data=b"x"))
    assert loop.readers == {}
    loop.pass_time(RETRY_MS)
    assert len(loop.readers) == 1
    assert before >= 0
    media.close()


def test_lines_that_name_this_host_are_its_own() -> None:
    text = "node a\nbindaddr 127.0.0.1:7001\nucast lo 127.0.0.1:7001\nucast lo 127.0.0.1:7002\nucast lo 127.0.0.2:7001"
    assert [udp.is_own_line(medium) for medium in parse(text, "f").media] == [True, False, False]
    text = "node a\nucast lo 127.0.0.1\nucast eth0 192.0.2.1\nbcast eth0\n"
    assert [udp.is_own_line(medium) for medium in parse(text, "f").media] == [True, False, False]
