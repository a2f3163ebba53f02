# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices and levels as the CIB has them; agents' meta-data, options, exit codes."""

from __future__ import annotations

import pytest

from ha.cib.msg import Changed, Version
from ha.runner.model import End
from ha.stonith.core.registry import Registry
from ha.stonith.io.agents import OptionError, fence_result, stdin_lines
from ha.stonith.model.agent_metadata import MetadataError, parse_metadata
from ha.stonith.model.configuration import Configuration, ConfigurationError, parse_configuration
from ha.stonith.model.device import AgentTraits, Device, duration_ms, parse_host_list, parse_host_map

APC = AgentTraits(frozenset({"ip", "plug"}), frozenset({"list", "status", "monitor", "off", "on", "reboot"}), True)


def configuration(resources: str, rest: str = "") -> Configuration:
    return parse_configuration(
        '<cib><configuration><nodes><node id="1" uname="N1"><instance_attributes id="a">'
        '<nvpair id="b" name="rack" value="r7"/></instance_attributes></node><node id="2" uname="n2"/></nodes>'
        f"<resources>{resources}</resources>{rest}</configuration></cib>"
    )


def device_xml(inner: str = "", attributes: str = 'class="stonith" type="fence_apc"') -> str:
    return f'<primitive id="d" {attributes}>{inner}</primitive>'


def test_parameters_by_score_reference_and_template() -> None:
    found = configuration(
        """
        <template id="t" class="stonith" type="fence_apc">
          <instance_attributes id="ti">
            <nvpair id="t1" name="ip" value="10.0.0.1"/><nvpair id="t2" name="login" value="x"/>
          </instance_attributes>
        </template>
        <primitive id="d" template="t">
          <instance_attributes id="i1"><nvpair id="n1" name="login" value="low"/></instance_attributes>
          <instance_attributes id="i2" score="10">
            <nvpair id="n2" name="login" value="high"/><nvpair id-ref="shared"/>
          </instance_attributes>
        </primitive>
        <primitive id="e" class="ocf" provider="p" type="x">
          <instance_attributes id="i3"><nvpair id="shared" name="port" value="7"/></instance_attributes>
        </primitive>
        """
    )
    assert list(found.devices) == ["d"]
    assert found.devices["d"].parameters == {"login": "high", "port": "7", "ip": "10.0.0.1"}
    assert found.devices["d"].agent == "fence_apc"


@pytest.mark.parametrize(("role", "known"), [("Stopped", False), ("stopped", False), ("Started", True)])
def test_a_stopped_device_is_none(role: str, known: bool) -> None:
    meta = f'<meta_attributes id="m"><nvpair id="m1" name="target-role" value="{role}"/></meta_attributes>'
    assert ("d" in configuration(device_xml(meta)).devices) is known
    assert ("d" in configuration(f'<group id="g">{device_xml()}{meta}</group>').devices) is known


@pytest.mark.parametrize(
    ("constraint", "banned"),
    [
        ('<rsc_location id="l" rsc="d" node="N1" score="-INFINITY"/>', {"n1"}),
        ('<rsc_location id="l" rsc="d" node="n1" score="-1000"/>', set()),
        ('<rsc_location id="l" rsc="g" node="n2" score="-INFINITY"/>', {"n2"}),
        (
            '<rsc_location id="l" rsc="d"><rule id="r" score="-INFINITY">'
            '<expression id="e" attribute="#uname" operation="ne" value="n1"/></rule></rsc_location>',
            {"n2"},
        ),
        (
            '<rsc_location id="l" rsc="d"><rule id="r" score="-INFINITY">'
            '<expression id="e" attribute="rack" operation="eq" value="r7"/></rule></rsc_location>',
            set(),
        ),
    ],
)
def test_bans(constraint: str, banned: set[str]) -> None:
    found = configuration(f'<group id="g">{device_xml()}</group>', f"<constraints>{constraint}</constraints>")
    assert found.devices["d"].banned == banned


def test_levels_by_name_before_pattern_before_attribute() -> None:
    found = configuration(
        "",
        '<fencing-topology><fencing-level id="a" index="2" target="n1" devices="x"/>'
        '<fencing-level id="b" index="1" target="n1" devices="y, z"/>'
        '<fencing-level id="c" index="1" target-pattern="n[0-9]" devices="p"/>'
        '<fencing-level id="d" index="1" target-attribute="rack" target-value="r7" devices="q"/>'
        '<fencing-level id="e" index="0" target="n1" devices="bad"/>'
        '<fencing-level id="f" index="1" target-pattern="(" devices="bad"/></fencing-topology>',
    )
    assert found.levels_of("n1") == [("y", "z"), ("x",)]
    assert found.levels_of("n2") == [("p",)]
    assert found.levels_of("other") == []
    assert len(found.complaints) == 2


