# SPDX-License-Identifier: GPL-2.0-or-later
"""What stonithd's core asks of the outside by Fence and Execute, and what it gets back in Finished.

    RunFenceAgent (by Fence when it acts on power, else by Execute), AwaitFenceAgent -> FenceAgentResult
    KillFenceAgent, DropFenceJob -> FenceDone        KeepFenceRecord -> FenceDone, OSError
    AdoptFenceAgents -> AdoptedFences                ReadFenceMetadata -> FenceMetadata

`ha.stonith.io` serves them with real agents, the simulator with its power switch. As in the LRM, jobs and records
survive the worker's death, not the machine's.
"""

from __future__ import annotations

from typing import Literal

import msgspec

SUCCESS = 0
FAILURE = 1
STATUS_OFF = 2
"""Exit code of the action `status` of a fence agent: the target is off."""


class RunFenceAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Call `agent` with `action` and `options`, one `name=value` line each, on its standard input.

    `target` is "" for list and monitor. `job` is unique for ever.
    """

    job: str
    device: str
    agent: str
    action: str
    target: str
    options: dict[str, str]
    timeout_ms: int
    ticket: bytes = b""


class AwaitFenceAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Take up a job of an earlier incarnation. One that no runner had begun is revoked, and will never run."""

    job: str


class FenceAgentResult(msgspec.Struct, frozen=True, kw_only=True):
    """`ok` is an exit code of 0. `output` is what the agent printed, `reason` why it failed."""

    ok: bool
    rc: int = 0
    fate: Literal["done", "timeout", "not installed", "error", "revoked"] = "done"
    reason: str = ""
    output: str = ""
    exec_ms: int = 0


class KillFenceAgent(msgspec.Struct, frozen=True, kw_only=True):
    job: str


class DropFenceJob(msgspec.Struct, frozen=True, kw_only=True):
    """Forget an ended job."""

    job: str


class KeepFenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the record `name`, then forget the ended job `drop`, if any."""

    name: str
    data: bytes
    drop: str = ""


class FenceDone(msgspec.Struct, frozen=True):
    pass


class AdoptFenceAgents(msgspec.Struct, frozen=True):
    """What did earlier incarnations in this life of the machine leave?"""


class AdoptedFenceJob(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    ticket: bytes


class AdoptedFences(msgspec.Struct, frozen=True, kw_only=True):
    records: dict[str, bytes]
    jobs: tuple[AdoptedFenceJob, ...]
    complaints: tuple[str, ...] = ()


class ReadFenceMetadata(msgspec.Struct, frozen=True):
    agent: str


class FenceMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters and actions that the agent's meta-data names; `reason` when there is none to be had.

    `unfences`, `on_target`: as in `ha.stonith.model.device.AgentTraits`.
    """

    parameters: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    unfences: bool = False
    on_target: bool = False
    reason: str = ""
