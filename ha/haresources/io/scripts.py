# SPDX-License-Identifier: GPL-2.0-or-later
"""Resource scripts of resource.d and init.d, under runners that outlive the worker.

A restarted worker waits for what its earlier life began (`SettleScripts`), so that no script runs twice at a time.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping

from ha.haresources.model.execution import RunScript, ScriptEnd, SettleScripts
from ha.root import Root
from ha.runner.model import End, Job
from ha.runner.places import AgentPlaces, agent_environment, find
from ha.runner.runners import Runners
from ha.runner.server import ForkServer
from ha.runner.spool import Spool, SpoolError
from ha.shell import Loop

SCRIPT_TIMEOUT_MS = 60 * 60_000  # as long as the other node waits; Heartbeat 3.0.6 has no limit of its own
STATUS_TIMEOUT_MS = 60_000
MAX_TOLD = 400


class ScriptAdapter:
    """`parameters` are ha.cf's directives, which scripts find as HA_NAME. `server` is made before there are threads."""

    requests: tuple[type, ...] = (RunScript, SettleScripts)

    def __init__(self, root: Root, spool: Spool, server: ForkServer, parameters: Mapping[str, str]) -> None:
        self._root = root
        self._spool = spool
        self._server = server
        self._parameters = parameters
        self._places = AgentPlaces.choose(root)
        self._jobs = (f"{uuid.uuid4().hex}.{number}" for number in itertools.count(1))

    def open(self, loop: Loop) -> None:
        self._loop = loop
        config = self._root.config_dir
        self._environment = {
            **{f"HA_{name}": value for name, value in self._parameters.items() if "\0" not in value},
            "HA_DIR": str(config),
            "HA_FUNCS": str(config / "shellfuncs"),
            "HA_RESOURCEDIR": str(config / "resource.d"),
            "HA_RCDIR": str(config / "rc.d"),
            "HA_NICEFAILBACK": "yes",
            "HA_LOGD": "no",
            **agent_environment(self._root, loop.node),
        }
        self._runners = Runners(self._spool, self._server, loop)

    def close(self) -> None:
        self._runners.close()

    def execute(self, operation: str, request: object) -> None:
        if isinstance(request, SettleScripts):
            self._settle(operation)
            return
        assert isinstance(request, RunScript)
        path = find((*self._places.heartbeat, *self._places.lsb), request.resource.script)
        if path is None:
            missing = ScriptEnd(-1, f"there is no script {request.resource.script} in resource.d or init.d")
            # What is not there does not run, and cannot have been started.
            self._loop.finish(operation, missing if request.action == "start" else ScriptEnd(0))
            return
        job = Job(
            id=next(self._jobs),
            argv=(str(path), *request.resource.arguments, request.action),
            environment=self._environment,
            timeout_ms=STATUS_TIMEOUT_MS if request.action == "status" else SCRIPT_TIMEOUT_MS,
            title=f"ha-runner {self._loop.node} {request.resource.text} {request.action}"[:200],
        )
        try:
            self._runners.start(job, lambda end: self._ended(operation, job.id, end))
        except (OSError, SpoolError) as error:
            self._loop.finish(operation, ScriptEnd(-1, f"the order cannot be written: {error}"))

    def _ended(self, operation: str, job: str, end: End) -> None:
        self._runners.drop(job)
        if end.fate == "exited":
            self._loop.finish(operation, ScriptEnd(end.code, end.stdout.decode("utf-8", "replace")))
        else:
            told = end.stderr.decode("utf-8", "replace")[-MAX_TOLD:]
            self._loop.finish(operation, ScriptEnd(-1, f"{end.fate} {end.code} {told}".strip()))

    def _settle(self, operation: str) -> None:
        self._spool.boot()
        self._spool.sweep()
        waiting = set(self._spool.jobs())
        if not waiting:
            self._loop.finish(operation, ScriptEnd(0))
            return

        def ended(job: str) -> None:
            self._runners.drop(job)
            waiting.discard(job)
            if not waiting:
                self._loop.finish(operation, ScriptEnd(0))

        for job in sorted(waiting):
            self._runners.await_end(job, lambda _end, job=job: ended(job))  # type: ignore[misc]
