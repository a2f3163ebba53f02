# SPDX-License-Identifier: GPL-2.0-or-later
"""Every cluster option the policy engine heeds: name, older name, default, unit, what is allowed, meaning.

Source: Pacemaker Explained, "Cluster Options", and the options' published metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ha.pe.model.scores import parse
from ha.pe.model.values import boolean, milliseconds


@dataclass(frozen=True, slots=True)
class Option:
    """One cluster option. `default` is text as in the CIB; `allows` refuses a value, which then counts as absent."""

    name: str
    default: str
    unit: str
    allows: Callable[[str], bool]
    meaning: str
    older_name: str | None = None


def _flag(text: str) -> bool:
    return boolean(text) is not None


def _time(text: str) -> bool:
    return text.startswith("P") or milliseconds(text) is not None


def _number(text: str) -> bool:
    return parse(text) is not None


class OneOf:
    """Allows these words, which the options' metadata lists."""

    def __init__(self, *words: str) -> None:
        self.words = words

    def __call__(self, text: str) -> bool:
        return text.lower() in self.words


def _any(_text: str) -> bool:
    return True


_TABLE = (
    Option("cluster-name", "", "text", _any, "name of the cluster, given to nodes as an attribute"),
    Option("no-quorum-policy", "stop", "word", OneOf("stop", "freeze", "ignore", "demote", "fence", "suicide"),
           "what to do with resources when the partition has no quorum"),
    Option("symmetric-cluster", "true", "boolean", _flag, "whether resources may run on any node by default"),
    Option("stop-all-resources", "false", "boolean", _flag, "stop everything"),
    Option("stop-removed-resources", "true", "boolean", _flag, "stop resources that left the configuration",
           "stop-orphan-resources"),
    Option("cancel-removed-actions", "true", "boolean", _flag, "cancel recurring actions that left the configuration",
           "stop-orphan-actions"),
    Option("maintenance-mode", "false", "boolean", _flag, "leave every resource alone"),
    Option("enable-startup-probes", "true", "boolean", _flag, "find out what is active before starting anything"),
    Option("start-failure-is-fatal", "true", "boolean", _flag, "one failed start bans the node"),
    Option("fencing-enabled", "true", "boolean", _flag, "nodes that may be unsafe are fenced", "stonith-enabled"),
    Option("fencing-action", "reboot", "word", OneOf("reboot", "off", "poweroff"), "what fencing does",
           "stonith-action"),
    Option("fencing-timeout", "60s", "duration", _time, "how long fencing may take", "stonith-timeout"),
    Option("have-watchdog", "false", "boolean", _flag, "nodes fence themselves by a watchdog"),
    Option("concurrent-fencing", "true", "boolean", _flag, "fence several nodes at once"),
    Option("startup-fencing", "true", "boolean", _flag, "fence nodes never seen"),
    Option("priority-fencing-delay", "0", "duration", _time, "head start of the half with more important resources"),
    Option("node-pending-timeout", "0", "duration", _time, "how long a node may take to join, 0 for ever"),
    Option("fence-remote-without-quorum", "false", "boolean", _flag, "without quorum, too, fence remote nodes"),
    Option("cluster-delay", "60s", "duration", _time, "longest round trip of a message"),
    Option("batch-limit", "0", "count", _number, "actions under way at once, 0 for no limit"),
    Option("migration-limit", "-1", "count", _number, "live migrations under way at once per node, -1 for no limit"),
    Option("node-health-strategy", "none", "word",
           OneOf("none", "migrate-on-red", "only-green", "progressive", "custom"), "what node health attributes do"),
    Option("node-health-base", "0", "score", _number, "score every node starts with (progressive)"),
    Option("node-health-green", "0", "score", _number, "score of green"),
    Option("node-health-yellow", "0", "score", _number, "score of yellow"),
    Option("node-health-red", "-INFINITY", "score", _number, "score of red"),
    Option("placement-strategy", "default", "word", OneOf("default", "utilization", "minimal", "balanced"),
           "how utilization attributes take part"),
    Option("shutdown-lock", "false", "boolean", _flag, "resources wait for their node's return from a clean shutdown"),
    Option("shutdown-lock-limit", "0", "duration", _time, "how long they wait, 0 for ever"),
)  # fmt: skip

OPTIONS: Mapping[str, Option] = {option.name: option for option in _TABLE}


def option_value(values: Mapping[str, str], name: str) -> str:
    """The text of option `name`: as set under its name or its older one, if allowed, else the default."""
    option = OPTIONS[name]
    for key in (option.name, option.older_name):
        text = None if key is None else values.get(key)
        if text is not None:
            return text if option.allows(text) else option.default
    return option.default
