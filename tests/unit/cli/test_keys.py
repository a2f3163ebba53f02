# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha keys`: what it writes can be used, is secret, and can be changed step by step."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ha.cli.exit_codes import Exit
from ha.cli.ha import main
from ha.heartbeat.io.config import load_authkeys
from ha.root import Root


@pytest.fixture
def root(short_path: Path) -> Root:
    return Root.choose(short_path)


def keys(root: Root, *words: str) -> Result:
    return CliRunner().invoke(main, ["keys", words[0], "--root", root.prefix, *words[1:]])


def test_a_generated_file_encrypts_and_is_secret(root: Root) -> None:
    result = keys(root, "generate")
    assert result.exit_code == 0, result.output
    known = load_authkeys(root)
    assert [(key.number, key.method) for key in known.keys] == [(1, "chacha20-poly1305")]
    assert stat.S_IMODE(root.authkeys.stat().st_mode) == 0o600
    assert known.keys[0].secret.hex() not in result.output
    assert [path.name for path in root.config_dir.iterdir()] == ["authkeys"]


@pytest.mark.parametrize("method", ["chacha20-poly1305", "aes-256-gcm", "hmac-sha256"])
def test_every_method_gives_a_new_secret_each_time(root: Root, method: str) -> None:
    secrets = set()
    for _ in range(3):
        assert keys(root, "generate", "--method", method, "--force").exit_code == 0
        secrets.add(load_authkeys(root).keys[0].secret)
    assert len(secrets) == 3


def test_a_file_that_is_there_is_not_replaced_by_mistake(root: Root) -> None:
    keys(root, "generate")
    before = root.authkeys.read_bytes()
    result = keys(root, "generate")
    assert result.exit_code == Exit.EXISTS
    assert root.authkeys.read_bytes() == before


def test_a_key_is_changed_in_three_steps(root: Root) -> None:
    root.config_dir.mkdir(parents=True)
    root.authkeys.touch(mode=0o600)
    root.authkeys.write_text("auth 1\n1 sha1 of-3.0.6\n")
    assert keys(root, "add").exit_code == 0
    assert (load_authkeys(root).signing, len(load_authkeys(root).keys)) == (1, 2)
    assert keys(root, "remove", "1").exit_code == Exit.USAGE
    assert keys(root, "use", "3").exit_code == Exit.NO_SUCH_OBJECT
    assert keys(root, "use", "2").exit_code == 0
    listed = keys(root, "list")
    assert "of-3.0.6" not in listed.output
    assert [line.split()[:2] for line in listed.output.splitlines()] == [["1", "sha1"], ["2", "chacha20-poly1305"]]
    assert keys(root, "remove", "1").exit_code == 0
    assert [key.number for key in load_authkeys(root).keys] == [2]


def test_all_numbers_taken(root: Root) -> None:
    keys(root, "generate")
    for _ in range(14):
        assert keys(root, "add").exit_code == 0
    assert keys(root, "add").exit_code == Exit.EXISTS


def test_a_broken_file_is_left_alone(root: Root) -> None:
    root.config_dir.mkdir(parents=True)
    root.authkeys.touch(mode=0o600)
    root.authkeys.write_text("auth 1\n1 rot13 x\n")
    for words in (["add"], ["use", "1"], ["remove", "1"], ["list"]):
        assert keys(root, *words).exit_code == Exit.CONFIGURATION
    assert root.authkeys.read_text() == "auth 1\n1 rot13 x\n"
