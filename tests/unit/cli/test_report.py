# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha report`: what is in it, and what never is."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from ha.cli.report.archive import ArchiveError, read_archive, write_archive
from ha.cli.report.command import crm_report, report
from ha.cli.report.evidence import Evidence, collect
from ha.cli.report.masking import MASK, mask_cib, mask_text, masked_keys, secrets_of
from ha.root import Root

KEY = "5e" * 32
CIB = b"""<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="0">
<configuration><crm_config/><nodes/><resources><primitive id="f" class="stonith" type="fence_ipmilan">
<instance_attributes id="f-a"><nvpair id="1" name="passwd" value="hunter2&amp;co"/><nvpair id="2" name="ip" value="h"/>
<nvpair id="3" name="snmp_auth" value="declared-private"/><nvpair id="4" name="pin" value="no"/>
</instance_attributes></primitive></resources><constraints/></configuration>
<status><node_state id="n1"><lrm id="n1"><lrm_resources><lrm_resource id="f">
<lrm_rsc_op id="f_last" operation="start" op-secure-params=" snmp_auth passwd "
 exit-reason="cannot log in with hunter2&amp;co"/></lrm_resource></lrm_resources></lrm></node_state></status></cib>"""
SECRETS = (b"hunter2", b"declared-private", KEY.encode())


