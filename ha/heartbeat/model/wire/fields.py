# SPDX-License-Identifier: GPL-2.0-or-later
"""What a packet says: fields in order, each a name and a typed value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

MAX_PACKET_BYTES = 256 * 1024  # on the wire, as in Heartbeat 3.0.6
MAX_UNCOMPRESSED_BYTES = 2 * 1024 * 1024  # as in Heartbeat 3.0.6
MAX_NESTING = 16  # as in Heartbeat 3.0.6
MAX_FIELDS = 512  # in one message; Heartbeat's own messages have fewer than 40
MAX_NAME_LENGTH = 255
MAX_NUMBER_DIGITS = 16  # hexadecimal or decimal: 64 bits


_DIGITS = frozenset("0123456789abcdefABCDEF")


class WireError(ValueError):
    """A packet, or a value in it, is not what the protocol allows. It is the sender's fault."""


class BadSignature(WireError):
    """A well-formed packet that no key of ours vouches for."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """A field that travels compressed (type 4) and was not opened; `data` is the compressor's raw output."""

    data: bytes


Value: TypeAlias = "str | bytes | Fields | tuple[str, ...] | Compressed"


class Fields:
    """An ordered list of named values. Names may repeat (CCM does it): reading gives the first.

    str is a string (type 0), bytes binary (1), Fields a nested message (2), a tuple of str a list (3).
    """

    __slots__ = ("_first", "items")

    def __init__(self, items: Iterable[tuple[str, Value]]) -> None:
        self.items: tuple[tuple[str, Value], ...] = tuple(items)
        self._first: dict[str, Value] = dict(reversed(self.items))

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __contains__(self, name: str) -> bool:
        return name in self._first

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fields) and self.items == other.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        return f"Fields({list(self.items)!r})"

    def value(self, name: str) -> Value | None:
        return self._first.get(name)

    def text(self, name: str, default: str = "") -> str:
        """The string `name`, or the default when it is absent. Raises WireError when it is no string."""
        value = self._first.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise WireError(f"field {name} is not a string")
        return value

    def binary(self, name: str) -> bytes:
        """The bytes `name`, empty when absent. Raises WireError when it is not binary."""
        value = self._first.get(name, b"")
        if not isinstance(value, bytes):
            raise WireError(f"field {name} is not binary")
        return value

    def hexadecimal(self, name: str) -> int | None:
        """The number `name` in base 16, None when absent. Raises WireError when it is no such number."""
        return self._number(name, 16)

    def decimal(self, name: str) -> int | None:
        return self._number(name, 10)

    def _number(self, name: str, base: int) -> int | None:
        value = self._first.get(name)
        if value is None:
            return None
        # int() would also take blanks, signs, underscores, a prefix and the digits of other scripts.
        if not isinstance(value, str) or len(value) > MAX_NUMBER_DIGITS or not _DIGITS.issuperset(value) or not value:
            raise WireError(f"field {name} is not a number")
        try:
            return int(value, base)
        except ValueError as error:
            raise WireError(f"field {name} is not a number") from error


def encode_text(text: str) -> bytes:
    """Strings travel as UTF-8; bytes that are none survive a round trip as surrogates."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise WireError("a string that cannot be encoded") from error


def decode_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
