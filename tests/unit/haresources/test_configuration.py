# SPDX-License-Identifier: GPL-2.0-or-later
"""When haresources mode is chosen, and which ha.cf it can be run with."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.cli.config.check import examine
from ha.haresources.io.config import load_haresources, settings_of
from ha.haresources.model.execution import FenceDevice, ScriptEnd
from ha.haresources.model.haresources import HaresourcesError, parse
from ha.haresources.model.hold import ALL, FOREIGN, LOCAL, NOTHING, seen_from_peer, word_of
from ha.heartbeat.model import parse as parse_ha_cf
from ha.rmd.io.directories import haresources_mode, stanzas
from ha.root import Root

TWO = "ucast eth0 192.0.2.2\nnode alpha beta\n"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    made = Root(str(tmp_path))
    made.config_dir.mkdir(parents=True)
    (made.config_dir / "nodeinfo").write_text("alpha\n")
    (made.config_dir / "haresources").write_text("alpha a\nbeta b\n")
    return made


@pytest.mark.parametrize(
    ("ha_cf", "mode"),
    [
        ("", True), ("crm no\n", True), ("pacemaker off # not yet\n", True), ("crm FALSE\n", True),
        ("crm respawn\n", False), ("crm yes\n", False), ("crm ccm-only\n", False), ("#crm yes\n", True),
    ],
)  # fmt: skip
def test_the_mode_is_chosen_by_ha_cf(root: Root, ha_cf: str, mode: bool) -> None:
    root.ha_cf.write_text(TWO + ha_cf)
    assert haresources_mode(root) == mode
    assert (stanzas(root).name == "haresources") == mode
    (root.config_dir / "haresources").unlink()
    assert not haresources_mode(root)


def test_settings(root: Root) -> None:
    text = TWO + "auto_failback on\nstonith_host * external/ssh a b\nstonith_host beta null x\nunfenced_takeover 2\n"
    settings = settings_of(root, parse_ha_cf(text, "ha.cf"), load_haresources(root))
    assert (settings.node, settings.peer, settings.auto_failback) == ("alpha", "beta", True)
    assert settings.devices == (FenceDevice("*", "external/ssh", "a b"),)
    assert settings.unfenced_takeover_ms == 2000


@pytest.mark.parametrize(
    ("ha_cf", "groups", "problem"),
    [
        (TWO, "alpha a\n", "auto_failback legacy"),
        (TWO + "auto_failback legacy\n", "alpha a\n", "auto_failback legacy"),
        (TWO + "auto_failback on\nnode gamma\n", "alpha a\n", "for two nodes"),
        (TWO + "auto_failback on\n", "delta a\n", "haresources:1: node delta is none of ha.cf's"),
        (TWO + "auto_failback on\nautojoin any\n", "alpha a\n", "autojoin"),
    ],
)
def test_what_the_mode_cannot_be_run_with(root: Root, ha_cf: str, groups: str, problem: str) -> None:
    with pytest.raises(HaresourcesError) as caught:
        settings_of(root, parse_ha_cf(ha_cf, "ha.cf"), parse(groups, "haresources"))
    assert problem in str(caught.value)


def test_a_haresources_that_is_not_text(root: Root) -> None:
    (root.config_dir / "haresources").write_bytes(b"alpha a\n\xff\n")
    with pytest.raises(HaresourcesError, match=":2: not UTF-8"):
        load_haresources(root)


@pytest.mark.parametrize(
    ("text", "running"),
    [
        ("running\n", True), ("INFO:  Running OK", True), ("OK", True), ("not running", False), ("Not Running", False),
        ("NOT  running", False), ("stopped", False), ("", False), ("is dead", False),
    ],
)  # fmt: skip
def test_status_is_judged_by_words(text: str, running: bool) -> None:
    assert ScriptEnd(0, text).running == running


def test_the_words_of_a_hold() -> None:
    assert [word_of(hold) for hold in (NOTHING, LOCAL, FOREIGN, ALL)] == ["none", "local", "foreign", "all"]
    assert [seen_from_peer(hold) for hold in (NOTHING, LOCAL, FOREIGN, ALL)] == [NOTHING, FOREIGN, LOCAL, ALL]


@pytest.mark.parametrize(
    ("extra", "weight", "words"),
    [
        ("auto_failback on\n", "warning", "no stonith_host line"),
        ("auto_failback on\nunfenced_takeover 1\n", "warning", "at the same time"),
        ("", "error", "auto_failback legacy"),
    ],
)
def test_config_check_knows_the_mode(root: Root, extra: str, weight: str, words: str) -> None:
    root.ha_cf.write_text(TWO + extra)
    found = [(finding.weight, finding.what) for finding in examine(root)]
    assert any(w == weight and words in what for w, what in found), found
    assert not any("CIB" in what or "majority" in what for _, what in found)
