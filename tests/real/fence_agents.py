# SPDX-License-Identifier: GPL-2.0-or-later
"""Every fence agent of this machine under a real stonithd: `python -m tests.real.fence_agents > docs/fence-agents.md`.

All are configured as devices at once, and tried by one drill: its meta-data must be read, and the drill must end with
a reason for each that cannot work here. Those that can act on one machine without hardware then fence a node.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ha.ipc.client import Connection
from ha.stonith.model.agent_metadata import AgentDescription, MetadataError, parse_metadata
from ha.stonith.msg import (
    DeviceDrill,
    DrillDevices,
    DrillsBegun,
    Fenced,
    FenceNode,
    FencingStatus,
    GetFencingStatus,
)
from tests.real.stonith_node import VIEW, StonithNode
from tests.real.waiting import wait_for

AGENTS = Path("/usr/sbin")
NODES = ("n1", "n2", "n3")
DRILL_TIMEOUT_S = 600.0
AT_ONCE = 8
LOG_PREFIX = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ ERROR: ")
PACKAGES = "fence-agents 4.12.1, pacemaker 2.1.5"
CLOUDS = {"region", "apikey", "api_key", "token", "project", "subscriptionId", "auth_url", "instance", "zone"}
WHY_NOT = {
    "fence_ack_manual": "its time is over: `stonith_admin --confirm NODE` takes a person's word",
    "fence_amt": "needs Intel AMT at an address",
    "fence_compute": "needs OpenStack",
    "fence_crosslink": "needs a Cross-Link controller at an address",
    "fence_docker": "needs a Docker engine that listens on TCP",
    "fence_evacuate": "needs OpenStack",
    "fence_ibmz": "needs a z hardware management console",
    "fence_kdump": "waits for the crash kernel of the target; acts only when that node has crashed",
    "fence_kubevirt": "needs a Kubernetes cluster with KubeVirt",
    "fence_mpath": "needs a multipath device with SCSI-3 persistent reservations",
    "fence_ovh": "needs an account at that service",
    "fence_powerman": "needs a powerman daemon",
    "fence_rcd_serial": "needs a serial line to the target's reset pins",
    "fence_sanbox2": "needs a Fibre Channel switch",
    "fence_scsi": "needs a shared disk with SCSI-3 persistent reservations",
    "fence_vbox": "needs a VirtualBox host",
    "fence_vmware": "needs VMware's Perl toolkit and a server",
    "fence_watchdog": "meta-data only, it refuses to act; see status.md on watchdog self-fencing",
    "fence_xenapi": "needs a XenServer",
    "fence_zvmip": "needs z/VM at an address",
}


def agents() -> list[str]:
    return sorted(path.name for path in AGENTS.glob("fence_*") if os.access(path, os.X_OK))


# Those that can act here ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _dummy(base: Path) -> Iterator[dict[str, str]]:
    state = base / "dummy"
    state.write_text("on")
    yield {"status_file": str(state), "pcmk_host_list": "n3"}
    assert state.read_text().strip() == "off"


@contextlib.contextmanager
def _legacy(base: Path) -> Iterator[dict[str, str]]:
    yield {"plugin": "null", "hostlist": "n3", "pcmk_host_list": "n3"}


@contextlib.contextmanager
def _ping(base: Path) -> Iterator[dict[str, str]]:
    yield {"ping_targets": "127.0.0.1", "ping_count": "1", "ping_good_count": "1", "pcmk_host_list": "n3"}


@contextlib.contextmanager
def _sbd(base: Path) -> Iterator[dict[str, str]]:
    """A message slot on a loop device; nobody has to read it, the agent waits the device's own msgwait."""
    image = base / "sbd"
    image.write_bytes(bytes(4 << 20))
    loop = subprocess.run(["losetup", "-f", "--show", image], capture_output=True, text=True, check=True).stdout.strip()
    try:
        sbd = ["sbd", "-d", loop]
        subprocess.run([*sbd, "-1", "1", "-4", "2", "create"], capture_output=True, check=True)
        subprocess.run([*sbd, "allocate", "n3"], capture_output=True, check=True)
        yield {"devices": loop, "pcmk_host_list": "n3"}
        slots = subprocess.run([*sbd, "list"], capture_output=True, text=True, check=True).stdout
        assert "n3\toff" in slots, slots
    finally:
        subprocess.run(["losetup", "-d", loop], check=True)


Exercise = Callable[[Path], contextlib.AbstractContextManager[dict[str, str]]]
EXERCISES: dict[str, tuple[Exercise, str]] = {
    "fence_dummy": (_dummy, "turns its state file to off"),
    "fence_heuristics_ping": (_ping, "allows the fence while 127.0.0.1 answers"),
    "fence_legacy": (_legacy, "calls cluster-glue's plug-in `null`"),
    "fence_sbd": (_sbd, "leaves the message `off` in the node's slot on a loop device"),
}
NEEDS = {"fence_sbd": ("sbd", "losetup"), "fence_legacy": ("stonith",), "fence_heuristics_ping": ("ping",)}


