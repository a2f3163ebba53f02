# SPDX-License-Identifier: GPL-2.0-or-later
"""Transient node attributes: asked for by agents and tools, written into the CIB's status by attrd."""

from __future__ import annotations

import msgspec

import ha.machine


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"attrd.{name}"):
    """Base of attrd's messages."""


class UpdateAttribute(Message, frozen=True, kw_only=True):
    """Set a transient attribute of `node` ("" = this one); value None removes it. Answered by Updated.

    `dampen_ms` holds the write back until nothing changed for that long. A value "NAME++" or "+=N" counts up.
    """

    request_id: str
    name: str
    value: str | None
    node: str = ""
    set_id: str = ""
    private: bool = False
    dampen_ms: int = 0


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
