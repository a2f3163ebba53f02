# SPDX-License-Identifier: GPL-2.0-or-later
"""Three nodes that `ha cluster init` and `join` made, as an operator would, each below a root of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.cli.playground.layout import free_udp_ports
from ha.cli.playground.power import family, forget_memory, signal_all
from ha.root import Root
from tests.real.cluster import AGENT
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

NAMES = ("alpha", "beta", "gamma")
CONFIGURATION = """\
<configuration>
  <crm_config><cluster_property_set id="cib-bootstrap-options">
    <nvpair id="no-fencing" name="stonith-enabled" value="false"/>
  </cluster_property_set></crm_config>
  <resources>
    <primitive id="service" class="ocf" provider="test" type="recorder">
      <instance_attributes id="service-parameters">
        <nvpair id="service-log" name="log" value="{folder}/agent.log"/>
        <nvpair id="service-state" name="state" value="{folder}"/>
      </instance_attributes>
    </primitive>
  </resources>
</configuration>
"""


class Machines:
    """What an operator types on each of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = dict(zip(NAMES, free_udp_ports(len(NAMES)), strict=True))
        self._inits: dict[str, subprocess.Popen[bytes]] = {}

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.ports[name]}"

    def root(self, name: str) -> Root:
        return Root.choose(self.folder / name)

    def type(self, name: str, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = str(Path(sys.executable).parent / words[0])
        return subprocess.run(
            [command, *words[1:]], env={**os.environ, "HA_ROOT": self.root(name).prefix}, input=stdin, text=True,
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    def start(self, name: str) -> None:
        root = self.root(name)
        provider = root.path("/usr/lib/ocf/resource.d/test")
        provider.mkdir(parents=True)
        shutil.copy(AGENT, provider / "recorder")
        (root.run_dir / "boot_id").write_text(f"{uuid.uuid4()}\n")
        with (root.log_dir / "console.log").open("ab") as console:
            self._inits[name] = subprocess.Popen(
                [sys.executable, "-m", "ha.cli.playground.node", root.prefix], stdin=subprocess.DEVNULL,
                stdout=console, stderr=console, start_new_session=True,
            )  # fmt: skip

    def end(self) -> None:
        for name, init in self._inits.items():
            while members := family(init.pid)[1:]:
                signal_all(members, signal.SIGKILL)
            init.wait(60)
            forget_memory(self.root(name))


@pytest.fixture
def machines() -> Iterator[Machines]:
    folder = Path(tempfile.mkdtemp(prefix="ha-", dir="/tmp"))
    made = Machines(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(made.end)
        yield made
    shutil.rmtree(folder, ignore_errors=True)


def test_three_machines_become_a_cluster_and_run_a_service(machines: Machines) -> None:
    first, *others = NAMES
    (machines.folder / "first.xml").write_text(CONFIGURATION.format(folder=machines.folder))
    nodes = [word for name in NAMES for word in ("--node", f"{name}={machines.address(name)}")]
    made = machines.type(first, "ha", "cluster", "init", "trial", *nodes, "--self", first,
                         "--cib", str(machines.folder / "first.xml"))  # fmt: skip
    assert made.returncode == 0, made.stderr
    asked = machines.type(first, "ha", "cluster", "invite")
    fingerprint = made.stdout.rsplit(" ", 1)[-1].strip()
    assert fingerprint in asked.stderr
    for name in others:
        joined = machines.type(name, "ha", "cluster", "join", "-", "--fingerprint", fingerprint, "--self", name,
                               "--bind", machines.address(name), stdin=asked.stdout)  # fmt: skip
        assert joined.returncode == 0, joined.stderr
    for name in NAMES:
        checked = machines.type(name, "ha", "config", "check")
        assert checked.returncode == 0, checked.stdout
        machines.start(name)
    wait_for(lambda: "Started" in (seen := machines.type("gamma", "crm_mon", "-1").stdout) and
             "Online: [ alpha beta gamma ]" in seen, "the service runs in a cluster of three", 60)  # fmt: skip
    assert (machines.folder / "agent.log").read_text().count(" started\n") == 1
    name = machines.type("beta", "crm_attribute", "-t", "crm_config", "-n", "cluster-name", "-G", "-q")
    assert name.stdout.strip() == "trial", "the first configuration is everybody's"
