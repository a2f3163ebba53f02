# SPDX-License-Identifier: GPL-2.0-or-later
"""UDP sockets for the media ucast, mcast, bcast, ucast6 and mcast6. A new medium is a new class and a line in MEDIA.

Source: ip(7), udp(7), socket(7), netdevice(7).
"""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, TypeAlias

from ha.heartbeat.model.medium import Medium, MediumKind, peer_name

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024  # what we ask for; the kernel's net.core.rmem_max may give less
SIOCGIFBRDADDR = 0x8919  # linux/sockios.h
LOOPBACK_BROADCAST = "127.255.255.255"  # the loopback interface names none
MAX_DATAGRAM_BYTES = 65_536
LIMITED_BROADCAST = "255.255.255.255"  # for an interface whose address was set without a broadcast address
LOOPBACK = "lo"


SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int]


class OpenMedium(Protocol):
    """A medium that is open."""

    warnings: list[str]

    @property
    def where(self) -> str:
        """For the log: what it is bound to."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...

    def send(self, peer: str, data: bytes) -> None:
        """To a peer's name ("" for all). Raises OSError, and ValueError for a name that is none."""

    def receive(self) -> tuple[str, bytes] | None:
        """(the sender's name, a packet), or None for what is no packet. Raises BlockingIOError, OSError."""


class Datagrams(ABC):
    """What the media over UDP have in common."""

    socket: socket.socket

    @abstractmethod
    def target(self, peer: str) -> SocketAddress:
        """The socket address of a peer's name ("" for all). Raises ValueError for a name that is none."""

    @property
    def where(self) -> str:
        address, port = self.socket.getsockname()[:2]
        return peer_name(address, port)

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def send(self, peer: str, data: bytes) -> None:
        self.socket.sendto(data, self.target(peer))

    def receive(self) -> tuple[str, bytes] | None:
        data, address = self.socket.recvfrom(MAX_DATAGRAM_BYTES)
        return peer_name(address[0], address[1]), data


class Ucast(Datagrams):
    """Datagrams to single peers, from the address where we listen, so that peers can tell us apart by it."""

    family = socket.AF_INET

    def __init__(self, media: list[Medium]) -> None:
        """`media` are the ucast lines of one interface. Raises OSError."""
        self.warnings: list[str] = []
        first = media[0]
        self.socket = _socket(family=self.family)
        try:
            if not first.bind_address:
                _bind_to_device(self.socket, first.interface, self.warnings)
            self.socket.bind(self._address(first, first.bind_address, first.bind_port))
        except OSError:
            self.socket.close()
            raise
        self._targets = {medium.peer: self._address(medium, medium.address, medium.port) for medium in media}

    def _address(self, medium: Medium, address: str, port: int) -> SocketAddress:
        if self.family == socket.AF_INET:
            return (address, port)
        local = bool(address) and ipaddress.IPv6Address(address).is_link_local
        return (address.partition("%")[0], port, 0, socket.if_nametoindex(medium.interface) if local else 0)

    def target(self, peer: str) -> SocketAddress:
        try:
            return self._targets[peer]
        except KeyError as error:
            raise ValueError(f"{peer!r} is no peer of this medium") from error


class Mcast(Datagrams):
    def __init__(self, media: list[Medium]) -> None:
        """`media` is one mcast line. Raises OSError."""
        self.warnings: list[str] = []
        medium = media[0]
        self._group = (medium.address, medium.port)
        self.socket = _socket(reuse=True)
        try:
            index = socket.if_nametoindex(medium.interface)
            request = struct.pack("@4s4si", socket.inet_aton(medium.address), b"\0\0\0\0", index)  # struct ip_mreqn
            self.socket.bind(self._group)
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, medium.ttl)
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, medium.loop)
        except OSError:
            self.socket.close()
            raise

    def target(self, peer: str) -> SocketAddress:
        return _everybody(peer, self._group)


class Bcast(Datagrams):
    def __init__(self, media: list[Medium]) -> None:
        """`media` is one bcast line. Raises OSError."""
        self.warnings: list[str] = []
        medium = media[0]
        self.socket = _socket(reuse=True)
        try:
            _bind_to_device(self.socket, medium.interface, self.warnings)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self.socket.bind(("", medium.port))
            self._address = (_broadcast_address(self.socket, medium.interface), medium.port)
        except OSError:
            self.socket.close()
            raise

    def target(self, peer: str) -> SocketAddress:
        return _everybody(peer, self._address)


class Ucast6(Ucast):
    """The same over IPv6. Link-local addresses are those of the line's interface."""

    family = socket.AF_INET6


class Mcast6(Datagrams):
    def __init__(self, media: list[Medium]) -> None:
        """`media` is one mcast6 line. Raises OSError."""
        self.warnings: list[str] = []
        medium = media[0]
        self.socket = _socket(reuse=True, family=socket.AF_INET6)
        try:
            index = socket.if_nametoindex(medium.interface)
            self._group = (medium.address, medium.port, 0, index)
            group = socket.inet_pton(socket.AF_INET6, medium.address.partition("%")[0])
            self.socket.bind(self._group)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack("@I", index))
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, medium.ttl)
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, medium.loop)
        except OSError:
            self.socket.close()
            raise

    def target(self, peer: str) -> SocketAddress:
        return _everybody(peer, self._group)


MEDIA: dict[MediumKind, Callable[[list[Medium]], OpenMedium]] = {
    "ucast": Ucast,
    "ucast6": Ucast6,
    "mcast": Mcast,
    "mcast6": Mcast6,
    "bcast": Bcast,
}


def _everybody(peer: str, address: SocketAddress) -> SocketAddress:
    if peer:
        raise ValueError(f"{peer!r}: this medium speaks to all at once")
    return address


def _socket(reuse: bool = False, family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # bcast and ucast have the same port over IPv4
    if reuse:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    return udp


def _bind_to_device(udp: socket.socket, interface: str, warnings: list[str]) -> None:
    """Only packets of this interface. Kernels before 5.7 allow it to root alone: then it is a warning."""
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    except PermissionError:
        warnings.append(f"not permitted to listen on {interface} alone: packets of all interfaces are taken")


def _broadcast_address(udp: socket.socket, interface: str) -> str:
    if interface == LOOPBACK:
        return LOOPBACK_BROADCAST
    request = struct.pack("16s24x", interface.encode())  # struct ifreq
    address = socket.inet_ntoa(fcntl.ioctl(udp.fileno(), SIOCGIFBRDADDR, request)[20:24])
    return LIMITED_BROADCAST if address == "0.0.0.0" else address


def is_own_address(address: str) -> bool:
    """Whether this host has the address: the kernel would speak to it from itself."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect((address, 9))  # sends nothing
        except OSError:
            return False
        return bool(probe.getsockname()[0] == address)


def is_own_line(medium: Medium) -> bool:
    """A ucast line that names this host: it is there so that one ha.cf serves all nodes, and is ignored.

    With `bindaddr` the line is compared with that, because nodes of one machine differ by address or port only.
    """
    if medium.kind not in ("ucast", "ucast6") or medium.port != medium.bind_port:
        return False
    return medium.address == medium.bind_address if medium.bind_address else is_own_address(medium.address)


__all__ = ["MEDIA", "Bcast", "Mcast", "OpenMedium", "Ucast", "is_own_address", "is_own_line", "peer_name"]
