# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha metrics` and `ha timeline` on a real node: a failure, a worker that dies, and everything frozen."""

from __future__ import annotations

import os
import signal

import pytest

from tests.real import cluster
from tests.real.cluster import TestCluster
from tests.real.waiting import wait_for
from tests.unit.cli.openmetrics_checker import Read, check, value_of

pytestmark = pytest.mark.real

SERVICE = "guarded"
NODE = "n1"


def metrics(c: TestCluster) -> dict[str, Read]:
    return check(c.run(NODE, "ha", "metrics").stdout)


def well(c: TestCluster) -> dict[str, Read]:
    """The metrics, when every worker has answered in time; else nothing."""
    families = metrics(c)
    return families if set(families["ha_up"].samples.values()) == {1} else {}


def recovered(c: TestCluster) -> dict[str, Read]:
    """The metrics, when they tell of a recovery that is over; else nothing."""
    families = metrics(c)
    phases = families.get("ha_failover_phase_milliseconds", Read()).samples
    return families if (("phase", "done"),) in phases else {}


def replaced(c: TestCluster) -> bool:
    families = metrics(c)
    up = value_of(families, "ha_up", module="crmd") == 1
    return up and value_of(families, "ha_worker_restarts", module="crmd") >= 1


def test_metrics_answer_through_a_failure_a_dead_crmd_and_a_frozen_node() -> None:
    with cluster.running(1) as c:
        c.add_recorder(SERVICE)
        c.settle()
        families = wait_for(lambda: well(c), "every worker answers")
        assert value_of(families, "ha_membership_quorate") == value_of(families, "ha_crmd_is_dc") == 1

        pid = int((c.folder / f"{NODE}-{SERVICE}.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        families = wait_for(lambda: recovered(c), "the recovery of the service is told")
        assert value_of(families, "ha_cluster_pacemaker_fail_count", resource=SERVICE) == 1
        told = c.run(NODE, "ha", "timeline", "--playground", c.layout.folder, "--last").stdout
        assert f"{SERVICE} monitor on {NODE}" in told
        assert "start ordered" in told

        os.kill(c.pid_of(NODE, "crmd"), signal.SIGKILL)
        wait_for(lambda: replaced(c), "the crmd is up again, and its restart counted")

        c.order(f"freeze {NODE}")
        families = metrics(c)
        down = {dict(key)["module"] for key, value in families["ha_up"].samples.items() if not value}
        assert {"crmd", "cib", "ccm", "apphbd", "rmd"} <= down
        assert value_of(families, "ha_up", module="cib-in-memory") == 1
        assert value_of(families, "ha_cluster_pacemaker_resources", resource=SERVICE, node=NODE, status="active") == 1
        assert "ha_membership_quorate" not in families
        c.order(f"thaw {NODE}")
