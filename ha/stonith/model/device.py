# SPDX-License-Identifier: GPL-2.0-or-later
"""A fence device: an agent, its options, and the pcmk_* parameters that say what it can reach and how to call it.

Source: Pacemaker 2.1 documentation, "Special Meta-Attributes and parameters of fencing resources" (agents.md 6).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

DURATION = re.compile(r"\s*(\d{1,12})\s*(us|usec|ms|msec|s|sec|m|min|h|hr)?\s*", re.IGNORECASE)
DURATION_MS = {"us": 0.001, "usec": 0.001, "ms": 1, "msec": 1, "s": 1_000, "sec": 1_000, "m": 60_000, "min": 60_000,
               "h": 3_600_000, "hr": 3_600_000}  # fmt: skip
MAX_DURATION_MS = 24 * 3_600_000
MAX_TRIES = 10
DEFAULT_TRIES = 2

HostCheck = Literal["static-list", "dynamic-list", "status", "none"]
HOST_CHECKS: dict[str, HostCheck] = {
    "static-list": "static-list", "dynamic-list": "dynamic-list", "status": "status", "none": "none",
}  # fmt: skip
HOST_SEPARATORS = re.compile(r"[;,\s]+")


@dataclass(frozen=True, slots=True)
class AgentTraits:
    """What an agent's meta-data promises: its parameters and actions, by name."""

    parameters: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()
    known: bool = False
    unfences: bool = False
    """Its `on` lets a node use what the device guards (a reservation, a port); it comes before resources run there."""
    on_target: bool = False
    """Its `on` works on the node itself only."""


@dataclass(frozen=True, slots=True)
class Device:
    """`parameters` are the instance attributes. `banned` nodes may not use it (location constraints of -INFINITY)."""

    id: str
    agent: str
    parameters: dict[str, str] = field(default_factory=dict)
    banned: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    """When set, no other nodes may use it (an opt-in rule)."""

    def may_run_on(self, node: str) -> bool:
        return node not in self.banned and (self.only is None or node in self.only)

    # Hosts -----------------------------------------------------------------------------------------------------------

    @property
    def host_map(self) -> dict[str, str]:
        """Node -> the device's own name for it."""
        return parse_host_map(self.parameters.get("pcmk_host_map", ""))

    @property
    def host_list(self) -> frozenset[str]:
        """Nodes that it reaches by configuration."""
        listed = HOST_SEPARATORS.split(self.parameters.get("pcmk_host_list", "").lower())
        return frozenset(host for host in listed if host) | frozenset(self.host_map)

    def host_check(self, traits: AgentTraits) -> HostCheck:
        """How to learn which nodes it reaches, when the configuration does not say."""
        chosen = HOST_CHECKS.get(self.parameters.get("pcmk_host_check", ""))
        if chosen is not None:
            return chosen
        if self.host_list:
            return "static-list"
        if "list" in traits.actions or "list-status" in traits.actions:
            return "dynamic-list"
        return "status" if "status" in traits.actions or not traits.known else "none"

    # Calls -----------------------------------------------------------------------------------------------------------

    def action_name(self, action: str) -> str:
        """What the agent calls it."""
        return self.parameters.get(f"pcmk_{_name(action)}_action", action)

    def timeout_ms(self, action: str, default_ms: int) -> int:
        configured = duration_ms(self.parameters.get(f"pcmk_{_name(action)}_timeout", ""))
        return configured if configured else default_ms

    def tries(self, action: str) -> int:
        text = self.parameters.get(f"pcmk_{_name(action)}_retries", "")
        return min(MAX_TRIES, max(1, int(text))) if text.isascii() and text.isdigit() else DEFAULT_TRIES

    def delay_base_ms(self, target: str) -> int:
        """A duration, or one for each node: "n1:5s;n2:10s"."""
        text = self.parameters.get("pcmk_delay_base", "")
        if ":" in text:
            text = parse_host_map(text).get(target, "")
        return duration_ms(text)

    @property
    def delay_max_ms(self) -> int:
        return duration_ms(self.parameters.get("pcmk_delay_max", ""))

    def options(self, action: str, target: str, traits: AgentTraits) -> dict[str, str]:
        """The lines for the agent's standard input, without `action`. `target` is "" for list and monitor."""
        options = {
            name: value
            for name, value in sorted(self.parameters.items())
            if not name.startswith(("pcmk_", "CRM_meta_")) and name not in ("action", "crm_feature_set", "provides")
        }
        if target:
            options["nodename"] = target
            argument = self.host_argument(traits)
            if argument:
                options[argument] = self.host_map.get(target, target)
        return options

    def host_argument(self, traits: AgentTraits) -> str:
        configured = self.parameters.get("pcmk_host_argument", "")
        if configured:
            return "" if configured == "none" else configured
        if not traits.known or "port" in traits.parameters:
            return "plug" if "plug" in traits.parameters else "port"
        return "plug" if "plug" in traits.parameters else ""


def duration_ms(text: str) -> int:
    """0 for what is no length of time; a bare number is seconds."""
    match = DURATION.fullmatch(text)
    if match is None:
        return 0
    return min(MAX_DURATION_MS, int(int(match[1]) * DURATION_MS[(match[2] or "s").lower()]))


def parse_host_map(text: str) -> dict[str, str]:
    """ "n1:outlet1;n2:2,3" -> {"n1": "outlet1", "n2": "2,3"}; entries without a colon are skipped.

    Node names are lower case everywhere, so that a map written in capitals still finds them.
    """
    hosts: dict[str, str] = {}
    for entry in re.split(r"[;\s]+", text):
        name, colon, port = entry.partition(":")
        if name and colon and port:
            hosts[name.lower()] = port
    return hosts


def parse_host_list(output: str) -> frozenset[str]:
    """What the agent's action `list` printed: "port,alias" (or more) a line; both are names a map may point to."""
    names: set[str] = set()
    for line in output.splitlines():
        for name in line.replace("|", ",").split(",")[:2]:
            if name.strip():
                names.add(name.strip().lower())
    return frozenset(names)


def _name(action: str) -> str:
    return action.replace("-", "_")
