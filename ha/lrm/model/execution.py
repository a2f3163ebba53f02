# SPDX-License-Identifier: GPL-2.0-or-later
"""What the LRM's core asks of the outside by Execute, and what it gets back in Finished.

    RunAgent, AwaitAgent -> AgentResult       KillAgent, DropJob -> Done       KeepRecord -> Done, OSError
    RunAlertAgent -> AgentResult
    AdoptAgents -> Adopted                    ReadMetadata -> MetadataRead     FindAgents -> AgentsFound
    GatherEvidence -> EvidenceKept, OSError            KillProcesses -> ProcessesKilled
    FindProcess -> ProcessFound, ProcessUnknown        WatchProcess -> ProcessEnded        UnwatchProcess -> Done

`ha.lrm.io` serves them with real agents, the simulator with simulated ones. A job's `ticket` and a record's `data` are
the core's own bytes. Jobs and records survive the worker's death, not the machine's.
"""

from __future__ import annotations

import msgspec

from ha.lrm.msg import ExecutionStatus, Resource


class RunAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Run one action of an agent under a runner of its own. `job` is unique for ever. Ends in AgentResult."""

    job: str
    resource: Resource
    operation: str
    interval_ms: int
    timeout_ms: int
    parameters: dict[str, str] = {}
    meta: dict[str, str] = {}
    ticket: bytes = b""


class AwaitAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Take up a job of an earlier incarnation, running or ended. Ends in AgentResult, as its RunAgent would have.

    A job that no runner had begun is revoked: AgentResult with `revoked`, and it will never run.
    """

    job: str
    resource: Resource
    operation: str


class AgentResult(msgspec.Struct, frozen=True, kw_only=True):
    """`rc` is an OCF code, whatever the class. `started_ms` is an Instant, `exec_ms` a duration."""

    rc: int
    status: ExecutionStatus = "done"
    exit_reason: str = ""
    output: str = ""
    started_ms: int = 0
    exec_ms: int = 0
    revoked: bool = False


class RunAlertAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Call an alert agent under a runner of its own, as the cluster's user. Ends in AgentResult; the job is dropped.

    Fields as in RunAlert. One that is under way when the worker dies goes on, and nobody asks for its result.
    """

    job: str
    path: str
    timeout_ms: int
    timestamp_format: str
    at_ms: int
    environment: dict[str, str]


class KillAgent(msgspec.Struct, frozen=True, kw_only=True):
    """Kill a job's runner and agent; its AgentResult (status error) then ends it."""

    job: str


class DropJob(msgspec.Struct, frozen=True, kw_only=True):
    """Forget an ended job."""

    job: str


class KeepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the record `name` (None removes it), then forget the ended job `drop`, if any.

    In this order, so that a job's result is in the spool or in the record at any instant. Carried out at once: what
    is executed later finds it done.
    """

    name: str
    data: bytes | None
    drop: str = ""


class Done(msgspec.Struct, frozen=True):
    pass


class AdoptAgents(msgspec.Struct, frozen=True):
    """What did earlier incarnations in this life of the machine leave?"""


class AdoptedJob(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    ticket: bytes


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """`complaints` names files that could not be believed, in words for the log."""

    records: dict[str, bytes]
    jobs: tuple[AdoptedJob, ...]
    complaints: tuple[str, ...] = ()


class FindProcess(msgspec.Struct, frozen=True, kw_only=True):
    """Which process makes out the resource? For a systemd unit its main process; else the one in `pid_file`, or, when
    that is "", in the file that the agent was offered to name it in (HA_PIDFILE). Ends in ProcessFound or
    ProcessUnknown."""

    resource: Resource
    pid_file: str = ""


class ProcessFound(msgspec.Struct, frozen=True, kw_only=True):
    """`start_ticks` tells the process from a later one of its number."""

    pid: int
    start_ticks: int


class ProcessUnknown(msgspec.Struct, frozen=True, kw_only=True):
    """`dead`: a process is named, and there is none of that number."""

    reason: str
    dead: bool = False


class WatchProcess(msgspec.Struct, frozen=True, kw_only=True):
    """Ends in ProcessEnded when the process does, at once when it has; or never, after UnwatchProcess."""

    pid: int
    start_ticks: int


class UnwatchProcess(msgspec.Struct, frozen=True, kw_only=True):
    """`watch` is the operation of the Execute that began the watch; unknown ones are ignored."""

    watch: str


class ProcessEnded(msgspec.Struct, frozen=True):
    pass


class GatherEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Keep what the resource's processes do in a file that begins with `text`. Ends in EvidenceKept or OSError."""

    resource_id: str
    text: str


class EvidenceKept(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    members: int


class KillProcesses(msgspec.Struct, frozen=True, kw_only=True):
    """SIGKILL to the resource's processes, and no others. Ends in ProcessesKilled."""

    resource_id: str


class ProcessesKilled(msgspec.Struct, frozen=True, kw_only=True):
    killed: int
    left: int


class ReadMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's meta-data, unless its file still has the checksum `known`."""

    agent_class: str
    agent_type: str
    provider: str
    known: str = ""


class MetadataRead(msgspec.Struct, frozen=True, kw_only=True):
    """`checksum` "" when there is no such agent. `unchanged`: the known meta-data holds, `xml` is empty."""

    rc: int
    checksum: str = ""
    unchanged: bool = False
    xml: str = ""
    reason: str = ""


class FindAgents(msgspec.Struct, frozen=True, kw_only=True):
    """The standards (both empty), OCF's providers (class "ocf", provider "?"), or the agents of a class."""

    agent_class: str
    provider: str


class AgentsFound(msgspec.Struct, frozen=True):
    names: tuple[str, ...]
