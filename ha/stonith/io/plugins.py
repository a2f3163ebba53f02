# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux-HA plug-ins of cluster-glue as fence agents: `external/NAME`, and compiled ones (`apcmaster`, `meatware` ...).

| Ours | external/NAME (a script) | compiled, by /usr/sbin/stonith |
|---|---|---|
| off, on, reboot | SCRIPT off, on, reset NODE | -T off, on, reset NODE |
| monitor | SCRIPT status | -S |
| list | SCRIPT gethosts | -l |
| metadata | SCRIPT getconfignames | -n |

Parameters go into the environment. A plug-in has no state of a single node: `status` of one is not asked.
Source: cluster-glue's README.external and stonith(8) (agents.md section 6).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ha.root import Root

PLUGINS = "/usr/lib/stonith/plugins/external"
STONITH = "/usr/sbin/stonith"
EXTERNAL = "external/"
ACTIONS = ("on", "off", "reboot", "list", "monitor")
ORDERS = {"on": "on", "off": "off", "reboot": "reset"}
EXTERNAL_QUERIES = {"monitor": "status", "list": "gethosts", "metadata": "getconfignames"}
COMPILED_QUERIES = {"monitor": "-S", "list": "-l", "metadata": "-n"}
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,255}")
NOT_PARAMETERS = frozenset({"nodename", "port", "plug"})


class PluginError(ValueError):
    """The plug-in cannot be called so; the text says why."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """`path` is the script itself, or the command `stonith` for a compiled one."""

    name: str
    path: Path

    @property
    def external(self) -> bool:
        return self.name.startswith(EXTERNAL)

    def argv(self, action: str, node: str) -> tuple[str, ...]:
        """Raises PluginError for an action that plug-ins do not have."""
        queries = EXTERNAL_QUERIES if self.external else COMPILED_QUERIES
        call: tuple[str, ...] = () if self.external else ("-t", self.name, "-E")
        if action in ORDERS:
            if not node or node.startswith("-"):
                raise PluginError(f"{node!r} is no name of a node for {self.name}")
            order = (ORDERS[action], node) if self.external else ("-T", ORDERS[action], node)
            return (str(self.path), *call, *order)
        if action not in queries:
            raise PluginError(f"a Linux-HA plug-in knows no {action!r}")
        if action == "metadata" and not self.external:
            call = ("-t", self.name)
        return (str(self.path), *call, queries[action])


def find_plugin(root: Root, name: str) -> Plugin | None:
    """None when it is no plug-in's name, or there is none of that name (for compiled ones: no command `stonith`)."""
    bare = name.removeprefix(EXTERNAL)
    if not NAME.fullmatch(bare) or bare.startswith("fence_"):
        return None
    standard = f"{PLUGINS}/{bare}" if bare != name else STONITH
    for path in dict.fromkeys((root.path(standard), Path(standard))):
        if path.is_file():
            return Plugin(name, path)
    return None


def list_external(root: Root) -> list[str]:
    """Names of the external plug-ins that are installed, sorted."""
    found = set()
    for folder in dict.fromkeys((root.path(PLUGINS), Path(PLUGINS))):
        if folder.is_dir():
            found |= {path.name for path in folder.iterdir() if os.access(path, os.X_OK) and path.is_file()}
    return sorted(EXTERNAL + name for name in found if NAME.fullmatch(name))


def plugin_environment(environment: Mapping[str, str], options: Mapping[str, str]) -> dict[str, str]:
    """Parameters beside the agents' own environment. Raises PluginError for what cannot be or would replace some."""
    found = dict(environment)
    for name, value in options.items():
        if name in NOT_PARAMETERS:
            continue
        if not VARIABLE.fullmatch(name) or name in environment or name.startswith(("LD_", "HA_", "PYTHON")):
            raise PluginError(f"parameter {name!r} of a Linux-HA plug-in cannot be an environment variable")
        if "\0" in value:
            raise PluginError(f"parameter {name!r} holds a zero byte")
        found[name] = value
    return found


def node_of(options: Mapping[str, str]) -> str:
    """The name by which the plug-in knows the target."""
    return options.get("port") or options.get("plug") or options.get("nodename", "")
