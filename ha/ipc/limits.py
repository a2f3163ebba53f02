# SPDX-License-Identifier: GPL-2.0-or-later
"""The limits of the unix sockets, in one place. What happens at each is said beside it."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

MAX_FRAME_BYTES = 80 * MIB
"""A message between workers, or to the cib: the CIB's own limit of 64 MiB and room. Longer: the link is closed."""

MAX_PROGRAM_FRAME_BYTES = 1 * MIB
"""A message from a program to any worker but the cib. Longer: the link is closed with the reason in the log."""

MAX_HELLO_BYTES = 4 * KIB
"""The first frame on a link, before the peer is known. Longer: closed."""

HELLO_TIMEOUT_MS = 2_000
"""A connection that has not said Hello by then is closed."""

MAX_LINKS = 256
"""Connections a worker keeps at once. One more is closed at once; programs see "try again"."""

MAX_PROGRAM_LINKS = 200
"""Of MAX_LINKS, those that programs may hold, so that workers always find a place."""

MAX_QUEUED_BYTES = 96 * MIB
"""Unsent bytes for one worker. Beyond: a link is closed (the peer resynchronises), an unlinked peer's are dropped."""

MAX_PROGRAM_QUEUED_BYTES = 96 * MIB
"""Unsent bytes for one program that does not read. Beyond: it is hung up on."""

READ_BYTES = 256 * KIB
"""Taken from one socket per turn of the loop, so that no peer can keep the loop from its beat."""

CLIENT_READ_BYTES = 64 * KIB
"""Taken by a program at once: less than what malloc makes a mapping of its own for, at each read."""

MAX_DATAGRAM_BYTES = 64 * KIB
"""A beat or log record. Longer ones are cut by their sender and refused by the receiver."""

MAX_PERSISTED_BYTES = 16 * MIB
"""A file of a worker's durable state read back at start. Longer: the worker refuses to start and says which."""
