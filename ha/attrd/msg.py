# SPDX-License-Identifier: GPL-2.0-or-later
"""Transient node attributes: asked for by agents and tools, written into the CIB's status by attrd."""

from __future__ import annotations

from typing import Annotated

import msgspec

import ha.machine


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"attrd.{name}"):
    """Base of attrd's messages."""


class UpdateAttribute(Message, frozen=True, kw_only=True):
    """Set a transient attribute of `node` ("" = this one); value None removes it. Answered by Updated.

    The answer comes when the CIB has the value, at once if it is dampened or private. `dampen_ms` holds the write back
    until nothing changed for that long; 0 means as set before, unless `keep_dampening` is false. A value "NAME++",
    "value++", "NAME+=N" or "value+=N" counts up.
    """

    request_id: str
    name: str
    value: str | None
    node: str = ""
    set_id: str = ""
    private: bool = False
    dampen_ms: int = 0
    keep_dampening: bool = True


class Updated(Message, frozen=True, kw_only=True):
    request_id: str
    rc: int = 0
    reason: str = ""


class QueryAttributes(Message, frozen=True, kw_only=True):
    """Answered by Attributes; "" as name or node means all."""

    request_id: str
    name: str = ""
    node: str = ""


class Attribute(msgspec.Struct, frozen=True, order=True):
    node: str
    name: str
    value: str


class Attributes(Message, frozen=True, kw_only=True):
    request_id: str
    attributes: list[Attribute]


class ClearNode(Message, frozen=True, kw_only=True):
    """From the DC's crmd: the node has left; its transient attributes are gone with it."""

    node: str


class ClearFailures(Message, frozen=True, kw_only=True):
    """From the crmd: drop fail-count-* and last-failure-* of a resource ("" = all) on a node ("" = all)."""

    request_id: str
    resource_id: str = ""
    node: str = ""
    operation: str = ""
    interval_ms: int = 0


class Refresh(Message, frozen=True, kw_only=True):
    """From a tool: write every attribute into the CIB again, on every node. Answered by Updated."""

    request_id: str


# Between the attrds of the nodes -------------------------------------------------------------------------------------

ENTRIES_LIMIT = 50_000
"""Most attributes a message may carry, and a table may hold."""


class Stamp(msgspec.Struct, frozen=True, order=True):
    """Orders the values of one attribute; `counter` is greater than any that the writer had seen. The greatest wins."""

    counter: int = 0
    writer: str = ""


class Entry(msgspec.Struct, frozen=True):
    """One attribute; value None is kept to outlast older values that are still under way."""

    node: str
    name: str
    value: str | None
    stamp: Stamp
    set_id: str = ""
    private: bool = False
    dampen_ms: int = 0


class Change(Message, frozen=True, kw_only=True):
    """To the owner of a node's attributes: change one, or with `clear` drop all. Repeated until Done comes."""

    request_id: str
    node: str
    name: str = ""
    value: str | None = None
    set_id: str = ""
    private: bool = False
    dampen_ms: int = 0
    keep_dampening: bool = True
    clear: bool = False


class Done(Message, frozen=True, kw_only=True):
    """To the asker of a Change: it is in every table, and in the CIB where it belongs there (rc 0)."""

    request_id: str
    rc: int = 0
    reason: str = ""


class Spread(Message, frozen=True, kw_only=True):
    """To every attrd, from an owner: these are the values now; `cleared` nodes have none older than the stamp."""

    entries: Annotated[list[Entry], msgspec.Meta(max_length=ENTRIES_LIMIT)]
    cleared: dict[str, Stamp] = {}


class AskTable(Message, frozen=True, kw_only=True):
    """Answered by Table."""


class Table(Message, frozen=True, kw_only=True):
    """All that an attrd knows."""

    entries: Annotated[list[Entry], msgspec.Meta(max_length=ENTRIES_LIMIT)]
    cleared: dict[str, Stamp] = {}


class Rewrite(Message, frozen=True, kw_only=True):
    """To every attrd: write the attributes that you own into the CIB again."""
