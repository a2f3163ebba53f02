# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole messages on a byte stream: four bytes of length, big endian, then that many bytes."""

from __future__ import annotations

import struct

HEADER = struct.Struct(">I")


class FrameError(ValueError):
    """The stream cannot go on: a frame is longer than this link allows, or empty."""


def frame(body: bytes, limit: int) -> bytes:
    """The bytes to send for one message."""
    if len(body) > limit:
        raise FrameError(f"a message of {len(body)} bytes is over the link's limit of {limit}")
    assert body, "an empty frame says nothing"
    return HEADER.pack(len(body)) + body


class FrameReader:
    """Cuts a stream into frames. The limit is checked on the header, before anything is gathered."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """The frames completed by `data`, in order. Raises FrameError; the stream is of no use after that."""
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer, start)
            if length > self.limit:
                raise FrameError(f"a frame of {length} bytes is over the link's limit of {self.limit}")
            if length == 0:
                raise FrameError("an empty frame")
            end = start + HEADER.size + length
            if len(self._buffer) < end:
                break
            frames.append(bytes(memoryview(self._buffer)[start + HEADER.size : end]))
            start = end
        if start:
            del self._buffer[:start]
        assert len(self._buffer) <= self.limit + HEADER.size + max(len(data), 1)
        return frames