@pytest.fixture
def root(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    monkeypatch.delenv("CIB_file", raising=False)
    made = Root.choose(short_path / "n")
    for folder in (made.config_dir, made.cib_dir, made.log_dir, made.state_dir / "pengine"):
        folder.mkdir(parents=True)
    (made.config_dir / "nodeinfo").write_text("n1\n")
    made.ha_cf.write_text("ucast lo 127.0.0.1\nnode n1\n")
    made.authkeys.touch(mode=0o600)
    made.authkeys.write_text(f"auth 1\n1 chacha20-poly1305 {KEY}\n")
    (made.cib_dir / "cib.xml").write_bytes(CIB)
    (made.state_dir / "pengine" / "pe-input-3.xml").write_bytes(CIB)
    (made.log_dir / "ha-log").write_text(f"agent said: hunter2&co, {KEY} and declared-private; no more\n")
    return made


def test_no_secret_is_in_a_report(root: Root, short_path: Path) -> None:
    target = short_path / "r.tar.gz"
    done = CliRunner().invoke(report, [str(target), "--root", root.prefix])
    assert done.exit_code == 0, done.output
    assert target.stat().st_mode & 0o777 == 0o600
    with tarfile.open(target) as tar:
        files = {member.name.split("/", 1)[1]: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    assert {"manifest.json", "n1/cib-on-disk.xml", "n1/pengine/pe-input-3.xml", "n1/logs/ha-log",
            "n1/configuration/ha.cf", "n1/configuration/authkeys.methods", "n1/machine.txt"} <= set(files)  # fmt: skip
    for name, data in files.items():
        assert not [secret for secret in SECRETS if secret in data], name
    assert b"no more" in files["n1/logs/ha-log"], "a short secret is not looked for in texts"
    assert b'name="pin" value="******"' in files["n1/cib-on-disk.xml"], "but it is masked where it stands"
    assert b'name="ip" value="h"' in files["n1/cib-on-disk.xml"]
    manifest = json.loads(files["manifest.json"])
    for file in manifest["nodes"]["n1"]["files"]:
        assert hashlib.sha256(files["n1/" + file["name"]]).hexdigest() == file["sha256"]
    assert any("cib.xml: the cluster is not running" in remark for remark in manifest["nodes"]["n1"]["remarks"])


def test_nothing_is_overwritten(root: Root, short_path: Path) -> None:
    (short_path / "r.tar.gz").write_text("mine")
    done = CliRunner().invoke(report, [str(short_path / "r"), "--root", root.prefix])
    assert done.exit_code == 73 and (short_path / "r.tar.gz").read_text() == "mine"


def test_old_logs_are_left_out(root: Root) -> None:
    os.utime(root.log_dir / "ha-log", (1_000_000, 1_000_000))
    assert "logs/ha-log" not in collect(root, 2_000_000).files


def test_a_cib_that_is_no_xml_is_left_out(root: Root) -> None:
    (root.cib_dir / "cib.xml").write_bytes(CIB[:-9])
    found = collect(root, 0)
    assert "cib-on-disk.xml" not in found.files and any("is no XML" in remark for remark in found.remarks)


def test_reports_of_other_nodes_are_put_into_one(root: Root, short_path: Path) -> None:
    other = Evidence("n2", {"logs/ha-log": b"line\n"}, ["a remark"])
    with (short_path / "n2.tar.gz").open("wb") as out:
        write_archive(out, "x", [other], 0)
    done = CliRunner().invoke(report, [str(short_path / "all"), "--root", root.prefix, "--with",
                                       str(short_path / "n2.tar.gz"), "--node", "-oProxyCommand=x"])  # fmt: skip
    assert done.exit_code == 0, done.output
    with (short_path / "all.tar.gz").open("rb") as made:
        found = read_archive(made)
    assert [each.node for each in found] == ["-oProxyCommand=x", "n1", "n2"] and found[2] == other
    assert found[0].remarks == ["not asked: that is no host"]


def garbage() -> list[bytes]:
    made = io.BytesIO()
    write_archive(made, "x", [Evidence("n1", {"a": b"1" * 5000})], 0)
    whole = made.getvalue()
    outside = io.BytesIO()
    with tarfile.open(fileobj=outside, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("x/../../etc/passwd"))
    link = io.BytesIO()
    with tarfile.open(fileobj=link, mode="w:gz") as tar:
        entry = tarfile.TarInfo("x/manifest.json")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/shadow"
        tar.addfile(entry)
    return [b"", b"x", whole[: len(whole) // 2], outside.getvalue(), link.getvalue()]


@pytest.mark.parametrize("number", range(5))
def test_what_is_no_report_is_refused(number: int) -> None:
    with pytest.raises(ArchiveError):
        read_archive(io.BytesIO(garbage()[number]))


@pytest.mark.parametrize(("name", "is_secret"), [
    ("passwd", True), ("password", True), ("login", True), ("secret_key", True), ("API_TOKEN", True), ("user", True),
    ("community", True), ("passthrough", False), ("passive", False), ("ip", False), ("keepalive", False),
    ("pcmk_host_map", False), ("monitor_username_format", False),
])  # fmt: skip
def test_names_tell_what_is_secret(name: str, is_secret: bool) -> None:
    cib = f'<cib><nvpair name="{name}" value="worth-it"/></cib>'.encode()
    assert (secrets_of(cib) == {"worth-it"}) == is_secret
    assert (MASK.encode() in (mask_cib(cib) or b"")) == is_secret


def test_the_longest_secret_goes_first() -> None:
    assert mask_text("abcdef abcd", {"abcd", "abcdef", "no"}) == f"{MASK} {MASK}"
    text, secrets = masked_keys("# note\nauth 2\n1 crc\n2 sha1 my word\nwhat is this\n")
    assert secrets == {"my word"} and "my word" not in text and "what" not in text and "2 sha1" in text


def test_crm_report_takes_what_pcs_gives(root: Root, short_path: Path) -> None:
    target = short_path / "pcs"
    done = CliRunner().invoke(crm_report, ["-f", "2026-01-01 10:00:00", "-t", "2026-01-02", "-S", str(target)],
                              env={"HA_ROOT": root.prefix})  # fmt: skip
    assert done.exit_code == 0 and (short_path / "pcs.tar.gz").exists(), done.output
    assert CliRunner().invoke(crm_report, ["-f", "soon", str(target)]).exit_code == 64
