# SPDX-License-Identifier: GPL-2.0-or-later
"""What the kernel says of a unix socket's other end, and whether such a peer may speak to a worker.

Source: unix(7), SO_PEERCRED, and SCM_CREDENTIALS for datagrams.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass

CLUSTER_USER = "hacluster"
CLUSTER_GROUP = "haclient"

_UCRED = struct.Struct("3i")

ANCILLARY_BYTES = socket.CMSG_SPACE(_UCRED.size)
"""For recvmsg: room for the sender's credentials and nothing else. Descriptors that come along are closed by the
kernel."""


@dataclass(frozen=True, slots=True)
class Peer:
    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Peer:
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(data))


def sender_of(ancillary: list[tuple[int, int, bytes]]) -> Peer | None:
    """Who has sent a datagram, to a socket with SO_PASSCRED; None when it came without that."""
    credentials = [value for _, kind, value in ancillary if kind == socket.SCM_CREDENTIALS]
    return Peer(*_UCRED.unpack(credentials[0])) if credentials else None


def trusted_as_worker(peer: Peer) -> bool:
    """A worker runs as root, as the cluster's user, or as whoever runs this whole node."""
    return peer.uid in {0, os.geteuid()} or peer.uid == _uid_of(CLUSTER_USER)


def trusted_as_program(peer: Peer) -> bool:
    """A program may be run by those, and by members of the cluster's group."""
    return trusted_as_worker(peer) or _in_group(peer, CLUSTER_GROUP)


def _uid_of(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _in_group(peer: Peer, group: str) -> bool:
    try:
        entry = grp.getgrnam(group)
        user = pwd.getpwuid(peer.uid).pw_name
    except KeyError:
        return False
    return peer.gid == entry.gr_gid or user in entry.gr_mem
