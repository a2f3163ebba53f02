# SPDX-License-Identifier: GPL-2.0-or-later
"""The network between the nodes of a playground: a packet switch on loopback that can cut any direction.

Each node sends what is meant for another to a port of the switch that stands for this pair; the switch forwards it to
the other's own port. A cut is what a firewall would do: packets of that direction vanish.
"""

from __future__ import annotations

import selectors
import socket

from ha.cli.playground.layout import Layout

MAX_PACKET_BYTES = 65_535
PACKETS_PER_TURN = 200
"""Forwarded from one port before others get their turn."""


class Switch:
    def __init__(self, layout: Layout, selector: selectors.BaseSelector) -> None:
        self._ports = layout.ports
        self.cuts: set[tuple[str, str]] = set()
        self._sockets: list[socket.socket] = []
        for a, uplinks in layout.uplinks.items():
            for b, port in uplinks.items():
                self._plug(a, b, port, selector)

    def _plug(self, a: str, b: str, port: int, selector: selectors.BaseSelector) -> None:
        uplink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        uplink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        uplink.bind(("127.0.0.1", port))
        self._sockets.append(uplink)
        selector.register(uplink, selectors.EVENT_READ, lambda: self._forward(uplink, a, b))

    def _forward(self, uplink: socket.socket, a: str, b: str) -> None:
        for _ in range(PACKETS_PER_TURN):
            try:
                data = uplink.recv(MAX_PACKET_BYTES)
                if (a, b) not in self.cuts:
                    uplink.sendto(data, ("127.0.0.1", self._ports[b]))
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue  # an earlier packet found nobody listening: the node is off

    def cut(self, a: str, b: str, *, one_way: bool) -> None:
        self.cuts.add((a, b))
        if not one_way:
            self.cuts.add((b, a))

    def heal(self) -> None:
        self.cuts.clear()
