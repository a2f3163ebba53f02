# SPDX-License-Identifier: GPL-2.0-or-later
"""What haresources mode needs of the node's configuration, checked as a whole."""

from __future__ import annotations

from ha.haresources.core.settings import Settings
from ha.haresources.model.execution import FenceDevice
from ha.haresources.model.haresources import MAX_HARESOURCES_BYTES, Haresources, HaresourcesError, parse
from ha.heartbeat.io.config import boot_id
from ha.heartbeat.model.ha_cf import HaCf
from ha.root import Root


def load_haresources(root: Root) -> Haresources:
    """Raises HaresourcesError, also when there is no such file."""
    path = root.config_dir / "haresources"
    try:
        with path.open("rb") as file:
            data = file.read(MAX_HARESOURCES_BYTES + 1)
        return parse(data.decode("utf-8"), str(path))
    except OSError as error:
        raise HaresourcesError((f"{path}: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise HaresourcesError((f"{path}:{line}: not UTF-8",)) from error


def settings_of(root: Root, ha_cf: HaCf, haresources: Haresources) -> Settings:
    """Raises HaresourcesError with every reason why haresources mode cannot be run with this ha.cf."""
    node, where = root.node_name(), str(root.ha_cf)
    problems = []
    if len(ha_cf.nodes) != 2 or node not in ha_cf.nodes:
        problems.append(f"{where}: haresources mode is for two nodes, this one ({node}) and another: it names "
                        f"{', '.join(ha_cf.nodes) or 'none'}")  # fmt: skip
    if ha_cf.autojoin != "none":
        problems.append(f"{where}: autojoin cannot be used without a CRM")
    if ha_cf.auto_failback == "legacy":
        problems.append(f"{where}: auto_failback legacy (also when it is not given) is not supported: write "
                        "`auto_failback on` or `auto_failback off`, the same on both nodes")  # fmt: skip
    for group in haresources.groups:
        if group.node not in ha_cf.nodes:
            problems.append(f"{root.config_dir / 'haresources'}:{group.line}: node {group.node} is none of ha.cf's")
    if problems:
        raise HaresourcesError(tuple(problems))
    devices = tuple(
        FenceDevice(device.host, device.plugin, device.parameters)
        for device in ha_cf.stonith_hosts if device.host in ("*", node)
    )  # fmt: skip
    return Settings(
        node=node,
        peer=next(name for name in ha_cf.nodes if name != node),
        haresources=haresources,
        boot_id=boot_id(root),
        auto_failback=ha_cf.auto_failback == "on",
        devices=devices,
        unfenced_takeover_ms=ha_cf.unfenced_takeover_ms,
    )
