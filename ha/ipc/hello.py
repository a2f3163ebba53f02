# SPDX-License-Identifier: GPL-2.0-or-later
"""The first words on every link: who dials, and whether it is let in."""

from __future__ import annotations

from typing import Literal

import ha.machine

PROTOCOL = 1
"""Grows when an old peer could no longer understand us."""


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"ipc.{name}"):
    """Base of the link's own messages."""


class Hello(Message, frozen=True, kw_only=True):
    """From the dialler. A worker gives its name and incarnation, a program what it calls itself."""

    protocol: int
    kind: Literal["worker", "program"]
    name: str
    incarnation: str = ""


class Welcome(Message, frozen=True, kw_only=True):
    """From the listener: you are in. Its own name, node and incarnation."""

    protocol: int
    name: str
    node: str
    incarnation: str


class Refused(Message, frozen=True, kw_only=True):
    """From the listener, before it hangs up. `reason` names the mistake and the remedy."""

    reason: str
