# SPDX-License-Identifier: GPL-2.0-or-later
"""Serves the requests of `ha.lrm.model.execution` with the agents of this machine."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec

from ha.lrm.io import secrets
from ha.lrm.io.alerts import ALERT_JOB_PREFIX, alert_job
from ha.lrm.io.cgroups import Cgroups
from ha.lrm.io.members import MARK, Members
from ha.lrm.io.processes import ProcessWatcher, offered_pid_file
from ha.lrm.io.results import agent_result
from ha.lrm.io.units import UnitAdapter
from ha.lrm.model import codes
from ha.lrm.model.classes import CallError, Surroundings, call
from ha.lrm.model.execution import (
    AdoptAgents,
    Adopted,
    AdoptedJob,
    AgentResult,
    AgentsFound,
    AwaitAgent,
    Done,
    DropJob,
    FindAgents,
    FindProcess,
    GatherEvidence,
    KeepRecord,
    KillAgent,
    KillProcesses,
    MetadataRead,
    ProcessUnknown,
    ReadMetadata,
    RunAgent,
    RunAlertAgent,
    UnwatchProcess,
    WatchProcess,
)
from ha.lrm.model.metadata import heartbeat_metadata, lsb_metadata
from ha.lrm.msg import Resource
from ha.rmd.io.directories import cluster_owner
from ha.root import Root
from ha.runner.model import End, Job
from ha.runner.places import AgentPlaces, agent_environment, find, list_agents, list_providers
from ha.runner.runners import Runners
from ha.runner.server import ForkServer
from ha.runner.spool import Spool, SpoolError
from ha.shell import Loop

STANDARDS = ("heartbeat", "lsb", "ocf", "service", "stonith")
"""And systemd, where it answers."""
LEAVE_NO_PROCESS = frozenset({"monitor", "status", "notify", "validate-all", "meta-data"})
"""Actions that start nothing which belongs to the resource: they do without its control group."""
METADATA_JOB_PREFIX = "metadata-"
METADATA_TIMEOUT_MS = 30_000
MAX_METADATA_BYTES = 1_000_000
MAX_AGENT_BYTES = 16_000_000


class AgentAdapter:
    """`spool` and `server` are made before the worker has threads (see `ha.runner.server`)."""

    requests: tuple[type, ...] = (
        RunAgent, AwaitAgent, KillAgent, DropJob, KeepRecord, AdoptAgents, ReadMetadata, FindAgents, RunAlertAgent,
        FindProcess, WatchProcess, UnwatchProcess, GatherEvidence, KillProcesses,
    )  # fmt: skip

    def __init__(self, root: Root, spool: Spool, server: ForkServer, places: AgentPlaces | None = None) -> None:
        self._root = root
        self._spool = spool
        self._server = server
        self._places = places or AgentPlaces.choose(root)
        self._metadata_jobs = (f"{METADATA_JOB_PREFIX}{uuid.uuid4().hex}.{n}" for n in itertools.count(1))

    def open(self, loop: Loop) -> None:
        self._loop = loop
        environment = agent_environment(self._root, loop.node)
        try:
            Path(environment["HA_RSCTMP"]).mkdir(mode=0o755, parents=True, exist_ok=True)
        except OSError as error:
            loop.note("warning", f"agents keep their state in {environment['HA_RSCTMP']}: {error.strerror}")
        self._around = Surroundings(environment)
        self._state_directory = environment["HA_RSCTMP"]
        self._owner = cluster_owner(self._root)  # once: who knows how long a look-up of users takes
        self._runners = Runners(self._spool, self._server, loop)
        self._cgroups = Cgroups(self._root, loop.node)
        if self._cgroups.directory is None:
            loop.note("info", f"resources have no control groups of their own: {self._cgroups.why_not}")
        self._members = Members(self._root, loop.node, self._cgroups)
        self._units = UnitAdapter(self._root, loop)
        self._processes = ProcessWatcher(loop, self._units, self._state_directory)

    def close(self) -> None:
        self._processes.close()
        self._units.close()
        self._cgroups.close()
        self._runners.close()

    def execute(self, operation: str, request: object) -> None:
        match request:
            case RunAgent():
                self._choose_class(
                    request.resource, lambda resource: self._run(operation, request, resource),
                    lambda reason: self._fail(operation, codes.ERR_GENERIC, "error", reason),
                )
            case RunAlertAgent():
                self._run_alert(operation, request)
            case AwaitAgent(job=job):
                agent_class = request.resource.agent_class
                agent_class = "lsb" if agent_class == "service" else agent_class  # units leave no job
                self._runners.await_end(
                    job, lambda end: self._finish(operation, agent_class, request.operation, end)
                )
            case KillAgent(job=job):
                if not self._units.kill(job):
                    self._runners.kill(job)
                self._loop.finish(operation, Done())
            case DropJob(job=job):
                self._runners.drop(job)
                self._loop.finish(operation, Done())
            case KeepRecord():
                self._loop.finish(operation, self._keep(request))
            case AdoptAgents():
                self._loop.finish(operation, self._adopt())
            case ReadMetadata():
                self._choose_class(
                    Resource("", request.agent_class, request.agent_type, request.provider),
                    lambda resource: self._read_metadata(operation, request, resource.agent_class),
                    lambda reason: self._loop.finish(operation, MetadataRead(rc=codes.ERR_GENERIC, reason=reason)),
                )
            case FindProcess():
                self._choose_class(
                    request.resource,
                    lambda resource: self._processes.find(
                        operation, msgspec.structs.replace(request, resource=resource)
                    ),
                    lambda reason: self._loop.finish(operation, ProcessUnknown(reason=reason)),
                )
            case GatherEvidence():
                self._loop.in_thread(operation, self._members.gather, request)
            case KillProcesses():
                self._loop.in_thread(operation, self._members.kill, request)
            case WatchProcess():
                self._processes.watch(operation, request)
            case UnwatchProcess(watch=watch):
                self._processes.unwatch(watch)
                self._loop.finish(operation, Done())
            case FindAgents(agent_class="systemd"):
                self._units.list_units(lambda names: self._loop.finish(operation, AgentsFound(names)))
            case FindAgents(agent_class="service"):
                scripts = tuple(list_agents(self._places.lsb))
                self._units.list_units(
                    lambda names: self._loop.finish(operation, AgentsFound(tuple(sorted({*scripts, *names}))))
                )
            case FindAgents(agent_class=""):
                self._units.list_units(
                    lambda names: self._loop.finish(operation, AgentsFound(_standards(with_systemd=bool(names))))
                )
            case FindAgents():
                self._loop.in_thread(operation, self._find_agents, request)
            case _:
                raise AssertionError(f"no request of the LRM: {request!r}")

    # Operations ------------------------------------------------------------------------------------------------------

    def _run(self, operation: str, request: RunAgent, resource: Resource) -> None:
        """`resource` is the request's with its class made definite."""
        agent_class = resource.agent_class
        if agent_class == "systemd":
            return self._units.run(
                request.job, resource.agent_type, request.operation, request.timeout_ms,
                lambda result: self._loop.finish(operation, result),
            )
        directories = self._directories(agent_class)
        path = find(directories, resource.agent_type, resource.provider if agent_class == "ocf" else "")
        if path is None:
            places = ", ".join(map(str, directories)) or f"there is no agent class {resource.agent_class!r}"
            reason = f"no agent {resource.provider}{':' if resource.provider else ''}{resource.agent_type} in {places}"
            return self._fail(operation, codes.ERR_INSTALLED, "not installed", reason)
        try:
            parameters = secrets.substitute(self._root, resource.id, request.parameters)
        except secrets.SecretError as error:
            if request.operation != "stop":
                return self._fail(operation, codes.ERR_ARGS, "no secrets", str(error))
            parameters = request.parameters  # a resource must not be unstoppable for want of its password
            self._loop.note("warning", f"{resource.id} is stopped without its secrets: {error}")
        try:
            how = call(
                resource, request.operation, parameters,
                {"interval": str(request.interval_ms), "timeout": str(request.timeout_ms), "name": request.operation,
                 **request.meta},
                self._around,
            )  # fmt: skip
            job = Job(
                id=request.job,
                argv=(str(path), *how.arguments),
                environment={
                    **how.environment,
                    "HA_PIDFILE": offered_pid_file(self._state_directory, resource.id),
                    MARK: resource.id,
                },
                cgroup="" if request.operation in LEAVE_NO_PROCESS else self._cgroups.make(resource.id),
                timeout_ms=request.timeout_ms,
                ticket=request.ticket,
                title=f"ha-runner {self._loop.node} {request.operation} {resource.id}",
            )
            self._runners.start(job, lambda end: self._finish(operation, agent_class, request.operation, end))
        except CallError as error:
            self._fail(operation, codes.ERR_ARGS, "invalid", str(error))
        except (OSError, SpoolError) as error:
            self._fail(operation, codes.ERR_GENERIC, "error", f"the order cannot be written: {error}")
        return None

    def _run_alert(self, operation: str, request: RunAlertAgent) -> None:
        title = f"ha-runner {self._loop.node} alert {request.path}"
        job = alert_job(request, dict(self._around.environment), self._owner, title)

        def on_end(end: End) -> None:
            self._runners.drop(job.id)
            self._finish(operation, "ocf", "alert", end)

        try:
            self._runners.start(job, on_end)
        except (OSError, SpoolError) as error:
            self._fail(operation, codes.ERR_GENERIC, "error", f"the order cannot be written: {error}")

    def _fail(self, operation: str, rc: int, status: str, reason: str) -> None:
        result = AgentResult(rc=rc, status=status, exit_reason=reason, started_ms=self._loop.now())  # type: ignore[arg-type]
        self._loop.finish(operation, result)

    def _finish(self, operation: str, agent_class: str, action: str, end: End) -> None:
        self._loop.finish(operation, agent_result(agent_class, action, end))

    def _choose_class(
        self, resource: Resource, then: Callable[[Resource], None], otherwise: Callable[[str], None]
    ) -> None:
        """`service` stands for a systemd unit where there is one of that name, else for an init script."""
        if resource.agent_class != "service":
            return then(resource)

        def answered(is_unit: bool | str) -> None:
            if isinstance(is_unit, str):  # the script may be there as well, and be the wrong one
                return otherwise(f"whether {resource.agent_type} is a systemd unit is not known: {is_unit}")
            return then(msgspec.structs.replace(resource, agent_class="systemd" if is_unit else "lsb"))

        return self._units.if_exists(resource.agent_type, answered)

    def _directories(self, agent_class: str) -> tuple[Path, ...]:
        by_class = {
            "ocf": self._places.ocf,
            "lsb": self._places.lsb,
            "heartbeat": self._places.heartbeat,
            "stonith": self._places.fence,
        }
        return by_class.get(agent_class, ())

    # Records ---------------------------------------------------------------------------------------------------------

    def _keep(self, request: KeepRecord) -> Done | OSError:
        try:
            self._spool.keep(request.name, request.data)
        except OSError as error:
            return error  # the job stays in the spool, so its result is not lost
        except SpoolError as error:
            return OSError(str(error))
        if request.drop:
            self._runners.drop(request.drop)
        return Done()

    def _adopt(self) -> Adopted:
        self._spool.boot()
        self._spool.sweep()
        records, complaints = self._spool.records()
        jobs = []
        for job_id in self._spool.jobs():
            if job_id.startswith(METADATA_JOB_PREFIX):
                self._abandon(job_id)
                continue
            if job_id.startswith(ALERT_JOB_PREFIX):
                self._let_end(job_id)
                continue
            try:
                jobs.append(AdoptedJob(job=job_id, ticket=self._spool.read_job(job_id).ticket))
            except SpoolError as error:
                complaints.append(str(error))
                self._abandon(job_id)
        return Adopted(records=records, jobs=tuple(jobs), complaints=tuple(complaints))

    def _abandon(self, job_id: str) -> None:
        """End a job that nobody waits for."""
        self._runners.await_end(job_id, lambda end: self._runners.drop(job_id))
        self._runners.kill(job_id)

    def _let_end(self, job_id: str) -> None:
        """An alert of an earlier life: its runner keeps to the timeout, and whoever is alerted still wants to know."""
        self._runners.await_end(job_id, lambda end: self._runners.drop(job_id))

    # Agents on disk --------------------------------------------------------------------------------------------------

    def _read_metadata(self, operation: str, request: ReadMetadata, agent_class: str) -> None:
        if agent_class == "systemd":
            return self._units.read_metadata(
                request.agent_type, request.known, lambda read: self._loop.finish(operation, read)
            )
        path = find(
            self._directories(agent_class), request.agent_type, request.provider if agent_class == "ocf" else ""
        )
        if path is None:
            return self._loop.finish(operation, MetadataRead(rc=codes.ERR_INSTALLED, reason="there is no such agent"))
        try:
            with open(path, "rb") as stream:
                script = stream.read(MAX_AGENT_BYTES)
        except OSError as error:
            return self._loop.finish(operation, MetadataRead(rc=codes.ERR_PERM, reason=f"{path}: {error.strerror}"))
        checksum = hashlib.sha256(str(path).encode() + b"\0" + script).hexdigest()
        if checksum == request.known:
            return self._loop.finish(operation, MetadataRead(rc=0, checksum=checksum, unchanged=True))
        if agent_class == "lsb":
            xml = lsb_metadata(request.agent_type, script.decode("utf-8", "replace"))
            return self._loop.finish(operation, MetadataRead(rc=0, checksum=checksum, xml=xml))
        if agent_class == "heartbeat":
            xml = heartbeat_metadata(request.agent_type)
            return self._loop.finish(operation, MetadataRead(rc=0, checksum=checksum, xml=xml))
        return self._ask_agent(operation, agent_class, path, checksum)

    def _ask_agent(self, operation: str, agent_class: str, path: Path, checksum: str) -> None:
        job = Job(
            id=next(self._metadata_jobs),
            argv=(str(path), "meta-data") if agent_class == "ocf" else (str(path),),
            environment={**self._around.environment, "OCF_ROOT": self._around.ocf_root, "OCF_RA_VERSION_MAJOR": "1"},
            stdin=b"" if agent_class == "ocf" else b"action=metadata\n",
            timeout_ms=METADATA_TIMEOUT_MS,
            max_stdout_bytes=MAX_METADATA_BYTES,
            title=f"ha-runner {self._loop.node} meta-data {path.name}",
        )

        def on_end(end: End) -> None:
            self._runners.drop(job.id)
            result = agent_result("ocf", "meta-data", end)
            xml = end.stdout.decode("utf-8", "replace") if result.rc == 0 else ""
            reason = result.exit_reason or f"{path} meta-data: exit code {result.rc}"
            read = MetadataRead(rc=result.rc, checksum=checksum, xml=xml, reason="" if result.rc == 0 else reason)
            self._loop.finish(operation, read)

        try:
            self._runners.start(job, on_end)
        except (OSError, SpoolError) as error:
            self._loop.finish(operation, MetadataRead(rc=codes.ERR_GENERIC, reason=str(error)))

    def _find_agents(self, request: FindAgents) -> AgentsFound:
        match request.agent_class:
            case "ocf" if request.provider in ("", "?"):
                return AgentsFound(tuple(list_providers(self._places.ocf)))
            case "ocf":
                return AgentsFound(tuple(list_agents(self._places.ocf, request.provider)))
            case "stonith":
                return AgentsFound(tuple(list_agents(self._places.fence, prefix="fence_")))
            case agent_class:
                return AgentsFound(tuple(list_agents(self._directories(agent_class))))


def _standards(*, with_systemd: bool) -> tuple[str, ...]:
    return tuple(sorted((*STANDARDS, "systemd"))) if with_systemd else STANDARDS
