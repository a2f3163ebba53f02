# SPDX-License-Identifier: GPL-2.0-or-later
"""Authenticated encryption of packets (methods chacha20-poly1305 and aes-256-gcm).

    "$$$\\n"  key number, 1 byte · length of the sender's name, 1 · generation, 8 · salt, 16 · count, 8 · name
    then the encrypted fields in netstring framing, and the tag of 16 bytes

All before the encrypted part is authenticated with it. A nonce cannot repeat: every start of every node has a secret
of its own, HMAC-SHA256 of the cluster's key over (name, generation, salt), and the nonce is the count of packets
sealed since that start. The generation is made durable before the first packet, and grows with each start; the salt
differs even when a disk was restored from a copy.

Source: RFC 8439 (ChaCha20-Poly1305), NIST SP 800-38D (AES-GCM, 8.2.1: deterministic nonces), RFC 5869 for the idea of
deriving keys.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from ha.heartbeat.model.authkeys import AuthKeys, Key
from ha.heartbeat.model.wire import netstring
from ha.heartbeat.model.wire.fields import MAX_PACKET_BYTES, BadSignature, Fields, WireError, decode_text, encode_text

START = b"$$$\n"
HEADER = struct.Struct(">BBIQ16sQ")
SALT_BYTES = 16
TAG_BYTES = 16
NONCE_BYTES = 12
MAX_COUNT = 2**64 - 1
_PURPOSE = b"ha heartbeat packets 1\0"


@dataclass(slots=True)
class Nonces:
    """The numbers of this start of this node. `salt` is unique to it."""

    salt: bytes
    count: int = 0

    def next(self) -> int:
        assert len(self.salt) == SALT_BYTES
        assert self.count < MAX_COUNT
        self.count += 1
        return self.count


def seal(fields: Fields, key: Key, nonces: Nonces) -> bytes:
    """The encrypted packet of the sender that `src` and `hg` name. Raises WireError when it is too long."""
    name, generation = encode_text(fields.text("src")), fields.hexadecimal("hg")
    assert name, "a packet without a sender"
    assert generation, "a packet without a generation"
    count = nonces.next()
    plain = netstring.encode(fields)
    length = len(plain) + TAG_BYTES
    header = START + HEADER.pack(key.number, len(name), length, generation, nonces.salt, count) + name
    subkey = _subkey(key, generation, nonces.salt, name)
    packet = header + key.cipher(subkey).encrypt(_nonce(count), plain, header)
    assert len(packet) == len(header) + length
    if len(packet) > MAX_PACKET_BYTES:
        raise WireError(f"packet longer than {MAX_PACKET_BYTES} bytes")
    return packet


def unseal(packet: bytes, keys: AuthKeys) -> Fields:
    """The fields of an authentic packet. Raises BadSignature when no key of ours opens it, else WireError."""
    if len(packet) > MAX_PACKET_BYTES:
        raise WireError(f"packet longer than {MAX_PACKET_BYTES} bytes")
    if len(packet) < len(START) + HEADER.size + TAG_BYTES:
        raise WireError("an encrypted packet that is too short")
    number, name_length, length, generation, salt, count = HEADER.unpack_from(packet, len(START))
    body = len(START) + HEADER.size + name_length
    key, name = keys.key(number), packet[len(START) + HEADER.size : body]
    if len(packet) != body + length or length < TAG_BYTES:
        raise WireError("an encrypted packet that is longer or shorter than it says")
    if key is None or not key.encrypts:
        raise BadSignature("no key of ours opens the packet")
    from cryptography.exceptions import InvalidTag  # loaded late: most nodes of old clusters never need it

    try:
        plain = key.cipher(_subkey(key, generation, salt, name)).decrypt(_nonce(count), packet[body:], packet[:body])
    except InvalidTag as error:
        raise BadSignature("no key of ours opens the packet") from error
    fields, end = netstring.decode(plain)
    if end != len(plain):
        raise WireError("bytes after the message")
    if fields.text("src") != decode_text(name) or fields.hexadecimal("hg") != generation:
        raise WireError("a sender who is another one inside")
    return fields


def length(data: bytes) -> int:
    """How long the packet is that begins `data`; 0 when too little of it is there. Whether it is authentic is another
    question."""
    if len(data) < len(START) + HEADER.size:
        return 0
    _, name_length, encrypted_length, *_ = HEADER.unpack_from(data, len(START))
    return len(START) + HEADER.size + int(name_length) + int(encrypted_length)


def _subkey(key: Key, generation: int, salt: bytes, name: bytes) -> bytes:
    return hmac.digest(key.secret, _PURPOSE + struct.pack(">BQ", key.number, generation) + salt + name, "sha256")


def _nonce(count: int) -> bytes:
    return count.to_bytes(NONCE_BYTES, "big")
