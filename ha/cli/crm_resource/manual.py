# SPDX-License-Identifier: GPL-2.0-or-later
"""--force-start, --force-stop, --force-check ...: the agent is run here and now, past the cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path

from ha.cli.crm_resource.agents import agent_path
from ha.cli.crm_resource.listing import running_nodes
from ha.cli.crm_resource.session import OrderError, Session, tell
from ha.cli.exit_codes import Exit, words
from ha.cli.source.cluster import RC_WORDS, agent_name
from ha.cli.source.durations import DurationError, parse_duration
from ha.crm.model import FEATURE_SET
from ha.lrm.model.classes import Call, CallError, Surroundings, call, ocf_code
from ha.lrm.msg import Resource as Agent
from ha.pe.core.operation_config import find_operation, parameters
from ha.pe.model.node import Candidate
from ha.pe.model.resource import Resource
from ha.pe.model.values import boolean
from ha.runner.places import agent_environment

DEFAULT_TIMEOUT_S = 20.0
ACTIVATES = ("start", "promote")
MAX_OUTPUT_BYTES = 1_000_000


def force_start(session: Session) -> int:
    return force(session, "force-start", "start")


def force_stop(session: Session) -> int:
    return force(session, "force-stop", "stop")


def force_check(session: Session) -> int:
    return force(session, "force-check", "monitor")


def force_promote(session: Session) -> int:
    return force(session, "force-promote", "promote")


def force_demote(session: Session) -> int:
    return force(session, "force-demote", "demote")


def force(session: Session, option: str, operation: str) -> int:
    """Run `operation` of --resource's agent on this node and tell what came of it. Returns the agent's exit code."""
    resource = session.resource()
    name = session.options.resource
    if operation in ACTIVATES and not session.options.force and (here := running_nodes(resource)):
        raise OrderError(
            Exit.UNSAFE,
            f"the cluster runs {name} on {', '.join(here)}: another start could be a second copy. Stop it first "
            f"(crm_resource -r {name} --meta --set-parameter target-role --parameter-value Stopped), or say --force",
        )
    if not resource.is_primitive:
        raise OrderError(Exit.UNIMPLEMENTED, f"{name} is no primitive: only an agent can be run")
    agent = Agent(
        id=resource.id if boolean(resource.meta.get("globally-unique")) else str(resource.xml.get("id")),
        agent_class=str(resource.xml.get("class")),
        agent_type=str(resource.xml.get("type")),
        provider=resource.xml.get("provider") or "",
    )
    timeout_s = _timeout_s(session, resource, operation)
    path, invocation = _invocation(session, resource, agent, operation, timeout_s)
    code, output = _run(path, invocation, timeout_s)
    code = ocf_code(agent.agent_class, operation, code, output)
    print(f"Operation {option} for {name} ({agent_name(resource)}) returned {code} ({RC_WORDS.get(code, 'unknown')})")
    print(output, end="")
    if code:
        tell(f"crm_resource: Error performing operation: {words(code)}")
    return code


def _timeout_s(session: Session, resource: Resource, operation: str) -> float:
    """--timeout, else the configured one."""
    config = find_operation(resource, operation, 0)
    given = session.options.timeout or (config.get("timeout") if config is not None else None)
    if given is None:
        return DEFAULT_TIMEOUT_S
    try:
        return parse_duration(given)
    except DurationError as error:
        raise OrderError(Exit.INVALID_PARAMETER, f"--timeout {given!r}: {error}") from error


def _invocation(
    session: Session, resource: Resource, agent: Agent, operation: str, timeout_s: float
) -> tuple[Path, Call]:
    node = session.root.node_name()
    known = session.cluster.node(node)
    values = parameters(resource, Candidate(known, 0) if known is not None else None)
    meta = {
        "timeout": str(int(timeout_s * 1000)), "interval": "0", "name": operation, "on_node": node,
        "crm_feature_set": FEATURE_SET,
    }  # fmt: skip
    around = Surroundings(agent_environment(session.root, node))
    try:
        return agent_path(session, agent.agent_class, agent.provider, agent.agent_type), call(
            agent, operation, values, meta, around
        )
    except CallError as error:
        raise OrderError(Exit.NOT_CONFIGURED, str(error)) from error


def _run(path: Path, invocation: Call, timeout_s: float) -> tuple[int, str]:
    """Exit code and output. That goes to a file: nobody waits for a service that keeps the agent's output open."""
    with tempfile.TemporaryFile() as output:
        try:
            agent = subprocess.Popen(
                [str(path), *invocation.arguments], env=dict(invocation.environment), stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise OrderError(Exit.NOT_INSTALLED, f"{path} cannot be run: {error.strerror}") from error
        try:
            code = agent.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(agent.pid, signal.SIGKILL)
            agent.wait()
            raise OrderError(Exit.TIMEOUT, f"{path} was not done after {timeout_s:g} s and was killed") from None
        output.seek(0)
        said = output.read(MAX_OUTPUT_BYTES).decode(errors="replace")
    if code < 0:
        raise OrderError(Exit.ERROR, f"{path} was ended by signal {-code}\n{said}")
    return code, said
