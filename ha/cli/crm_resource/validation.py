# SPDX-License-Identifier: GPL-2.0-or-later
"""--validate: an agent checks parameters, of a resource or as given, on this node and before anything is configured."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from lxml import etree

from ha.cli.crm_resource.agents import agent_path
from ha.cli.crm_resource.digests import pair
from ha.cli.crm_resource.session import OrderError, Session
from ha.cli.exit_codes import Exit, words
from ha.cli.output.result import emit
from ha.cli.output.xml_result import as_xml
from ha.cli.source.cluster import RC_WORDS
from ha.cli.source.durations import DurationError, parse_duration
from ha.crm.model import FEATURE_SET
from ha.lrm.model.classes import CallError, Surroundings, call
from ha.lrm.msg import Resource as Agent
from ha.pe.core.operation_config import parameters
from ha.runner.places import agent_environment

DEFAULT_TIMEOUT_S = 20.0
OPERATION = "validate-all"
EXIT_REASON = "ocf-exit-reason:"


@dataclass(frozen=True, slots=True)
class Verdict:
    code: int
    reason: str
    said: str
    """On its standard error."""


def validate(session: Session) -> int:
    """Of --resource, or of --class, --provider and --agent with --option. Returns the agent's exit code."""
    options = session.options
    if options.resource:
        resource = session.resource()
        xml = resource.xml
        agent = Agent(
            id=resource.id, agent_class=str(xml.get("class")), agent_type=str(xml.get("type")),
            provider=xml.get("provider") or "",
        )  # fmt: skip
        values = parameters(resource, None) | dict(pair(word) for word in options.option)
    elif options.agent_class and options.agent:
        agent = Agent(id="test", agent_class=options.agent_class, agent_type=options.agent, provider=options.provider)
        values = dict(pair(word) for word in options.option)
    else:
        raise OrderError(Exit.USAGE, "--validate needs --resource, or --class, --agent and --provider")
    if agent.agent_class != "ocf":
        what = f"agents of class {agent.agent_class} have no action that validates: only ocf has"
        hint = "; stonith_admin --validate does it for fence devices" if agent.agent_class == "stonith" else ""
        raise OrderError(Exit.UNIMPLEMENTED, what + hint)
    return _tell(session, agent, _ask(session, agent, values))


def _ask(session: Session, agent: Agent, values: dict[str, str]) -> Verdict:
    node = session.root.node_name()
    timeout_s = _timeout_s(session)
    meta = {"timeout": str(int(timeout_s * 1000)), "interval": "0", "name": OPERATION, "on_node": node,
            "crm_feature_set": FEATURE_SET}  # fmt: skip
    if session.options.validate:
        values = {**values, "OCF_CHECK_LEVEL": session.options.validate}
    path = agent_path(session, agent.agent_class, agent.provider, agent.agent_type)
    try:
        made = call(agent, OPERATION, values, meta, Surroundings(agent_environment(session.root, node)))
        done = subprocess.run(
            [str(path), *made.arguments], env=dict(made.environment), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=timeout_s, check=False,
        )  # fmt: skip
    except CallError as error:
        raise OrderError(Exit.NOT_CONFIGURED, str(error)) from error
    except OSError as error:
        raise OrderError(Exit.NOT_INSTALLED, f"{path} cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise OrderError(Exit.TIMEOUT, f"{path} was not done after {timeout_s:g} s and was killed") from error
    said = done.stderr.decode(errors="replace")
    reasons = [line.removeprefix(EXIT_REASON) for line in said.splitlines() if line.startswith(EXIT_REASON)]
    return Verdict(done.returncode if done.returncode >= 0 else Exit.ERROR, reasons[-1] if reasons else "", said)


def _timeout_s(session: Session) -> float:
    given = session.options.timeout
    try:
        return parse_duration(given) if given else DEFAULT_TIMEOUT_S
    except DurationError as error:
        raise OrderError(Exit.INVALID_PARAMETER, f"--timeout {given!r}: {error}") from error


def _tell(session: Session, agent: Agent, verdict: Verdict) -> int:
    name = ":".join(part for part in (agent.agent_class, agent.provider, agent.agent_type) if part)
    about = f" for {session.options.resource}" if session.options.resource else ""
    meaning = RC_WORDS.get(verdict.code, "unknown")
    why = f": {verdict.reason}" if verdict.reason else ""
    lines = [f"Operation validate{about} ({name}) returned {verdict.code} ({meaning}{why})", *verdict.said.splitlines()]
    place = {"class": agent.agent_class, "type": agent.agent_type, "provider": agent.provider}
    if session.options.resource:
        place["rsc"] = session.options.resource
    element = etree.Element("resource-agent-action", {"action": "validate", **{k: v for k, v in place.items() if v}})
    etree.SubElement(element, "overrides")
    status = {"code": str(verdict.code), "message": meaning, "execution_code": "0", "execution_message": "complete"}
    etree.SubElement(element, "agent-status", status | ({"reason": as_xml(verdict.reason)} if verdict.reason else {}))
    if verdict.said:
        command = etree.SubElement(element, "command", code=str(verdict.code))
        etree.SubElement(command, "output", source="stderr").text = as_xml(verdict.said)
    errors = [f"Error performing operation: {words(verdict.code)}"] if verdict.code else []
    return emit(session.options, session.request, lines, [element], code=verdict.code, errors=errors)
