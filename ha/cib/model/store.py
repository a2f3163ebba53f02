# SPDX-License-Identifier: GPL-2.0-or-later
"""What the cib asks of its disk and its shared memory (`Execute`), and the records of its journal.

The durable CIB is a whole document (cib.xml) and the journal's records since. Replay applies each Entry whose `before`
is the digest at hand and skips the others, so a crash between the two files of a checkpoint does no harm.
"""

from __future__ import annotations

import msgspec

from ha.cib.msg import Ballot, Entry, Known, Version

MAX_REQUESTS = 1024
"""Requests whose fate is remembered. A caller repeats within seconds; the oldest are forgotten."""
MAX_JOURNAL_BYTES = 4 * 1024 * 1024
"""A longer journal is folded into cib.xml (or one longer than the document itself, if that is more)."""


class Base(msgspec.Struct, frozen=True, kw_only=True, tag="base"):
    """The journal's first record: what belongs to the document of `digest` beside its text. `committed` is whether
    every member of the view had it."""

    digest: str
    committed: bool = True
    state: Ballot | None = None
    promised: Ballot | None = None
    requests: tuple[Known, ...] = ()


class Promise(msgspec.Struct, frozen=True, kw_only=True, tag="promise"):
    """No ballot lower than this will be obeyed."""

    ballot: Ballot


class Change(msgspec.Struct, frozen=True, kw_only=True, tag="change"):
    """An entry that was applied, or (`adopted`) the whole document of another node."""

    entry: Entry


Record = Base | Promise | Change

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Base | Promise | Change)


def encode_record(record: Record) -> bytes:
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    """Raises ValueError for anything that is no record."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"no record of the CIB's journal: {error}") from error


class LoadCib(msgspec.Struct, frozen=True):
    """Read what earlier runs left. Outcome: LoadedCib."""


class LoadedCib(msgspec.Struct, frozen=True, kw_only=True):
    """`xml` is empty at the first start. `generation` is that of the last publication in shared memory (0: none), and
    `published` its bytes. `notes` tell of damage that was found and what was taken instead."""

    xml: bytes = b""
    records: tuple[bytes, ...] = ()
    generation: int = 0
    published: bytes = b""
    notes: tuple[str, ...] = ()


class AppendRecords(msgspec.Struct, frozen=True):
    """Append to the journal. Outcome None: written, and if `durable` on stable storage; or an OSError."""

    records: tuple[bytes, ...]
    durable: bool


class CheckpointCib(msgspec.Struct, frozen=True):
    """Replace cib.xml (keeping the old one as a backup when `backup`), then the journal. Outcome None or OSError."""

    xml: bytes
    records: tuple[bytes, ...]
    version: Version
    backup: bool


class PublishCib(msgspec.Struct, frozen=True):
    """Make this version the one that readers of shared memory see. Outcome None or OSError.

    `diffs` lead to it one after the other from the generation before; without any, it must be read whole.
    """

    generation: int
    version: Version
    digest: str
    parts: tuple[bytes, ...]
    diffs: tuple[bytes, ...]


class FindUser(msgspec.Struct, frozen=True):
    """Whose rights has a program of this uid and gid that would act as the user `wanted`?

    Outcome: ha.cib.model.acl.User, or an OSError.
    """

    uid: int
    gid: int
    wanted: str


class KeepDropped(msgspec.Struct, frozen=True):
    """Keep a CIB that a merge dropped. Outcome: the path (str) or an OSError."""

    version: Version
    xml: bytes
