# SPDX-License-Identifier: GPL-2.0-or-later
"""Classes, providers and agents on this node, and their meta-data. Works without a running cluster, too."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ha.cli.crm_resource.session import OrderError, Session
from ha.cli.exit_codes import Exit
from ha.runner.places import AgentPlaces, agent_environment, find, list_agents, list_providers

STANDARDS = ("heartbeat", "lsb", "ocf", "service", "stonith")
METADATA_TIMEOUT_S = 30


def list_standards(session: Session) -> int:
    return _print(STANDARDS)


def list_ocf_providers(session: Session) -> int:
    return _print(list_providers(_places(session).ocf))


def list_alternatives(session: Session) -> int:
    """--list-ocf-alternatives TYPE: the providers that have such an agent."""
    wanted = session.options.list_ocf_alternatives
    ocf = _places(session).ocf
    found = [provider for provider in list_providers(ocf) if find(ocf, wanted, provider)]
    if not found:
        raise OrderError(Exit.NO_SUCH_OBJECT, f"no provider has an agent {wanted!r}")
    return _print(found)


def list_of_class(session: Session) -> int:
    """--list-agents CLASS[:PROVIDER]."""
    agent_class, _, provider = session.options.list_agents.partition(":")
    places = _places(session)
    match agent_class:
        case "ocf" if not provider:
            found = sorted({agent for name in list_providers(places.ocf) for agent in list_agents(places.ocf, name)})
        case "ocf":
            found = list_agents(places.ocf, provider)
        case "stonith":
            found = list_agents(places.fence, prefix="fence_")
        case "lsb" | "service":
            found = list_agents(places.lsb)
        case "heartbeat":
            found = list_agents(places.heartbeat)
        case _:
            raise OrderError(Exit.NO_SUCH_OBJECT, f"there is no class {agent_class!r}; see --list-standards")
    if not found:
        raise OrderError(Exit.NO_SUCH_OBJECT, f"there are no agents of {session.options.list_agents}")
    return _print(found)


def show_metadata(session: Session) -> int:
    """--show-metadata CLASS[:PROVIDER]:TYPE."""
    parts = session.options.show_metadata.split(":")
    if len(parts) not in (2, 3):
        raise OrderError(Exit.USAGE, "name the agent as CLASS:TYPE or CLASS:PROVIDER:TYPE")
    agent_class, agent_type, provider = parts[0], parts[-1], parts[1] if len(parts) == 3 else ""
    path = agent_path(session, agent_class, provider, agent_type)
    from ha.lrm.model.metadata import heartbeat_metadata, lsb_metadata

    match agent_class:
        case "lsb" | "service":
            print(lsb_metadata(agent_type, path.read_text(errors="replace")))
        case "heartbeat":
            print(heartbeat_metadata(agent_type))
        case _:
            print(_ask(session, agent_class, path), end="")
    return Exit.OK


def agent_path(session: Session, agent_class: str, provider: str, agent_type: str) -> Path:
    """Raises OrderError for an agent that this node does not have."""
    places = _places(session)
    directories = {
        "ocf": places.ocf, "stonith": places.fence, "lsb": places.lsb, "service": places.lsb,
        "heartbeat": places.heartbeat,
    }.get(agent_class, ())  # fmt: skip
    path = find(directories, agent_type, provider)
    if path is None:
        name = ":".join(part for part in (agent_class, provider, agent_type) if part)
        raise OrderError(Exit.NOT_INSTALLED, f"agent {name} is not installed on this node")
    return path


def _ask(session: Session, agent_class: str, path: Path) -> str:
    import subprocess

    environment = {**agent_environment(session.root, session.root.node_name()), "OCF_ROOT": "/usr/lib/ocf"}
    fence = agent_class == "stonith"
    command = [str(path)] if fence else [str(path), "meta-data"]
    try:
        done = subprocess.run(
            command,
            input="action=metadata\n" if fence else "",
            env=environment,
            text=True,
            capture_output=True,
            timeout=METADATA_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OrderError(Exit.ERROR, f"{path} gave no meta-data: {error}") from error
    if done.returncode:
        raise OrderError(Exit.ERROR, f"{path} gave no meta-data: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _places(session: Session) -> AgentPlaces:
    return AgentPlaces.choose(session.root)


def _print(names: Iterable[str]) -> int:
    for name in names:
        print(name)
    return Exit.OK
