# SPDX-License-Identifier: GPL-2.0-or-later
"""Every scenario file leads to the trace it holds. HA_UPDATE_GOLDEN=1 rewrites the files; read the difference."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ha.sim.scenario import Scenario, parse, printed
from ha.sim.stack import make_world

FILES = sorted(Path(__file__).parent.glob("*.txt"))


def test_there_are_scenarios() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# "), "a scenario begins with a sentence of purpose"
    outcome = Scenario(make_world, path.parent).run(text)
    if os.environ.get("HA_UPDATE_GOLDEN") == "1":
        path.write_text(printed(outcome.blocks), encoding="utf-8")
    else:
        assert outcome.differences == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_block_has_its_trace(path: Path) -> None:
    blocks = parse(path.read_text(encoding="utf-8"))
    assert [block.number for block in blocks if block.commands() and block.expected is None] == []
