# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeat's packets: fields by name, in two framings, signed with a key of the cluster.

    Fields      what a packet says: ordered (name, value) pairs; the type of a value is the type of its field
    netstring   the framing every sender since Heartbeat 2 uses
    classic     the older one, in lines; receivers accept both
    sealed      the same, encrypted
    packet      pack and unpack: framing plus signature

Whatever arrives, decoding either returns Fields or raises WireError, and nothing else.

Source: the wire format of Heartbeat 3.0.6 as measured on running daemons.
"""

from ha.heartbeat.model.wire.fields import (
    MAX_FIELDS,
    MAX_NAME_LENGTH,
    MAX_NESTING,
    MAX_PACKET_BYTES,
    MAX_UNCOMPRESSED_BYTES,
    BadSignature,
    Compressed,
    Fields,
    Value,
    WireError,
)
from ha.heartbeat.model.wire.packet import (
    FRAMINGS,
    Compression,
    Framing,
    compress,
    decode_unsigned,
    encode_unsigned,
    pack,
    unpack,
)
from ha.heartbeat.model.wire.sealed import Nonces

__all__ = [
    "FRAMINGS",
    "MAX_FIELDS",
    "MAX_NAME_LENGTH",
    "MAX_NESTING",
    "MAX_PACKET_BYTES",
    "MAX_UNCOMPRESSED_BYTES",
    "BadSignature",
    "Compressed",
    "Compression",
    "Fields",
    "Framing",
    "Nonces",
    "Value",
    "WireError",
    "compress",
    "decode_unsigned",
    "encode_unsigned",
    "pack",
    "unpack",
]
