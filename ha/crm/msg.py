# SPDX-License-Identifier: GPL-2.0-or-later
"""What crmds say to one another (election, join, orders) and what programs may ask of one."""

from __future__ import annotations

import ha.machine


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"crm.{name}"):
    """Base of the crmd's messages."""


class GetState(Message, frozen=True, kw_only=True):
    """From a program (crmadmin -S, -D): answer with State."""

    request_id: str
    node: str = ""


class State(Message, frozen=True, kw_only=True):
    """`fsm` is S_IDLE, S_TRANSITION_ENGINE ...; `dc` is "" when there is none; `idle` when nothing is left to do."""

    request_id: str
    node: str
    fsm: str
    dc: str = ""
    idle: bool = False
    transition_id: int = 0


class Cleanup(Message, frozen=True, kw_only=True):
    """From crm_resource: forget history and failures of a resource ("" = all) on a node ("" = all), then re-probe.

    `only_failed` keeps successful history (cleanup), else everything goes (refresh). Answered by Done.
    """

    request_id: str
    resource_id: str = ""
    node: str = ""
    operation: str = ""
    interval_ms: int = 0
    only_failed: bool = True


class FailResource(Message, frozen=True, kw_only=True):
    """From crm_resource --fail: pretend its monitor failed on `node`. Answered by Done."""

    request_id: str
    resource_id: str
    node: str


class RemoveNode(Message, frozen=True, kw_only=True):
    """From crm_node -R: forget a node that is down. Answered by Done."""

    request_id: str
    node: str


class ShutdownNode(Message, frozen=True, kw_only=True):
    """From rmd (orderly stop) or a program: move resources off this node, then leave. Answered by Done at the end."""

    request_id: str


class Done(Message, frozen=True, kw_only=True):
    request_id: str
    rc: int = 0
    reason: str = ""


class WatchTimeline(Message, frozen=True, kw_only=True):
    """From a program: the phases of recent recoveries known to this crmd. Answered by Timeline."""

    request_id: str


class Phase(ha.machine.Message, frozen=True, kw_only=True, tag="crm.Phase"):
    """`at_ms` is Unix time in milliseconds; `what` is one of loss-seen, view-agreed, fencing, fenced, decided,
    started, done; `detail` says it in words."""

    at_ms: int
    what: str
    detail: str


class Timeline(Message, frozen=True, kw_only=True):
    request_id: str
    phases: list[Phase]
