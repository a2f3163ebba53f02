# SPDX-License-Identifier: GPL-2.0-or-later
"""Which device would shoot whom, and what would hinder it: the answer to `ha fencing status`."""

from __future__ import annotations

from collections.abc import Iterator

from ha.stonith.core.drills import DrillMaster
from ha.stonith.core.history import FenceLog
from ha.stonith.core.plan import make_plan
from ha.stonith.core.registry import Registry
from ha.stonith.model.drill import definition
from ha.stonith.msg import DeviceDrill, Finding, NodeFencing

OVERDUE_INTERVALS = 2
"""A proof older than so many drill intervals is said to be old."""


def node_fencing(registry: Registry, log: FenceLog, nodes: list[str]) -> list[NodeFencing]:
    found = []
    for node in nodes:
        plan = make_plan(registry, node, "reboot")
        levels = [list(dict.fromkeys(device for device, _, _ in level)) for level in plan.levels]
        last = next((event for event in reversed(log.of(node)) if event.action != "on"), None)
        found.append(NodeFencing(node, levels, last))
    return found


def findings(registry: Registry, drills: DrillMaster, nodes: list[str], unix_s: int) -> Iterator[Finding]:
    """Everything that would hinder a fence, the gravest first."""
    options = registry.configuration.options
    if not options.enabled:
        yield Finding("fencing is off", "set stonith-enabled=true once a device covers every node")
    if options.disarmed_at(unix_s):
        left_s = options.disarmed_until_s - unix_s
        yield Finding(
            f"fencing is DISARMED for another {left_s} s: a lost node's resources are started nowhere else",
            "ha fencing arm",
        )  # fmt: skip
    if not registry.configuration.devices:
        yield Finding("no fence device is configured", "pcs stonith create, or crm configure primitive ... stonith:")
        return
    for node in nodes:
        yield from _node_findings(registry, node, drills.members)
    for device_id in registry.configuration.devices:
        yield from _device_findings(registry, drills, device_id, unix_s)


def _node_findings(registry: Registry, node: str, members: tuple[str, ...]) -> Iterator[Finding]:
    plan = make_plan(registry, node, "reboot")
    for name in plan.missing:
        yield Finding(f"the topology of {node} names {name}, which is not configured",
                      f"configure {name}, or take it out of the fencing-level", node=node, device=name)  # fmt: skip
    if not plan.levels:
        yield Finding(f"no fence device reaches {node}", "name it in pcmk_host_list or pcmk_host_map of one", node=node)
    for level in plan.levels:
        for name in dict.fromkeys(device for device, _, _ in level):
            device = registry.device(name)
            others = [member for member in members if member != node]
            if device is not None and others and not any(device.may_run_on(member) for member in others):
                yield Finding(f"no other member may use {name} to fence {node}",
                              f"review the location constraints of {name}", node=node, device=name)  # fmt: skip


def _device_findings(registry: Registry, drills: DrillMaster, device_id: str, unix_s: int) -> Iterator[Finding]:
    options = registry.configuration.options
    device = registry.configuration.devices[device_id]
    number = definition(device)
    known = [
        drill
        for (name, node), drill in sorted(drills.known.items())
        if name == device_id and drill.definition == number and device.may_run_on(node)
    ]
    for drill in known:
        yield from _failures(drill)
    if not options.enabled:
        return
    if not options.drill_interval_ms:
        yield Finding(f"{device_id} is never drilled", "set fencing-drill-interval", device=device_id)
        return
    missing = [m for m in drills.members if device.may_run_on(m) and m not in {drill.node for drill in known}]
    if missing:
        yield Finding(f"{device_id} was not tried yet from {', '.join(missing)}",
                      f"wait for the drill, or: ha fencing drill {device_id}", device=device_id)  # fmt: skip
    limit_s = OVERDUE_INTERVALS * options.drill_interval_ms // 1_000
    old = [drill.node for drill in known if drill.node in drills.members and unix_s - drill.at_s > limit_s]
    if old:
        yield Finding(f"{device_id} was last tried from {', '.join(old)} more than {limit_s} s ago",
                      f"ha fencing drill {device_id}", device=device_id)  # fmt: skip


def _failures(drill: DeviceDrill) -> Iterator[Finding]:
    for check in drill.checks:
        if not check.ok:
            what = f"{drill.device} from {drill.node}: {check.action} failed: {check.reason}"
            yield Finding(what, check.remedy, node=check.target, device=drill.device)
