# SPDX-License-Identifier: GPL-2.0-or-later
"""What the crmd itself needs of the configuration: a dozen cluster options, node ids, the longest chain of stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from ha.crm.model.stop_chain import longest_stop_chain_ms
from ha.pe.model.values import boolean, integer, milliseconds

BOOTSTRAP_SET = "cib-bootstrap-options"
AUTO = -1
DEFAULT_RECHECK_MS = 15 * 60_000
DEFAULT_SHUTDOWN_ESCALATION_MS = 20 * 60_000


@dataclass(frozen=True, slots=True)
class Configuration:
    """`takeover_grace_ms` None means auto. `node_ids` maps node names to their ids in the nodes section.

    Option names: Pacemaker's, and `takeover-grace` (ours, promise P1 of the design).
    """

    stonith_enabled: bool = True
    start_failure_is_fatal: bool = True
    takeover_grace_ms: int | None = None
    recheck_interval_ms: int = DEFAULT_RECHECK_MS
    shutdown_escalation_ms: int = DEFAULT_SHUTDOWN_ESCALATION_MS
    batch_limit: int = 0
    stop_chain_ms: int = 0
    watchdog_wait_ms: int = 0
    """stonith-watchdog-timeout; negative: twice the watchdog's timeout; 0: nodes do not fence themselves."""
    options: Mapping[str, str] = field(default_factory=dict)
    node_ids: Mapping[str, str] = field(default_factory=dict)


def read_configuration(configuration: etree._Element) -> Configuration:
    """From a <configuration> element that the cib has validated. A value it lets pass but that is none is ignored."""
    options = cluster_options(configuration)
    flag = _Flags(options)
    return Configuration(
        stonith_enabled=flag.truth("stonith-enabled", flag.truth("fencing-enabled", True)),
        start_failure_is_fatal=flag.truth("start-failure-is-fatal", True),
        takeover_grace_ms=flag.grace_ms(),
        recheck_interval_ms=flag.time_ms("cluster-recheck-interval", DEFAULT_RECHECK_MS),
        shutdown_escalation_ms=flag.time_ms("shutdown-escalation", DEFAULT_SHUTDOWN_ESCALATION_MS),
        batch_limit=max(0, integer(options.get("batch-limit", "0")) or 0),
        watchdog_wait_ms=flag.watchdog_wait_ms(),
        stop_chain_ms=longest_stop_chain_ms(configuration),
        options=options,
        node_ids={
            node.get("uname", ""): node.get("id", "")
            for node in configuration.iterfind("nodes/node")
            if node.get("type", "member") in ("member", "normal") and node.get("uname") and node.get("id")
        },
    )


def cluster_options(configuration: etree._Element) -> dict[str, str]:
    """Name to value. The set `cib-bootstrap-options` wins over all, then the higher score, then the earlier set."""
    sets = configuration.findall("crm_config/cluster_property_set")
    order = sorted(
        range(len(sets)),
        key=lambda i: (sets[i].get("id") != BOOTSTRAP_SET, -(integer(sets[i].get("score")) or 0), i),
    )
    found: dict[str, str] = {}
    for i in order:
        for pair in sets[i].iterfind("nvpair"):
            found.setdefault(pair.get("name", ""), pair.get("value", ""))
    return found


class _Flags:
    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = options

    def truth(self, name: str, default: bool) -> bool:
        value = boolean(self.options.get(name))
        return default if value is None else value

    def grace_ms(self) -> int | None:
        """None for auto, and for what is no time: the safe reading of a mistake."""
        value = milliseconds(self.options.get("takeover-grace"))
        return value if value is not None and value >= 0 else None

    def watchdog_wait_ms(self) -> int:
        text = self.options.get("stonith-watchdog-timeout", "")
        return AUTO if text.strip().startswith("-") else milliseconds(text) or 0

    def time_ms(self, name: str, default_ms: int) -> int:
        value = milliseconds(self.options.get(name))
        return default_ms if value is None or value < 0 else value
