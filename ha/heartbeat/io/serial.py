# SPDX-License-Identifier: GPL-2.0-or-later
"""Serial lines: one peer at the other end of a null-modem cable. Source: termios(3), tty_ioctl(4)."""

from __future__ import annotations

import errno
import os
import termios
import tty

from ha.heartbeat.model.medium import Medium
from ha.heartbeat.model.wire.line import MAX_LINE_PACKET_BYTES, Splitter, frame

READ_BYTES = 4096
MAX_PENDING_BYTES = 4096  # beyond it packets are lost, as on any wire that is too slow


class SerialMedium:
    def __init__(self, media: list[Medium]) -> None:
        """`media` is one serial line. Raises OSError, also when it is no terminal."""
        (medium,) = media
        self.warnings: list[str] = []
        self.where = f"{medium.interface} at {medium.baud} baud"
        self._fd = os.open(medium.interface, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            tty.setraw(self._fd, termios.TCSANOW)
            self._set_speed(getattr(termios, f"B{medium.baud}"))
            termios.tcflush(self._fd, termios.TCIOFLUSH)
        except termios.error as error:
            os.close(self._fd)
            raise OSError(*error.args) from error
        except OSError:
            os.close(self._fd)
            raise
        self._pending = b""
        self._splitter = Splitter()
        self._packets: list[bytes] = []

    def _set_speed(self, speed: int) -> None:
        settings = termios.tcgetattr(self._fd)
        settings[2] |= termios.CLOCAL | termios.CREAD  # no modem: nobody raises carrier detect
        settings[4] = settings[5] = speed
        termios.tcsetattr(self._fd, termios.TCSANOW, settings)

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        os.close(self._fd)

    def send(self, peer: str, data: bytes) -> None:
        """Raises OSError when the line is gone, ValueError for a peer."""
        if peer:
            raise ValueError(f"{peer!r}: a serial line has one other end")
        if len(data) <= MAX_LINE_PACKET_BYTES and len(self._pending) < MAX_PENDING_BYTES:
            self._pending += frame(data)
        while self._pending:
            try:
                sent = os.write(self._fd, self._pending)
            except BlockingIOError:
                return  # the rest goes with the next packet
            self._pending = self._pending[sent:]

    def receive(self) -> tuple[str, bytes] | None:
        """Raises BlockingIOError when nothing more is there, OSError when the line is gone."""
        if not self._packets:
            data = os.read(self._fd, READ_BYTES)
            if not data:
                raise OSError(errno.EIO, "the line hung up")
            self._packets = self._splitter.feed(data)
        return ("", self._packets.pop(0)) if self._packets else None
