# SPDX-License-Identifier: GPL-2.0-or-later
"""A worker that dies more often than its stanza allows, on a healthy host, without fencing: the node stops its
resources itself, before its peers may start them. Judged by the agents' own log."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from ha.rmd.io.pidfile import holder
from ha.root import shipped
from tests.real import cluster
from tests.real.cluster import TestCluster
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

GRACE_S = 8
"""The stops take STOP_DELAY_S each; deadtime is a second."""
STOP_DELAY_S = 0.5
MAX_DEATHS = 2

CONFIGURATION = """\
<configuration>
  <crm_config><cluster_property_set id="cib-bootstrap-options">
    <nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="false"/>
    <nvpair id="cib-bootstrap-options-takeover-grace" name="takeover-grace" value="{grace}s"/>
  </cluster_property_set></crm_config>
  <resources><group id="both">{first}{second}</group></resources>
</configuration>
"""


@pytest.fixture
def c() -> Iterator[TestCluster]:
    with cluster.running(3) as running:
        for node in running.layout.nodes:
            running.order(f"off {node}")
            allow_few_deaths(running, node)
        for node in running.layout.nodes:
            running.order(f"on {node}")
        running.settle()
        recorders = [running.recorder(name, stop_delay=STOP_DELAY_S) for name in ("first", "second")]
        running.load(CONFIGURATION.format(grace=GRACE_S, first=recorders[0], second=recorders[1]))
        running.settle()
        yield running


def allow_few_deaths(c: TestCluster, node: str) -> None:
    root = c.layout.root(node)
    shutil.copytree(shipped("supervisor.d"), root.supervisor_dir)
    for path in root.supervisor_dir.glob("*.conf"):
        text, limit = path.read_text(), f'HA_RESTARTS="{MAX_DEATHS}/600"'
        known = re.search(r"^environment=.*$", text, re.MULTILINE)
        path.write_text(text.replace(known[0], f"{known[0]},{limit}") if known else f"{text}environment={limit}\n")


def log_of(c: TestCluster, node: str) -> str:
    return (c.layout.root(node).log_dir / "rmd.log").read_text()


def kill_until_given_up(c: TestCluster, node: str, worker: str) -> None:
    text = f"{worker} was restarted more than {MAX_DEATHS} times"
    already = log_of(c, node).count(text)
    while log_of(c, node).count(text) == already:
        if pid := c.pid_of(node, worker):
            os.kill(pid, signal.SIGKILL)
            wait_for(partial(has_ended, c, node, worker, pid), f"{worker} ({pid}) has ended")


def has_ended(c: TestCluster, node: str, worker: str, pid: int) -> bool:
    return c.pid_of(node, worker) != pid


@pytest.mark.parametrize("worker", ["crmd", "heartbeat"])
def test_a_node_that_gives_a_worker_up_stops_its_resources_before_its_peers_start_them(
    c: TestCluster, worker: str
) -> None:
    (node,) = wait_for(lambda: c.where("second"), "the group runs")
    c.settle()
    before = len(c.events())
    kill_until_given_up(c, node, worker)
    given_up_s = time.time()
    wait_for(lambda: holder(c.layout.root(node).run_dir / "rmd.pid") is None, f"rmd of {node} has ended")
    assert "every resource is stopped: the node leaves the cluster" in log_of(c, node)
    wait_for(lambda: c.where("second"), "the group runs elsewhere", GRACE_S + 30)
    events = c.events()[before:]
    stops = [("second", "stop"), ("second", "stopped"), ("first", "stop"), ("first", "stopped")]
    assert [(event.resource, event.action) for event in events[:4]] == stops
    assert [event.node == node for event in events] == [True] * 4 + [False] * (len(events) - 4)
    assert node not in c.where("first") + c.where("second")
    print(
        f"{worker} given up: both are stopped {(events[3].at_s - given_up_s) * 1000:.0f} ms after that,"
        f" the first start elsewhere is {(events[4].at_s - events[3].at_s) * 1000:.0f} ms later"
    )
