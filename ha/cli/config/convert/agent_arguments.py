# SPDX-License-Identifier: GPL-2.0-or-later
"""What the arguments of a resource.d script are called by the OCF agent of the same name.

Source: the usage lines of the scripts in /etc/ha.d/resource.d of Debian's resource-agents, and the agents' meta-data.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from ha.haresources.model.haresources import Resource

POSITIONAL: Mapping[str, tuple[str, ...]] = {
    "Delay": ("startdelay", "stopdelay"),
    "Filesystem": ("device", "directory", "fstype", "options"),
    "ICP": ("driveid", "device"),
    "IPsrcaddr": ("ipaddress",),
    "LVM": ("volgrpname",),
    "LinuxSCSI": ("scsi",),
    "MailTo": ("email", "subject"),
    "Raid1": ("raidconf", "raiddev"),
    "ServeRAID": ("serveraid", "mergegroup"),
    "WinPopup": ("hostfile",),
    "Xinetd": ("service",),
    "apache": ("configfile",),
    "db2": ("instance",),
    "portblock": ("protocol", "portno", "action"),
}
ADDRESS_TYPES = ("IPaddr", "IPaddr2")
ADDRESS_AGENT = "IPaddr2"


def ocf_parameters(resource: Resource) -> tuple[str, dict[str, str]] | None:
    """(type of the OCF agent, its parameters); None when the script's arguments are not known, or not so many."""
    if resource.script in ADDRESS_TYPES:
        return _address(resource)
    if resource.script == "IPv6addr":
        return _address6(resource)
    if resource.script == "AudibleAlarm":
        return resource.script, {"nodelist": " ".join(resource.arguments)} if resource.arguments else {}
    names = POSITIONAL.get(resource.script)
    if names is None or len(resource.arguments) > len(names):
        return None
    return resource.script, dict(zip(names, resource.arguments, strict=False))


def _address6(resource: Resource) -> tuple[str, dict[str, str]] | None:
    """ADDRESS[/PREFIX[/INTERFACE]]"""
    if len(resource.arguments) != 1:
        return None
    parts = resource.arguments[0].split("/")
    try:
        parts[0] = str(ipaddress.IPv6Address(parts[0]))
    except ValueError:
        return None
    return resource.script, dict(zip(("ipv6addr", "cidr_netmask", "nic"), parts, strict=False))


def _address(resource: Resource) -> tuple[str, dict[str, str]] | None:
    """ADDRESS[/MASK[/INTERFACE[:LABEL]][/BROADCAST]], each told from the others by its shape."""
    if len(resource.arguments) != 1:
        return None
    address, *rest = resource.arguments[0].split("/")
    try:
        parameters = {"ip": str(ipaddress.IPv4Address(address))}
        if rest and rest[0]:
            parameters["cidr_netmask"] = _prefix(rest[0])
        for part in filter(None, rest[1:]):
            if part[0].isdigit():
                parameters["broadcast"] = str(ipaddress.IPv4Address(part))
            else:
                parameters["nic"], colon, label = part.partition(":")
                parameters |= {"iflabel": label} if colon else {}
    except ValueError:
        return None
    return ADDRESS_AGENT, parameters


def _prefix(mask: str) -> str:
    """24 for 24 and for 255.255.255.0. Raises ValueError."""
    return str(ipaddress.IPv4Network(f"0.0.0.0/{mask}").prefixlen)
