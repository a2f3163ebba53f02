# SPDX-License-Identifier: GPL-2.0-or-later
"""Our cluster as a stack of the lab (hosts in network namespaces), so that it is measured exactly as its peers are.

The lab is a library beside the project (HA_LAB, else ../shared/lab); it needs root. Our tools take the options of
Pacemaker's and print what they print, so most of the lab's Pacemaker stack serves as it is.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ha.ipc.links import WORKERS

HOUSE = Path(__file__).resolve().parents[2]
LAB = Path(os.environ.get("HA_LAB", HOUSE.parent / "shared" / "lab"))
COMMANDS = HOUSE / ".venv" / "bin"
TOOLS = (
    "rmd", "ha", "attrd_updater", "cibadmin", "cl_status", "crm_attribute", "crm_mon", "crm_node", "crm_resource",
    "crm_standby", "crm_verify", "crmadmin", "stonith_admin",
)  # fmt: skip

FENCE_AGENT = """#!/bin/bash
# A fence agent of the lab: asks the harness outside to switch a host off, and confirms when that was done.
action=reboot
while IFS='=' read -r name value; do
    case $name in action) action=$value ;; port|plug|nodename) port=$value ;; esac
done
case $action in
metadata)
    echo '<?xml version="1.0"?><resource-agent name="fence_lab"><longdesc>The power switch of the lab.</longdesc>'
    echo '<parameters><parameter name="port" unique="0" required="1"><getopt mixed="-n, --plug=[port]"/>'
    echo '<content type="string"/><shortdesc>Host</shortdesc></parameter></parameters>'
    echo '<actions><action name="on"/><action name="off"/><action name="reboot"/><action name="status"/>'
    echo '<action name="monitor"/><action name="metadata"/></actions></resource-agent>' ;;
off|reboot)
    : > "/lab/fence-request-$port"
    until [ -e "/lab/fence-done-$port" ]; do read -rt 0.002 <> <(:); done ;;
on|monitor|status) ;;
*) exit 1 ;;
esac
exit 0
"""


BOOT_ANEW = """[ -e /run/boot_id ] || {
cat /proc/sys/kernel/random/uuid > /run/boot_id && mount --bind /run/boot_id /proc/sys/kernel/random/boot_id; }"""
"""Hosts share their kernel: by its word a host that was switched off and on would never have booted."""


def load_lab() -> Any:
    """The lab's module `stacks`, with our stack in it. Raises FileNotFoundError where there is no lab."""
    if not (LAB / "lab.py").is_file():
        raise FileNotFoundError(f"there is no lab at {LAB}: set HA_LAB to its directory")
    sys.path.insert(0, str(LAB))
    import stacks

    if "ours" not in stacks.STACKS:
        stacks.STACKS["ours"] = type("Ours", (Ours, stacks.Pacemaker), {})
    return stacks


class Ours:
    """What differs from the lab's Pacemaker stack, of which it is made a subclass (`load_lab`).

    `profile` is default or fast; `fencing` yes (an agent that confirms) or no (takeover-grace 0)."""

    name = "ours"
    # As the kernel knows them: it keeps 15 characters of "ha-heartbeat n1".
    daemons = tuple(f"ha-{worker} n{number}"[:15] for worker in WORKERS for number in range(1, 9))
    log = "/var/log/heartbeat/ha-log"

    def __init__(self, lab: Any, profile: str = "default", fencing: str = "no") -> None:
        super().__init__(lab)  # type: ignore[call-arg]
        self.profile = profile
        self.fencing = fencing == "yes"
        self.properties = {"stonith-enabled": "true" if self.fencing else "false"}
        if not self.fencing:
            self.properties["takeover-grace"] = "0"
        else:
            self.properties["stonith-action"] = "off"
            FenceServer(lab).start()

    @classmethod
    def from_settings(cls, lab: Any, settings: dict[str, str]) -> Any:
        return cls(lab, **settings)

    def install(self, host: Any) -> None:
        lines = [f"profile {self.profile}", *(f"ucast eth0 {h.address}" for h in self.lab if h is not host)]
        lines.append("node " + " ".join(h.name for h in self.lab))
        host.write("/etc/ha.d/ha.cf", "\n".join(lines) + "\n")
        host.write("/etc/ha.d/authkeys", "auth 1\n1 hmac-sha256 lab-secret\n", 0o600)
        host.write("/usr/sbin/fence_lab", FENCE_AGENT, 0o755)
        for tool in TOOLS:
            link = host.path(f"/usr/local/sbin/{tool}")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(COMMANDS / tool)

    def start(self, host: Any) -> None:
        host.run(BOOT_ANEW)
        (self.lab.shared / f"fence-done-{host.name}").unlink(missing_ok=True)
        host.spawn([str(COMMANDS / "rmd"), "--foreground"], log="/var/log/heartbeat/console.log")

    def stop(self, host: Any) -> None:
        host.run([str(COMMANDS / "rmd"), "--stop"], timeout=120)

    def configure(self) -> None:
        super().configure()  # type: ignore[misc]
        if self.fencing:
            hosts = " ".join(h.name for h in self.lab)
            device = (
                '<resources><primitive id="power" class="stonith" type="fence_lab">'
                '<instance_attributes id="power-p"><nvpair id="power-h" name="pcmk_host_list" '
                f'value="{hosts}"/></instance_attributes></primitive></resources>'
            )
            options = ["--modify", "--allow-create", "--scope", "resources", "--xml-text", device]
            self.lab.on()[0].run(["cibadmin", *options])

    def marks(self, since: float, hosts: Any = None) -> dict[str, float]:
        return {}

    def alarms(self, since: float) -> list[str]:
        found = []
        for host in self.lab.on():
            try:
                lines = host.read(self.log).splitlines()
            except OSError:
                continue
            found += [f"{host.name} {line}" for line in lines if " warning: " in line or " error: " in line]
        return found[-14:]


class FenceServer(threading.Thread):
    """Switches off the hosts that the fence agent asks for, and confirms it. Ends with the lab."""

    EVERY_S = 0.002

    def __init__(self, lab: Any) -> None:
        super().__init__(daemon=True)
        self._lab = lab

    def run(self) -> None:
        ticks = threading.Event()
        while self._lab.shared.is_dir():
            for request in sorted(self._lab.shared.glob("fence-request-*")):
                name = request.name.removeprefix("fence-request-")
                if name in self._lab.hosts:
                    self._lab[name].power_off()
                    (self._lab.shared / f"fence-done-{name}").touch()
                request.unlink(missing_ok=True)
            ticks.wait(self.EVERY_S)


def main() -> None:
    """As the lab's measure.py, with the stack "ours": python -m tests.bench.lab_stack failover --stack ours ..."""
    load_lab()
    import measure

    began = time.monotonic()
    measure.main()
    print(f"# {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
