# SPDX-License-Identifier: GPL-2.0-or-later
"""crm_resource --digests, --validate and --clear --expired. Hashes were recorded from Pacemaker 2.1.5."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from ha.cli import crm_resource
from tests.unit.cli.contract import CIB

AGENT = """#!/bin/sh
[ "$1" = validate-all ] || exit 3
[ "$OCF_RESKEY_ip" = good ] && exit 0
echo "ocf-exit-reason:ip is $OCF_RESKEY_ip" >&2
exit 6
"""
BANS = (
    '<rsc_location id="cli-ban-d-on-n1" rsc="d" score="-INFINITY" node="n1"/>'
    '<rsc_location id="cli-prefer-d" rsc="d"><rule id="r" score="INFINITY"><expression id="x" attribute="#uname" '
    'operation="eq" value="n2"/><date_expression id="t" operation="lt" end="2001-01-01"/></rule></rsc_location>'
)


@pytest.fixture
def file(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = short_path / "cib.xml"
    path.write_text(CIB.replace("<constraints>", f"<constraints>{BANS}"))
    monkeypatch.setenv("CIB_file", str(path))
    monkeypatch.setenv("HA_ROOT", str(short_path))
    agent = short_path / "usr/lib/ocf/resource.d/test/checked"
    agent.parent.mkdir(parents=True)
    agent.write_text(AGENT)
    agent.chmod(0o755)
    return path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, etree._Element]:
    code = crm_resource.main([*arguments, "--output-as", "xml"])
    return code, etree.fromstring(capsys.readouterr().out)


def test_digests_are_pacemakers(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, root = answer(capsys, "--digests", "--resource", "d", "--node", "n1")
    assert code == 0
    assert {d.get("type"): d.get("hash") for d in root.iter("digest")} == {
        "all": "f2317cad3d54cec5d7d7aa7d0bf35cf8", "nonprivate": "f2317cad3d54cec5d7d7aa7d0bf35cf8",
    }  # fmt: skip
    _, root = answer(capsys, "--digests", "--resource", "d", "--node", "n1", "fake=3", "CRM_meta_interval=10000")
    assert root.xpath("string(//digest[@type='all']/@hash)") == "fe8b39ef91924ecd743e32f91bfff408"


@pytest.mark.parametrize(("arguments", "code"), [
    (("--digests", "--resource", "d"), 64), (("--digests", "--resource", "d", "--node", "n9"), 105),
    (("--digests", "--resource", "d", "--node", "n1", "nonsense"), 64), (("--list", "nonsense=1"), 64),
    (("--validate",), 64), (("--validate", "--class", "stonith", "--agent", "x"), 3),
    (("--validate", "--class", "ocf", "--provider", "test", "--agent", "absent"), 5),
])  # fmt: skip
def test_what_cannot_be_is_refused(file: Path, arguments: tuple[str, ...], code: int) -> None:
    assert crm_resource.main(list(arguments)) == code


def test_an_agent_checks_what_is_given(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = ("--validate", "--class", "ocf", "--provider", "test", "--agent", "checked", "--option")
    assert answer(capsys, *agent, "ip=good")[0] == 0
    code, root = answer(capsys, *agent, "ip=bad")
    assert code == 6 and root.find("status").get("code") == "6"  # type: ignore[union-attr]
    assert root.findtext("./resource-agent-action/command/output[@source='stderr']") == "ocf-exit-reason:ip is bad\n"
    assert crm_resource.main([*agent, "ip=bad"]) == 6
    assert "returned 6 (not configured: ip is bad)" in capsys.readouterr().out


def test_only_what_is_over_is_cleared(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert crm_resource.main(["--clear", "--expired"]) == 0
    assert "cli-prefer-d" not in file.read_text() and "cli-ban-d-on-n1" in file.read_text()
    assert crm_resource.main(["--clear", "--resource", "d"]) == 0
    assert "cli-ban-d-on-n1" not in file.read_text()


def test_a_resource_is_deleted(file: Path) -> None:
    file.write_text(CIB.replace("<constraints>", "<x>").replace("</constraints>", "</x>").split("<x>")[0]
                    + "<constraints/></configuration><status/></cib>")  # fmt: skip
    assert crm_resource.main(["--delete", "--resource", "d"]) == 64
    assert crm_resource.main(["--delete", "--resource", "d", "--resource-type", "primitive"]) == 0
    assert 'id="d"' not in file.read_text()
