# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat's client protocol: what programs say at the register socket (/run/heartbeat/register).

A stream; each message is preceded by two 32-bit numbers in host order, its length and a magic. A request has
t=hbapi-req, reqtype, pid, uid, gid and from_id: the client's name, or its pid when it has none ("casual"). The answer
has t=hbapi-resp, the same reqtype, and result: OK; ok/more when more messages follow; badreq or fail with failreason.
Anything else a signed-on client says goes to the clients of the same name on all nodes, or on the node `dest`.
Clients get status, ifstat and hbapi-clstat as events.

Source: the API of Heartbeat 3.0.6, as observed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from ha.heartbeat.model.ha_cf import ApiAuth
from ha.heartbeat.model.wire import MAX_PACKET_BYTES

HEADER = struct.Struct("=II")
MAGIC = 0xABCD
MAX_API_MESSAGE_BYTES = MAX_PACKET_BYTES
MAX_API_CLIENTS = 100
MAX_API_QUEUED_BYTES = 4 * 1024 * 1024  # unsent, for a client that does not read; beyond it is hung up on

REQUEST, RESPONSE = "hbapi-req", "hbapi-resp"
OK, MORE, BAD_REQUEST, FAILED = "OK", "ok/more", "badreq", "fail"

CASUAL = "anon"
"""Whose apiauth holds for clients without a name."""

ANYBODY = "default"
"""Whose apiauth holds for names that have none of their own."""

DEFAULT_APIAUTH: Mapping[str, ApiAuth] = {
    "ipfail": ApiAuth(uids=("hacluster",)),
    "ccm": ApiAuth(uids=("hacluster",)),
    "ping": ApiAuth(gids=("haclient",)),
    "lha-snmpagent": ApiAuth(uids=("root",)),
    CASUAL: ApiAuth(uids=("root",), gids=("haclient",)),
}


@dataclass(frozen=True, slots=True)
class ApiSend:
    """Execute: send this message to the program with this serial. Its Finished says nothing."""

    serial: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ApiHangUp:
    """Execute: close the connection of the program with this serial, after what was sent to it."""

    serial: int
