# SPDX-License-Identifier: GPL-2.0-or-later
"""The cib in a real cluster: workers killed while it is written; what was acknowledged is everywhere, byte for byte."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from ha.cib.io.reader import CibReader
from ha.cib.msg import CibCopy, Write, Written
from ha.ipc.client import Connection, NotConnected
from tests.real.cluster import TestCluster, running
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

ROUNDS = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[TestCluster]:
    with running(3) as cluster:
        yield cluster


def write(cluster: TestCluster, node: str, request_id: str, name: str) -> Written | None:
    """One attempt; None when the cib went away meanwhile."""
    xml = f'<cluster_property_set id="test"><nvpair id="test-{name}" name="{name}" value="1"/></cluster_property_set>'
    order = Write(request_id=request_id, operation="modify", scope="crm_config", xml=xml, allow_create=True)
    try:
        with Connection.open(cluster.layout.root(node), "cib", program="test") as cib:
            answer = cib.ask(order, 10_000)
    except NotConnected:
        return None
    assert isinstance(answer, Written)
    return answer


def insist(cluster: TestCluster, node: str, name: str) -> Written:
    """The same request until its fate is known."""

    def attempt() -> Written | None:
        written = write(cluster, node, f"test-{name}", name)
        return written if written is not None and written.outcome != "unknown" else None

    return wait_for(attempt, f"the cib of {node} takes {name}", 60)


def copies(cluster: TestCluster) -> list[CibCopy]:
    found = [CibReader(cluster.layout.root(node)).read() for node in cluster.layout.nodes]
    return [copy for copy in found if isinstance(copy, CibCopy)]


def equal(cluster: TestCluster) -> list[CibCopy]:
    """Every node's CIB, once they are the same."""

    def settled() -> list[CibCopy]:
        found = copies(cluster)
        same = len(found) == len(cluster.layout.nodes) and len({copy.version for copy in found}) == 1
        return found if same else []

    found = wait_for(settled, "every node has the same version", 30)
    assert len({copy.xml for copy in found}) == 1
    return found


def test_no_acknowledged_write_is_lost_when_cibs_are_killed(cluster: TestCluster) -> None:
    names: list[str] = []
    for number in range(ROUNDS):
        for victim in cluster.layout.nodes:
            pid = wait_for(lambda victim=victim: cluster.pid_of(victim, "cib"), f"the cib of {victim} lives")
            for asked in cluster.layout.nodes:
                name = f"o{number}-{victim}-{asked}"
                if asked == cluster.layout.nodes[number % 3]:
                    os.kill(pid, signal.SIGKILL)
                written = insist(cluster, asked, name)
                assert written.outcome == "committed", written
                names.append(name)
    xml = equal(cluster)[0].xml.decode()
    missing = [name for name in names if f'name="{name}"' not in xml]
    assert not missing


def test_a_frozen_cib_stops_no_reader(cluster: TestCluster) -> None:
    node = cluster.layout.nodes[-1]
    pid = wait_for(lambda: cluster.pid_of(node, "cib"), "the cib lives")
    before = CibReader(cluster.layout.root(node)).read()
    os.kill(pid, signal.SIGSTOP)
    reader = CibReader(cluster.layout.root(node))
    assert isinstance(reader.read(), CibCopy)
    assert reader.tree() is not None
    wait_for(lambda: cluster.pid_of(node, "cib") not in (0, pid), "the frozen cib is replaced")
    assert insist(cluster, node, "after-the-freeze").outcome == "committed"
    after = equal(cluster)[0]
    assert isinstance(before, CibCopy)
    assert after.version > before.version


def test_refusals_reach_the_command_line(cluster: TestCluster) -> None:
    node = cluster.layout.nodes[-1]
    xml = '<rsc_location id="l" rsc="ghost" node="x" score="1"/>'
    refused = cluster.run(node, "cibadmin", "-C", "-o", "constraints", "-X", xml, check=False)
    assert refused.returncode == 78
    assert "line 1, <rsc_location" in refused.stderr
    assert "'ghost'" in refused.stderr
    assert cluster.run(node, "cibadmin", "-Q", "--xpath", "//rsc_location", check=False).returncode == 105


def as_user(cluster: TestCluster, node: str, user: str, *command: str) -> subprocess.CompletedProcess[str]:
    return cluster.run(node, "env", f"CIB_user={user}", *command, check=False)


def test_acls_hold_for_the_tools_of_a_user(cluster: TestCluster) -> None:
    """As root, with the rights of another (CIB_user): he sees and changes what his role says, and no more."""
    node = cluster.layout.nodes[-1]
    where = "//crm_config//nvpair[@name='mine']"
    role = f'<acl_role id="r"><acl_permission id="r-w" kind="write" xpath="{where}"/></acl_role>'
    acls = f'<acls>{role}<acl_target id="alice"><role id="r"/></acl_target></acls>'
    pairs = '<nvpair id="t-mine" name="mine" value="1"/><nvpair id="t-acl" name="enable-acl" value="true"/>'
    options = f'<cluster_property_set id="test">{pairs}</cluster_property_set>'
    cluster.run(node, "cibadmin", "-M", "-c", "-o", "crm_config", "-X", options)
    cluster.run(node, "cibadmin", "-R", "-o", "acls", "-X", acls)
    try:
        seen = as_user(cluster, node, "alice", "cibadmin", "-Q")
        assert seen.returncode == 0, seen.stderr
        assert 'name="mine"' in seen.stdout
        assert "enable-acl" not in seen.stdout
        assert as_user(cluster, node, "bob", "cibadmin", "-Q").returncode == 4
        change = ("cibadmin", "-M", "-o", "crm_config", "-X")
        assert as_user(cluster, node, "alice", *change, '<nvpair id="t-mine" value="2"/>').returncode == 0
        refused = as_user(cluster, node, "alice", *change, '<nvpair id="t-acl" value="false"/>')
        assert refused.returncode == 4
        assert "alice" in refused.stderr
    finally:
        cluster.run(node, "cibadmin", "-D", "-X", '<nvpair id="t-acl"/>')
    assert 'value="2"' in cluster.run(node, "cibadmin", "-Q", "--xpath", "//nvpair[@name='mine']").stdout
