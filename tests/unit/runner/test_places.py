# SPDX-License-Identifier: GPL-2.0-or-later
"""Where agents are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.root import Root, shipped
from ha.runner.places import AgentPlaces, agent_environment, find, list_agents, list_providers


def test_the_machines_own_agents_come_first() -> None:
    places = AgentPlaces.choose(Root(""), {})
    assert places.ocf == (Path("/usr/lib/ocf/resource.d"), shipped("resource.d") / "ocf")
    assert places.heartbeat == (Path("/etc/ha.d/resource.d"), shipped("resource.d") / "heartbeat")
    assert places.lsb == (Path("/etc/init.d"),)
    assert places.fence == (Path("/usr/sbin"), shipped("resource.d") / "stonith")


def test_under_a_root_its_own_then_ours_then_the_machines() -> None:
    places = AgentPlaces.choose(Root("/tmp/n1"), {})
    assert places.ocf == (
        Path("/tmp/n1/usr/lib/ocf/resource.d"), shipped("resource.d") / "ocf", Path("/usr/lib/ocf/resource.d")
    )  # fmt: skip
    assert places.lsb == (Path("/tmp/n1/etc/init.d"),)


def test_paths_are_configurable() -> None:
    places = AgentPlaces.choose(Root("/tmp/n1"), {"HA_OCF_PATH": "/a:/b:relative:", "HA_LSB_PATH": ""})
    assert places.ocf == (Path("/a"), Path("/b"))
    assert places.lsb == ()


@pytest.mark.parametrize("name", ["../Dummy", ".hidden", "", "a/b", "x" * 200, "a\nb", "-x"])
def test_no_name_leads_out_of_the_search_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "Dummy").touch()
    (tmp_path / ".hidden").touch()
    (tmp_path / "sub").mkdir()
    assert find((tmp_path / "sub",), name) is None
    assert find((tmp_path,), "Dummy", "../" + tmp_path.name) is None


def test_lists(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one / "p" / "B", two / "p" / "A", two / "q" / "C", one / "p" / ".no", one / "p" / "data"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o644 if path.name == "data" else 0o755)
    assert list_providers((one, two, tmp_path / "absent")) == ["p", "q"]
    assert list_agents((one, two), "p") == ["A", "B"]
    assert find((one, two), "A", "p") == two / "p" / "A"


def test_environment_leads_back_to_the_node() -> None:
    environment = agent_environment(Root("/tmp/n1"), "n1")
    assert environment["HA_ROOT"] == "/tmp/n1"
    assert environment["HA_RSCTMP"].startswith("/tmp/n1/")
    assert "HA_ROOT" not in agent_environment(Root(""), "n1")
