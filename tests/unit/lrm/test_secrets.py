# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets on disk, and the command that manages them, on a CIB in a file."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from ha.cli import cibsecret
from ha.cli.exit_codes import Exit
from ha.lrm.io import secrets
from ha.root import Root

CIB = """<cib validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0"><configuration><crm_config/>
<nodes><node id="n1" uname="n1"/><node id="n2" uname="n2"/><node id="n3" uname="n3"/></nodes><resources>
<primitive id="db" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="db-params">
<nvpair id="db-user" name="user" value="scott"/></instance_attributes></primitive></resources><constraints/>
</configuration><status><node_state id="n1" uname="n1" crmd="online"/><node_state id="n2" uname="n2" crmd="online"/>
</status></cib>"""


@pytest.fixture
def root(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    """n1, with a CIB in a file and a remote shell that is the other node's directory."""
    root = Root.choose(short_path / "n1")
    root.config_dir.mkdir(parents=True)
    (root.config_dir / "nodeinfo").write_text("n1\n")
    (short_path / "cib.xml").write_text(CIB)
    monkeypatch.setenv("CIB_file", str(short_path / "cib.xml"))
    shell = short_path / "shell"
    shell.write_text(
        f'#!/bin/sh\n[ -e {short_path}/cut ] && exit 255\nexec {sys.executable} -c '
        f'"import sys; from ha.cli.cibsecret import main; sys.exit(main(sys.argv[1:]))" --root {short_path}/$1 $3\n'
    )
    shell.chmod(0o755)
    monkeypatch.setenv("HA_SSH", str(shell))
    return root


def run(root: Root, *arguments: str) -> int:
    return cibsecret.main([*arguments, "--root", root.prefix])


def in_cib(name: str) -> str:
    text = Path(os.environ["CIB_file"]).read_text()
    return text.partition(f'name="{name}" value="')[2].partition('"')[0]


def test_the_life_of_a_secret(root: Root, short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Root.choose(short_path / "n2")
    assert run(root, "set", "db", "passwd", "tiger") == Exit.OK
    assert in_cib("passwd") == secrets.MAGIC
    assert secrets.read(other, "db", "passwd") == "tiger"
    assert "node n3 is down" in capsys.readouterr().out
    path = secrets.secrets_dir(root) / "db" / "passwd"
    assert path.read_text() == "tiger\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert run(root, "get", "db", "passwd") == Exit.OK
    assert capsys.readouterr().out == "tiger\n"
    assert run(root, "check", "db", "passwd") == Exit.OK
    path.write_text("lion\n")
    assert run(root, "check", "db", "passwd") == Exit.DIGEST
    assert run(root, "set", "db", "passwd", "tiger") == Exit.OK
    assert run(root, "unstash", "db", "passwd") == Exit.OK
    assert in_cib("passwd") == "tiger"
    assert secrets.all_secrets(root) == secrets.all_secrets(other) == []
    assert run(root, "stash", "db", "passwd") == Exit.OK
    assert run(root, "stash", "db", "passwd") == Exit.EXISTS
    assert run(root, "delete", "db", "passwd") == Exit.OK
    assert in_cib("passwd") == ""
    assert secrets.all_secrets(other) == []


def test_refusals(root: Root, short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "set", "absent", "passwd", "x") == Exit.NO_SUCH_OBJECT
    assert run(root, "set", "db", "user", "x") == Exit.CONFIGURATION  # another value stands in the CIB
    assert run(root, "check", "db", "user") == Exit.CONFIGURATION
    assert run(root, "stash", "db", "absent") == Exit.NO_SUCH_OBJECT
    assert run(root, "stash", "-C", "db", "user") == Exit.USAGE
    assert run(root, "unstash", "db", "passwd") == Exit.NO_SUCH_OBJECT
    assert run(root, "get", "-C", "../x", "passwd") == Exit.ERROR
    assert run(root, "get", "db") == Exit.USAGE
    assert run(root, "frobnicate") == Exit.USAGE
    assert run(root, "set", "-C", "db", "pin", "two\nlines") == Exit.ERROR
    (short_path / "cut").touch()
    assert run(root, "set", "db", "passwd", "tiger") == Exit.ERROR
    assert "n2 did not take the secrets" in capsys.readouterr().out
    assert secrets.read(root, "db", "passwd") == "tiger"
    (short_path / "cut").unlink()
    secrets.write(Root.choose(short_path / "n2"), "db", "stale", "x")
    assert run(root, "sync") == Exit.OK
    assert secrets.all_secrets(Root.choose(short_path / "n2")) == [("db", "passwd", "tiger")]


@pytest.mark.parametrize(
    "sent",
    [b"", b"\xff\xfe", b"[]", b"{}", b"null", b'{"secrets": [1], "everything": true}', b'{"secrets": [["a", "b"]]}',
     b'{"secrets": [["../a", "b", "c"]], "everything": false}', b'{"secrets": [["a", "b", "c"]]}'],
)  # fmt: skip
def test_garbage_from_another_node(root: Root, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.write(root, "db", "passwd", "tiger")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sent)))
    assert run(root, "receive") in (Exit.DATA_ERROR, Exit.ERROR)
    assert secrets.all_secrets(root) == [("db", "passwd", "tiger")]


def test_values_take_the_place_of_their_sign(short_path: Path) -> None:
    root = Root.choose(short_path)
    secrets.write(root, "db", "passwd", "tiger")
    given = {"passwd": secrets.MAGIC, "user": "scott"}
    for instance in ("db", "db:3"):
        assert secrets.substitute(root, instance, given) == {"passwd": "tiger", "user": "scott"}
    with pytest.raises(secrets.NoSecret):
        secrets.substitute(root, "other", given)
    path = secrets.secrets_dir(root) / "db" / "passwd"
    Path(f"{path}.sign").unlink()
    with pytest.raises(secrets.NoSum):
        secrets.substitute(root, "db", given)
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(secrets.SecretError):
        secrets.substitute(root, "db", given)
    path.unlink()
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(secrets.SecretError):
        secrets.substitute(root, "db", given)
