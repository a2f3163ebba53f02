# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a node's agents are, and the environment that all of them share.

The search paths can be set, colon-separated, by environment variables of the worker (in its supervisor.d stanza):

    HA_OCF_PATH       directories with a folder for each provider     /usr/lib/ocf/resource.d
    HA_RESOURCE_PATH  heartbeat's resource scripts                    /etc/ha.d/resource.d
    HA_LSB_PATH       init scripts                                    /etc/init.d
    HA_FENCE_PATH     fence agents                                    /usr/sbin

Without them the machine's directories come first and those that we ship last. Under a root directory of its own a
node looks first below its root, then into what we ship, then into the machine's OCF and fence agents: init scripts
are the machine's alone, and would be shared by all nodes that run on it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ha.root import Root, shipped

AGENT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,127}")
"""No slash, no leading dot: a name from the configuration never leads out of the search path."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

OCF = "/usr/lib/ocf/resource.d"
HEARTBEAT = "/etc/ha.d/resource.d"
LSB = "/etc/init.d"
FENCE = "/usr/sbin"


@dataclass(frozen=True, slots=True)
class AgentPlaces:
    ocf: tuple[Path, ...]
    heartbeat: tuple[Path, ...]
    lsb: tuple[Path, ...]
    fence: tuple[Path, ...]

    @classmethod
    def choose(cls, root: Root, environment: Mapping[str, str] = os.environ) -> AgentPlaces:
        ours = shipped("resource.d")
        return cls(
            ocf=_choose(environment, "HA_OCF_PATH", root, OCF, ours / "ocf", machine_too=True),
            heartbeat=_choose(environment, "HA_RESOURCE_PATH", root, HEARTBEAT, ours / "heartbeat"),
            lsb=_choose(environment, "HA_LSB_PATH", root, LSB, None),
            fence=_choose(environment, "HA_FENCE_PATH", root, FENCE, ours / "stonith", machine_too=True),
        )


def _choose(
    environment: Mapping[str, str], variable: str, root: Root, standard: str, ours: Path | None, *,
    machine_too: bool = False,
) -> tuple[Path, ...]:  # fmt: skip
    if variable in environment:
        return tuple(Path(entry) for entry in environment[variable].split(":") if entry.startswith("/"))
    shipped_too = () if ours is None else (ours,)
    if not root.prefix:
        return (Path(standard), *shipped_too)
    return (root.path(standard), *shipped_too, *([Path(standard)] if machine_too else []))


def find(directories: tuple[Path, ...], name: str, provider: str = "") -> Path | None:
    """The first file of that name; None when there is none or the name is no agent's name."""
    if not AGENT_NAME.fullmatch(name) or (provider and not AGENT_NAME.fullmatch(provider)):
        return None
    for directory in directories:
        path = directory / provider / name
        if path.is_file():
            return path
    return None


def list_agents(directories: tuple[Path, ...], provider: str = "", prefix: str = "") -> list[str]:
    """Names of executable files, sorted."""
    found = set()
    for directory in directories:
        for path in _entries(directory / provider):
            if path.name.startswith(prefix) and path.is_file() and os.access(path, os.X_OK):
                found.add(path.name)
    return sorted(found)


def list_providers(directories: tuple[Path, ...]) -> list[str]:
    return sorted({path.name for directory in directories for path in _entries(directory) if path.is_dir()})


def _entries(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        yield from (path for path in directory.iterdir() if AGENT_NAME.fullmatch(path.name))


def agent_environment(root: Root, node: str) -> dict[str, str]:
    """What every agent of the node finds in its environment, whatever its class: nothing of the worker's own.

    HA_ROOT leads the commands that an agent calls to this node; HA_PYTHON is the interpreter that we run on, whose
    directory comes first in PATH when the node has a root of its own, for there our commands are.
    """
    environment = {
        "PATH": SYSTEM_PATH,
        "LC_ALL": "C",
        "HOME": "/",
        "HA_PYTHON": sys.executable,
        "HA_CURHOST": node,
        "HA_RSCTMP": str(root.run_dir / "rsctmp") if root.prefix else "/run/resource-agents",
        "HA_cluster_type": "heartbeat",
        "HA_LOGFACILITY": "daemon",
        "HA_debug": "0",
    }
    if root.prefix:
        environment["HA_ROOT"] = root.prefix
        environment["PATH"] = f"{Path(sys.executable).parent}:{SYSTEM_PATH}"
    return environment
