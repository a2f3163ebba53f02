# SPDX-License-Identifier: GPL-2.0-or-later
"""The classic client protocol of apphbd, as bytes.

Each message is preceded by eight bytes, its length and a magic number; then a type of eight bytes, padded with NUL, and
a packed C structure, everything in the host's own order. Each answer is an errno, and a beat is not answered.

Source: Heartbeat 3.0.6, its library libapphb spoken to (reference: section 8 of the facts on Heartbeat).
"""

from __future__ import annotations

import struct

from ha.apphbd.msg import AppBeat, AppBoot, AppInterval, AppRequest, AppUnregister, AppWarn, Register

SOCKET = "/run/heartbeat/apphb.comm"

HEADER = struct.Struct("=II")
MAGIC = 0xABCD
MAX_REQUEST_BYTES = 4096
"""The longest request has 796 bytes. A longer one ends the connection."""

MAX_NAME_BYTES = 255

_TYPE_BYTES = 8
_REGISTER = struct.Struct("=256s256s256siII")
_NUMBER = struct.Struct("@L")
_ANSWER = struct.Struct("=i")

MAX_MS = 7 * 86_400_000
"""A longer interval is as good as none, and taken for a week."""


class ProtocolError(ValueError):
    """The bytes are no request; the text says why. The connection is of no use any more."""


class Requests:
    """Cuts a stream into requests."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[AppRequest]:
        """Raises ProtocolError."""
        self._buffer += data
        found: list[AppRequest] = []
        while len(self._buffer) >= HEADER.size:
            length, magic = HEADER.unpack_from(self._buffer)
            if magic != MAGIC or not _TYPE_BYTES <= length <= MAX_REQUEST_BYTES:
                raise ProtocolError(f"no header of a request: length {length}, magic {magic:#x}")
            end = HEADER.size + length
            if len(self._buffer) < end:
                break
            found.append(parse(bytes(self._buffer[HEADER.size : end])))
            del self._buffer[:end]
        return found


def parse(body: bytes) -> AppRequest:
    """Raises ProtocolError for an unknown type, a structure of another size, or a name that is no text."""
    kind = _text(body[:_TYPE_BYTES])
    rest = body[_TYPE_BYTES:]
    match kind:
        case "reg" if len(rest) >= _REGISTER.size:
            name, instance, _directory, pid, uid, gid = _REGISTER.unpack_from(rest)
            return Register(name=_text(name), instance=_text(instance), pid=pid, uid=uid, gid=gid)
        case "hb":
            return AppBeat()
        case "setint" if len(rest) >= _NUMBER.size:
            return AppInterval(interval_ms=_milliseconds(rest))
        case "setwarn" if len(rest) >= _NUMBER.size:
            return AppWarn(warntime_ms=_milliseconds(rest))
        case "setboot" if len(rest) >= _NUMBER.size:
            return AppBoot(reset=_NUMBER.unpack_from(rest)[0] != 0)
        case "unreg":
            return AppUnregister()
    raise ProtocolError(f"{kind!r} with {len(rest)} bytes is no request")


def answer(error: int) -> bytes:
    """`error` is an errno, 0 for success."""
    return HEADER.pack(_ANSWER.size, MAGIC) + _ANSWER.pack(error)


def encode(request: AppRequest) -> bytes:
    """As a client says it. Raises ValueError for a name that is too long."""
    match request:
        case Register(name=name, instance=instance, pid=pid, uid=uid, gid=gid):
            names = [text.encode() for text in (name, instance)]
            if any(len(text) > MAX_NAME_BYTES for text in names):
                raise ValueError(f"a name has more than {MAX_NAME_BYTES} bytes")
            kind, rest = b"reg", _REGISTER.pack(*names, b"", pid, uid, gid)
        case AppInterval(interval_ms=number):
            kind, rest = b"setint", _NUMBER.pack(number)
        case AppWarn(warntime_ms=number):
            kind, rest = b"setwarn", _NUMBER.pack(number)
        case AppBoot(reset=reset):
            kind, rest = b"setboot", _NUMBER.pack(reset)
        case AppBeat():
            kind, rest = b"hb", b""
        case AppUnregister():
            kind, rest = b"unreg", b""
    body = kind.ljust(_TYPE_BYTES, b"\0") + rest
    return HEADER.pack(len(body), MAGIC) + body


ANSWER_BYTES = HEADER.size + _ANSWER.size


def error_of(data: bytes) -> int:
    """The errno in an answer of ANSWER_BYTES. Raises ProtocolError."""
    length, magic = HEADER.unpack_from(data)
    if (length, magic) != (_ANSWER.size, MAGIC):
        raise ProtocolError(f"no header of an answer: length {length}, magic {magic:#x}")
    return int(_ANSWER.unpack_from(data, HEADER.size)[0])


def _milliseconds(rest: bytes) -> int:
    return min(int(_NUMBER.unpack_from(rest)[0]), MAX_MS)


def _text(field: bytes) -> str:
    try:
        return field.partition(b"\0")[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"a name that is no text: {error}") from error
