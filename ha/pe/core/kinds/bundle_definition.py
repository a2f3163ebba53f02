# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bundle implies: per replica a container, an address, a connection; and a clone of what runs inside.

The names, parameters and paths are part of every cluster's history, so they must be as everyone else makes them.
Source: Pacemaker Explained, "Bundles".
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field

from lxml import etree
from lxml.etree import _Element as Element

from ha.pe.model.digits import number
from ha.pe.model.resource import MAX_INSTANCES
from ha.pe.model.values import boolean, integer_at_least

REMOTE_PORT = "3121"
REMOTE_KEY = "/etc/pacemaker/authkey"
LOG_FOLDER = "/var/log/pacemaker/bundles"
REMOTE_DAEMON = "/usr/sbin/pacemaker-remoted"
_AGENTS = ("docker", "podman")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(slots=True)
class Mount:
    source: str
    target: str
    options: str | None = None
    own_folder: bool = False


@dataclass(slots=True)
class BundleDefinition:
    """The attributes of a bundle. `prefix` is its id."""

    prefix: str
    agent: str
    image: str | None
    promoted_max: int
    replicas: int
    replicas_per_host: int
    run_command: str | None
    options: str | None
    network: str | None
    ip_range_start: str | None = None
    host_netmask: str | None = None
    host_interface: str | None = None
    control_port: str | None = None
    add_host: bool = True
    ports: list[tuple[str, str]] = field(default_factory=list)
    mounts: list[Mount] = field(default_factory=list)
    host_options: str = ""

    @property
    def has_valid_network(self) -> bool:
        """Whether what runs inside can be reached."""
        return bool(self.ip_range_start or self.control_port)


def read_definition(element: Element) -> BundleDefinition | None:
    """The attributes in a bundle element, None if its container technology is unknown."""
    container = next((child for child in element if child.tag in _AGENTS), None)
    if container is None:
        return None
    promoted_text = container.get("promoted-max", container.get("masters"))
    promoted_max = integer_at_least(promoted_text, 0)
    replicas_text = container.get("replicas")
    if replicas_text is None and promoted_max > 0:
        replicas = promoted_max
    else:
        replicas = integer_at_least(replicas_text, 1)
    result = BundleDefinition(
        prefix=element.get("id") or "",
        agent=str(container.tag),
        image=container.get("image"),
        promoted_max=promoted_max,
        replicas=min(replicas, MAX_INSTANCES),
        replicas_per_host=integer_at_least(container.get("replicas-per-host"), 1),
        run_command=container.get("run-command"),
        options=container.get("options"),
        network=container.get("network"),
    )
    _read_network(result, element.find("network"))
    _read_storage(result, element.find("storage"))
    if result.control_port and not result.ip_range_start:
        # They share the host's address, so there is room for one.
        result.replicas_per_host = 1
    return result


def _read_network(result: BundleDefinition, network: Element | None) -> None:
    if network is None:
        return
    result.ip_range_start = network.get("ip-range-start")
    result.host_netmask = network.get("host-netmask")
    result.host_interface = network.get("host-interface")
    result.control_port = network.get("control-port")
    result.add_host = boolean(network.get("add-host")) is not False
    for mapping in network.iterchildren("port-mapping"):
        port, target = mapping.get("port"), mapping.get("internal-port")
        if port is None:
            port, target = mapping.get("range"), None
        if port:
            result.ports.append((port, target or port))


def _read_storage(result: BundleDefinition, storage: Element | None) -> None:
    if storage is None:
        return
    for mapping in storage.iterchildren("storage-mapping"):
        source, own_folder = mapping.get("source-dir"), False
        if source is None:
            source, own_folder = mapping.get("source-dir-root"), True
        target = mapping.get("target-dir")
        if source and target:
            result.mounts.append(Mount(source, target, mapping.get("options"), own_folder))


def add_implied_mounts(definition: BundleDefinition) -> None:
    """The key of the remote daemon inside, a folder for logs, and the port of the connection."""
    has_log = any(mount.target == "/var/log" for mount in definition.mounts)
    definition.mounts.append(Mount(REMOTE_KEY, REMOTE_KEY))
    if not has_log:
        definition.mounts.append(Mount(LOG_FOLDER, "/var/log", None, True))
    port = definition.control_port or REMOTE_PORT
    definition.ports.append((port, port))


# Elements ----------------------------------------------------------------------------------------------------------


def _pairs(parent: Element, tag: str, id: str, values: dict[str, str | None]) -> None:
    block = etree.SubElement(parent, tag, id=id)
    for name, value in values.items():
        if value is not None:
            etree.SubElement(block, "nvpair", id=f"{id}-{name}", name=name, value=value)