def exercise(agent: str, base: Path) -> Fenced:
    """Have n3 turned off by the agent, through a real stonithd."""
    with EXERCISES[agent][0](base) as parameters:
        node = StonithNode(base, NODES, agent=agent, parameters=parameters)
        node.start()
        try:
            node.crmd.send(FenceNode(request_id="f1", target="n3", action="off", timeout_ms=60_000, view=VIEW))
            told = node.crmd.receive(Fenced, timeout_s=90)
            assert told.ok, told.reason
            return told
        finally:
            node.stop()


# All of them ---------------------------------------------------------------------------------------------------------


def primitives(names: list[str]) -> str:
    return "".join(
        f'<primitive id="{name}" class="stonith" type="{name}"><instance_attributes id="{name}-i">'
        f'<nvpair id="{name}-h" name="pcmk_host_list" value="n3"/>'
        f'<nvpair id="{name}-t" name="pcmk_monitor_timeout" value="60s"/></instance_attributes></primitive>'
        for name in names
    )


def drill_all(names: list[str], base: Path) -> dict[str, DeviceDrill]:
    """Every agent as a device without parameters, each tried once by n1; some at a time, they are slow to start."""
    found: dict[str, DeviceDrill] = {}
    for first in range(0, len(names), AT_ONCE):
        folder = base / str(first)
        folder.mkdir()
        found |= _drill(names[first : first + AT_ONCE], folder)
    return found


def _drill(names: list[str], base: Path) -> dict[str, DeviceDrill]:
    node = StonithNode(base, NODES, present=("n1",), resources=primitives(names))
    node.start()
    try:
        with Connection.open(node.root, "stonithd", program="fence_agents") as link:

            def status() -> FencingStatus:
                answer = link.ask(GetFencingStatus(request_id=link.new_request_id()), 30_000)
                assert isinstance(answer, FencingStatus)
                return answer

            wait_for(lambda: len(status().nodes) == len(NODES), "the configuration has been read")
            begun = link.ask(DrillDevices(request_id=link.new_request_id()), 30_000)
            assert isinstance(begun, DrillsBegun)
            assert sorted(name for name, _ in begun.expected) == names, "every agent is registered as a device"
            wait_for(lambda: len(status().drills) == len(names), "every device was tried", DRILL_TIMEOUT_S)
            return {drill.device: drill for drill in status().drills}
    finally:
        node.stop()


def description(agent: str) -> AgentDescription | str:
    """Read as stonithd does, or why it cannot be."""
    done = subprocess.run([AGENTS / agent], input=b"action=metadata\n", capture_output=True, timeout=60, check=False)
    try:
        return parse_metadata(done.stdout)
    except MetadataError as error:
        return str(error)


def why_not(agent: str, found: AgentDescription | str) -> str:
    """Why it cannot be exercised on one machine without hardware."""
    if agent in WHY_NOT:
        return WHY_NOT[agent]
    if isinstance(found, str):
        return found
    if CLOUDS & set(found.parameters) and "snmp_version" not in found.parameters:
        return "needs an account at that service"
    if {"ip", "ipaddr"} & set(found.parameters):
        return "needs that device at an address"
    return "needs what it talks to"


def row(agent: str, drill: DeviceDrill) -> str:
    found = description(agent)
    if isinstance(found, str):
        return f"| {agent} | none: {found} | | {why_not(agent, found)} |"
    acts = " ".join(word for word in ("on", "off", "reboot", "status", "list") if word in found.actions)
    more = " on=unfencing" if found.unfences else ""
    more += ", on the node itself" if found.on_target else ""
    reason = next((check.reason for check in drill.checks if not check.ok), "all is well")
    reason = LOG_PREFIX.sub("", reason)
    reason = msgspec.json.encode(reason).decode()[1:-1].replace("|", "/")[:110]
    here = f"**yes**: {EXERCISES[agent][1]}" if agent in EXERCISES else why_not(agent, found)
    return f"| {agent} | {acts}{more} | {reason} | {here} |"


def main(only: list[str]) -> int:
    """The whole page, or the rows of some agents."""
    names = sorted(only) or agents()
    if not names:
        print("fence_agents: there are no fence agents in /usr/sbin", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="ha-", dir="/tmp") as folder:
        drills = drill_all(names, Path(folder))
    if not only:
        _head(len(names))
    for name in names:
        print(row(name, drills[name]))
    return 0


def _head(count: int) -> None:
    print("# Debian's fence agents\n")
    print(f"All {count} of Debian 12 ({PACKAGES}), each configured as a device without parameters and tried by a")
    print("drill; written by `python -m tests.real.fence_agents`. For Linux-HA plug-ins see")
    print("tests/real/test_stonith_plugins.py.\n")
    print("| Agent | Actions by its meta-data | A drill without parameters says | Exercised here |")
    print("|---|---|---|---|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