@pytest.mark.parametrize("text", ["", "<a", "<a/>", "\x00", "<!DOCTYPE x [<!ENTITY y 'z'>]><a>&y;</a>"])
def test_garbage_is_no_configuration(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_configuration(text)


# Devices -------------------------------------------------------------------------------------------------------------


def test_options_for_the_agent() -> None:
    device = Device("d", "fence_apc", {
        "ip": "10.0.0.1", "pcmk_host_map": "n1:1;n2:2,3", "action": "off", "pcmk_reboot_action": "off",
        "crm_feature_set": "3", "CRM_meta_x": "y",
    })  # fmt: skip
    assert device.options("reboot", "n2", APC) == {"ip": "10.0.0.1", "nodename": "n2", "plug": "2,3"}
    assert device.options("list", "", APC) == {"ip": "10.0.0.1"}
    assert device.action_name("reboot") == "off"


@pytest.mark.parametrize(
    ("parameters", "traits", "argument"),
    [
        ({}, APC, "plug"),
        ({}, AgentTraits(frozenset({"port"}), frozenset(), True), "port"),
        ({}, AgentTraits(frozenset({"port", "plug"}), frozenset(), True), "plug"),
        ({}, AgentTraits(frozenset({"ip"}), frozenset(), True), None),
        ({}, AgentTraits(), "port"),
        ({"pcmk_host_argument": "domain"}, APC, "domain"),
        ({"pcmk_host_argument": "none"}, APC, None),
    ],
)
def test_how_the_target_is_named(parameters: dict[str, str], traits: AgentTraits, argument: str | None) -> None:
    options = Device("d", "a", parameters).options("off", "n1", traits)
    assert options == {"nodename": "n1"} | ({argument: "n1"} if argument else {})


@pytest.mark.parametrize(
    ("parameters", "traits", "check"),
    [
        ({"pcmk_host_list": "n1"}, APC, "static-list"),
        ({"pcmk_host_map": "n1:1"}, APC, "static-list"),
        ({}, APC, "dynamic-list"),
        ({}, AgentTraits(frozenset(), frozenset({"status"}), True), "status"),
        ({}, AgentTraits(frozenset(), frozenset({"off"}), True), "none"),
        ({}, AgentTraits(), "status"),
        ({"pcmk_host_list": "n1", "pcmk_host_check": "none"}, APC, "none"),
        ({"pcmk_host_check": "nonsense"}, APC, "dynamic-list"),
    ],
)
def test_how_to_learn_what_a_device_reaches(parameters: dict[str, str], traits: AgentTraits, check: str) -> None:
    assert Device("d", "a", parameters).host_check(traits) == check


def test_lists_and_maps() -> None:
    assert Device("d", "a", {"pcmk_host_list": "N1, n2;n3\nn4"}).host_list == {"n1", "n2", "n3", "n4"}
    assert parse_host_map("n1:1;n2:a:b broken ;:x;y:") == {"n1": "1", "n2": "a:b"}
    assert parse_host_list("n1,alias\n\nN2\n3,,on\n") == {"n1", "alias", "n2", "3"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", 5_000), ("5s", 5_000), ("2 min", 120_000), ("100ms", 100), ("1h", 3_600_000), ("", 0), ("x", 0), ("-1", 0),
     ("9" * 12, 86_400_000), ("500us", 0)],
)  # fmt: skip
def test_durations(text: str, expected: int) -> None:
    assert duration_ms(text) == expected


@pytest.mark.parametrize(("text", "tries"), [("", 2), ("5", 5), ("0", 1), ("99", 10), ("x", 2)])
def test_tries(text: str, tries: int) -> None:
    assert Device("d", "a", {"pcmk_off_retries": text}).tries("off") == tries


# Agents --------------------------------------------------------------------------------------------------------------


def test_metadata() -> None:
    document = b"""<?xml version="1.0" ?><resource-agent name="f"><parameters>
      <parameter name="port" deprecated="1"/><parameter name="plug" obsoletes="port"/><parameter/></parameters>
      <actions><action name="on" automatic="0"/><action name="off"/></actions></resource-agent>"""
    found = parse_metadata(document)
    assert (found.parameters, found.actions) == (("plug",), ("on", "off"))


@pytest.mark.parametrize("document", [b"", b"usage: ...", b"<html/>", b"\xff\xfe", b"<resource-agent>" * 9])
def test_garbage_metadata(document: bytes) -> None:
    with pytest.raises(MetadataError):
        parse_metadata(document)


def test_options_are_lines_and_nothing_breaks_out_of_them() -> None:
    assert stdin_lines("off", {"ip": "a=b c", "plug": "1"}) == b"action=off\nip=a=b c\nplug=1\n"
    for name, value in (("a", "x\naction=on"), ("a=b", "x"), ("", "x"), ("a", "x\0"), ("a b", "x"), ("a", "x\r")):
        with pytest.raises(OptionError):
            stdin_lines("off", {name: value})


@pytest.mark.parametrize(
    ("end", "ok", "fate", "reason"),
    [
        (End(fate="exited", code=0, stdout=b"out"), True, "done", ""),
        (End(fate="exited", code=3, stderr=b"first\nlast\n\n"), False, "done", "login denied (exit code 3): last"),
        (End(fate="exited", code=99, stdout=b"said\n"), False, "done", "failed (exit code 99): said"),
        (End(fate="exited", code=2), False, "done", "bad arguments (exit code 2)"),
        (End(fate="timeout", exec_ms=5), False, "timeout", "did not end within 5 ms"),
        (End(fate="signalled", code=9), False, "error", "signal 9"),
        (End(fate="not started", code=13), False, "error", "Permission denied"),
        (End(fate="lost"), False, "error", "runner died"),
        (End(fate="revoked"), False, "revoked", ""),
    ],
)
def test_ends(end: End, ok: bool, fate: str, reason: str) -> None:
    result = fence_result(end)
    assert (result.ok, result.fate) == (ok, fate)
    assert reason in result.reason


def test_a_change_of_the_status_is_no_reason_to_read_the_configuration() -> None:
    """Every write raises the version on the root, which is told as the section "cib"."""
    registry = Registry()
    told = Changed(generation=2, version=Version(0, 1, 1), digest="", diff="<diff/>", sections=("status", "cib"))
    assert registry.changed(told, 0) == []
    told = Changed(generation=3, version=Version(0, 2, 0), digest="", diff="<diff/>", sections=("resources", "cib"))
    assert registry.changed(told, 0) != []
