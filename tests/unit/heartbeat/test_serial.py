# SPDX-License-Identifier: GPL-2.0-or-later
"""Serial lines: packets in a stream that loses and invents bytes, and a pseudo-terminal as the line."""

from __future__ import annotations

import os
import pty
import random
import select
from pathlib import Path

import pytest

from ha.heartbeat.io.serial import SerialMedium
from ha.heartbeat.model import HaCfError, parse, parse_authkeys
from ha.heartbeat.model.wire import Fields, Nonces, pack, unpack
from ha.heartbeat.model.wire.line import MAX_LINE_PACKET_BYTES, Splitter, frame

SIGNED = parse_authkeys("auth 1\n1 sha1 secret\n", "f")
SEALED = parse_authkeys(f"auth 1\n1 chacha20-poly1305 {'5e' * 32}\n", "f")
KINDS = {"netstring": (SIGNED, "netstring"), "classic": (SIGNED, "classic"), "sealed": (SEALED, "netstring")}


def packet(kind: str, number: int, size: int = 20) -> bytes:
    keys, framing = KINDS[kind]
    body = random.Random(number).randbytes(size) + b"\n###\n%%%\n>>>\n"
    fields = Fields([("t", "x"), ("n", str(number)), ("b", body), ("src", "a"), ("hg", "1")])
    return pack(fields, keys, framing, Nonces(b"s" * 16, number))  # type: ignore[arg-type]


def number_of(kind: str, data: bytes) -> int:
    return int(unpack(data, KINDS[kind][0]).text("n"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 7, 100, 100_000])
def test_all_packets_come_through_in_pieces_of_any_size(kind: str, step: int) -> None:
    stream = b"".join(frame(packet(kind, number)) for number in range(1, 12)) + b"\n"
    splitter, found = Splitter(), []
    for start in range(0, len(stream), step):
        found += splitter.feed(stream[start : start + step])
    found_numbers = [number_of(kind, data) for data in found]
    # A body that looks like the start of another packet may cost a packet that came in pieces, never more.
    assert set(found_numbers) <= set(range(1, 12))
    assert found_numbers == sorted(found_numbers)
    if step == 100_000:
        assert found_numbers == list(range(1, 12))


@pytest.mark.parametrize("kind", KINDS)
def test_noise_costs_only_what_it_hits(kind: str) -> None:
    dice, splitter, found = random.Random(7), Splitter(), []
    keys, framing = KINDS[kind]
    for number in range(1, 301):
        fields = Fields([("t", "x"), ("n", str(number)), ("src", "a"), ("hg", "1")])
        data = frame(pack(fields, keys, framing, Nonces(b"s" * 16, number)))  # type: ignore[arg-type]
        if number % 3 == 0:
            place = dice.randrange(len(data))
            data = data[:place] + dice.choice([b"", b"\n", b"###\n", b"$$$\n", dice.randbytes(9)]) + data[place + 3 :]
        if number % 10 == 0:
            data += dice.randbytes(30)
        found += splitter.feed(data)
        assert len(splitter.buffer) <= 2 * MAX_LINE_PACKET_BYTES
    good = set()
    for data in found:
        try:
            good.add(number_of(kind, data))
        except ValueError:
            continue
    untouched = {number for number in range(1, 300) if number % 3}
    assert len(untouched - good) < len(untouched) // 3
    assert len(good) > 150


def test_garbage_never_fills_the_memory() -> None:
    dice, splitter = random.Random(3), Splitter()
    for _ in range(300):
        splitter.feed(dice.choice([b"\n###\n9000000:", b"\n$$$\n", b"\n###\n8000:(", b"\n>>>\n"]) + dice.randbytes(900))
        assert len(splitter.buffer) <= 2 * MAX_LINE_PACKET_BYTES


class Line:
    """A pseudo-terminal: the medium has one end, the test the other."""

    def __init__(self) -> None:
        self.test_end, terminal = pty.openpty()
        self.path = os.ttyname(terminal)
        self.terminal = terminal
        self.medium = SerialMedium(list(parse(f"node a\nbaud 115200\nserial {self.path}\n", "f").media))

    def close(self) -> None:
        self.medium.close()
        for fd in (self.test_end, self.terminal):
            os.close(fd)


def test_bytes_pass_unchanged_both_ways() -> None:
    line = Line()
    data = packet("sealed", 1, size=600)
    line.medium.send("", data)
    received = b""
    while len(received) < len(frame(data)):
        assert select.select([line.test_end], [], [], 10)[0]
        received += os.read(line.test_end, 65536)
    assert received == frame(data)
    os.write(line.test_end, b"\x03\x11\x13\x04" + frame(data))  # what a terminal in cooked mode would act on
    found = None
    while found is None:
        assert select.select([line.medium], [], [], 10)[0]
        found = line.medium.receive()
    assert found == ("", data)
    line.close()


def test_a_slow_line_loses_whole_packets_and_no_memory() -> None:
    line = Line()
    for number in range(500):
        line.medium.send("", packet("netstring", number, size=500))
    assert len(line.medium._pending) < 16_000
    splitter, whole = Splitter(), 0
    for _ in range(20):
        if select.select([line.test_end], [], [], 0.05)[0]:
            whole += len(splitter.feed(os.read(line.test_end, 65536)))
        line.medium.send("", b"")  # goes on with what waits
    assert whole >= 3
    line.close()


def test_what_is_no_terminal_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    for name in (str(path), str(tmp_path / "absent")):
        with pytest.raises(OSError):
            SerialMedium(list(parse(f"node a\nserial {name}\n", "f").media))


def test_baud_below_its_lines_is_refused() -> None:
    with pytest.raises(HaCfError, match="baud must stand above"):
        parse("node a\nserial /dev/ttyS0\nbaud 9600\n", "f")
