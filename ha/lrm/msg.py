# SPDX-License-Identifier: GPL-2.0-or-later
"""What the LRM is ordered to do with resource agents, and what came of it."""

from __future__ import annotations

from typing import Literal

import msgspec

import ha.machine
from ha.ccm.msg import ViewId


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"lrm.{name}"):
    """Base of the LRM's messages."""


class Resource(msgspec.Struct, frozen=True, order=True):
    """A resource instance as the LRM knows it: id (with ":N" for unique clones) and its agent."""

    id: str
    agent_class: str
    agent_type: str
    provider: str = ""


ExecutionStatus = Literal[
    "pending", "done", "cancelled", "timeout", "not supported", "error", "not installed", "not connected", "invalid",
    "no secrets",
]


class RunOperation(Message, frozen=True, kw_only=True):
    """From the crmd: run an agent's action, once (interval_ms 0) or repeatedly.

    `parameters` are instance attributes, `meta` become OCF_RESKEY_CRM_meta_*. `user_data` comes back in every result
    (the transition key). An order of another view than the newest known is refused (P2). Repeating an order with the
    same `user_data` is answered with the same result.
    """

    resource: Resource
    operation: str
    interval_ms: int = 0
    timeout_ms: int
    start_delay_ms: int = 0
    parameters: dict[str, str] = {}
    meta: dict[str, str] = {}
    user_data: str = ""
    view: ViewId | None = None


class OperationResult(Message, frozen=True, kw_only=True):
    """To the crmd: an operation ended, or a recurring one changed its result. Times are Unix seconds or durations.

    `rc` is the OCF code, `status` the fate of the execution (agents.md section 2). Kept in the LRM's history until
    ForgetResource.
    """

    resource: Resource
    operation: str
    interval_ms: int
    call_id: int
    rc: int
    status: ExecutionStatus
    exit_reason: str = ""
    output: str = ""
    parameters: dict[str, str] = {}
    meta: dict[str, str] = {}
    user_data: str = ""
    last_run_s: int = 0
    last_rc_change_s: int = 0
    queue_ms: int = 0
    exec_ms: int = 0
    deleted: bool = False


class CancelOperation(Message, frozen=True, kw_only=True):
    """From the crmd: end a recurring operation. Answered by Cancelled, also when there is none."""

    resource_id: str
    operation: str
    interval_ms: int
    user_data: str = ""


class Cancelled(Message, frozen=True, kw_only=True):
    resource_id: str
    operation: str
    interval_ms: int
    user_data: str = ""


class ForgetResource(Message, frozen=True, kw_only=True):
    """From the crmd: end its recurring operations and drop its history. Answered by Forgotten."""

    resource_id: str
    user_data: str = ""


class Forgotten(Message, frozen=True, kw_only=True):
    resource_id: str
    user_data: str = ""


class GetHistory(Message, frozen=True, kw_only=True):
    """From the crmd after Connected: answer with History, everything known, also of operations still running."""


class History(Message, frozen=True, kw_only=True):
    results: list[OperationResult]
    running: list[RunOperation]


class RunAlert(Message, frozen=True, kw_only=True):
    """From the crmd: call an alert agent once. Not answered, and never repeated: what came of it is in the log.

    `alert` is its id in the CIB, `path` the agent. `environment` holds CRM_alert_* without the timestamps, and the
    alert's own parameters; the LRM adds the node's surroundings and the moment `at_ms` (Unix time), also in the form
    `timestamp_format` (strftime, with %N for fractions of a second).
    """

    alert: str
    path: str
    timeout_ms: int
    timestamp_format: str
    at_ms: int
    environment: dict[str, str] = {}


class GetMetadata(Message, frozen=True, kw_only=True):
    """From the crmd or a program: an agent's meta-data. Answered by Metadata."""

    request_id: str
    agent_class: str
    agent_type: str
    provider: str = ""


class Metadata(Message, frozen=True, kw_only=True):
    request_id: str
    rc: int
    xml: str = ""
    reason: str = ""


class ListAgents(Message, frozen=True, kw_only=True):
    """From a program: the standards (agent_class ""), or the agents of a class and provider. Answered by Agents."""

    request_id: str
    agent_class: str = ""
    provider: str = ""


class Agents(Message, frozen=True, kw_only=True):
    request_id: str
    names: list[str]
