# SPDX-License-Identifier: GPL-2.0-or-later
"""Units of systemd as resources: their names, what their states mean in OCF's codes, the drop-in, the meta-data.

Sources: systemd's org.freedesktop.systemd1(5) and systemd.unit(5); for the drop-in, the codes and the timeouts
Pacemaker 2.1.5's executor as described in agents.md section 5.
"""

from __future__ import annotations

import re

from ha.lrm.model import codes
from ha.lrm.model.metadata import document

SUFFIXES = (".service", ".socket", ".mount", ".timer", ".path", ".target", ".device", ".swap", ".slice", ".scope")
LISTED_SUFFIXES = (".service", ".socket", ".mount", ".timer", ".path")
UNIT_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,240}")

RUNNING_STATES = frozenset({"active", "reloading"})
PASSING_STATES = frozenset({"activating", "deactivating"})
"""Neither running nor stopped: whoever asks has to wait."""

DROP_IN_NAME = "50-heartbeat.conf"


def unit_name(agent_type: str) -> str:
    """The unit's full name, a service's without a suffix. Raises ValueError for what is no unit's name."""
    if not UNIT_NAME.fullmatch(agent_type) or agent_type.startswith("."):
        raise ValueError(f"{agent_type!r} is no name of a systemd unit")
    return agent_type if agent_type.endswith(SUFFIXES) else f"{agent_type}.service"


def resource_name(unit: str) -> str:
    """How the unit is called as a resource: services without their suffix."""
    return unit.removesuffix(".service")


def state_code(active_state: str) -> int:
    """The OCF code of a state that is not passing."""
    return codes.SUCCESS if active_state in RUNNING_STATES else codes.NOT_RUNNING


def drop_in(unit: str) -> str:
    """Keeps systemd from restarting the unit by itself, and from stopping it at shutdown before the cluster does."""
    text = (
        f"# Written by Heartbeat while it manages {unit}; removed when it stops the unit.\n"
        f"[Unit]\nDescription=Cluster Controlled {unit}\nBefore=heartbeat.service\n"
    )
    return text + ("\n[Service]\nRestart=no\n" if unit.endswith(".service") else "")


def unit_metadata(agent_type: str) -> str:
    unit = unit_name(agent_type)
    actions = (
        '<action name="start" timeout="100s"/><action name="stop" timeout="100s"/>'
        '<action name="status" timeout="100s"/><action name="monitor" timeout="100s" interval="60s"/>'
    )
    return document(
        agent_type, f"systemd unit file for {unit}", f"The unit {unit}, managed through systemd.", parameters="",
        actions=actions,
    )  # fmt: skip
