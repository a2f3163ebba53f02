# SPDX-License-Identifier: GPL-2.0-or-later
"""The program's files are replaced under running nodes, and nodes of two versions share a cluster.

The nodes run a copy of the program behind a link, as an installation would be switched to a new release.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ha.ipc.links import WORKERS
from ha.rmd.io.options import CLIENT_CONFIGURATION
from tests.real import cluster
from tests.real.cluster import TestCluster
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

SOURCE = Path(__file__).parents[2]
PARTS = ("ha", "supervisor.d", "resource.d")
SERVICE = "guarded"
FORKED = tuple(worker for worker in WORKERS if worker not in ("rmd", "pengine", "tengine"))
"""Workers of every node that are forked from rmd's image; rmd itself is executed from the files, by design."""


class Installation:
    """Releases side by side in a folder, and the link that a node's start follows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.current = folder / "current"

    def release(self, name: str) -> Path:
        place = self.folder / name
        for part in PARTS:
            shutil.copytree(SOURCE / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
        return place

    def switch_to(self, release: Path) -> None:
        fresh = self.folder / "fresh"
        fresh.symlink_to(release)
        fresh.replace(self.current)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


@pytest.fixture
def c(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestCluster]:
    """Three nodes of the release `old`. Commands of the test itself run from the source tree."""
    installation.switch_to(installation.release("old"))
    monkeypatch.setenv("PYTHONPATH", str(installation.current))
    with cluster.running(3) as running:
        monkeypatch.delenv("PYTHONPATH")
        running.add_recorder(SERVICE)
        running.settle()
        wait_for(lambda: all(has_everything_in_memory(running, node) for node in running.layout.nodes), "all is loaded")
        yield running


def has_everything_in_memory(c: TestCluster, node: str) -> bool:
    """rmd takes notice of its last worker only after it has read the code of those that are started later."""
    configuration = c.layout.root(node).run_dir / CLIENT_CONFIGURATION
    return "RUNNING" in c.run(node, "supervisorctl", "-c", str(configuration), "status", "crmd", check=False).stdout


def home(c: TestCluster) -> str:
    (node,) = wait_for(lambda: c.where(SERVICE), "the service runs")
    return node


def leader(c: TestCluster, node: str) -> str:
    return c.run(node, "crmadmin", "-D").stdout.split()[-1]


def members(c: TestCluster, node: str) -> list[str]:
    return c.run(node, "crm_node", "-p").stdout.split()


def make_unusable(release: Path) -> None:
    """Whoever imports from here now ends: a stand-in for code of a version that must not be mixed in."""
    for file in release.rglob("*.py"):
        file.write_text(f"raise SystemExit('{file.name} was read after the files had been replaced')\n")
    for cache in list(release.rglob("__pycache__")):
        shutil.rmtree(cache)


def test_workers_are_replaced_from_memory_when_the_files_are_of_another_version(
    c: TestCluster, installation: Installation
) -> None:
    node = home(c)
    events = len(c.events())
    make_unusable(installation.folder / "old")
    for worker in FORKED:
        pid = wait_for(lambda worker=worker: c.pid_of(node, worker), f"{worker} runs")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda worker=worker, pid=pid: c.pid_of(node, worker) not in (0, pid), f"{worker} is back")
    c.settle()
    assert c.events()[events:] == []  # nobody touched the service

    os.kill(int((c.folder / f"{node}-{SERVICE}.pid").read_text()), signal.SIGKILL)
    wait_for(lambda: any(event.action == "started" for event in c.events()[events:]), "the service is recovered")
    c.settle()

    lost = home(c)
    c.order(f"off {lost}")
    wait_for(lambda: c.where(SERVICE) and c.where(SERVICE) != [lost], "the service runs elsewhere")
    c.settle(*(other for other in c.layout.nodes if other != lost))
    assert len(c.where(SERVICE)) == 1


def make_newer(release: Path) -> None:
    """A later release: another version, and a feature set that the old one does not have."""
    front = release / "ha" / "__init__.py"
    front.write_text(re.sub(r'__version__ = ".*"', '__version__ = "99.0"', front.read_text()))
    model = release / "ha" / "crm" / "model" / "__init__.py"
    model.write_text(re.sub(r'FEATURE_SET = ".*"', 'FEATURE_SET = "3.99.0"', model.read_text()))


def test_nodes_are_upgraded_one_by_one_and_the_service_has_one_copy(c: TestCluster, installation: Installation) -> None:
    newer = installation.release("new")
    make_newer(newer)
    installation.switch_to(newer)
    for node in c.layout.nodes:
        others = tuple(other for other in c.layout.nodes if other != node)
        c.order(f"off {node}")
        wait_for(lambda node=node, others=others: node not in members(c, others[0]), f"the loss of {node} is noticed")
        c.settle(*others)
        c.order(f"on {node}")
        c.settle()
        assert len(c.where(SERVICE)) == 1
        version = c.run(node, "crm_attribute", "-G", "-q", "-t", "crm_config", "-n", "dc-version").stdout
        old_nodes = c.layout.nodes[c.layout.nodes.index(node) + 1 :]
        # The oldest feature set leads, so that every member understands what the DC orders.
        assert (leader(c, node) in old_nodes) == bool(old_nodes)
        assert ("99.0" in version) == (not old_nodes)
