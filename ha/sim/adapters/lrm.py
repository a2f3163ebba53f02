# SPDX-License-Identifier: GPL-2.0-or-later
"""Twin of `ha.lrm.io` and of the runners under it: agents outlive lrmd, their results wait for its successor.

Left out: output of agents, processes of resources (they are polled), meta-data beyond the least that is well-formed,
agents that are not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ha.lrm.model.execution import (
    AdoptAgents,
    Adopted,
    AdoptedJob,
    AgentResult,
    AgentsFound,
    AwaitAgent,
    Done,
    DropJob,
    EvidenceKept,
    FindAgents,
    FindProcess,
    GatherEvidence,
    KeepRecord,
    KillAgent,
    MetadataRead,
    ProcessUnknown,
    ReadMetadata,
    RunAgent,
    RunAlertAgent,
)
from ha.sim.agenda import MS
from ha.sim.agents import FAILED, OK, AgentCall, AgentOutcome

if TYPE_CHECKING:
    from ha.sim.node import Node
    from ha.sim.process import Process
    from ha.sim.world import Service

CLAIM_US = 1 * MS
"""From the order to the runner that has taken it. A worker that dies meanwhile may leave an order nobody took."""

ALERT_US = 10 * MS
"""What an alert agent takes."""

METADATA = (
    '<?xml version="1.0"?><resource-agent name="{0}" version="1.0"><version>1.1</version>'
    '<longdesc lang="en">A simulated agent.</longdesc><shortdesc lang="en">simulated</shortdesc><parameters/>'
    '<actions><action name="start" timeout="20s"/><action name="stop" timeout="20s"/>'
    '<action name="monitor" timeout="20s" interval="10s"/><action name="meta-data" timeout="5s"/></actions>'
    "</resource-agent>"
)

MEMORY = "lrm spool"


@dataclass
class Job:
    """An order in the spool. `result` comes when the agent has ended; `serial` is the agent's while it runs."""

    request: RunAgent
    began_ms: int = 0
    claimed: bool = False
    serial: int | None = None
    result: AgentResult | None = None
    waiting: Callable[[AgentResult], None] | None = None

    def end(self, result: AgentResult) -> None:
        assert self.result is None
        self.result = result
        self.serial = None
        if self.waiting is not None:
            self.waiting(result)


@dataclass
class Spool:
    """What lies in the run directory: it outlives every worker and dies with the power."""

    records: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)


def spool(node: Node) -> Spool:
    found = node.memory.setdefault(MEMORY, Spool())
    assert isinstance(found, Spool)
    return found


def serve(process: Process, operation: str, request: object) -> None:
    match request:
        case RunAgent():
            _run(process, operation, request)
        case AwaitAgent():
            _await(process, operation, request)
        case KillAgent():
            _kill(process.node, request.job)
            process.finish(operation, Done())
        case DropJob():
            spool(process.node).jobs.pop(request.job, None)
            process.finish(operation, Done())
        case KeepRecord():
            _keep(spool(process.node), request)
            process.finish(operation, Done())
        case AdoptAgents():
            found = spool(process.node)
            jobs = tuple(AdoptedJob(job=job, ticket=entry.request.ticket) for job, entry in sorted(found.jobs.items()))
            process.finish(operation, Adopted(records=dict(sorted(found.records.items())), jobs=jobs))
        case FindProcess():
            process.finish(operation, ProcessUnknown(reason="simulated resources have no processes"))
        case GatherEvidence():
            process.finish(operation, EvidenceKept(path="(simulated)", members=0))
        case ReadMetadata():
            read = MetadataRead(rc=OK, checksum=request.agent_type, xml=METADATA.format(request.agent_type))
            process.finish(operation, read)
        case FindAgents():
            process.finish(operation, AgentsFound(("Dummy",)))
        case RunAlertAgent():
            _alert(process, operation, request)
        case _:
            raise AssertionError(f"no request of the LRM: {request!r}")


def _alert(process: Process, operation: str, request: RunAlertAgent) -> None:
    """What the agent is told goes into the log, without what is the same in every alert."""
    said = {
        name.removeprefix("CRM_alert_"): value for name, value in sorted(request.environment.items())
        if name.startswith("CRM_alert_") and name != "CRM_alert_version"
    }
    text = " ".join(f"{name}={value!r}" for name, value in said.items())
    process.node.world.log(process.node.name, "alert", f"{request.path} {text}")
    result = AgentResult(rc=OK, exec_ms=ALERT_US // MS)
    process.node.world.agenda.after(ALERT_US, lambda: process.finish(operation, result))


def _run(process: Process, operation: str, request: RunAgent) -> None:
    node = process.node
    found = spool(node)
    assert request.job not in found.jobs, f"{process!r} orders the job {request.job} twice"
    job = Job(request, waiting=lambda result: process.finish(operation, result))
    found.jobs[request.job] = job
    boot = node.boot

    def claim() -> None:
        orphan = not process.alive and node.world.chance("runners").random() < 0.5
        if node.powered and node.boot == boot and request.job in found.jobs and not job.claimed and not orphan:
            _begin(node, job)

    node.world.agenda.after(CLAIM_US, claim)


def _begin(node: Node, job: Job) -> None:
    request = job.request
    job.claimed = True
    job.began_ms = node.clock.instant(node.world.agenda.now_us)
    job.serial = node.agents.run(agent_call(request), lambda outcome: job.end(_result(job, outcome)))


def agent_call(request: RunAgent) -> AgentCall:
    """Instances of anonymous clones, which may run everywhere, carry the clone's meta attributes and no number."""
    clone = "clone" in request.meta or "CRM_meta_clone" in request.meta
    return AgentCall(
        request.resource.id, request.operation, request.interval_ms, request.timeout_ms,
        unique=not clone or ":" in request.resource.id,
    )  # fmt: skip


def _result(job: Job, outcome: AgentOutcome) -> AgentResult:
    return AgentResult(
        rc=outcome.rc,
        status="timeout" if outcome.timed_out else "done",
        exit_reason=outcome.reason,
        started_ms=job.began_ms,
        exec_ms=outcome.exec_ms,
    )


def _await(process: Process, operation: str, request: AwaitAgent) -> None:
    job = spool(process.node).jobs.get(request.job)
    if job is None or not job.claimed:
        spool(process.node).jobs.pop(request.job, None)
        process.finish(operation, AgentResult(rc=FAILED, status="cancelled", revoked=True))
    elif job.result is not None:
        process.finish(operation, job.result)
    else:
        job.waiting = lambda result: process.finish(operation, result)


def _kill(node: Node, name: str) -> None:
    job = spool(node).jobs.get(name)
    if job is None or job.result is not None:
        return
    if job.serial is not None:
        node.agents.kill(job.serial)
    job.claimed = True
    job.end(AgentResult(rc=FAILED, status="error", exit_reason="the agent was killed", started_ms=job.began_ms))


def _keep(found: Spool, request: KeepRecord) -> None:
    if request.data is None:
        found.records.pop(request.name, None)
    else:
        found.records[request.name] = request.data
    if request.drop:
        found.jobs.pop(request.drop, None)


REQUESTS: tuple[type, ...] = (
    RunAgent, AwaitAgent, KillAgent, DropJob, KeepRecord, AdoptAgents, ReadMetadata, FindAgents, RunAlertAgent,
    FindProcess, GatherEvidence,
)  # fmt: skip

SERVICES: dict[type, Service] = dict.fromkeys(REQUESTS, serve)
