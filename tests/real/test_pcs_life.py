# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster's whole life in the hands of pcs as Debian ships it, unmodified: our tools lie where it looks for them.

Sub-commands that cannot work, and why, are in docs/clients.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real import cluster
from tests.real.client_host import EFFECT_TIMEOUT_S, ClientHost, skip_unless
from tests.real.cluster import TestCluster
from tests.real.waiting import wait_for

pytestmark = [pytest.mark.real, pytest.mark.slow, skip_unless("pcs")]


class Pcs:
    """pcs on the first node."""

    def __init__(self, running: TestCluster) -> None:
        self.host = ClientHost(running)
        self.running = running

    def __call__(self, command: str, code: int = 0) -> str:
        """What it says; fails the test when pcs does, or does not where another exit code is expected."""
        done = self.host.run("pcs", *command.split())
        said = f"pcs {command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == code and "Traceback" not in done.stderr, said
        return done.stdout + done.stderr

    def agent(self, monitor: str = "5s") -> str:
        folder, log = self.running.folder, self.running.agent_log
        return f"ocf:test:recorder log={log} state={folder} op monitor interval={monitor} timeout=20s"


@pytest.fixture
def pcs() -> Iterator[Pcs]:
    with cluster.running(3) as running:
        running.settle()
        yield Pcs(running)


def a_cluster_is_configured(pcs: Pcs) -> None:
    host, (first, second, third) = pcs.host, pcs.running.layout.nodes
    pcs("property set no-quorum-policy=stop")
    assert host.cib("//cluster_property_set/nvpair[@name='no-quorum-policy'][@value='stop']")
    assert "no-quorum-policy: stop" in pcs("property config")
    pcs(f"resource create a {pcs.agent()} --wait=60")
    assert len(pcs.running.where("a")) == 1, "pcs waited until it ran"
    pcs(f"resource create b {pcs.agent()}")
    pcs("resource group add g a b")
    pcs(f"resource create c {pcs.agent()} clone interleave=true")
    host.await_places("c", first, second, third)
    assert host.cib("//group[@id='g']/primitive[@id='b']") and host.cib("//clone[@id='c-clone']/primitive[@id='c']")
    pcs("resource update a start_delay=0.1")
    assert host.cib("//primitive[@id='a']//nvpair[@name='start_delay'][@value='0.1']")
    pcs("resource meta g priority=5")
    assert host.cib("//group[@id='g']/meta_attributes/nvpair[@name='priority'][@value='5']")
    pcs("resource defaults update resource-stickiness=10")
    pcs("resource op defaults update timeout=30s")
    assert host.cib("//rsc_defaults//nvpair[@name='resource-stickiness'][@value='10']")
    assert host.cib("//op_defaults//nvpair[@name='timeout'][@value='30s']")
    host.await_monitored("//group[@id='g']/resource[@id='b'][@role='Started']")
    said = pcs("status")
    assert "Resource Group: g:" in said and "Started: [ n1 n2 n3 ]" in said
    assert "Group: g" in pcs("config") and "a-monitor-interval-5s" in pcs("resource config a")


def constraints_are_made_and_removed(pcs: Pcs) -> None:
    host, (first, second, _) = pcs.host, pcs.running.layout.nodes
    pcs(f"constraint location g rule id=home score=200 #uname eq {first}")
    host.await_places("a", first)
    pcs(f"constraint location add there g {second} 500 --force")
    host.await_places("a", second)
    pcs("constraint order g then c-clone kind=Optional id=first-g")
    pcs("constraint colocation add c-clone with g 7 id=near")
    assert host.cib("//rsc_order[@id='first-g'][@first='g'][@kind='Optional']")
    assert host.cib("//rsc_colocation[@id='near'][@with-rsc='g'][@score='7']")
    shown = pcs("constraint --full")
    assert all(name in shown for name in ("home", "there", "first-g", "near"))
    for name in ("there", "first-g", "near"):
        pcs(f"constraint remove {name}")
    host.await_places("a", first)
    assert host.cib("//rule[@id='home']")
    assert not host.cib("//constraints/*[@id='there' or @id='near' or @id='first-g']")
    pcs("constraint remove home")


def resources_are_looked_after(pcs: Pcs) -> None:
    host, (first, second, _) = pcs.host, pcs.running.layout.nodes
    host.await_places("a", first)
    host.await_places("b", first)
    pcs(f"resource move g {second}")
    host.await_places("a", second)
    assert not host.cib("//rsc_location"), "pcs took its constraint back"
    pcs(f"resource move-with-constraint g {first}")
    host.await_places("a", first)
    assert host.cib("//rsc_location[@id='cli-prefer-g']")
    pcs("resource clear g")
    pcs(f"resource ban g {first}")
    pcs("resource clear g --expired")
    assert host.cib("//rsc_location"), "what holds for ever is never over"
    wait_for(lambda: pcs.running.where("a") not in ([], [first]), "the group left its node", EFFECT_TIMEOUT_S)
    pcs("resource clear g")
    assert not host.cib("//rsc_location")
    pcs.running.settle()
    starts = host.count("started", "a")
    pcs("resource restart g")
    assert host.count("started", "a") == starts + 1
    pcs("resource disable g --wait=60")
    assert not pcs.running.where("a") and not pcs.running.where("b")
    pcs("resource enable g --wait=60")
    assert pcs.running.where("a")
    pcs("resource disable c-clone --wait=60")
    assert "returned 0 (ok)" in pcs("resource debug-start c") and pcs.running.where("c") == [first]
    assert "returned 0 (ok)" in pcs("resource debug-monitor c")
    assert "returned 0 (ok)" in pcs("resource debug-stop c") and not pcs.running.where("c")
    pcs("resource enable c-clone --wait=60")
    pcs("resource unmanage g")
    host.await_monitored("//resource[@id='a'][@managed='false']")
    pcs("resource manage g")
    host.await_monitored("//resource[@id='a'][@managed='true']")
    assert "would" not in pcs("resource disable --simulate --brief g") and pcs.running.where("a")


