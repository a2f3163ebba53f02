# SPDX-License-Identifier: GPL-2.0-or-later
"""A real Heartbeat 3.0.6 on one host of the lab and our heartbeat on the other, with the same ha.cf and authkeys.

Needs root, Debian's package heartbeat, and the lab of network namespaces (HA_LAB, else beside the project).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.lab_stack import HOUSE, LAB
from tests.real.waiting import wait_for

OLD_DAEMON = "/usr/libexec/heartbeat/heartbeat"
TOOLS = ("ip", "nft", "nsenter", "unshare")
OLD, OURS = "n1", "n2"
PATIENCE_S = 30
FAST = {"keepalive": "100ms", "warntime": "1", "deadtime": "2", "initdead": "10"}


def why_not() -> str:
    """Why these tests cannot run here; "" when they can."""
    if os.geteuid() != 0:
        return "needs root for hosts in network namespaces"
    if not Path(OLD_DAEMON).exists():
        return f"Debian's package heartbeat is not installed ({OLD_DAEMON})"
    if not (LAB / "lab.py").is_file():
        return f"there is no lab at {LAB} (HA_LAB)"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"needs {', '.join(missing)}" if missing else ""


def load_lab() -> Any:
    """The lab's module, with this source tree and its Python visible on hosts, where /tmp is a fresh one."""
    sys.path.insert(0, str(LAB))
    import lab

    for path in {HOUSE, Path(sys.base_prefix)}:
        mount = f'mkdir -p "$root{path}"; mount --bind "{path}" "$root{path}"\n'
        if str(path).startswith("/tmp/") and mount not in lab.INIT:
            lab.INIT = lab.INIT.replace('mkdir -p "$root/run/lock"', mount + 'mkdir -p "$root/run/lock"', 1)
    return lab


def media_lines(medium: str) -> str:
    return {
        "ucast": "ucast eth0 10.77.0.1\nucast eth0 10.77.0.2\n",
        "bcast": "bcast eth0\n",
        "ucast6": "ucast6 eth0 fd77::1\nucast6 eth0 fd77::2\n",
        "mcast6": "mcast6 eth0 ff05::694 694 1 0\n",
        "mcast": "mcast eth0 225.0.0.1 694 1 0\n",
    }[medium]


