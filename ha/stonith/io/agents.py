# SPDX-License-Identifier: GPL-2.0-or-later
"""Serves the requests of `ha.stonith.model.execution` with the fence agents of this machine.

Source of the contract: ClusterLabs fence-agents, "FenceAgentAPI" (agents.md section 6).
"""

from __future__ import annotations

import itertools
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path

from ha.root import Root
from ha.runner.model import End, Job
from ha.runner.places import AgentPlaces, agent_environment, find
from ha.runner.runners import Runners
from ha.runner.server import ForkServer
from ha.runner.spool import Spool, SpoolError
from ha.shell import Loop
from ha.stonith.io.plugins import ACTIONS, Plugin, PluginError, find_plugin, node_of, plugin_environment
from ha.stonith.model.agent_metadata import MAX_NAMES, MetadataError, parse_metadata
from ha.stonith.model.execution import (
    FAILURE,
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

METADATA_JOB_PREFIX = "metadata-"
METADATA_TIMEOUT_MS = 30_000
MAX_METADATA_BYTES = 1_000_000
TERM_GRACE_MS = 500
"""Between SIGTERM and SIGKILL at the timeout: an agent may log out of its device."""
MAX_REASON_LENGTH = 500
OPTION_NAME = re.compile(r"[^\x00-\x20=]{1,256}")
NOT_PRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

EXIT_CODES = {
    2: "bad arguments",
    3: "login denied",
    4: "connection lost",
    5: "timed out",
    6: "timed out waiting for power on",
    7: "timed out waiting for power off",
    8: "status cannot be read",
    9: "status cannot be read from the management console",
    10: "password missing",
    11: "not enough privileges",
}
"""Of the fence-agents library; other codes mean failure."""


class OptionError(ValueError):
    """An option cannot be written as a line; the text says which."""


def stdin_lines(action: str, options: dict[str, str]) -> bytes:
    """The agent's standard input. Raises OptionError for what would break out of its line."""
    lines = [f"action={action}"]
    for name, value in options.items():
        if not OPTION_NAME.fullmatch(name) or any(end in value for end in "\n\r\0"):
            raise OptionError(f"option {name!r} of the fence device holds a blank, '=', or more than one line")
        lines.append(f"{name}={value}")
    return "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


class FenceAdapter:
    """`spool` and `server` are made before the worker has threads (see `ha.runner.server`)."""

    requests: tuple[type, ...] = (
        RunFenceAgent, AwaitFenceAgent, KillFenceAgent, DropFenceJob, KeepFenceRecord, AdoptFenceAgents,
        ReadFenceMetadata,
    )  # fmt: skip

    def __init__(self, root: Root, spool: Spool, server: ForkServer, places: AgentPlaces | None = None) -> None:
        self._root = root
        self._spool = spool
        self._server = server
        self._places = places or AgentPlaces.choose(root)
        self._metadata_jobs = (f"{METADATA_JOB_PREFIX}{uuid.uuid4().hex}.{n}" for n in itertools.count(1))

    def open(self, loop: Loop) -> None:
        self._loop = loop
        self._environment = agent_environment(self._root, loop.node)
        self._runners = Runners(self._spool, self._server, loop)

    def close(self) -> None:
        self._runners.close()

    def execute(self, operation: str, request: object) -> None:
        match request:
            case RunFenceAgent():
                self._run(operation, request)
            case AwaitFenceAgent(job=job):
                self._runners.await_end(job, lambda end: self._loop.finish(operation, fence_result(end)))
            case KillFenceAgent(job=job):
                self._runners.kill(job)
                self._loop.finish(operation, FenceDone())
            case DropFenceJob(job=job):
                self._runners.drop(job)
                self._loop.finish(operation, FenceDone())
            case KeepFenceRecord():
                self._loop.finish(operation, self._keep(request))
            case AdoptFenceAgents():
                self._loop.finish(operation, self._adopt())
            case ReadFenceMetadata(agent):
                self._read_metadata(operation, agent)
            case _:
                raise AssertionError(f"no request of stonithd: {request!r}")

    def _run(self, operation: str, request: RunFenceAgent) -> None:
        path = find(self._places.fence, request.agent)
        plugin = find_plugin(self._root, request.agent) if path is None else None
        if path is None and plugin is None:
            reason = f"there is no fence agent {request.agent} in {', '.join(map(str, self._places.fence))}"
            missing = FenceAgentResult(ok=False, rc=FAILURE, fate="not installed", reason=reason)
            return self._loop.finish(operation, missing)
        try:
            argv, environment, stdin = self._call(path, plugin, request)
            job = Job(
                id=request.job,
                argv=argv,
                environment=environment,
                stdin=stdin,
                timeout_ms=request.timeout_ms,
                term_grace_ms=TERM_GRACE_MS,
                ticket=request.ticket,
                title=f"ha-runner {self._loop.node} {request.action} {request.target or request.device}",
            )
            codes = EXIT_CODES if plugin is None else {}
            self._runners.start(job, lambda end: self._loop.finish(operation, fence_result(end, codes)))
        except (OptionError, PluginError, OSError, SpoolError) as error:
            result = FenceAgentResult(ok=False, rc=FAILURE, fate="error", reason=str(error))
            self._loop.finish(operation, result)
        return None

    def _call(
        self, path: Path | None, plugin: Plugin | None, request: RunFenceAgent
    ) -> tuple[tuple[str, ...], dict[str, str], bytes]:
        """Command, environment and standard input. Raises OptionError, PluginError."""
        if plugin is None:
            return (str(path),), self._environment, stdin_lines(request.action, request.options)
        argv = plugin.argv(request.action, node_of(request.options))
        return argv, plugin_environment(self._environment, request.options), b""

    def _keep(self, request: KeepFenceRecord) -> FenceDone | OSError:
        try:
            self._spool.keep(request.name, request.data)
        except OSError as error:
            return error
        except SpoolError as error:
            return OSError(str(error))
        if request.drop:
            self._runners.drop(request.drop)
        return FenceDone()

    def _adopt(self) -> AdoptedFences:
        self._spool.boot()
        self._spool.sweep()
        records, complaints = self._spool.records()
        jobs = []
        for job_id in self._spool.jobs():
            try:
                if not job_id.startswith(METADATA_JOB_PREFIX):
                    jobs.append(AdoptedFenceJob(job=job_id, ticket=self._spool.read_job(job_id).ticket))
                    continue
            except SpoolError as error:
                complaints.append(str(error))
            self._abandon(job_id)
        return AdoptedFences(records=records, jobs=tuple(jobs), complaints=tuple(complaints))

    def _abandon(self, job_id: str) -> None:
        """End a job that nobody waits for."""
        self._runners.await_end(job_id, lambda end: self._runners.drop(job_id))
        self._runners.kill(job_id)

    def _read_metadata(self, operation: str, agent: str) -> None:
        path = find(self._places.fence, agent)
        plugin = find_plugin(self._root, agent) if path is None else None
        if path is None and plugin is None:
            reason = f"there is no such agent in {', '.join(map(str, self._places.fence))}"
            return self._loop.finish(operation, FenceMetadata(reason=reason))
        job = Job(
            id=next(self._metadata_jobs),
            argv=plugin.argv("metadata", "") if plugin is not None else (str(path),),
            environment=self._environment,
            stdin=b"action=metadata\n",
            timeout_ms=METADATA_TIMEOUT_MS,
            max_stdout_bytes=MAX_METADATA_BYTES,
            title=f"ha-runner {self._loop.node} metadata {agent}",
        )

        def on_end(end: End) -> None:
            self._runners.drop(job.id)
            self._loop.finish(operation, _metadata(end) if plugin is None else _plugin_traits(end))

        try:
            self._runners.start(job, on_end)
        except (OSError, SpoolError) as error:
            self._loop.finish(operation, FenceMetadata(reason=str(error)))
        return None


def _metadata(end: End) -> FenceMetadata:
    result = fence_result(end)
    if not result.ok:
        return FenceMetadata(reason=f"it gives no meta-data: {result.reason}")
    try:
        found = parse_metadata(end.stdout)
    except MetadataError as error:
        return FenceMetadata(reason=str(error))
    return FenceMetadata(
        parameters=found.parameters, actions=found.actions, unfences=found.unfences, on_target=found.on_target
    )


def _plugin_traits(end: End) -> FenceMetadata:
    """The names that a plug-in printed. The target is told apart from them, by the name of a port."""
    result = fence_result(end, {})
    if not result.ok:
        return FenceMetadata(reason=f"it does not name its parameters: {result.reason}")
    return FenceMetadata(parameters=(*result.output.split()[:MAX_NAMES], "port"), actions=ACTIONS)


def fence_result(end: End, codes: Mapping[int, str] = EXIT_CODES) -> FenceAgentResult:
    """Success is the exit code 0 and nothing else. `codes` are the words for others."""
    output = end.stdout.decode("utf-8", "replace")
    match end.fate:
        case "exited" if end.code == 0:
            return FenceAgentResult(ok=True, output=output, exec_ms=end.exec_ms)
        case "exited":
            code = f"{codes.get(end.code, 'failed')} (exit code {end.code})"
            return _failure(end, "done", f"{code}{_last_words(end)}", rc=end.code)
        case "signalled":
            return _failure(end, "error", f"the agent was ended by signal {end.code}")
        case "timeout":
            return _failure(end, "timeout", f"the agent did not end within {end.exec_ms} ms{_last_words(end)}")
        case "not started":
            return _failure(end, "error", f"the agent cannot be executed: {os.strerror(end.code)}")
        case "lost":
            return _failure(end, "error", "the agent's runner died; the agent was killed")
        case "revoked":
            return _failure(end, "revoked", "never begun")


def _failure(end: End, fate: str, reason: str, rc: int = FAILURE) -> FenceAgentResult:
    output = end.stdout.decode("utf-8", "replace")
    return FenceAgentResult(ok=False, rc=rc, fate=fate, reason=reason, output=output, exec_ms=end.exec_ms)  # type: ignore[arg-type]


def _last_words(end: End) -> str:
    """The last line that the agent wrote to its standard error, or else to its output."""
    for stream in (end.stderr, end.stdout):
        lines = [line.strip() for line in stream.decode("utf-8", "replace").splitlines() if line.strip()]
        if lines:
            return ": " + NOT_PRINTABLE.sub("?", lines[-1])[:MAX_REASON_LENGTH]
    return ""
