# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is let in on a worker's socket, by its first words and by what the kernel says of it."""

from __future__ import annotations

from ha.ipc import credentials
from ha.ipc.credentials import Peer
from ha.ipc.hello import PROTOCOL, Hello
from ha.ipc.links import PROGRAMS_MAY_DIAL, allowed
from ha.machine import Message

MAX_NAME_LENGTH = 64


def refusal(message: Message, peer: Peer, listener: str) -> str:
    """Why the peer is not let in to `listener`; empty when it is. `message` is a Hello then."""
    if not isinstance(message, Hello):
        return f"it began with {type(message).__name__}, not Hello"
    if message.protocol != PROTOCOL:
        name = message.name[:MAX_NAME_LENGTH]
        return f"{name!r} speaks protocol {message.protocol}, this is {PROTOCOL}: restart the older one"
    if not 0 < len(message.name) <= MAX_NAME_LENGTH or not message.name.isprintable():
        return "its name is empty, overlong or unprintable"
    if message.kind == "worker":
        return _of_worker(message.name, peer, listener)
    if listener not in PROGRAMS_MAY_DIAL:
        return f"{listener} does not answer programs"
    if not credentials.trusted_as_program(peer):
        return f"uid {peer.uid} is neither root nor in group {credentials.CLUSTER_GROUP}"
    return ""


def _of_worker(name: str, peer: Peer, listener: str) -> str:
    if not credentials.trusted_as_worker(peer):
        return f"uid {peer.uid} may not be a worker"
    if not allowed(name, listener):
        return f"{name} may not link to {listener}"
    return ""
