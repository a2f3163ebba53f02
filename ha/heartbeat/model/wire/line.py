# SPDX-License-Identifier: GPL-2.0-or-later
"""Packets on a serial line: where one begins and ends in a stream of bytes that may lose and invent some.

A packet is preceded by a line break and followed by one. Whatever does not fit is skipped up to the next beginning.
"""

from __future__ import annotations

from ha.heartbeat.model.wire import classic, netstring, sealed
from ha.heartbeat.model.wire.fields import WireError

MAX_LINE_PACKET_BYTES = 8 * 1024  # four seconds at 19200 baud
STARTS = (netstring.START, classic.START, sealed.START)
_CLASSIC_END = b"\n<<<\n"


def frame(packet: bytes) -> bytes:
    return b"\n" + packet.rstrip(b"\0") + b"\n"


class Splitter:
    """What has come and is no whole packet yet; never more than twice MAX_LINE_PACKET_BYTES."""

    def __init__(self) -> None:
        self.buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are whole now."""
        self.buffer += data
        packets = []
        while (start := _first(self.buffer, 0)) >= 0:
            self.buffer = self.buffer[start:]
            try:
                end = _end(self.buffer)
            except WireError:
                end = -1
            if end > 0:
                packets.append(self.buffer[:end])
                self.buffer = self.buffer[end:]
            elif end < 0 or len(self.buffer) > MAX_LINE_PACKET_BYTES or _next(self.buffer) > 0:
                self.buffer = self.buffer[1:]  # not a packet, or one whose end was lost: the next one began
            else:
                return packets
        self.buffer = self.buffer[-len(netstring.START) :]
        return packets


def _first(data: bytes, position: int) -> int:
    return min((found for start in STARTS if (found := data.find(start, position)) >= 0), default=-1)


def _next(data: bytes) -> int:
    """Where another packet begins after the one at 0, if one does; else -1."""
    found = [place for start in STARTS if (place := data.find(b"\n" + start, len(netstring.START))) > 0]
    return min(found, default=-1)


def _end(data: bytes) -> int:
    """Where the packet at 0 ends; 0 when more must come. Raises WireError when it is none."""
    if data.startswith(sealed.START):
        return _limited(data, sealed.length(data))
    if data.startswith(classic.START):
        end = data.find(_CLASSIC_END)
        return _limited(data, end + len(_CLASSIC_END) if end >= 0 else 0)
    position = len(netstring.START)
    while not data.startswith(netstring.END, position):
        position = _after(data, position)
        if not position:
            return 0
    return _limited(data, _after(data, position + len(netstring.END)))


def _limited(data: bytes, end: int) -> int:
    if end > MAX_LINE_PACKET_BYTES:
        raise WireError("a packet that is too long for a serial line")
    return end if end <= len(data) else 0


def _after(data: bytes, position: int) -> int:
    """Where the netstring at `position` ends; 0 when more must come. Raises WireError."""
    colon = data.find(b":", position, position + netstring.MAX_LENGTH_DIGITS + 1)
    if colon < 0:
        rest = data[position : position + netstring.MAX_LENGTH_DIGITS + 1]
        if len(rest) > netstring.MAX_LENGTH_DIGITS or (
            rest and not rest.isdigit() and not netstring.END.startswith(rest)
        ):
            raise WireError("a field without a length")
        return 0
    digits = data[position:colon]
    if not digits.isdigit() or int(digits) > MAX_LINE_PACKET_BYTES:
        raise WireError("a field without a length")
    stop = colon + 1 + int(digits)
    if stop >= len(data):
        return 0
    if data[stop : stop + 1] != b",":
        raise WireError("a field that does not end where its length says")
    return stop + 1
