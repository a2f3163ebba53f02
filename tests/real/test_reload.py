# SPDX-License-Identifier: GPL-2.0-or-later
"""A reload and an upgrade in place: with fencing and the default deadtime no node is lost, and no service notices."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator

import pytest

from ha.rmd.io.options import CLIENT_CONFIGURATION
from tests.real import cluster
from tests.real.cluster import TestCluster
from tests.real.test_upgrade import SERVICE, Installation, home, leader, make_newer, make_unusable, members
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real


@pytest.fixture
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return Installation(tmp_path_factory.mktemp("installation"))


@pytest.fixture
def c(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestCluster]:
    """Three nodes of the release `old` with a fencing device. Commands of the test itself run from the source tree."""
    installation.switch_to(installation.release("old"))
    monkeypatch.setenv("PYTHONPATH", str(installation.current))
    with cluster.running(3) as running:
        monkeypatch.delenv("PYTHONPATH")
        running.add_recorder(SERVICE)
        running.settle()
        home(running)
        yield running


class Witness:
    """What the cluster looked like, and that it still does."""

    def __init__(self, c: TestCluster) -> None:
        self.c = c
        self.home = home(c)
        self.events = len(c.events())
        self.rmds = {node: c.pid_of(node, "rmd") for node in c.layout.nodes}

    def nothing_has_moved(self, *, but_rmd_of: str = "") -> None:
        c = self.c
        c.settle()
        assert c.events()[self.events :] == []
        assert c.where(SERVICE) == [self.home]
        for node in c.layout.nodes:
            assert c.order(f"status {node}") == "on"
            assert sorted(members(c, node)) == sorted(c.layout.nodes)
            assert node == but_rmd_of or c.pid_of(node, "rmd") == self.rmds[node]
        history = c.run(c.layout.nodes[0], "stonith_admin", "--history", "*", check=False).stdout
        assert not re.search(r"\b(reboot|off)\b", history), history


def rmd(c: TestCluster, node: str, *arguments: str, path: str) -> tuple[int, str]:
    """The command as an operator calls it: of the release that is installed, and not of the folder the tests run in."""
    done = c.run(node, "env", f"PYTHONPATH={path}", sys.executable, "-P", "-m", "ha.rmd", *arguments, check=False)
    return done.returncode, done.stderr


def await_new_workers(c: TestCluster, node: str, former: dict[str, int]) -> None:
    def all_new() -> bool:
        now = c.workers(node)
        names = set(former) - {"rmd", "pengine", "tengine"}
        return all(now.get(name, former[name]) != former[name] for name in names)

    wait_for(all_new, f"every worker of {node} is of the new image")


def silence_of(c: TestCluster, node: str) -> list[str]:
    return re.findall(r"heartbeat was away for (\d+) ms", (c.layout.root(node).log_dir / "rmd.log").read_text())


def test_nobody_notices_a_reload_of_the_service_s_node_nor_of_the_leader(c: TestCluster) -> None:
    path = str(cluster.AGENT.parents[3])
    witness = Witness(c)
    for number, node in enumerate((witness.home, leader(c, witness.home), witness.home)):
        former = c.workers(node)
        if number == 2:
            configuration = c.layout.root(node).run_dir / CLIENT_CONFIGURATION
            c.run(node, "supervisorctl", "-c", str(configuration), "reload")
        else:
            assert rmd(c, node, "--reload", path=path) == (0, "")
        await_new_workers(c, node, former)
        witness.nothing_has_moved()
        print(f"{node}: heartbeat was away for {silence_of(c, node)[-1]} ms")


def test_nodes_are_upgraded_in_place_one_by_one(c: TestCluster, installation: Installation) -> None:
    newer = installation.release("new")
    make_newer(newer)
    witness = Witness(c)
    installation.switch_to(newer)
    for node in c.layout.nodes:
        former = c.workers(node)
        assert rmd(c, node, "--reload", path=str(installation.current)) == (0, "")
        await_new_workers(c, node, former)
        witness.nothing_has_moved()
        print(f"{node}: heartbeat was away for {silence_of(c, node)[-1]} ms")

    def all_are_new() -> bool:
        options = ("-G", "-q", "-t", "crm_config", "-n", "dc-version")
        return "99.0" in c.run(c.layout.nodes[0], "crm_attribute", *options).stdout

    wait_for(all_are_new, "a leader of the new version")


def test_a_release_that_cannot_be_loaded_costs_nothing(c: TestCluster, installation: Installation) -> None:
    newer = installation.release("new")
    crmd = newer / "ha" / "crm" / "daemon.py"
    crmd.write_text("raise RuntimeError('half a file')\n")
    installation.switch_to(newer)
    witness = Witness(c)
    node = witness.home
    status, told = rmd(c, node, "--reload", path=str(installation.current))
    assert status == 78
    assert "crmd: cannot load ha.crm.daemon:main: RuntimeError: half a file" in told
    witness.nothing_has_moved()

    # Nobody has tried it before: rmd executes itself anew, and the old image, kept in apphbd, goes on.
    for broken in ("crmd", "everything"):
        if broken == "everything":
            make_unusable(newer)
        former = c.workers(node)
        os.kill(former["rmd"], signal.SIGHUP)
        await_new_workers(c, node, former)
        witness.nothing_has_moved(but_rmd_of=node)
