# SPDX-License-Identifier: GPL-2.0-or-later
"""`on` of a member: every guarding device lets the node in, on the node itself where its agent works there only."""

from __future__ import annotations

import msgspec
import pytest

from ha.stonith.model.agent_metadata import parse_metadata
from ha.stonith.model.execution import FenceMetadata, RunFenceAgent
from tests.unit.stonith.world import FAILS, METADATA, OK, Behaviour, World, primitive

GUARDS = primitive("keys", pcmk_host_list="n1 n2 n3") + primitive("port", pcmk_host_list="n1 n2 n3")


def world_of(metadata: FenceMetadata, fails: str = "") -> World:
    def behave(node: str, request: RunFenceAgent) -> Behaviour:
        return FAILS if request.device == fails and request.action == "on" else OK

    world = World("", behave=behave)
    world.metadata = metadata
    world.configure(GUARDS)
    return world


ON_TARGET = msgspec.structs.replace(METADATA, unfences=True, on_target=True)
ANYWHERE = msgspec.structs.replace(METADATA, unfences=True)


def test_the_node_itself_switches_on_what_works_there_only() -> None:
    world = world_of(ON_TARGET)
    world.nodes["n1"].fences("n2", "on")
    world.advance(1_000)
    assert world.called() == ["n2: keys on n2", "n2: port on n2"]
    assert [told.ok for told in world.nodes["n1"].fenced()] == [True]


def test_all_guards_must_let_it_in() -> None:
    world = world_of(ANYWHERE, fails="port")
    world.nodes["n1"].fences("n2", "on", timeout_ms=5_000)
    world.advance(6_000)
    assert [told.ok for told in world.nodes["n1"].fenced()] == [False]
    assert world.called()[0] == "n1: keys on n2"


def test_no_other_node_can_stand_in_for_one_that_is_away() -> None:
    world = world_of(ON_TARGET)
    world.lose("n2")
    world.nodes["n1"].fences("n2", "on", timeout_ms=5_000)
    world.advance(6_000)
    assert world.called() == []
    assert [told.ok for told in world.nodes["n1"].fenced()] == [False]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("", (False, False)),
        ('automatic="0"', (False, False)),
        ('automatic="1"', (True, False)),
        ('required="1"', (True, False)),
        ('on_target="1" automatic="1"', (True, True)),
        ('automatic="perhaps"', (False, False)),
    ],
)
def test_what_the_metadata_says(attributes: str, expected: tuple[bool, bool]) -> None:
    text = f'<resource-agent><actions><action name="on" {attributes}/><action name="off"/></actions></resource-agent>'
    found = parse_metadata(text.encode())
    assert (found.unfences, found.on_target) == expected
