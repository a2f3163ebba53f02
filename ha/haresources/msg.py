# SPDX-License-Identifier: GPL-2.0-or-later
"""What the haresources worker is asked by programs (hb_standby, hb_takeover, cl_status)."""

from __future__ import annotations

from typing import Literal

import ha.machine

What = Literal["all", "local", "foreign"]


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"haresources.{name}"):
    """Base of the worker's messages."""


class GoStandby(Message, frozen=True, kw_only=True):
    """Let the other node take these groups. Answered by Answer, at once."""

    what: What = "all"


class TakeOver(Message, frozen=True, kw_only=True):
    """Have the other node let us take these groups. Answered by Answer, at once."""

    what: What = "all"


class ConfirmDead(Message, frozen=True, kw_only=True):
    """An operator has made sure that the lost node is off: take what it may have run. Answered by Answer."""

    node: str


class Answer(Message, frozen=True, kw_only=True):
    accepted: bool
    text: str


class GetHolding(Message, frozen=True, kw_only=True):
    """Answered by Holding."""


class GroupLine(ha.machine.Message, frozen=True, kw_only=True, tag="haresources.GroupLine"):
    """`state` is stopped, starting, running, stopping, failed or stuck (it could not be stopped)."""

    key: str
    home: str
    state: str


class Holding(Message, frozen=True, kw_only=True):
    """`hold` is none, local, foreign, all, or transition while that may change."""

    hold: str
    phase: str
    peer: str
    peer_state: str
    peer_hold: str
    groups: list[GroupLine]
