# SPDX-License-Identifier: GPL-2.0-or-later
"""A playground for tests: whole nodes as real processes, with a resource that records what is done to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ha.cli.playground import cluster, control
from ha.cli.playground.layout import Layout, PlaygroundError, Profile, load
from ha.ipc.links import WORKERS

AGENT = Path(__file__).parent / "agents" / "recorder"


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """A line of the agent's own log: Unix seconds, node, resource, what it did."""

    at_s: float
    node: str
    resource: str
    action: str


class TestCluster:
    """See `running`."""

    __test__ = False

    def __init__(self, layout: Layout, folder: Path) -> None:
        self.layout = layout
        self.folder = folder
        self.agent_log = folder / "agent.log"
        self.agent_log.touch()
        for node in layout.nodes:
            provider = layout.root(node).path("/usr/lib/ocf/resource.d/test")
            provider.mkdir(parents=True)
            shutil.copy(AGENT, provider / "recorder")

    # Configuration ---------------------------------------------------------------------------------------------------

    def load(self, xml: str) -> None:
        cluster.load_configuration(self.layout, xml.encode(), "the test's configuration")

    def recorder(
        self, name: str, *, start_delay: float = 0, stop_delay: float = 0, monitor: str = "1s", named: bool = False
    ) -> str:
        """The XML of a primitive that records into the agent log."""
        pairs = {
            "log": self.agent_log,
            "state": self.folder,
            "start_delay": start_delay,
            "stop_delay": stop_delay,
            "named": int(named),
        }
        values = "".join(f'<nvpair id="{name}-{k}" name="{k}" value="{v}"/>' for k, v in pairs.items())
        return (
            f'<primitive id="{name}" class="ocf" provider="test" type="recorder">'
            f'<instance_attributes id="{name}-parameters">{values}</instance_attributes>'
            f'<operations><op id="{name}-monitor" name="monitor" interval="{monitor}" timeout="20s"/></operations>'
            "</primitive>"
        )

    def add_recorder(self, name: str, **options: float) -> None:
        self.load(f"<configuration><resources>{self.recorder(name, **options)}</resources></configuration>")  # type: ignore[arg-type]

    # Orders and looks ------------------------------------------------------------------------------------------------

    def order(self, line: str) -> str:
        return control.order(self.layout, line)

    def run(self, node: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command as if on the node."""
        return subprocess.run(
            command,
            env=control.environment(self.layout, node),
            text=True,
            capture_output=True,
            check=check,
            timeout=60,
        )

    def settle(self, *nodes: str, timeout_s: float = 60) -> None:
        cluster.await_cluster(self.layout, nodes or self.layout.nodes, timeout_s)

    def events(self) -> list[AgentEvent]:
        found = []
        for line in self.agent_log.read_text().splitlines():
            at, node, resource, action = line.split()
            found.append(AgentEvent(float(at), node, resource, action))
        return found

    def where(self, resource: str) -> list[str]:
        """The nodes on which the resource's process really lives."""
        found = []
        for node in self.layout.nodes:
            with contextlib.suppress(OSError, ValueError):
                pid = int((self.folder / f"{node}-{resource}.pid").read_text())
                os.kill(pid, 0)
                found.append(node)
        return found

    def pid_of(self, node: str, worker: str) -> int:
        """The living worker's pid, 0 when there is none. Titles are what `ps` shows: "ha-crmd n1"."""
        wanted = f"ha-{worker} {node}"
        for text in self.order(f"pids {node}").split():
            with contextlib.suppress(OSError):
                title = Path(f"/proc/{text}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                state = Path(f"/proc/{text}/stat").read_text().rpartition(")")[2].split()[0]
                if title == wanted and state not in "ZX":
                    return int(text)
        return 0

    def workers(self, node: str) -> dict[str, int]:
        """Every worker that lives on the node, with its pid."""
        return {worker: pid for worker in WORKERS if (pid := self.pid_of(node, worker))}


@contextlib.contextmanager
def running(nodes: int = 3, profile: Profile = "default") -> Iterator[TestCluster]:
    """A cluster that has formed, with fencing by the playground's power switch."""
    folder = Path(tempfile.mkdtemp(prefix="ha-", dir="/tmp"))
    try:
        yield TestCluster(cluster.up(folder / "p", nodes, profile, lambda text: None), folder)
    except BaseException:
        _end(folder / "p")
        print(f"the nodes' files are kept in {folder}", file=sys.stderr)
        raise
    _end(folder / "p")
    shutil.rmtree(folder, ignore_errors=True)


def _end(playground: Path) -> None:
    """The nodes' processes end before their files go: nobody else would find them. Also of nodes that never met."""
    with contextlib.suppress(PlaygroundError):
        control.order(load(playground), "quit")
