# SPDX-License-Identifier: GPL-2.0-or-later
"""Heartbeats of workers and applications, and what apphbd makes of them."""

from __future__ import annotations

from typing import Literal

import ha.machine


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"apphbd.{name}"):
    """Base of apphbd's messages. Workers send Beat as datagrams to apphbd.sock; programs use a stream."""


class Beat(Message, frozen=True, kw_only=True):
    """A worker's loop went round with its queue drained. The first Beat of a pid registers it.

    `interval_ms` is how often it promises to beat, `deadline_ms` the silence after which it is hung. `steps` counts
    the machine's steps so far; `queued` the events that wait.
    """

    module: str
    pid: int
    interval_ms: int
    warntime_ms: int
    deadline_ms: int
    steps: int = 0
    queued: int = 0


class Goodbye(Message, frozen=True, kw_only=True):
    """The worker ends on purpose."""

    module: str
    pid: int


class ClientEvent(Message, frozen=True, kw_only=True):
    """To rmd and subscribers. Names as in Heartbeat: HBWARN late, NOHB hung, HBAGAIN resumed, HUP connection lost,
    HBUNREG goodbye."""

    event: Literal["HBWARN", "NOHB", "HBAGAIN", "HUP", "HBUNREG"]
    module: str
    pid: int
    silent_ms: int


class GetClients(Message, frozen=True, kw_only=True):
    """From a program: answer with Clients."""


class ClientLine(ha.machine.Message, frozen=True, kw_only=True, tag="apphbd.ClientLine"):
    module: str
    pid: int
    interval_ms: int
    deadline_ms: int
    silent_ms: int
    state: Literal["well", "late", "hung"]


class Clients(Message, frozen=True, kw_only=True):
    clients: list[ClientLine]
