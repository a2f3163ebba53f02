# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of `ha.stonith.io` and of the runners under it: one fence agent, `fence_switch`, at the power switch.

An agent that was begun goes on when stonithd dies; its result waits for the successor. Left out: agents that are not
installed, targets that a device does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ha.sim.power import SwitchOutcome
from ha.stonith.model.execution import (
    FAILURE,
    STATUS_OFF,
    SUCCESS,
    AdoptedFenceJob,
    AdoptedFences,
    AdoptFenceAgents,
    AwaitFenceAgent,
    DropFenceJob,
    FenceAgentResult,
    FenceDone,
    FenceMetadata,
    KeepFenceRecord,
    KillFenceAgent,
    ReadFenceMetadata,
    RunFenceAgent,
)

if TYPE_CHECKING:
    from ha.sim.node import Node
    from ha.sim.process import Process
    from ha.sim.world import Service

MEMORY = "fence spool"
AGENT = "fence_switch"
PARAMETERS = ("action", "plug", "port", "nodename", "ip", "username", "password")
ACTIONS = ("on", "off", "reboot", "status", "list", "monitor", "metadata")


@dataclass
class Job:
    request: RunFenceAgent
    result: FenceAgentResult | None = None
    waiting: Callable[[FenceAgentResult], None] | None = None

    def end(self, result: FenceAgentResult) -> None:
        if self.result is None:
            self.result = result
            if self.waiting is not None:
                self.waiting(result)


@dataclass
class Spool:
    records: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)


def spool(node: Node) -> Spool:
    found = node.memory.setdefault(MEMORY, Spool())
    assert isinstance(found, Spool)
    return found


def serve(process: Process, operation: str, request: object) -> None:
    found = spool(process.node)
    match request:
        case RunFenceAgent():
            _run(process, operation, request)
        case AwaitFenceAgent():
            _await(process, operation, request)
        case KillFenceAgent():
            if request.job in found.jobs:
                found.jobs[request.job].end(FenceAgentResult(ok=False, rc=FAILURE, fate="error", reason="killed"))
            process.finish(operation, FenceDone())
        case DropFenceJob():
            found.jobs.pop(request.job, None)
            process.finish(operation, FenceDone())
        case KeepFenceRecord():
            found.records[request.name] = request.data
            found.jobs.pop(request.drop, None)
            process.finish(operation, FenceDone())
        case AdoptFenceAgents():
            jobs = tuple(AdoptedFenceJob(job=job, ticket=j.request.ticket) for job, j in sorted(found.jobs.items()))
            process.finish(operation, AdoptedFences(records=dict(sorted(found.records.items())), jobs=jobs))
        case ReadFenceMetadata():
            process.finish(operation, FenceMetadata(parameters=PARAMETERS, actions=ACTIONS))
        case _:
            raise AssertionError(f"no request of stonithd: {request!r}")


def _run(process: Process, operation: str, request: RunFenceAgent) -> None:
    found = spool(process.node)
    assert request.job not in found.jobs, f"{process!r} orders the fence job {request.job} twice"
    job = Job(request, waiting=lambda result: process.finish(operation, result))
    found.jobs[request.job] = job
    world = process.world
    target = request.options.get("plug") or request.options.get("port") or request.target
    if request.action in ("on", "off", "reboot"):
        world.switch.order(process.node, target, request.action, request.timeout_ms, lambda o: job.end(_result(o)))
    else:
        if request.action == "status" and target in world.nodes:
            world.switch.look(process.node, request.timeout_ms, lambda o: job.end(_power(o, world.nodes[target])))
            return
        output = "".join(f"{name},\n" for name in world.nodes) if request.action == "list" else ""
        world.switch.look(process.node, request.timeout_ms, lambda outcome: job.end(_result(outcome, output)))


def _result(outcome: SwitchOutcome, output: str = "") -> FenceAgentResult:
    if outcome.ok:
        return FenceAgentResult(ok=True, rc=SUCCESS, output=output, exec_ms=outcome.exec_ms)
    fate, reason = ("timeout", "the agent timed out") if outcome.timed_out else ("done", "the switch refused")
    return FenceAgentResult(ok=False, rc=FAILURE, fate=fate, reason=reason, exec_ms=outcome.exec_ms)  # type: ignore[arg-type]


def _power(outcome: SwitchOutcome, target: Node) -> FenceAgentResult:
    if not outcome.ok or target.powered:
        return _result(outcome)
    return FenceAgentResult(ok=False, rc=STATUS_OFF, reason="Status: OFF", exec_ms=outcome.exec_ms)


def _await(process: Process, operation: str, request: AwaitFenceAgent) -> None:
    job = spool(process.node).jobs.get(request.job)
    if job is None:
        process.finish(operation, FenceAgentResult(ok=False, rc=FAILURE, fate="revoked"))
    elif job.result is not None:
        process.finish(operation, job.result)
    else:
        job.waiting = lambda result: process.finish(operation, result)


REQUESTS: tuple[type, ...] = (
    RunFenceAgent, AwaitFenceAgent, KillFenceAgent, DropFenceJob, KeepFenceRecord, AdoptFenceAgents, ReadFenceMetadata,
)  # fmt: skip

SERVICES: dict[type, Service] = dict.fromkeys(REQUESTS, serve)
