# SPDX-License-Identifier: GPL-2.0-or-later
"""How Linux-HA plug-ins are found and called."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.root import Root
from ha.stonith.io.plugins import Plugin, PluginError, find_plugin, node_of, plugin_environment

SCRIPT = Plugin("external/ipmi", Path("/x/ipmi"))
COMPILED = Plugin("apcmaster", Path("/x/stonith"))


@pytest.mark.parametrize(
    ("plugin", "action", "argv"),
    [
        (SCRIPT, "reboot", ("/x/ipmi", "reset", "n1")),
        (SCRIPT, "off", ("/x/ipmi", "off", "n1")),
        (SCRIPT, "on", ("/x/ipmi", "on", "n1")),
        (SCRIPT, "monitor", ("/x/ipmi", "status")),
        (SCRIPT, "list", ("/x/ipmi", "gethosts")),
        (SCRIPT, "metadata", ("/x/ipmi", "getconfignames")),
        (COMPILED, "reboot", ("/x/stonith", "-t", "apcmaster", "-E", "-T", "reset", "n1")),
        (COMPILED, "monitor", ("/x/stonith", "-t", "apcmaster", "-E", "-S")),
        (COMPILED, "list", ("/x/stonith", "-t", "apcmaster", "-E", "-l")),
        (COMPILED, "metadata", ("/x/stonith", "-t", "apcmaster", "-n")),
    ],
)
def test_calls(plugin: Plugin, action: str, argv: tuple[str, ...]) -> None:
    assert plugin.argv(action, "n1") == argv


@pytest.mark.parametrize(("action", "node"), [("status", "n1"), ("off", ""), ("off", "-T"), ("rm", "n1")])
def test_what_cannot_be_called(action: str, node: str) -> None:
    for plugin in (SCRIPT, COMPILED):
        with pytest.raises(PluginError):
            plugin.argv(action, node)


def test_parameters_do_not_replace_the_agents_environment() -> None:
    given = {"hostlist": "n1 n2", "nodename": "n1", "port": "n1"}
    assert plugin_environment({"PATH": "/bin"}, given) == {"PATH": "/bin", "hostlist": "n1 n2"}
    for name in ("PATH", "LD_PRELOAD", "HA_ROOT", "a b", "", "1x", "a=b"):
        with pytest.raises(PluginError):
            plugin_environment({"PATH": "/bin"}, {name: "x"})
    with pytest.raises(PluginError):
        plugin_environment({}, {"x": "\0"})


def test_where_plugins_are_found(tmp_path: Path) -> None:
    root = Root.choose(tmp_path)
    script = root.path("/usr/lib/stonith/plugins/external/mine")
    script.parent.mkdir(parents=True)
    script.touch()
    assert find_plugin(root, "external/mine") == Plugin("external/mine", script)
    for name in ("external/", "external/../ssh", "external/.hidden", "external/a/b", "external/fence_x", "fence_x"):
        assert find_plugin(root, name) is None


def test_the_plugins_own_name_of_the_node_comes_first() -> None:
    assert node_of({"nodename": "n1", "port": "box7"}) == "box7"
    assert node_of({"nodename": "n1"}) == "n1"
