# SPDX-License-Identifier: GPL-2.0-or-later
"""Echo requests to ping nodes, over IPv4 and IPv6.

A datagram ICMP socket needs no privilege where net.ipv4.ping_group_range allows the group; else a raw one is tried,
which needs CAP_NET_RAW. Source: icmp(7), raw(7), RFC 792, RFC 4443, RFC 1071.
"""

from __future__ import annotations

import os
import socket
import struct

from ha.heartbeat.io.udp import MAX_DATAGRAM_BYTES
from ha.heartbeat.model.medium import Medium

HEADER = struct.Struct(">BBHHH")
REQUEST, REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}


class IcmpMedium:
    """One socket for the addresses of one ping node, all of one IP version."""

    def __init__(self, media: list[Medium]) -> None:
        """Raises OSError when neither kind of socket is permitted."""
        self.warnings: list[str] = []
        addresses = [medium.address for medium in media]
        self.version = 6 if ":" in addresses[0] else 4
        self._addresses = {address: (address, 0) for address in addresses}
        family = socket.AF_INET6 if self.version == 6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if self.version == 6 else socket.IPPROTO_ICMP
        flags = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.raw = False
        try:
            self.socket = socket.socket(family, socket.SOCK_DGRAM | flags, protocol)
        except OSError:
            self.socket = socket.socket(family, socket.SOCK_RAW | flags, protocol)
            self.raw = True
        self._identifier = os.getpid() & 0xFFFF

    def frame(self, data: bytes) -> bytes:
        """The echo request that carries `data`. The kernel fills in what it fills in."""
        header = HEADER.pack(REQUEST[self.version], 0, 0, self._identifier, 0)
        if self.raw and self.version == 4:
            header = HEADER.pack(REQUEST[4], 0, checksum(header + data), self._identifier, 0)
        return header + data

    def unframe(self, packet: bytes) -> bytes | None:
        """The data of an echo reply; None for anything else."""
        if self.raw and self.version == 4:  # with the IP header in front
            if not packet or packet[0] >> 4 != 4:
                return None
            packet = packet[(packet[0] & 15) * 4 :]
        if len(packet) < HEADER.size or packet[0] != REPLY[self.version] or packet[1] != 0:
            return None
        return packet[HEADER.size :]

    where = "ICMP"

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def send(self, peer: str, data: bytes) -> None:
        self.socket.sendto(self.frame(data), self.target(peer))

    def receive(self) -> tuple[str, bytes] | None:
        """A raw socket hears the echoes of other programs as well: the core knows ours."""
        data, address = self.socket.recvfrom(MAX_DATAGRAM_BYTES)
        body = self.unframe(data)
        return None if body is None else (address[0].partition("%")[0], body)

    def target(self, peer: str) -> tuple[str, int]:
        try:
            return self._addresses[peer]
        except KeyError as error:
            raise ValueError(f"{peer!r} is no address of this ping node") from error


def checksum(data: bytes) -> int:
    """The Internet checksum of RFC 1071."""
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
