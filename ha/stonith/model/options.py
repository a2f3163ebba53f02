# SPDX-License-Identifier: GPL-2.0-or-later
"""Cluster options that stonithd heeds.

| Option | Default | What |
|---|---|---|
| stonith-enabled | true | without fencing nothing is drilled |
| fencing-drill-interval | 1h | how often each node tries each device that it may use; 0: never |
| fencing-disarmed-until | 0 | Unix time until which the cluster fences nobody (`ha fencing disarm`) |
| fencing-mass-limit | 0 | more lost nodes than this within a minute, and the further ones wait; 0: no brake |
| stonith-watchdog-timeout | 0 | when a lost node counts as reset by its watchdog; -1: twice its timeout; 0: never |
| fencing-mass-hold | 5min | how long they wait for a node to come back, or for a person |
"""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from ha.stonith.model.device import DURATION, duration_ms

BOOTSTRAP_SET = "cib-bootstrap-options"
DEFAULT_DRILL_INTERVAL_MS = 3_600_000
MIN_DRILL_INTERVAL_MS = 10_000
DEFAULT_MASS_HOLD_MS = 300_000
AUTO = -1
MAX_UNIX_S = 1 << 40
FALSE_WORDS = frozenset({"false", "off", "no", "n", "0"})


@dataclass(frozen=True, slots=True)
class FencingOptions:
    enabled: bool = True
    drill_interval_ms: int = DEFAULT_DRILL_INTERVAL_MS
    disarmed_until_s: int = 0
    mass_limit: int = 0
    mass_hold_ms: int = DEFAULT_MASS_HOLD_MS
    watchdog_wait_ms: int = 0
    """stonith-watchdog-timeout; AUTO: twice the watchdog's own."""

    def disarmed_at(self, unix_s: float) -> bool:
        return unix_s < self.disarmed_until_s


def read_options(configuration: etree._Element) -> tuple[FencingOptions, list[str]]:
    """From a <configuration>; with a complaint for each value that is none, for which the default stands."""
    given = _cluster_options(configuration)
    complaints: list[str] = []

    def number(name: str, highest: int) -> int:
        text = given.get(name, "0").strip()
        if not text.isascii() or not text.isdigit() or len(text) > 15 or int(text) > highest:
            complaints.append(f"{name}={text!r} is no number up to {highest}: 0 is used")
            return 0
        return int(text)

    def duration(name: str, default_ms: int) -> int:
        text = given.get(name, "")
        if text and DURATION.fullmatch(text) is None:
            complaints.append(f"{name}={text!r} is no length of time: {default_ms // 1000} s is used")
        return duration_ms(text) if DURATION.fullmatch(text) else default_ms

    is_auto = given.get("stonith-watchdog-timeout", "").strip().startswith("-")
    interval_ms = duration("fencing-drill-interval", DEFAULT_DRILL_INTERVAL_MS)
    enabled = given.get("stonith-enabled", given.get("fencing-enabled", "true")).lower() not in FALSE_WORDS
    options = FencingOptions(
        enabled=enabled,
        drill_interval_ms=max(MIN_DRILL_INTERVAL_MS, interval_ms) if interval_ms else 0,
        disarmed_until_s=number("fencing-disarmed-until", MAX_UNIX_S),
        mass_limit=number("fencing-mass-limit", 1_000),
        mass_hold_ms=duration("fencing-mass-hold", DEFAULT_MASS_HOLD_MS),
        watchdog_wait_ms=AUTO if is_auto else duration("stonith-watchdog-timeout", 0),
    )
    return options, complaints


def _cluster_options(configuration: etree._Element) -> dict[str, str]:
    """The set `cib-bootstrap-options` wins over all others, then the earlier one."""
    sets = configuration.findall("crm_config/cluster_property_set")
    found: dict[str, str] = {}
    for properties in sorted(sets, key=lambda each: each.get("id") != BOOTSTRAP_SET):
        for pair in properties.iterfind("nvpair"):
            found.setdefault(pair.get("name", ""), pair.get("value", ""))
    return found
