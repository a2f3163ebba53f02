# SPDX-License-Identifier: GPL-2.0-or-later
"""This machine as the operator of a playground's first node has it, so that stock shells drive the playground.

Each command runs in a mount namespace of its own. There our tools lie over Pacemaker's in /usr/sbin and
/usr/lib/pacemaker (pcs calls them by these paths, and with an empty environment), the playground's nodes have names in
/etc/hosts (crmsh pings a node before it is put into standby), and the folders of Pacemaker, Corosync and pcsd are
empty ones that belong to the test. Outside of the namespace nothing changes.
"""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lxml import etree

from tests.real.cluster import TestCluster
from tests.real.waiting import wait_for

TOOLS = Path(sys.executable).parent
SYSTEM = Path("/usr/sbin")
DAEMONS = Path("/usr/lib/pacemaker")
EMPTIED = ("/etc/corosync", "/etc/pacemaker", "/var/lib/pacemaker", "/var/lib/pcsd", "/var/log/pcsd")
COMMAND_TIMEOUT_S = 120
EFFECT_TIMEOUT_S = 60
"""Far above what anything here takes; a slow machine is no failure."""


def why_not(shell: str) -> str:
    """What this machine lacks to run `shell` so, "" when nothing."""
    if shutil.which(shell, path="/usr/sbin:/usr/bin") is None:
        return f"{shell} is not installed here"
    if not (SYSTEM / "crm_resource").exists():
        return f"Pacemaker's tools, which {shell} looks for, are not installed here"
    if os.getuid() != 0:
        return f"{shell} wants to be root"
    if shutil.which("ping") is None or shutil.which("unshare") is None:
        return "ping or unshare is not installed here"
    for command in ("unshare --mount --propagation private mount --bind /etc/hosts /etc/hosts", "ping -c 1 127.0.0.1"):
        if subprocess.run(command.split(), capture_output=True, check=False).returncode:
            return f"this does not work here: {command}"
    return ""


class ClientHost:
    def __init__(self, running: TestCluster) -> None:
        self.running = running
        self.node = running.layout.nodes[0]
        self.folder = running.folder / "host"
        self._entry = self._lay_out()

    def _lay_out(self) -> Path:
        """Write what is mounted, and the script that mounts it. Returns the script."""
        self.folder.mkdir()
        mounts = []
        for path in EMPTIED:
            if Path(path).is_dir():
                mounts.append((self._made(path), path))
        (self.folder / "var/lib/pacemaker/cib").mkdir(parents=True, exist_ok=True)
        hosts = self.folder / "hosts"
        hosts.write_text(f"127.0.0.1 localhost {' '.join(self.running.layout.nodes)}\n")
        mounts.append((hosts, "/etc/hosts"))
        root = self.running.layout.root(self.node).prefix
        for tool in sorted(TOOLS.iterdir()):
            place = (DAEMONS if tool.name.startswith("pacemaker-") else SYSTEM) / tool.name
            if place.exists():
                ours = self.folder / tool.name
                ours.write_text(f'#!/bin/sh\nHA_ROOT={shlex.quote(root)} exec {shlex.quote(str(tool))} "$@"\n')
                ours.chmod(0o755)
                mounts.append((ours, str(place)))
        lines = [f"mount --bind {shlex.quote(str(ours))} {shlex.quote(place)}" for ours, place in mounts]
        entry = self.folder / "enter"
        entry.write_text("set -e\n" + "\n".join(lines) + '\nexec "$@"\n')
        return entry

    def _made(self, path: str) -> Path:
        folder = self.folder / path.lstrip("/")
        folder.mkdir(parents=True)
        return folder

    def run(
        self, *command: str, script: str | None = None, terminal: bool = False, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """A command on this host, `script` on its standard input, or there a terminal that nobody types on."""
        environment = {
            "PATH": f"{TOOLS}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TERM": "dumb", "HOME": str(self.folder),
            "HA_ROOT": self.running.layout.root(self.node).prefix, **variables,
        }  # fmt: skip
        ends = pty.openpty() if terminal else ()
        try:
            given: dict[str, object] = {"input": script} if script is not None else {"stdin": subprocess.DEVNULL}
            return subprocess.run(
                ["unshare", "--mount", "--propagation", "private", "sh", str(self._entry), *command],
                env=environment, text=True, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False,
                **({"stdin": ends[1]} if terminal else given),
            )  # fmt: skip
        finally:
            for end in ends:
                os.close(end)

    # What the cluster says, by our own tools outside of the namespace ----------------------------------------------

    def cib(self, xpath: str) -> list[etree._Element]:
        """What of the cluster's CIB matches."""
        text = self.running.run(self.node, "cibadmin", "-Q").stdout
        found = etree.fromstring(text.encode()).xpath(xpath)
        assert isinstance(found, list), xpath
        return found

    def monitored(self, xpath: str) -> list[etree._Element]:
        """What of crm_mon's XML matches."""
        text = self.running.run(self.node, "crm_mon", "-1r", "--output-as=xml").stdout
        found = etree.fromstring(text.encode()).xpath(xpath)
        assert isinstance(found, list), xpath
        return found

    def await_monitored(self, xpath: str) -> None:
        wait_for(lambda: self.monitored(xpath), f"crm_mon shows {xpath}", EFFECT_TIMEOUT_S)

    def await_places(self, resource: str, *nodes: str) -> None:
        """Until the resource's processes live on these nodes alone."""
        wait_for(
            lambda: sorted(self.running.where(resource)) == sorted(nodes), f"{resource} runs on {nodes}",
            EFFECT_TIMEOUT_S,
        )  # fmt: skip

    def count(self, action: str, resource: str) -> int:
        """How often the agent has been asked to, on all nodes."""
        return sum(each.action == action and each.resource == resource for each in self.running.events())


def skip_unless(shell: str) -> pytest.MarkDecorator:
    reason = why_not(shell)
    return pytest.mark.skipif(bool(reason), reason=reason)