def failures_are_counted_and_forgotten(pcs: Pcs) -> None:
    host = pcs.host
    pcs.running.settle()
    (home,) = pcs.running.where("a")
    pid = (pcs.running.folder / f"{home}-a.pid").read_text().strip()
    pcs.running.run(home, "kill", "-9", pid)
    count = f"//node_history/node[@name='{home}']/resource_history[@id='a']/@fail-count"
    wait_for(lambda: host.monitored(count) == ["1"], "the monitor counted the failure", EFFECT_TIMEOUT_S)
    assert f"{home}: 1" in pcs("resource failcount show a")
    pcs("resource cleanup a")
    wait_for(lambda: host.monitored(count) == [], "the failures are forgotten", EFFECT_TIMEOUT_S)
    assert "No failcounts" in pcs("resource failcount show a")
    pcs("resource refresh a")
    host.await_places("a", home)


def nodes_are_looked_after(pcs: Pcs) -> None:
    host, (first, second, third) = pcs.host, pcs.running.layout.nodes
    pcs(f"node standby {third} --wait=60")
    assert sorted(pcs.running.where("c")) == [first, second]
    assert f"Standby: {third}" in pcs("status nodes")
    pcs(f"node unstandby {third} --wait=60")
    host.await_places("c", first, second, third)
    pcs(f"node maintenance {third}")
    host.await_monitored(f"//nodes/node[@name='{third}'][@maintenance='true']")
    pcs(f"node unmaintenance {third}")
    host.await_monitored(f"//nodes/node[@name='{third}'][@maintenance='false']")
    pcs(f"node attribute {third} colour=blue")
    assert host.cib(f"//node[@uname='{third}']//nvpair[@name='colour'][@value='blue']")
    assert f"{third}: colour=blue" in pcs("node attribute")
    pcs(f"node attribute {third} colour=")
    assert not host.cib("//nvpair[@name='colour']")
    pcs(f"node utilization {third} cpu=4")
    assert host.cib(f"//node[@uname='{third}']/utilization/nvpair[@name='cpu'][@value='4']")


def configurations_are_taken_and_pushed(pcs: Pcs) -> None:
    host = pcs.host
    taken, changed = host.folder / "taken.xml", host.folder / "changed.xml"
    pcs(f"cluster cib {taken}")
    changed.write_text(taken.read_text())
    pcs(f"-f {changed} resource create d {pcs.agent()}")
    assert not host.cib("//primitive[@id='d']"), "the cluster itself is as it was"
    pcs(f"cluster cib-push {changed} diff-against={taken}")
    assert host.cib("//primitive[@id='d']")
    wait_for(lambda: pcs.running.where("d"), "what was pushed runs", EFFECT_TIMEOUT_S)
    pcs(f"cluster cib {changed}")
    pcs(f"-f {changed} resource meta d priority=3")
    pcs(f"cluster cib-push {changed} --config")
    assert host.cib("//primitive[@id='d']//nvpair[@name='priority'][@value='3']")
    pcs("cluster cib-upgrade")
    pcs("cluster verify --full")


def fence_devices_are_made_and_levelled(pcs: Pcs) -> None:
    host, first = pcs.host, pcs.running.layout.nodes[0]
    pcs("stonith create spare fence_playground --force pcmk_host_list=n9 pcmk_host_check=static-list "
        f"socket={pcs.running.layout.hub_socket}")  # fmt: skip
    assert host.cib("//primitive[@class='stonith'][@id='spare']")
    host.await_monitored("//resource[@id='spare'][@role='Started']")
    assert "spare" in pcs("stonith status") and "pcmk_host_list=n9" in pcs("stonith config spare")
    pcs(f"stonith level add 1 {first} power-switch")
    assert host.cib(f"//fencing-level[@target='{first}'][@devices='power-switch']")
    pcs("stonith level verify")
    pcs("stonith level clear")
    assert not host.cib("//fencing-level")
    assert "No events found" in pcs("stonith history")
    pcs("stonith delete spare")
    assert not host.cib("//primitive[@id='spare']")


def everything_is_deleted(pcs: Pcs) -> None:
    host = pcs.host
    for resource in ("g", "c-clone", "d"):
        pcs(f"resource delete {resource}")
    for resource in "abcd":
        host.await_places(resource)
    pcs("stonith delete power-switch")
    assert not host.cib("//configuration/resources/*") and not host.cib("//constraints/*")
    host.await_monitored("//resources[not(*)]")


LIFE = (
    a_cluster_is_configured,
    constraints_are_made_and_removed,
    resources_are_looked_after,
    failures_are_counted_and_forgotten,
    nodes_are_looked_after,
    configurations_are_taken_and_pushed,
    fence_devices_are_made_and_levelled,
    everything_is_deleted,
)
"""One after the other on one cluster: each finds what those before it made."""


def test_a_cluster_lives_in_the_hands_of_pcs(pcs: Pcs) -> None:
    for chapter in LIFE:
        print(chapter.__name__)  # where it failed, if it does
        chapter(pcs)
