# SPDX-License-Identifier: GPL-2.0-or-later
"""The fence history as crm_mon prints it, level by level, and stonith_admin's refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from ha.cli import stonith_admin
from ha.cli.fencing import arming, history, report
from ha.cli.fencing.history import moment
from ha.stonith.msg import DeviceDrill, DrillCheck, FenceEvent, FencingStatus, Finding, NodeFencing


def event(at_s: int, state: str = "success", target: str = "n2", action: str = "reboot", **more: str) -> FenceEvent:
    return FenceEvent(
        target=target, action=action, client="crmd", origin="n1", device="power", executor="n1",  # type: ignore[arg-type]
        state=state, at_s=at_s, **more,  # type: ignore[arg-type]
    )  # fmt: skip


EVENTS = [
    event(500, "pending", target="n3"),
    event(400),
    event(300, "failed", reason="login denied"),
    event(200, "failed", target="n4", reason="timed out"),
    event(100),
]
"""Newest first."""


def test_levels() -> None:
    assert list(history.lines(EVENTS, 0)) == []
    assert list(history.lines(EVENTS, 1)) == [
        "Failed Fencing Actions:",
        "  * reboot of n2 failed (login denied) (a later attempt from n1 succeeded): delegate=n1, client=crmd, "
        f"origin=n1, last-failed='{moment(300)}'",
        f"  * reboot of n4 failed (timed out): delegate=n1, client=crmd, origin=n1, last-failed='{moment(200)}'",
        "",
        "Pending Fencing Actions:",
        "  * reboot of n3 pending: client=crmd, origin=n1",
    ]
    two = list(history.lines(EVENTS, 2))
    assert two[4:6] == [
        "Fencing History:",
        f"  * reboot of n2 successful: delegate=n1, client=crmd, origin=n1, last-successful='{moment(400)}'",
    ]
    three = list(history.lines(EVENTS, 3))
    assert len(three) == 1 + len(EVENTS)
    assert three[-1].endswith(f"completed='{moment(100)}'")


def test_events_as_xml_hold_what_xml_can() -> None:
    parent = etree.Element("fence_history")
    history.append_events(parent, [*EVENTS, event(1, "failed", reason="\x00\x1b[31m")])
    found = [(e.get("target"), e.get("status"), e.get("completed"), e.get("exit-reason")) for e in parent]
    assert found[0] == ("n3", "pending", None, None)
    assert found[2] == ("n2", "failed", moment(300), "login denied")
    etree.fromstring(etree.tostring(parent))


@pytest.mark.parametrize("option", ["-R", "-D", "-r", "-d"])
def test_devices_are_not_defined_behind_the_configurations_back(
    option: str, short_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stonith_admin.main(["--root", str(short_path), option, "x"]) == 3
    assert "pcs stonith" in capsys.readouterr().err


def test_output_to_a_file(short_path: Path) -> None:
    target = short_path / "out"
    assert stonith_admin.main(["--root", str(short_path), "-L", "--output-as=xml", "--output-to", str(target)]) == 102
    assert etree.parse(target).getroot().find("status").get("code") == "102"  # type: ignore[union-attr]
    assert stonith_admin.main(["--root", str(short_path), "-L", "--output-to", "/nowhere/x"]) == 73


def status(findings: list[Finding]) -> FencingStatus:
    ok = DeviceDrill("power", "n1", "d", 1_000, 1_500, [DrillCheck("monitor", True)], 1_000)
    denied = DrillCheck("monitor", False, "", "login \x01denied", "mend")
    fails = DeviceDrill("power", "n2", "d", 1_000, 20, [denied], 0)
    return FencingStatus(
        request_id="", enabled=True, nodes=[NodeFencing("n1", [["power"]]), NodeFencing("n2", [["power"], ["scsi"]])],
        drills=[ok, fails], findings=findings, drill_interval_ms=3_600_000, disarmed_until_s=2_000, held=["n2"],
    )  # fmt: skip


def test_readiness_as_text() -> None:
    lines = list(report.as_text(status([Finding("what", "remedy")]), 1_060))
    assert "DISARMED" in lines[0]
    n1 = next(line for line in lines if line.startswith("n1 "))
    assert "FAILED" in n1, "only n1 itself could use it; nobody could shoot n1"
    n2 = next(line for line in lines if line.startswith("n2 "))
    assert "(1 min)" in n2 and "drill 1.5 s" in n2
    assert any(line.split()[:3] == ["2", "scsi", "never"] for line in lines)
    assert any("stonith_admin --reboot n2" in line for line in lines)
    assert lines[-2:] == ["  - what", "      remedy"]


def test_readiness_as_xml() -> None:
    text = report.result_as_xml(status([]), ["ha fencing"], 0, "OK")
    root = etree.fromstring(text)
    levels = [(level.getparent().get("name"), level.get("proved-at")) for level in root.iter("level")]  # type: ignore[union-attr]
    assert levels == [("n1", "0"), ("n2", "1000"), ("n2", "0")]


@pytest.mark.parametrize(
    ("value", "left_s"), [("1100", 100), ("900", 0), ("soon", 0), ("-5", 0), ("9" * 99, 0), ("", 0)]
)
def test_how_long_fencing_is_disarmed(value: str, left_s: int) -> None:
    assert arming.disarmed_for_s({arming.OPTION: value}, 1_000.5) == left_s
    assert arming.disarmed_for_s({}, 1_000) == 0
