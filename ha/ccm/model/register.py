# SPDX-License-Identifier: GPL-2.0-or-later
"""The register of a tie-breaker: one record outside the cluster, read whole, and replaced only by who has read it.

A file in a shared folder and an object behind HTTP serve as one; `ha.ccm.core.tie_breaker` says what is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import msgspec

GRANT_LIMIT_BYTES = 64 << 10
"""A record over this was not written by us (256 members need 27 KB)."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """Who was the cluster last by this tie-breaker.

    The half of `members` (life by node) that is view `instance`, claimed from the view `base` by the coordinator
    that lives `life`. `nodes` are the configured ones: a register serves one cluster.
    """

    format: int = 1
    nodes: tuple[str, ...]
    instance: int
    base: int
    life: str
    members: dict[str, str]


class GrantError(ValueError):
    """The record cannot be read; says why."""


_decoder = msgspec.json.Decoder(Grant)


def encode(grant: Grant) -> bytes:
    return msgspec.json.encode(grant)


def decode(data: bytes) -> Grant:
    """GrantError when it is too long, not of our schema, or of a format we do not know."""
    if len(data) > GRANT_LIMIT_BYTES:
        raise GrantError(f"over {GRANT_LIMIT_BYTES} bytes")
    try:
        grant = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise GrantError(str(error)) from error
    if grant.format != 1:
        raise GrantError(f"format {grant.format}, we know 1")
    return grant


@dataclass(frozen=True, slots=True)
class ReadRegister:
    """Execute: finishes with Contents, or Failed."""


@dataclass(frozen=True, slots=True)
class WriteRegister:
    """Execute: put `data` into the register if it is still as in the Contents of `version` ("" when it was empty).

    Finishes with Written, Outdated (somebody else has written, nothing was done), or Failed: it is not known whether
    the register was written, and it must be read again.
    """

    version: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Contents:
    """`version` names this very content; "" with no data when nobody has ever written."""

    version: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Written:
    pass


@dataclass(frozen=True, slots=True)
class Outdated:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    """`reason` is for people: one line that names what was tried."""

    reason: str


ReadOutcome: TypeAlias = Contents | Failed
WriteOutcome: TypeAlias = Written | Outdated | Failed
