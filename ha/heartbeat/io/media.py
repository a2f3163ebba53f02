# SPDX-License-Identifier: GPL-2.0-or-later
"""All media of the node as one adapter of the shell: opens and reopens them, sends and receives packets.

A medium that cannot be opened, or breaks, is noted and tried again; the others go on without it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ha.heartbeat.io.icmp import IcmpMedium
from ha.heartbeat.io.serial import SerialMedium
from ha.heartbeat.io.udp import MEDIA, OpenMedium
from ha.heartbeat.model.medium import Medium, MediumKind
from ha.machine import Instant, Packet, Received, Wire

if TYPE_CHECKING:
    from ha.shell import Loop

RETRY_MS = 2_000
MAX_PACKETS_PER_WAKE = 64  # then others have their turn; the socket stays readable
NOTE_INTERVAL_MS = 10_000
BROKEN = (errno.ENODEV, errno.ENXIO, errno.EADDRNOTAVAIL, errno.EBADF, errno.ENOTSOCK, errno.EIO)
"""Errors after which a socket is of no more use: its interface or address went away."""

OPENERS: dict[MediumKind, Callable[[list[Medium]], OpenMedium]] = {
    **MEDIA,
    "serial": SerialMedium,
    "ping": IcmpMedium,
}


class Media:
    requests: tuple[type, ...] = ()

    def __init__(self, media: Sequence[Medium]) -> None:
        self._lines: dict[str, list[Medium]] = {}
        for medium in media:
            if medium.kind in OPENERS:
                self._lines.setdefault(medium.name, []).append(medium)
        self._open: dict[str, OpenMedium] = {}
        self._failed: dict[str, str] = {}
        self._errors: dict[tuple[str, int], tuple[Instant, int]] = {}

    def open(self, loop: Loop) -> None:
        self._loop = loop
        for name in self._lines:
            self._try(name)

    def close(self) -> None:
        for name in list(self._open):
            self._shut(name)

    def execute(self, operation: str, request: object) -> None:
        raise AssertionError(f"media serve no requests: {operation} {request!r}")

    def _try(self, name: str) -> None:
        lines = self._lines[name]
        try:
            medium = OPENERS[lines[0].kind](lines)
        except OSError as error:
            if self._failed.get(name) != str(error):
                self._failed[name] = str(error)
                self._loop.note(
                    "error", f"medium {name} cannot be opened: {error}; trying again every {RETRY_MS // 1000} s"
                )
            self._loop.call_at(self._loop.now() + RETRY_MS, lambda: self._try(name))
            return
        self._failed.pop(name, None)
        self._open[name] = medium
        self._loop.note("info", f"medium {name} is open on {medium.where}")
        for warning in medium.warnings:
            self._loop.note("warning", f"medium {name}: {warning}")
        self._loop.watch(medium.fileno(), lambda: self._readable(name))

    def _shut(self, name: str) -> None:
        medium = self._open.pop(name)
        self._loop.unwatch(medium.fileno())
        medium.close()

    def send(self, to: Wire, packet: Packet) -> None:
        """A packet that cannot be sent is lost, as on any wire; the reason is noted, seldom."""
        medium = self._open.get(to.medium)
        if medium is None:
            return
        try:
            medium.send(to.peer, packet.data)
        except OSError as error:
            self._trouble(to.medium, f"to {to.peer or 'all'}", error)

    def _readable(self, name: str) -> None:
        medium = self._open.get(name)
        for _ in range(MAX_PACKETS_PER_WAKE):
            if medium is None:
                return
            try:
                received = medium.receive()
            except BlockingIOError:
                return
            except OSError as error:
                self._trouble(name, "receiving", error)
                return
            if received is not None:
                peer, data = received
                self._loop.post(Received(Wire(name, peer), Packet(data=data)))

    def _trouble(self, name: str, doing: str, error: OSError) -> None:
        number = error.errno or 0
        now = self._loop.now()
        noted_at, count = self._errors.get((name, number), (None, 0))
        if noted_at is None or now >= noted_at + NOTE_INTERVAL_MS:
            more = f" ({count} times more since the last note)" if count else ""
            self._loop.note("warning", f"medium {name}: {doing}: {error.strerror}{more}")
            self._errors[name, number] = (now, 0)
        else:
            self._errors[name, number] = (noted_at, count + 1)
        if number in BROKEN and name in self._open:
            self._shut(name)
            self._loop.call_at(now + RETRY_MS, lambda: self._try(name))
