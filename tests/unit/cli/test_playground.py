# SPDX-License-Identifier: GPL-2.0-or-later
"""The playground's parts: its description, its switch, its hub's orders. Whole nodes are in tests/real."""

from __future__ import annotations

import selectors
import socket
from pathlib import Path

import pytest

from ha.cli.playground import control, layout
from ha.cli.playground.hub import Hub
from ha.cli.playground.layout import PlaygroundError
from ha.cli.playground.switch import Switch
from ha.heartbeat.io.config import load, load_authkeys


def test_every_node_gets_a_configuration_that_heartbeat_accepts(short_path: Path) -> None:
    place = layout.create(short_path / "p", 3, "fast")
    for node in place.nodes:
        root = place.root(node)
        ha_cf = load(root)
        assert root.node_name() == node
        assert ha_cf.nodes == ("n1", "n2", "n3")
        assert len(ha_cf.media) == 2
        assert ha_cf.warnings == ()
        assert load_authkeys(root).key(1) is not None


def test_a_description_is_read_back(short_path: Path) -> None:
    made = layout.create(short_path / "p", 2, "default")
    assert layout.load(short_path / "p") == made


@pytest.mark.parametrize("count", [0, layout.MAX_NODES + 1])
def test_an_impossible_number_of_nodes_is_refused(short_path: Path, count: int) -> None:
    with pytest.raises(PlaygroundError, match="choose 1 to"):
        layout.create(short_path / "p", count, "default")


def test_a_directory_of_somebody_elses_things_is_left_alone(short_path: Path) -> None:
    (short_path / "letters").write_text("dear")
    with pytest.raises(PlaygroundError, match="not empty"):
        layout.create(short_path, 1, "default")
    assert (short_path / "letters").read_text() == "dear"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"folder": 1}', "\x00" * 10])
def test_a_damaged_description_is_named(short_path: Path, text: str) -> None:
    (short_path / "playground.json").write_text(text)
    with pytest.raises(PlaygroundError, match=r"playground\.json is damaged"):
        layout.load(short_path)


def test_no_playground_is_told_with_the_remedy(short_path: Path) -> None:
    with pytest.raises(PlaygroundError, match="ha playground up"):
        layout.load(short_path)


def test_orders_to_a_playground_that_is_down_say_so(short_path: Path) -> None:
    place = layout.create(short_path / "p", 1, "default")
    with pytest.raises(PlaygroundError, match="is down"):
        control.order(place, "list")


class Wires:
    """The nodes' own ends of a switch."""

    def __init__(self, folder: Path) -> None:
        self.place = layout.create(folder, 2, "default")
        self.selector = selectors.DefaultSelector()
        self.switch = Switch(self.place, self.selector)
        self.ends = {}
        for node, port in self.place.ports.items():
            self.ends[node] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.ends[node].bind(("127.0.0.1", port))
            self.ends[node].setblocking(False)

    def carry(self, a: str, b: str) -> bytes:
        """What arrives at b of a packet from a; empty when it is lost."""
        self.ends[a].sendto(b"beat", ("127.0.0.1", self.place.uplinks[a][b]))
        ready = self.selector.select(5)
        assert ready, "the switch never saw the packet"
        for key, _ in ready:
            key.data()
        try:
            return self.ends[b].recv(100)
        except BlockingIOError:
            return b""


def test_the_switch_carries_and_cuts_each_direction(short_path: Path) -> None:
    wires = Wires(short_path / "p")
    assert wires.carry("n1", "n2") == b"beat"
    wires.switch.cut("n1", "n2", one_way=True)
    assert wires.carry("n1", "n2") == b""
    assert wires.carry("n2", "n1") == b"beat"
    wires.switch.cut("n1", "n2", one_way=False)
    assert wires.carry("n2", "n1") == b""
    wires.switch.heal()
    assert wires.carry("n1", "n2") == b"beat"


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("list", "ok n1 n2"),
        ("status n1", "ok off"),
        ("off n1", "ok off"),
        ("cut n1 n2", "ok n1->n2 n2->n1"),
        ("cut-one-way n2 n1", "ok n2->n1"),
        ("heal", "ok healed"),
        ("off n9", "error there is no node 'n9'"),
        ("off", "error off takes 1 node names"),
        ("explode n1", "error unknown order 'explode'"),
        ("", "error unknown order ''"),
        ("\ufffd\ufffd", "error unknown order"),
    ],
)
def test_the_hub_answers_every_line(short_path: Path, line: str, answer: str) -> None:
    hub = Hub(layout.create(short_path / "p", 2, "default"))
    assert hub.obey(line).startswith(answer)
