# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha`: what it finds, and that each finding names its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ha.cli import status
from ha.cli.config.check import examine
from ha.cli.ha import main
from ha.cli.source.cluster import view_of
from ha.root import Root

HA_CF = "ucast eth0 192.0.2.1\nucast eth1 198.51.100.1\nnode n1 n2 n3\n"
KEYS = f"auth 1\n1 chacha20-poly1305 {'5e' * 32}\n"


def node(short_path: Path, ha_cf: str = HA_CF, keys: str = KEYS, mode: int = 0o600, name: str = "n1") -> Root:
    root = Root.choose(short_path)
    root.config_dir.mkdir(parents=True)
    (root.config_dir / "nodeinfo").write_text(name + "\n")
    root.ha_cf.write_text(ha_cf)
    root.authkeys.write_text(keys)
    root.authkeys.chmod(mode)
    return root


def found(root: Root, weight: str) -> list[str]:
    return [finding.what for finding in examine(root) if finding.weight == weight]


def test_a_sound_configuration_has_no_errors(short_path: Path) -> None:
    root = node(short_path)
    assert found(root, "error") == []
    assert found(root, "warning") == ["the cluster does not run here: its CIB was not checked"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ha_cf": "node n1\n"}, "ha.cf"),
        ({"ha_cf": HA_CF + "nonsense 1\n"}, "ha.cf:4"),
        ({"ha_cf": HA_CF + "deadtime never\n"}, "ha.cf:4"),
        ({"name": "n9"}, "no node line names it"),
        ({"keys": "auth 1\n1 crc\n"}, "crc proves nothing"),
        ({"keys": "auth 2\n1 sha1 x\n"}, "authkeys"),
        ({"mode": 0o644}, "chmod 600"),
    ],
)
def test_an_error_is_named_with_its_place(short_path: Path, changes: dict[str, str], words: str) -> None:
    errors = found(node(short_path, **changes), "error")  # type: ignore[arg-type]
    assert any(words in error for error in errors), errors


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ha_cf": "ucast eth0 192.0.2.1\nnode n1 n2 n3\n"}, "one medium only"),
        ({"ha_cf": "ucast eth0 192.0.2.1\nucast eth1 192.0.2.2\nnode n1 n2\n"}, "of two nodes"),
        ({"keys": "auth 1\n1 sha1 x\n"}, "sha1 is for peers that run Heartbeat 3"),
    ],
)
def test_a_warning_comes_with_what_to_do(short_path: Path, changes: dict[str, str], words: str) -> None:
    findings = [f for f in examine(node(short_path, **changes)) if words in f.what]  # type: ignore[arg-type]
    assert findings
    assert findings[0].remedy


def test_the_command_ends_with_78_when_there_are_errors(short_path: Path) -> None:
    root = node(short_path, keys="auth 1\n1 crc\n")
    result = CliRunner().invoke(main, ["config", "check", "--root", root.prefix])
    assert result.exit_code == 78
    assert "1 errors" in result.output


CIB = """\
<cib admin_epoch="0" epoch="1" num_updates="0" validate-with="pacemaker-3.9" have-quorum="{quorum}" dc-uuid="n1">
  <configuration>
    <crm_config><cluster_property_set id="o">
      <nvpair id="o-s" name="stonith-enabled" value="{fencing}"/></cluster_property_set></crm_config>
    <nodes><node id="n1" uname="n1"/><node id="n2" uname="n2"/></nodes>
    <resources><primitive id="web" class="ocf" provider="heartbeat" type="Dummy"/></resources>
    <constraints/>
  </configuration>
  <status>
    <node_state id="n1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"/>
    <node_state id="n2" uname="n2" in_ccm="{n2}" crmd="{n2_crmd}" join="{n2_join}" expected="member"/>
  </status>
</cib>
"""


def problems(*, quorum: str = "1", fencing: str = "true", n2: bool = True) -> str:
    text = CIB.format(
        quorum=quorum,
        fencing=fencing,
        n2="true" if n2 else "false",
        n2_crmd="online" if n2 else "offline",
        n2_join="member" if n2 else "down",
    )
    return "\n".join(f"{what} | {remedy}" for what, remedy in status.problems(view_of(text.encode(), 0)))


def test_status_names_what_is_wrong_and_what_to_do() -> None:
    assert "no quorum" in problems(quorum="0")
    assert "fencing is off" in problems(fencing="false")
    assert "n2 is unclean" in problems(n2=False)
    assert "stonith_admin --confirm n2" in problems(n2=False)
    assert "web does not run anywhere | crm_resource --why --resource web" in problems()


def test_help_of_every_command_works() -> None:
    for words in (
        [], ["status"], ["config"], ["config", "check"], ["log"], ["metrics"], ["playground"], ["playground", "up"],
        ["timeline"],
    ):  # fmt: skip
        result = CliRunner().invoke(main, [*words, "--help"])
        assert result.exit_code == 0
        assert "Usage" in result.output
