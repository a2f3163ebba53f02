# SPDX-License-Identifier: GPL-2.0-or-later
"""Netstring framing.

    "###\\n"  { LENGTH ":" "(" TYPE ")" NAME "=" VALUE "," }*  "%%%\\n"  [ LENGTH ":" KEY " " DIGEST "," ]

LENGTH counts the bytes of `(TYPE)NAME=VALUE`. The signature covers everything from the first "#" through the newline
of "%%%\\n"; the trailer after it is absent between processes of one machine.
"""

from __future__ import annotations

import re

from ha.heartbeat.model.wire.fields import (
    MAX_FIELDS,
    MAX_NAME_LENGTH,
    MAX_NESTING,
    MAX_PACKET_BYTES,
    Compressed,
    Fields,
    Value,
    WireError,
    decode_text,
    encode_text,
)

START = b"###\n"
END = b"%%%\n"
MAX_LENGTH_DIGITS = 7  # of MAX_UNCOMPRESSED_BYTES
MAX_TRAILER_BYTES = 256  # the longest digest has 64

STRING, BINARY, MESSAGE, LIST, COMPRESSED, UNCOMPRESSED = range(6)
_KINDS = frozenset(b"%d" % kind for kind in range(6))

_HEAD = re.compile(rb"(\d{1,%d}):\(([0-5])\)([^=]{1,%d})=" % (MAX_LENGTH_DIGITS, MAX_NAME_LENGTH))
"""A field up to its value. One match a field: decoding is most of what a heartbeat worker's time goes into."""


def encode(fields: Fields, depth: int = 0) -> bytes:
    """The framed fields, from "###" to "%%%" and its newline. Raises WireError when they cannot be framed."""
    if depth >= MAX_NESTING:
        raise WireError(f"messages nested deeper than {MAX_NESTING}")
    parts = [START]
    for name, value in fields.items:
        kind, data = _encode_value(value, depth)
        record = b"(%d)%s=%s" % (kind, encode_text(name), data)
        parts.append(b"%d:%s," % (len(record), record))
    parts.append(END)
    return b"".join(parts)


def _encode_value(value: Value, depth: int) -> tuple[int, bytes]:
    if isinstance(value, str):
        return STRING, encode_text(value)
    if isinstance(value, bytes):
        return BINARY, value
    if isinstance(value, Fields):
        return MESSAGE, encode(value, depth + 1)
    if isinstance(value, Compressed):
        return COMPRESSED, value.data
    encoded = [encode_text(item) for item in value]
    return LIST, b"".join(b"%d:%s," % (len(item), item) for item in encoded)


def decode(data: bytes) -> tuple[Fields, int]:
    """The fields of a packet and the position after "%%%\\n". Raises WireError for anything malformed."""
    if len(data) > MAX_PACKET_BYTES:
        raise WireError(f"packet longer than {MAX_PACKET_BYTES} bytes")
    return _decode_message(data, 0, 0)


def _decode_message(data: bytes, position: int, depth: int) -> tuple[Fields, int]:
    if depth >= MAX_NESTING:
        raise WireError(f"messages nested deeper than {MAX_NESTING}")
    if not data.startswith(START, position):
        raise WireError("no message begins here")
    position += len(START)
    items: list[tuple[str, Value]] = []
    while (head := _HEAD.match(data, position)) is not None:
        if len(items) >= MAX_FIELDS:
            raise WireError(f"more than {MAX_FIELDS} fields")
        stop, value_at = head.end(1) + 1 + int(head[1]), head.end()
        if data[stop : stop + 1] != b"," or value_at > stop:
            break
        items.append((decode_text(head[3]), _decode_value(head[2], data[value_at:stop], depth)))
        position = stop + 1
    if not data.startswith(END, position):
        raise _malformed(data, position)
    return Fields(items), position + len(END)


def _malformed(data: bytes, position: int) -> WireError:
    """What is wrong with the field at `position`."""
    start, _ = decode_length(data, position)
    opening, kind, closing = data[start : start + 1], data[start + 1 : start + 2], data[start + 2 : start + 3]
    if opening == b"(" and closing == b")" and kind not in _KINDS:
        return WireError("a field of unknown type")
    return WireError("a field that is not (TYPE)NAME=VALUE")


def split(data: bytes) -> tuple[bytes, str]:
    """(the bytes that are signed, the text of the signature), nothing decoded yet. Raises WireError."""
    if len(data) > MAX_PACKET_BYTES:
        raise WireError(f"packet longer than {MAX_PACKET_BYTES} bytes")
    end = data.rfind(END, max(0, len(data) - MAX_TRAILER_BYTES))
    if not data.startswith(START) or end < 0:
        raise WireError("no message begins and ends here")
    end += len(END)
    start, stop = decode_length(data, end)
    if stop + 1 != len(data):
        raise WireError("bytes after the signature")
    return data[:end], decode_text(data[start:stop])


def decode_length(data: bytes, position: int) -> tuple[int, int]:
    """Where the netstring at `position` begins and ends (its comma stands at the end)."""
    colon = data.find(b":", position, position + MAX_LENGTH_DIGITS + 1)
    digits = data[position:colon] if colon > 0 else b""
    if not digits.isdigit():
        raise WireError("a field without a length")
    stop = colon + 1 + int(digits)
    if data[stop : stop + 1] != b",":
        raise WireError("a field that does not end where its length says")
    return colon + 1, stop


def _decode_value(kind: bytes, value: bytes, depth: int) -> Value:
    if kind == b"0":
        return decode_text(value)
    if kind == b"1":
        return value
    if kind in (b"2", b"5"):
        nested, end = _decode_message(value, 0, depth + 1)
        if end != len(value):
            raise WireError("bytes after a nested message")
        return nested
    if kind == b"3":
        return _decode_list(value)
    assert kind == b"4", kind
    return Compressed(value)


def _decode_list(data: bytes) -> tuple[str, ...]:
    items: list[str] = []
    position = 0
    while position < len(data):
        if len(items) >= MAX_FIELDS:
            raise WireError(f"a list of more than {MAX_FIELDS}")
        start, stop = decode_length(data, position)
        items.append(decode_text(data[start:stop]))
        position = stop + 1
    return tuple(items)
