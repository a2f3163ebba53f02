# SPDX-License-Identifier: GPL-2.0-or-later
"""What an io adapter must offer: it touches one kind of device and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ha.machine import Packet, Wire

if TYPE_CHECKING:
    from ha.shell.loop import Loop


class Adapter(Protocol):
    """Serves the requests of Execute and Fence whose type is in `requests`."""

    requests: tuple[type, ...]

    def open(self, loop: Loop) -> None:
        """Called once, before the machine's first event."""

    def execute(self, operation: str, request: object) -> None:
        """Begin; must not block. Ends in exactly one `loop.finish(operation, outcome)`."""

    def close(self) -> None:
        """Called once, when the worker ends in good order."""


@runtime_checkable
class MediumAdapter(Protocol):
    """An adapter that also carries Packets on Wires and posts what it Received from them (heartbeat only)."""

    def send(self, to: Wire, packet: Packet) -> None:
        """Hand the packet to the medium; an error is the medium's to note, a lost packet the protocol's to repair."""
