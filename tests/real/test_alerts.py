# SPDX-License-Identifier: GPL-2.0-or-later
"""Alert agents called by real nodes: who calls them, for what, and what they find in their environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import cluster
from tests.real.cluster import TestCluster
from tests.real.waiting import wait_for

pytestmark = pytest.mark.real

AGENT = """#!/bin/sh
# A file for each call, complete once it has its name: what the environment holds, and which descriptors are open.
file=$CRM_alert_recipient/$HA_CURHOST.$CRM_alert_node_sequence
{ env; echo "descriptors=$(ls /proc/self/fd | tr '\\n' ' ')"; } >"$file.new"
mv "$file.new" "$file.alert"
[ -z "$loud" ] || { echo "no way to tell it" >&2; exit 9; }
"""
SERVICE = "web"


class Alerts:
    def __init__(self, c: TestCluster, folder: Path) -> None:
        self.c = c
        self.folder = folder

    def all(self) -> list[dict[str, str]]:
        """What each call found in its environment, `by` the node that called."""
        found = []
        for path in sorted(self.folder.glob("*.alert")):
            lines = [line.partition("=") for line in path.read_text().splitlines()]
            found.append({"by": path.name.split(".")[0], **{name: value for name, _, value in lines}})
        return found

    def like(self, **wanted: str) -> list[dict[str, str]]:
        """Names without CRM_alert_."""
        pairs = {name if name == "by" else f"CRM_alert_{name}": value for name, value in wanted.items()}
        return [alert for alert in self.all() if pairs.items() <= alert.items()]

    def await_one(self, **wanted: str) -> dict[str, str]:
        return wait_for(lambda: self.like(**wanted), f"an alert with {wanted}")[0]


@pytest.fixture(scope="module")
def alerts() -> Iterator[Alerts]:
    with cluster.running(3) as c:
        folder = c.folder / "alerts"
        folder.mkdir()
        agent = c.folder / "record-alert"
        agent.write_text(AGENT)
        agent.chmod(0o755)
        c.load(
            f'<configuration><alerts><alert id="record" path="{agent}">'
            '<meta_attributes id="m"><nvpair id="m-1" name="timestamp-format" value="%s.%03N"/></meta_attributes>'
            '<instance_attributes id="i"><nvpair id="i-1" name="loud" value="1"/></instance_attributes>'
            "<select><select_nodes/><select_fencing/><select_resources/><select_attributes>"
            '<attribute id="s" name="colour"/></select_attributes></select>'
            f'<recipient id="r" value="{folder}"/></alert></alerts></configuration>'
        )
        c.add_recorder(SERVICE)
        c.settle()
        yield Alerts(c, folder)


def test_operations_are_told_by_the_node_that_ran_them(alerts: Alerts) -> None:
    (home,) = wait_for(lambda: alerts.c.where(SERVICE), "the service runs")
    start = alerts.await_one(kind="resource", rsc=SERVICE, task="start")
    assert (start["by"], start["CRM_alert_node"]) == (home, home)
    wanted = {"rc": "0", "target_rc": "0", "status": "0", "interval": "0", "desc": "ok", "version": "2.1.5",
              "recipient": str(alerts.folder)}
    assert {f"CRM_alert_{name}": value for name, value in wanted.items()}.items() <= start.items()
    assert start["CRM_alert_exec_time"].isdecimal()
    seconds, _, fraction = start["CRM_alert_timestamp"].partition(".")
    assert seconds == start["CRM_alert_timestamp_epoch"]
    assert int(fraction) * 1000 == int(start["CRM_alert_timestamp_usec"])
    alerts.await_one(kind="resource", rsc=SERVICE, task="monitor", interval="1000", by=home)
    probes = [alert for alert in alerts.like(kind="resource", task="monitor", interval="0") if alert["by"] != home]
    assert probes == [], "probes that found nothing, as expected"


def test_the_environment_holds_nothing_of_the_worker(alerts: Alerts) -> None:
    start = alerts.await_one(kind="resource", rsc=SERVICE, task="start")
    own = ("HA_", "CRM_alert_", "LC_", "PATH", "HOME", "PWD", "SHLVL", "OLDPWD", "_", "loud", "by", "descriptors")
    assert [name for name in start if not name.startswith(own)] == []
    assert set(start["descriptors"].split()) <= {"0", "1", "2", "3"}, "3 is the listing's own"


def test_an_attribute_is_told_once_and_an_agent_that_fails_is_in_the_log(alerts: Alerts) -> None:
    alerts.c.run("n2", "attrd_updater", "--name", "colour", "--update", "red", "--node", "n2")
    told = alerts.await_one(kind="attribute", attribute_name="colour", attribute_value="red")
    assert told["CRM_alert_node"] == "n2"
    alerts.c.run("n2", "attrd_updater", "--name", "colour", "--delete", "--node", "n2")
    alerts.await_one(kind="attribute", attribute_name="colour", attribute_value="")
    assert len(alerts.like(kind="attribute")) == 2
    log = alerts.c.layout.root(told["by"]).log_dir / "ha-log"
    wait_for(lambda: "failed (done, rc 9): no way to tell it" in log.read_text(), "the log names the failure")


def test_the_dc_tells_of_a_lost_node_and_of_its_fencing(alerts: Alerts) -> None:
    (lost,) = alerts.c.where(SERVICE)
    alerts.c.order(f"off {lost}")
    told = alerts.await_one(kind="node", node=lost, desc="lost")
    assert told["CRM_alert_nodeid"].isdecimal()
    fencing = alerts.await_one(kind="fencing", node=lost, rc="0")
    assert fencing["by"] == told["by"] != lost
    assert f"Operation {fencing['CRM_alert_task']} of {lost} by n" in fencing["CRM_alert_desc"]
    assert fencing["CRM_alert_desc"].partition(":")[2].startswith(" OK")
    moved = wait_for(lambda: [a for a in alerts.like(kind="resource", task="start") if a["by"] != lost], "a new start")
    assert len(moved) == 1
    for by in {alert["by"] for alert in alerts.all()}:
        numbers = sorted(int(alert["CRM_alert_node_sequence"]) for alert in alerts.all() if alert["by"] == by)
        assert len(numbers) == len(set(numbers))
    assert len(alerts.like(kind="node", node=lost, desc="lost")) == 1
    alerts.c.order(f"on {lost}")
    wait_for(lambda: len(alerts.like(kind="node", node=lost, desc="member")) > 0, "it is told that the node is back")
