# SPDX-License-Identifier: GPL-2.0-or-later
"""What the crmd gives the transition engine and what that wants done. TE speaks to nobody else."""

from __future__ import annotations

from typing import Literal

import ha.machine
from ha.ccm.msg import ViewId


class Message(ha.machine.Message, frozen=True, kw_only=True, tag=lambda name: f"te.{name}"):
    """Base of TE's messages."""


class StartTransition(Message, frozen=True, kw_only=True):
    """From the crmd: carry out `graph` (Pacemaker's XML form) as transition `transition_id` in `view`.

    `te_uuid` is the DC's identity in transition keys. At most one transition runs; a new one needs the old one's end.
    """

    transition_id: int
    te_uuid: str
    graph: str
    view: ViewId
    batch_limit: int = 0


class RequestAction(Message, frozen=True, kw_only=True):
    """To the crmd: do this now. `kind` is the graph's element; `task` its operation.

    rsc_op: an LRM order for `node` (`router` when another node must pass it on). crm_event: stonith, shutdown,
    clear_failcount, probe_complete, lrm_delete, cancel ... `attributes` and `meta` are the action's own, `resource`
    the primitive's (id, long-id, class, provider, type). Answered by ActionDone with the same action_id.
    """

    transition_id: int
    action_id: int
    kind: Literal["rsc_op", "crm_event"]
    task: str
    node: str
    node_uuid: str = ""
    router: str = ""
    operation_key: str = ""
    transition_key: str = ""
    target_rc: int = 0
    timeout_ms: int = 0
    resource: dict[str, str] = {}
    attributes: dict[str, str] = {}
    meta: dict[str, str] = {}


class ActionDone(Message, frozen=True, kw_only=True):
    """From the crmd: how an action ended. `ok` means the result was the one the graph expected."""

    transition_id: int
    action_id: int
    ok: bool
    reason: str = ""


class AbortTransition(Message, frozen=True, kw_only=True):
    """From the crmd: start nothing more of this transition below `priority`; what runs is awaited. Ends in
    TransitionDone."""

    transition_id: int
    reason: str
    priority: int = 1_000_000


class TransitionDone(Message, frozen=True, kw_only=True):
    """To the crmd: the graph is carried out as far as it can be.

    `complete`: all done. `stopped`: aborted. `failed`: an action failed or timed out, what depended on it was skipped.
    """

    transition_id: int
    outcome: Literal["complete", "stopped", "failed"]
    done: int = 0
    skipped: int = 0
    reason: str = ""
