# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's fence agents: all are registered and tried, those that can act on one machine fence a node."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.real import fence_agents

pytestmark = pytest.mark.real


@pytest.mark.slow
def test_every_agent_is_registered_and_tried(short_path: Path) -> None:
    names = fence_agents.agents()
    if len(names) < 10:
        pytest.skip("Debian's fence-agents are not installed")
    drills = fence_agents.drill_all(names, short_path)
    assert sorted(drills) == names
    for name, drill in drills.items():
        assert drill.checks, name
        assert all(check.ok or check.remedy for check in drill.checks), name


@pytest.mark.parametrize("agent", sorted(fence_agents.EXERCISES))
def test_agents_that_can_act_here(short_path: Path, agent: str) -> None:
    if not (fence_agents.AGENTS / agent).exists():
        pytest.skip(f"{agent} is not installed")
    tools = fence_agents.NEEDS.get(agent, ())
    missing = [tool for tool in tools if not shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin")]
    if missing or (agent == "fence_sbd" and not (os.access("/dev/loop-control", os.W_OK) and os.geteuid() == 0)):
        pytest.skip(f"{agent} needs {', '.join(missing) or 'root and a loop device'}")
    assert fence_agents.exercise(agent, short_path).device == "power"
