# SPDX-License-Identifier: GPL-2.0-or-later
"""What may be tried for one target, in order: levels of steps, each step by one device and a choice of executors.

With a topology the levels are the configured ones; every device of a level must succeed. Without, each device that
reaches the target is a level of its own. `reboot` across several devices is: all off, then all on again; so is it for
an agent that knows no reboot. The target is fenced once everything is off, whatever becomes of "on".

`on` of a member is unfencing: it is there and wants to use what a device guards, so that every device whose meta-data
calls `on` automatic must let it, and no power switch has anything to do. Where such an agent works on the node itself
(on_target), no other node can do it.
"""

from __future__ import annotations

from dataclasses import dataclass

from ha.stonith.core.registry import Registry
from ha.stonith.model.device import Device
from ha.stonith.msg import FenceAction

Step = tuple[str, FenceAction, bool]
"""Device, action, and whether its failure matters."""


@dataclass(frozen=True, slots=True)
class Plan:
    levels: tuple[tuple[Step, ...], ...]
    missing: tuple[str, ...] = ()
    """Devices that a level names and the configuration does not have."""

    @property
    def size(self) -> int:
        return sum(len(level) for level in self.levels)


def make_plan(registry: Registry, target: str, action: FenceAction, members: tuple[str, ...] = ()) -> Plan:
    if action == "on" and target in members:
        guards = [device for device in registry.able(target) if registry.traits(device.agent).unfences]
        if guards:
            return Plan((_steps(registry, guards, action),))
    topology = registry.configuration.levels_of(target)
    if not topology:
        return Plan(tuple(_steps(registry, [device], action) for device in registry.able(target)))
    levels: list[tuple[Step, ...]] = []
    missing: list[str] = []
    for names in topology:
        devices = [registry.device(name) for name in names]
        absent = [name for name, device in zip(names, devices, strict=True) if device is None]
        missing += absent
        if not absent:
            levels.append(_steps(registry, [device for device in devices if device is not None], action))
    return Plan(tuple(levels), tuple(missing))


def _steps(registry: Registry, devices: list[Device], action: FenceAction) -> tuple[Step, ...]:
    if action != "reboot" or (len(devices) == 1 and _can_reboot(registry, devices[0])):
        return tuple((device.id, action, True) for device in devices)
    off: list[Step] = [(device.id, "off", True) for device in devices]
    return (*off, *((device.id, "on", False) for device in devices))


def _can_reboot(registry: Registry, device: Device) -> bool:
    traits = registry.traits(device.agent)
    return not traits.known or device.action_name("reboot") in traits.actions


def executors(
    registry: Registry, device_id: str, target: str, action: FenceAction, node: str, members: tuple[str, ...]
) -> list[str]:
    """Nodes that may carry out a step: this one first, it needs no message; never the target, but for `on`.

    Agents such as fence_scsi are switched on by the target itself, so for `on` it comes last.
    """
    device = registry.device(device_id)
    if device is None:
        return []
    order = [node, *(member for member in members if member != node)]
    usable = [name for name in order if device.may_run_on(name)]
    if action == "on" and registry.traits(device.agent).on_target:
        return [name for name in usable if name == target]
    others = [name for name in usable if name != target]
    return others + ([target] if action == "on" and target in usable else [])
