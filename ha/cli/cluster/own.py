# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine knows of itself: its addresses, and on which interface each is."""

from __future__ import annotations

import ipaddress
import json
import subprocess

from ha.cli.cluster.plan import Address, PlanError
from ha.heartbeat.io.udp import is_own_address
from ha.heartbeat.model.ha_cf import HaCf
from ha.heartbeat.model.medium import Medium

ASK_TIMEOUT_S = 10
LOOPBACK = "lo"


def interface_of(address: Address) -> str:
    """The interface with this address of our own. Raises PlanError."""
    if ipaddress.ip_address(address.host).is_loopback:
        return LOOPBACK
    try:
        done = subprocess.run(["ip", "-json", "address", "show", "to", address.host], capture_output=True, text=True,
                              check=True, timeout=ASK_TIMEOUT_S)  # fmt: skip
        found = [str(link["ifname"]) for link in json.loads(done.stdout or "[]") if link.get("ifname")]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise PlanError(f"`ip address` does not tell which interface has {address.host}: {error}") from error
    if not found:
        raise PlanError(f"no interface of this machine has the address {address.host}: is it another node's?")
    return found[0]


def own_line(ha_cf: HaCf) -> Medium | None:
    """The first line of a ha.cf that names this machine by an address of its own."""
    lines = (medium for medium in ha_cf.media if medium.kind in ("ucast", "ucast6"))
    return next((medium for medium in lines if is_own_address(medium.address)), None)


def adapt(text: str, ha_cf: HaCf, bind: Address | None) -> str:
    """Another node's ha.cf with what is this machine's own: interfaces, and bindaddr where it is `bind`.

    Raises PlanError when none of its lines names this machine.
    """
    if bind is not None:
        if not any((medium.address, medium.port) == (bind.host, bind.port or medium.port) for medium in ha_cf.media):
            raise PlanError(f"no line of the cluster's ha.cf has the address {bind}")
        return "".join(f"bindaddr {bind}\n" if line.split()[:1] == ["bindaddr"] else line
                       for line in text.splitlines(keepends=True))  # fmt: skip
    if any(medium.bind_address for medium in ha_cf.media):
        raise PlanError("the cluster's ha.cf binds to addresses: say this node's with --bind ADDRESS[:PORT]")
    unicast = [medium for medium in ha_cf.media if medium.kind in ("ucast", "ucast6")]
    if unicast and own_line(ha_cf) is None:
        known = ", ".join(medium.address for medium in unicast)
        raise PlanError(f"this machine has none of the cluster's addresses ({known}): set it up first")
    ours = {medium.interface: interface_of(Address(medium.address))
            for medium in unicast if is_own_address(medium.address)}  # fmt: skip
    return "".join(_renamed(line, ours) for line in text.splitlines(keepends=True))


def _renamed(line: str, ours: dict[str, str]) -> str:
    words = line.split()
    if len(words) < 3 or words[0] not in ("ucast", "ucast6") or words[1] == ours.get(words[1], words[1]):
        return line
    return line.replace(words[1], ours[words[1]], 1)
