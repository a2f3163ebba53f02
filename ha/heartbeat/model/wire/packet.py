# SPDX-License-Identifier: GPL-2.0-or-later
"""A packet is framing plus signature: `pack` what we send, `unpack` what arrives."""

from __future__ import annotations

import bz2
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from ha.heartbeat.model.authkeys import AuthKeys
from ha.heartbeat.model.wire import classic, netstring
from ha.heartbeat.model.wire.fields import (
    MAX_PACKET_BYTES,
    MAX_UNCOMPRESSED_BYTES,
    BadSignature,
    Compressed,
    Fields,
    Value,
    WireError,
)
from ha.heartbeat.model.wire.sealed import START as SEALED
from ha.heartbeat.model.wire.sealed import Nonces, seal, unseal

Framing: TypeAlias = Literal["netstring", "classic"]
FRAMINGS: tuple[Framing, ...] = ("netstring", "classic")

Algorithm: TypeAlias = Literal["zlib", "bz2"]

ALGORITHM = "_compression_algorithm"
RECENT, MAX_RECENT_BYTES = 16, 2048
"""The last few short packets need not be decoded twice: each comes once per medium, and once per simulated node."""

PAYLOAD = "_compressed_payload"  # traditional compression: the whole message inside one field


@dataclass(frozen=True, slots=True)
class Compression:
    """How messages are compressed that Heartbeat 3.0.6 may read. `whole`: ha.cf's traditional_compression."""

    algorithm: Algorithm = "zlib"
    threshold_bytes: int = 2 * 1024
    whole: bool = False


def pack(fields: Fields, keys: AuthKeys, framing: Framing = "netstring", nonces: Nonces | None = None) -> bytes:
    """The signed packet, or the encrypted one if the signing key encrypts: then `nonces` are the sender's.

    Raises WireError when the fields do not fit MAX_PACKET_BYTES."""
    key = keys.signing_key()
    if key.encrypts:
        assert nonces is not None, "encryption without nonces"
        return seal(fields, key, nonces)
    if framing == "netstring" or not classic.fits(fields):
        signed = netstring.encode(fields)
        trailer = keys.sign(signed).encode()
        packet = b"%s%d:%s," % (signed, len(trailer), trailer)
    else:
        lines = classic.encode_lines(fields)
        packet = classic.frame(lines, keys.sign(lines))
    if len(packet) > MAX_PACKET_BYTES:
        raise WireError(f"packet longer than {MAX_PACKET_BYTES} bytes")
    return packet


def unpack(packet: bytes, keys: AuthKeys) -> Fields:
    """The fields of an authentic packet in either framing. Nothing is decoded before the signature is checked.

    Raises BadSignature when no key of ours vouches for it and WireError when it is malformed.
    """
    if packet.startswith(SEALED):
        return _open_compressed(unseal(packet, keys))
    is_netstring = packet.startswith(netstring.START)
    signed, signature = netstring.split(packet) if is_netstring else classic.split(packet)
    if not keys.verify(signed, signature):
        raise BadSignature("no key of ours vouches for the packet")
    if not is_netstring:
        return _open_compressed(classic.decode_lines(signed))
    return _recent(signed) if len(signed) <= MAX_RECENT_BYTES else _decode_signed(signed)


def _decode_signed(signed: bytes) -> Fields:
    fields, end = netstring.decode(signed)
    if end != len(signed):
        raise WireError("a message that ends before its signature begins")
    return _open_compressed(fields)


_recent = lru_cache(RECENT)(_decode_signed)


def encode_unsigned(fields: Fields, framing: Framing = "netstring") -> bytes:
    """A message between processes of one machine: the kernel vouches for them."""
    if framing == "netstring" or not classic.fits(fields):
        return netstring.encode(fields)
    return classic.frame(classic.encode_lines(fields), "")


def decode_unsigned(data: bytes) -> tuple[Fields, Framing]:
    """A message of the same kind, and its framing, so that an answer can use it. Raises WireError."""
    if data.startswith(netstring.START):
        # Some senders end a local message with a NUL.
        fields, end = netstring.decode(data)
        if data[end:].strip(b"\0"):
            raise WireError("bytes after the message")
        return fields, "netstring"
    signed, _ = classic.split(data)
    return classic.decode_lines(signed), "classic"


def compress(fields: Fields, compression: Compression) -> Fields:
    """What a Heartbeat 3.0.6 would send instead: the whole message in one field, or each large nested message on its
    own. What is not over the threshold stays as it is."""
    if compression.whole:
        body = netstring.encode(fields)
        if len(body) <= compression.threshold_bytes:
            return fields
        return Fields([(ALGORITHM, compression.algorithm), (PAYLOAD, _compress(body, compression.algorithm))])
    items: list[tuple[str, Value]] = []
    for name, value in fields.items:
        body = netstring.encode(value) if isinstance(value, Fields) else b""
        large = len(body) > compression.threshold_bytes
        items.append((name, Compressed(_compress(body, compression.algorithm)) if large else value))
    if any(isinstance(value, Compressed) for _, value in items):
        return Fields([*items, (ALGORITHM, compression.algorithm)])
    return fields


def _compress(data: bytes, algorithm: Algorithm) -> bytes:
    return zlib.compress(data) if algorithm == "zlib" else bz2.compress(data)


def _open_compressed(fields: Fields) -> Fields:
    """Senders may compress a whole message, or single fields that hold a message."""
    if ALGORITHM not in fields:
        return fields
    algorithm = fields.text(ALGORITHM)
    if PAYLOAD in fields:
        return _decode_opened(_decompress(fields.binary(PAYLOAD), algorithm))
    return Fields(
        (name, _decode_opened(_decompress(value.data, algorithm)) if isinstance(value, Compressed) else value)
        for name, value in fields.items
    )


def _decode_opened(data: bytes) -> Fields:
    if len(data) > MAX_PACKET_BYTES:
        raise WireError(f"a compressed message of more than {MAX_PACKET_BYTES} bytes")
    return decode_unsigned(data)[0]


def _decompress(data: bytes, algorithm: str) -> bytes:
    try:
        if algorithm == "zlib":
            return zlib.decompressobj().decompress(data, MAX_UNCOMPRESSED_BYTES)
        if algorithm == "bz2":
            return bz2.BZ2Decompressor().decompress(data, MAX_UNCOMPRESSED_BYTES)
    except (zlib.error, OSError, EOFError, ValueError) as error:
        raise WireError("compressed data that cannot be opened") from error
    raise WireError("an unknown compression")
