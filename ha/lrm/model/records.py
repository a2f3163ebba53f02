# SPDX-License-Identifier: GPL-2.0-or-later
"""What the LRM keeps of itself over its restarts: a ticket with each job, a record for each resource.

The formats are private to one machine and one boot, so an older lrmd never meets a newer one's, except over an update
in place: unknown fields are ignored, missing ones defaulted.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ha.ccm.msg import ViewId
from ha.lrm.msg import OperationResult, Resource, RunOperation

VIEW = "view"
"""The record that holds the newest view whose orders were obeyed (P2)."""

CALLS = "calls"
"""The record that holds the highest call id of forgotten resources."""

RESOURCE_PREFIX = "resource:"

T = TypeVar("T")


class RecordError(Exception):
    """A record or ticket is not what it should be."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    order: RunOperation
    call_id: int
    queued_ms: int
    attempt: int = 1
    victims: int = 0
    evidence: str = ""


class RecurringRecord(msgspec.Struct, frozen=True, kw_only=True):
    order: RunOperation
    call_id: int
    last: OperationResult | None = None


class ResourceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`recent` are the newest results, for orders that are repeated; newest last."""

    resource: Resource
    last: OperationResult | None = None
    last_failure: OperationResult | None = None
    recurring: list[RecurringRecord] = []
    recent: list[OperationResult] = []
    call_id: int = 0


def encode(value: Ticket | ResourceRecord | ViewId | int) -> bytes:
    return msgspec.msgpack.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """Raises RecordError for anything but a whole `kind`."""
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(f"no {kind.__name__}: {error}") from error
