# SPDX-License-Identifier: GPL-2.0-or-later
"""A communication medium as ha.cf names it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

MediumKind: TypeAlias = Literal["ucast", "ucast6", "mcast", "mcast6", "bcast", "serial", "ping"]


@dataclass(frozen=True, slots=True)
class Medium:
    """One line of a medium in ha.cf.

    `interface` is the network interface, or the terminal of a serial line; `address` the peer (ucast) or the group
    (mcast). A ping node is a medium too: `interface` is its name and `address` one of its addresses. `bind_address`
    and `bind_port` are where ucast listens and sends from: from a `bindaddr` line above it, else "" (any address) and
    udpport.
    """

    kind: MediumKind
    interface: str
    address: str = ""
    port: int = 0
    ttl: int = 0
    loop: bool = False
    bind_address: str = ""
    bind_port: int = 0
    baud: int = 0

    @property
    def name(self) -> str:
        """What `ha.machine.Wire.medium` calls it: lines of one kind and interface are one medium."""
        return f"{self.kind} {self.interface}"

    @property
    def link(self) -> str:
        """What `cl_status listhblinks` calls it, as in Heartbeat 3.0.6: the interface."""
        return self.interface

    @property
    def peer(self) -> str:
        """What `ha.machine.Wire.peer` calls the other end; "" for media that many listen on."""
        return peer_name(self.address, self.port) if self.kind in ("ucast", "ucast6") else ""


def peer_name(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