def _primitive(id: str, provider: str, kind: str) -> Element:
    element = etree.Element("primitive", id=id, provider=provider, type=kind)
    element.set("class", "ocf")
    return element


def _monitor(element: Element) -> None:
    operations = etree.SubElement(element, "operations")
    id = element.get("id") or ""
    etree.SubElement(operations, "op", id=f"{id}-monitor-60s", interval="60s", name="monitor")


def _as_id(text: str) -> str:
    return _NOT_IN_ID.sub(".", text)


def clone_definition(definition: BundleDefinition, primitive: Element) -> Element:
    """The clone of what runs in the containers."""
    suffix = "master" if definition.promoted_max > 0 else "clone"
    element = etree.Element("clone", id=f"{definition.prefix}-{suffix}")
    values: dict[str, str | None] = {
        "ordered": "true",
        "clone-max": str(definition.replicas),
        "clone-node-max": str(definition.replicas_per_host),
        "globally-unique": "true" if definition.replicas_per_host > 1 else "false",
    }
    if definition.promoted_max:
        values["promotable"] = "true"
        values["promoted-max"] = str(definition.promoted_max)
    _pairs(element, "meta_attributes", f"{definition.prefix}-clone-meta", values)
    element.append(copy.deepcopy(primitive))
    return element


def next_address(address: str) -> str | None:
    """The IPv4 address after this one; None at the end of the usable range."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)\.(\d+)", address)
    if match is None:
        return None
    one, two, three, four = (number(part) for part in match.groups())
    if three > 253:
        return None
    if four > 253:
        three, four = three + 1, 1
    else:
        four += 1
    return f"{one}.{two}.{three}.{four}"


def host_entry(definition: BundleDefinition, number: int, address: str) -> str:
    """The option that makes one replica known by name in the others."""
    if definition.add_host:
        return f" --add-host={definition.prefix}-{number}:{address}"
    return f" --hosts-entry={address}={definition.prefix}-{number}"


def container_definition(definition: BundleDefinition, number: int, address: str | None, has_child: bool) -> Element:
    """The resource of one container."""
    prefix = definition.prefix
    element = _primitive(_as_id(f"{prefix}-{definition.agent}-{number}"), "heartbeat", definition.agent)
    options, folders = _run_options(definition, number, address)
    command = definition.run_command
    if command is None and has_child:
        command = REMOTE_DAEMON
    _pairs(
        element,
        "instance_attributes",
        f"{prefix}-attributes-{number}",
        {
            "image": definition.image,
            "allow_pull": "true",
            "force_kill": "false",
            "reuse": "false",
            "run_opts": options,
            "mount_points": ",".join(folders),
            "run_cmd": command,
            "monitor_cmd": "/bin/true",
        },
    )
    _monitor(element)
    return element


def _run_options(definition: BundleDefinition, number: int, address: str | None) -> tuple[str, list[str]]:
    prefix = definition.prefix
    parts: list[str] = []
    if definition.agent == "docker":
        parts.append(" --restart=no")
    if definition.ip_range_start is not None:
        parts.append(f" -h {prefix}-{number}")
    parts.append(" -e PCMK_stderr=1")
    if definition.network is not None:
        parts.append(f" --net={definition.network}")
    parts.append(f" -e PCMK_remote_port={definition.control_port or REMOTE_PORT}")
    folders: list[str] = []
    for mount in definition.mounts:
        source = mount.source
        if mount.own_folder:
            source = f"{mount.source}/{prefix}-{number}"
            folders.append(source)
        parts.append(f" -v {source}:{mount.target}" + (f":{mount.options}" if mount.options is not None else ""))
    for port, target in definition.ports:
        if address is not None:
            parts.append(f" -p {address}:{port}:{target}")
        elif definition.network != "host":
            parts.append(f" -p {port}:{target}")
    if definition.options is not None:
        parts.append(f" {definition.options}")
    parts.append(f" {definition.host_options}")
    return "".join(parts), folders


def address_definition(definition: BundleDefinition, number: int, address: str) -> Element:
    """The resource of one container's address."""
    element = _primitive(_as_id(f"{definition.prefix}-ip-{address}"), "heartbeat", "IPaddr2")
    _pairs(
        element,
        "instance_attributes",
        f"{definition.prefix}-attributes-{number}",
        {"ip": address, "nic": definition.host_interface, "cidr_netmask": definition.host_netmask or "32"},
    )
    _monitor(element)
    return element
