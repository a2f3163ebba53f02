# SPDX-License-Identifier: GPL-2.0-or-later
"""Edits that spoil a piece of a corpus. They are data, so that hypothesis can make and shrink them too."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["word", "flip", "set", "cut", "repeat", "insert", "splice", "truncate"]
KINDS: tuple[Kind, ...] = get_args(Kind)

TOKENS = (
    b"\0", b"\xff" * 4, b"\x80", b"\xed\xa0\x80", b"\n", b"=", b"<", b">", b"&#0;", b"]]>", b'"', b"'", b"#", b"\r",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"9" * 30, b"-1", b"99999999999999999999", b"1e400", b"nan",
    "\u0663".encode(), "\u00b2".encode(), b"{", b"}", b"[" * 200, b"<a>" * 300, b"%s%n", b"../", b"A" * 5000,
    b"###\n", b"%%%\n", b"(0)", b"ha.cf",
)  # fmt: skip
"""What parsers stumble over: ends of text, digits that are none, numbers out of every range, nesting, entities."""

MAX_BYTES = 64 * 1024

_WORD = re.compile(rb"[A-Za-z0-9_.:+-]+")


@dataclass(frozen=True, slots=True)
class Edit:
    """`at` and `length` are parts of the whole, in thousandths; `value` chooses a byte, a token or another piece."""

    kind: Kind
    at: int
    length: int
    value: int


def spoil(data: bytes, edits: list[Edit], others: list[bytes]) -> bytes:
    for edit in edits:
        at = len(data) * edit.at // 1000
        end = at + max(1, min(len(data) * edit.length // 1000, 200))
        match edit.kind:
            case "word":
                data = _with_another_word(data, at, edit, others)
            case "flip" if data:
                at = min(at, len(data) - 1)
                data = data[:at] + bytes([data[at] ^ (1 << (edit.value % 8))]) + data[at + 1 :]
            case "set":
                data = data[:at] + bytes([edit.value % 256]) + data[at + 1 :]
            case "cut":
                data = data[:at] + data[end:]
            case "repeat":
                data = data[:end] + data[at:end] * (1 + edit.value % 20) + data[end:]
            case "insert":
                data = data[:at] + TOKENS[edit.value % len(TOKENS)] + data[at:]
            case "splice":
                other = others[edit.value % len(others)]
                data = data[:at] + other[len(other) * edit.length // 1000 :]
            case "truncate":
                data = data[:at]
        data = data[:MAX_BYTES]
    return data


def _with_another_word(data: bytes, at: int, edit: Edit, others: list[bytes]) -> bytes:
    """In the place of the next word stands one of another piece, or a token: the form holds, the meaning does not."""
    word = _WORD.search(data, at)
    if word is None:
        return data
    known = _WORD.findall(others[edit.value % len(others)])
    choice = edit.length % (len(known) + len(TOKENS))
    other = known[choice] if choice < len(known) else TOKENS[choice - len(known)]
    return data[: word.start()] + other + data[word.end() :]


def chosen(chance: random.Random, pieces: list[bytes]) -> bytes:
    """A piece with one to eight edits, or now and then bytes of no sense at all."""
    if chance.random() < 0.02:
        return chance.randbytes(chance.randrange(400))
    edits = [
        Edit(
            kind=chance.choice(KINDS) if chance.random() < 0.5 else "word",
            at=chance.randrange(1001), length=chance.randrange(1001), value=chance.randrange(2**16),
        )
        for _ in range(chance.choice((1, 1, 2, 4, 8)))
    ]  # fmt: skip
    return spoil(chance.choice(pieces), edits, pieces)
