# SPDX-License-Identifier: GPL-2.0-or-later
"""Three whole nodes as real processes: what an operator does to them, and what befalls them.

The tests of this file share one cluster and leave it as they found it: three nodes up, the service running once.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from lxml import etree

from tests.real import cluster, garbage, kill_matrix
from tests.real.cluster import TestCluster
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

SERVICE = "guarded"


@pytest.fixture(scope="module")
def c() -> Iterator[TestCluster]:
    with cluster.running(3) as running:
        running.add_recorder(SERVICE)
        running.settle()
        yield running


@pytest.fixture(autouse=True)
def as_found(c: TestCluster) -> Iterator[None]:
    yield
    c.order("heal")
    for node in c.layout.nodes:
        c.order(f"on {node}")
        c.order(f"thaw {node}")
    c.settle()
    wait_for(lambda: len(c.where(SERVICE)) == 1, "the service runs once")


def home(c: TestCluster) -> str:
    (node,) = wait_for(lambda: c.where(SERVICE), "the service runs")
    return node


def others(c: TestCluster, node: str) -> list[str]:
    return [other for other in c.layout.nodes if other != node]


def starts(c: TestCluster) -> int:
    return sum(event.action == "start" and event.resource == SERVICE for event in c.events())


def test_the_service_survives_the_loss_of_its_node_and_the_node_is_fenced_first(c: TestCluster) -> None:
    lost = home(c)
    before = len(c.events())
    c.order(f"off {lost}")
    wait_for(lambda: c.where(SERVICE) and c.where(SERVICE) != [lost], "the service runs elsewhere")
    c.settle(*others(c, lost))
    started = [event for event in c.events()[before:] if event.action == "start"]
    assert len(started) == 1
    assert started[0].node != lost


def test_a_node_that_is_cut_off_is_fenced_before_its_service_starts_elsewhere(c: TestCluster) -> None:
    lost = home(c)
    for other in others(c, lost):
        c.order(f"cut {lost} {other}")
    wait_for(lambda: c.order(f"status {lost}") == "off", "the node that was cut off is fenced")
    wait_for(lambda: c.where(SERVICE) and c.where(SERVICE) != [lost], "the service runs elsewhere")
    c.settle(*others(c, lost))
    assert len(c.where(SERVICE)) == 1


def test_a_frozen_node_is_fenced_too(c: TestCluster) -> None:
    lost = home(c)
    c.order(f"freeze {lost}")
    wait_for(lambda: c.order(f"status {lost}") == "off", "the frozen node is fenced")
    wait_for(lambda: c.where(SERVICE) and c.where(SERVICE) != [lost], "the service runs elsewhere")
    c.settle(*others(c, lost))
    assert len(c.where(SERVICE)) == 1


def test_standby_moves_the_service_and_back_into_service_does_not_disturb_it(c: TestCluster) -> None:
    was = home(c)
    c.run(was, "crm_standby", "--node", was, "-v", "on")
    wait_for(lambda: c.where(SERVICE) and c.where(SERVICE) != [was], "standby moves the service")
    c.settle()
    count = starts(c)
    c.run(was, "crm_standby", "--node", was, "-D")
    c.settle()
    assert starts(c) == count or home(c) == was


def test_move_ban_and_clear(c: TestCluster) -> None:
    was = home(c)
    target = others(c, was)[0]
    c.run(was, "crm_resource", "--move", "-r", SERVICE, "--node", target)
    wait_for(lambda: c.where(SERVICE) == [target], "the move is done")
    c.run(was, "crm_resource", "--clear", "-r", SERVICE)
    c.run(was, "crm_resource", "--ban", "-r", SERVICE, "--node", target)
    wait_for(lambda: c.where(SERVICE) and c.where(SERVICE) != [target], "the ban is heeded")
    c.run(was, "crm_resource", "--clear", "-r", SERVICE)
    c.settle()


def test_restart_stops_and_starts_it_where_it_is(c: TestCluster) -> None:
    was = home(c)
    before = len(c.events())
    c.run(was, "crm_resource", "--restart", "-r", SERVICE)
    actions = [event.action for event in c.events()[before:]]
    assert actions == ["stop", "stopped", "start", "started"]
    assert home(c) == was


def test_a_process_that_dies_is_started_again_and_the_failure_is_told(c: TestCluster) -> None:
    was = home(c)
    before = starts(c)
    os.kill(int((c.folder / f"{was}-{SERVICE}.pid").read_text()), signal.SIGKILL)
    wait_for(lambda: starts(c) == before + 1 and c.where(SERVICE), "the service is started again")
    c.settle()
    shown = c.run(was, "crm_mon", "-1").stdout
    assert "Failed Resource Actions" in shown
    assert SERVICE in shown
    c.run(was, "crm_resource", "--cleanup", "-r", SERVICE)
    c.settle()
    assert "Failed Resource Actions" not in c.run(was, "crm_mon", "-1").stdout


def test_what_the_tools_say_agrees_with_what_is(c: TestCluster) -> None:
    was = home(c)
    dc = c.run(was, "crmadmin", "-D").stdout.split()[-1]
    assert dc in c.layout.nodes
    assert sorted(c.run(was, "crm_node", "-p").stdout.split()) == list(c.layout.nodes)
    assert c.run(was, "crm_node", "-q").stdout.strip() == "1"
    assert f"is running on: {was}" in c.run(was, "crm_resource", "-W", "-r", SERVICE).stdout
    report = etree.fromstring(c.run(was, "crm_mon", "-1", "--output-as=xml").stdout.encode())
    assert {n.get("name") for n in report.findall("nodes/node") if n.get("online") == "true"} == set(c.layout.nodes)
    assert "All is well" in c.run(was, "ha", "status").stdout
    assert c.run(was, "cl_status", "nodestatus", was).stdout.strip() == "active"
    assert c.run(was, "crm_verify", "-L").returncode == 0


def test_supervisorctl_lists_the_workers(c: TestCluster) -> None:
    was = home(c)
    configuration = c.layout.root(was).run_dir / "supervisorctl.conf"
    listed = c.run(was, "supervisorctl", "-c", str(configuration), "status", check=False).stdout
    assert {line.split()[0] for line in listed.splitlines() if " RUNNING " in line} >= {"crmd", "cib", "lrmd"}


def test_no_worker_that_dies_or_hangs_is_noticed_by_the_service(c: TestCluster) -> None:
    figures = kill_matrix.run(c, rounds=1, nodes=[home(c)], service=SERVICE)
    assert figures


def test_what_is_ordered_is_done_once_though_who_carries_it_out_dies(c: TestCluster) -> None:
    c.load(f"<configuration><resources>{kill_matrix.moved(c)}</resources></configuration>")
    c.settle()
    figures = kill_matrix.run(
        c, 1, nodes=[home(c)], workers=("lrmd", "crmd"), signals=[signal.SIGKILL], service=SERVICE, mode="transition"
    )
    assert len(figures) == 2


def test_garbage_on_every_entrance_kills_nobody(c: TestCluster) -> None:
    sockets = {path.name for path in garbage.sockets(c, c.layout.nodes[0])}
    assert len(sockets) > 10
    garbage.run(c, 300, 1, lambda text: None, giants_each=3, entrances=[garbage.UDP, *sorted(sockets)])
