# SPDX-License-Identifier: GPL-2.0-or-later
"""Classic framing, in lines.

    ">>>\\n"  { [ "(" TYPE ")" ] NAME "=" VALUE "\\n" }*  "<<<\\n"  NUL

Strings carry no type; binary is base64. The signature covers all field lines but `auth`, in order, without the first
and the last line, and is itself the field `auth=KEY DIGEST`.
"""

from __future__ import annotations

import base64
import binascii

from ha.heartbeat.model.wire.fields import (
    MAX_FIELDS,
    MAX_NAME_LENGTH,
    MAX_PACKET_BYTES,
    Fields,
    Value,
    WireError,
    decode_text,
    encode_text,
)

START = b">>>\n"
END = b"<<<\n\0"
AUTH = "auth"


def fits(fields: Fields) -> bool:
    """Whether lines can carry the values. Messages that they cannot carry travel as netstrings, as in Heartbeat 3.0.6:
    every receiver takes both."""
    return all(
        isinstance(value, bytes) or (isinstance(value, str) and "\n" not in value and "\0" not in value)
        for _, value in fields.items
    )


def encode_lines(fields: Fields) -> bytes:
    """The field lines that a signature covers. Raises WireError for values that lines cannot carry."""
    return b"".join(_encode_line(name, value) for name, value in fields.items if name != AUTH)


def _encode_line(name: str, value: Value) -> bytes:
    if isinstance(value, bytes):
        return b"(1)%s=%s\n" % (encode_text(name), base64.b64encode(value))
    if not isinstance(value, str):
        raise WireError(f"classic framing carries no lists and no nested messages: {name}")
    data = encode_text(value)
    if b"\n" in data or b"\0" in data:
        raise WireError(f"classic framing carries no line breaks: {name}")
    return b"%s=%s\n" % (encode_text(name), data)


def frame(lines: bytes, auth: str) -> bytes:
    """A whole packet; without an `auth` line when that is empty (between processes of one machine)."""
    signature = b"auth=%s\n" % encode_text(auth) if auth else b""
    return START + lines + signature + END


def split(data: bytes) -> tuple[bytes, str]:
    """(the bytes that are signed, the value of auth), nothing decoded yet. Raises WireError."""
    if len(data) > MAX_PACKET_BYTES:
        raise WireError(f"packet longer than {MAX_PACKET_BYTES} bytes")
    body = data.rstrip(b"\0")
    if not body.startswith(START) or not body.endswith(b"\n<<<\n"):
        raise WireError("no message begins and ends here")
    lines = body[len(START) : -len(b"<<<\n")].split(b"\n")[:-1]
    auth = next((line for line in lines if line.startswith(b"auth=")), b"auth=")
    signed = b"".join(line + b"\n" for line in lines if not line.startswith(b"auth="))
    return signed, decode_text(auth[len(b"auth=") :])


def decode_lines(signed: bytes) -> Fields:
    """The fields of the signed lines. Raises WireError."""
    lines = signed.split(b"\n")[:-1]
    if len(lines) > MAX_FIELDS:
        raise WireError(f"more than {MAX_FIELDS} fields")
    return Fields(_decode_line(line) for line in lines)


def _decode_line(line: bytes) -> tuple[str, Value]:
    kind = b"0"
    if line.startswith(b"(") and line[2:3] == b")":
        kind, line = line[1:2], line[3:]
    name, equals, value = line.partition(b"=")
    if not equals or not name or len(name) > MAX_NAME_LENGTH:
        raise WireError("a line that is not NAME=VALUE")
    if kind == b"0":
        return decode_text(name), decode_text(value)
    if kind == b"1":
        try:
            return decode_text(name), base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise WireError("binary that is not base64") from error
    raise WireError("a field of unknown type")