class MixedPair:
    """Node n1 is Heartbeat 3.0.6, node n2 is ours. Neither runs at first."""

    def __init__(
        self,
        lab: Any,
        medium: str = "ucast",
        authkeys: str = "auth 1\n1 sha1 a-secret-of-the-lab\n",
        framing: str = "netstring",
        times: Mapping[str, str] = FAST,
        extra: str = "crm ccm-only\n",
    ) -> None:
        self.lab = lab
        self.old, self.ours = lab[OLD], lab[OURS]
        self.environment = {"PYTHONPATH": str(HOUSE), "PYTHONDONTWRITEBYTECODE": "1"}
        lines = "".join(f"{name} {value}\n" for name, value in times.items())
        common = f"{lines}udpport 694\nmsgfmt {framing}\n{media_lines(medium)}{extra}node {OLD} {OURS}\n"
        for host in (self.old, self.ours):
            host.write("/etc/ha.d/ha.cf", f"logfacility none\nlogfile /var/log/ha-log\n{common}")
            host.write("/etc/ha.d/authkeys", authkeys, 0o600)
            host.write("/etc/ha.d/haresources", "")
            if " brd " not in host.run("ip -4 addr show dev eth0").stdout:  # which bcast needs, on both sides
                host.run(f"ip addr del {host.address}/24 dev eth0; ip addr add {host.address}/24 brd + dev eth0")
                host.run("ip route replace 224.0.0.0/4 dev eth0")
            host.run(f"ip -6 addr replace fd77::{host.number}/64 dev eth0 nodad")
            for folder in ("/run/heartbeat", "/run/heartbeat/ccm", "/run/heartbeat/crm", "/run/heartbeat/dopd"):
                host.run(["install", "-d", "-o", "hacluster", "-g", "haclient", folder])

    # The old one -----------------------------------------------------------------------------------------------------

    def start_old(self) -> None:
        self.old.run([OLD_DAEMON])

    def stop_old(self) -> None:
        self.old.run([OLD_DAEMON, "-k"])

    def kill_old(self) -> None:
        for process in self.old.processes("heartbeat"):
            process.signal(signal.SIGKILL)
        wait_for(lambda: not self.old.processes("heartbeat"), "the old heartbeat is gone")
        self.old.run("rm -f /run/heartbeat.pid")

    def old_says(self) -> str:
        path = self.old.path("/var/log/ha-log")
        return path.read_text(errors="replace") if path.exists() else ""

    def state_at_old(self, node: str) -> str:
        return str(self.old.run(["cl_status", "nodestatus", node], check=False).stdout.strip())

    # Ours ------------------------------------------------------------------------------------------------------------

    def start_ours(self) -> None:
        self.ours.spawn(
            [sys.executable, "-m", "ha.shell", "ha.heartbeat.daemon:main"],
            log="/var/log/ours.log",
            env=self.environment,
        )

    def our_process(self) -> Any:
        return next(
            (
                p
                for p in self.ours.processes()
                if "ha.heartbeat.daemon:main" in p.command or p.name.startswith("ha-heartbeat")
            ),
            None,
        )

    def stop_ours(self, number: int = signal.SIGTERM) -> None:
        process = wait_for(self.our_process, "our heartbeat is there")
        process.signal(number)
        wait_for(lambda: not process.alive(), "our heartbeat is gone")

    def we_say(self) -> str:
        path = self.ours.path("/var/log/ours.log")
        return path.read_text(errors="replace") if path.exists() else ""

    def state_at_ours(self, node: str) -> str:
        """Asked with Debian's own cl_status, at our register socket."""
        return str(self.ours.run(["/usr/bin/cl_status", "nodestatus", node], check=False).stdout.strip())

    # Both ------------------------------------------------------------------------------------------------------------

    def both_active(self) -> None:
        for node in (OLD, OURS):
            wait_for(lambda: self.state_at_ours(node) == "active", f"{node} is active for ours", PATIENCE_S)  # noqa: B023
            wait_for(lambda: self.state_at_old(node) == "active", f"{node} is active for 3.0.6", PATIENCE_S)  # noqa: B023

    def end(self) -> None:
        """All processes of both hosts are gone, and what they wrote; the network is whole."""
        self.lab.heal()
        for host in (self.old, self.ours):
            for process in host.processes():
                with contextlib.suppress(ProcessLookupError):
                    process.signal(signal.SIGKILL)
            wait_for(lambda: not host.processes(), f"{host} is quiet")  # noqa: B023 (called at once)
            host.run("rm -rf /run/heartbeat/* /run/heartbeat.pid /var/log/*; find /var/lib/heartbeat ! -type d -delete")

    # Clients ---------------------------------------------------------------------------------------------------------

    def start_chat(self, pad_bytes: int = 0) -> None:
        """A client on each host sends numbered messages to its namesake until /run/chat.end is there."""
        for host in (self.old, self.ours):
            host.run("rm -f /run/chat.end /var/log/chat")
            words = [sys.executable, "-m", "tests.real.legacy_chat", str(pad_bytes)]
            host.spawn(words, log="/var/log/chat", env=self.environment)

    def end_chat(self) -> dict[str, dict[str, list[str]]]:
        """What each host's client has received: numbers by sender."""
        said: dict[str, dict[str, list[str]]] = {}
        for host in (self.old, self.ours):
            host.write("/run/chat.end", "")
        for host in (self.old, self.ours):
            wait_for(lambda: "end" in host.read("/var/log/chat").split(), "the client ends", PATIENCE_S)  # noqa: B023
            heard = said[host.name] = {}
            for line in host.read("/var/log/chat").splitlines():
                if line.startswith("from "):
                    _, sender, number = line.split()
                    heard.setdefault(sender, []).append(number)
        return said

    def heard_in_chat(self) -> int:
        """How many messages the client has heard that heard fewer."""
        return min(host.read("/var/log/chat").count("from ") for host in (self.old, self.ours))

    def count_drops(self, percent: int) -> None:
        """Lose packets between the two, counted."""
        self.lab.heal()
        rule = f"numgen random mod 100 < {percent} counter drop"
        self.lab._nft(f"add rule bridge lab forward ip protocol udp {rule}\n")

    def dropped(self) -> int:
        """Packets that the switch has dropped so far (with `count_drops`)."""
        text = self.lab._in_switch(["nft", "list", "chain", "bridge", "lab", "forward"])
        return sum(int(number) for number in re.findall(r"counter packets (\d+) bytes \d+ drop", text))


@contextmanager
def mixed_pair(**settings: Any) -> Iterator[MixedPair]:
    with load_lab().Lab(2, no_ipv6=False) as lab:
        yield MixedPair(lab, **settings)
