# SPDX-License-Identifier: GPL-2.0-or-later
"""The crmd's values: configuration, the takeover chain, operation history, the status section, changes, traits."""

from __future__ import annotations

import pytest
from lxml import etree

from ha.cib.msg import Changed, Version
from ha.crm.core.traits import read_traits
from ha.crm.model.change import meaning_of
from ha.crm.model.configuration import cluster_options, read_configuration
from ha.crm.model.history import (
    counts_as_failure,
    digest,
    digested,
    entries,
    is_failure,
    parse_transition_key,
    pending_entry,
)
from ha.crm.model.status import Status, xpath_literal
from ha.crm.model.stop_chain import longest_stop_chain_ms
from ha.crm.msg import AgentTraits
from ha.lrm.msg import ExecutionStatus, OperationResult, Resource, RunOperation

A = Resource(id="A", agent_class="ocf", agent_type="Dummy", provider="heartbeat")


def result(
    operation: str = "start", rc: int = 0, *, target: int = 0, interval_ms: int = 0, call_id: int = 5,
    status: ExecutionStatus = "done", **more: str,
) -> OperationResult:
    return OperationResult(
        resource=A, operation=operation, interval_ms=interval_ms, call_id=call_id, rc=rc, status=status,
        parameters={"state": "/a", "fake": "x"}, meta={"timeout": "20000", **more}, user_data=f"3:7:{target}:uuid",
        last_rc_change_s=1_700_000_000, exec_ms=12, queue_ms=1, exit_reason=more.get("reason", ""),
    )


# Configuration --------------------------------------------------------------------------------------------------------


def configuration(resources: str = "", constraints: str = "", options: str = "", rest: str = "") -> etree._Element:
    return etree.fromstring(
        f"<configuration><crm_config>{options}</crm_config><nodes/><resources>{resources}</resources>"
        f"<constraints>{constraints}</constraints>{rest}</configuration>"
    )


def option_set(name: str, score: str = "", **values: str) -> str:
    rank = f' score="{score}"' if score else ""
    pairs = "".join(f'<nvpair id="{name}-{k}" name="{k.replace("_", "-")}" value="{v}"/>' for k, v in values.items())
    return f'<cluster_property_set id="{name}"{rank}>{pairs}</cluster_property_set>'


def test_defaults_are_the_safe_ones() -> None:
    read = read_configuration(configuration())
    assert read.stonith_enabled and read.start_failure_is_fatal
    assert read.takeover_grace_ms is None and read.recheck_interval_ms == 900_000
    assert read.batch_limit == 0


def test_options_are_read_with_their_units() -> None:
    read = read_configuration(configuration(options=option_set(
        "cib-bootstrap-options", stonith_enabled="false", takeover_grace="1500ms", cluster_recheck_interval="2min",
        start_failure_is_fatal="no", batch_limit="30", shutdown_escalation="5min")))
    assert not read.stonith_enabled and not read.start_failure_is_fatal
    assert (read.takeover_grace_ms, read.recheck_interval_ms, read.batch_limit) == (1500, 120_000, 30)
    assert read.shutdown_escalation_ms == 300_000


@pytest.mark.parametrize("word", ["auto", "soon", "", "-5s"])
def test_a_grace_that_is_no_time_is_the_automatic_one(word: str) -> None:
    assert read_configuration(configuration(options=option_set("x", takeover_grace=word))).takeover_grace_ms is None


def test_the_bootstrap_set_wins_then_the_score_then_the_order() -> None:
    options = cluster_options(configuration(options=(
        option_set("a", "5", one="a", two="a", three="a") + option_set("b", "9", two="b", three="b")
        + option_set("cib-bootstrap-options", three="boot"))))
    assert options == {"one": "a", "two": "b", "three": "boot"}


def primitive(name: str, stop: str = "", demote: str = "", template: str = "") -> str:
    ops = "".join(
        f'<op id="{name}-{task}" name="{task}" interval="0" timeout="{timeout}"/>'
        for task, timeout in (("stop", stop), ("demote", demote)) if timeout
    )
    kind = f'template="{template}"' if template else 'class="ocf" provider="heartbeat" type="Dummy"'
    return f'<primitive id="{name}" {kind}><operations>{ops}</operations></primitive>'


@pytest.mark.parametrize(
    ("resources", "constraints", "expected_ms"),
    [
        ("", "", 0),
        (primitive("A"), "", 20_000),
        (primitive("A", "5s") + primitive("B", "7s"), "", 7_000),
        (primitive("A", "5s") + primitive("B", "7s"), '<rsc_order id="o" first="A" then="B"/>', 12_000),
        (primitive("A", "5s") + primitive("B", "7s"), '<rsc_order id="o" first="A" then="B" kind="Serialize"/>', 7_000),
        (f'<group id="g">{primitive("A", "5s")}{primitive("B", "7s")}</group>', "", 12_000),
        (f'<clone id="c">{primitive("A", "5s")}</clone>' + primitive("B", "7s"),
         '<rsc_order id="o" first="B" then="c"/>', 12_000),
        (f'<clone id="c"><meta_attributes id="m"><nvpair id="p" name="promotable" value="true"/></meta_attributes>'
         f'{primitive("A", "5s", "9s")}</clone>', "", 14_000),
        (primitive("A", "1s") + primitive("B", "2s") + primitive("C", "4s"),
         '<rsc_order id="o"><resource_set id="s"><resource_ref id="A"/><resource_ref id="B"/></resource_set>'
         '<resource_set id="t"><resource_ref id="C"/></resource_set></rsc_order>', 7_000),
        (primitive("A", "1s") + primitive("B", "2s"),
         '<rsc_order id="o" first="A" then="B"/><rsc_order id="p" first="B" then="A"/>', 3_000),
        ('<template id="t" class="ocf" type="Dummy"><operations><op id="to" name="stop" interval="0" timeout="3s"/>'
         "</operations></template>" + primitive("A", template="t"), "", 3_000),
        (f'<group id="g">{primitive("A", "5s")}</group>' + primitive("B", "7s"),
         '<rsc_order id="o" first="A" then="B"/>', 12_000),
    ],
)
def test_the_longest_chain_of_stops(resources: str, constraints: str, expected_ms: int) -> None:
    assert longest_stop_chain_ms(configuration(resources, constraints)) == expected_ms


def test_op_defaults_count_for_stops_without_a_timeout() -> None:
    defaults = ('<op_defaults><meta_attributes id="d"><nvpair id="t" name="timeout" value="90s"/></meta_attributes>'
                "</op_defaults>")
    assert longest_stop_chain_ms(configuration(primitive("A"), rest=defaults)) == 90_000


# History --------------------------------------------------------------------------------------------------------------


def test_digests_are_those_of_the_agent_contract() -> None:
    assert digest({"state": "/a", "fake": "x"}) == "0bc7c848f856e0cbe0dd2feeb0631c4c"
    assert digest({}) == "f2317cad3d54cec5d7d7aa7d0bf35cf8"


def test_a_recurring_operation_has_its_timeout_in_the_digest() -> None:
    parameters = {"state": "/a", "CRM_meta_name": "x", "id": "1", "on_node": "n1"}
    assert digested(parameters, {"timeout": "5000"}, 0) == {"state": "/a"}
    assert digested(parameters, {"timeout": "5000"}, 10_000) == {"state": "/a", "CRM_meta_timeout": "5000"}


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (result("start"), ["A_last_0"]),
        (result("monitor", 7, target=7), ["A_last_0"]),
        (result("monitor", 0, target=7), ["A_last_failure_0", "A_last_0"]),
        (result("monitor", 0, interval_ms=10_000), ["A_monitor_10000"]),
        (result("monitor", 7, interval_ms=10_000), ["A_last_failure_0"]),
        (result("stop", 1), ["A_last_failure_0", "A_last_0"]),
        (result("start", 1, status="timeout"), ["A_last_failure_0", "A_last_0"]),
        (result("notify"), []),
        (result("monitor", interval_ms=10_000, status="cancelled"), []),
        (result("monitor", 190, interval_ms=10_000), ["A_monitor_10000"]),
        (result("monitor", 8, target=8, interval_ms=10_000), ["A_monitor_10000"]),
    ],
)
def test_where_a_result_is_kept(given: OperationResult, ids: list[str]) -> None:
    assert [entry["id"] for entry in entries(given, "n1")] == ids


def test_the_form_of_an_entry() -> None:
    entry = entries(result("start"), "n1")[0]
    assert entry["transition-key"] == "3:7:0:uuid" and entry["transition-magic"] == "0:0;3:7:0:uuid"
    assert entry["op-digest"] == "0bc7c848f856e0cbe0dd2feeb0631c4c"
    assert (entry["rc-code"], entry["op-status"], entry["call-id"], entry["interval"]) == ("0", "0", "5", "0")
    assert (entry["on_node"], entry["operation_key"], entry["exec-time"]) == ("n1", "A_start_0", "12")


def test_an_exit_reason_that_xml_cannot_hold_is_made_harmless() -> None:
    entry = entries(result("start", 1, reason="bad \x00\x07 \ud800 text" + "y" * 5000), "n1")[0]
    assert entry["exit-reason"].startswith("bad ?? ? text") and len(entry["exit-reason"]) == 1_000
    assert etree.tostring(etree.Element("x", {"r": entry["exit-reason"]}))


def test_migrations_name_both_ends() -> None:
    entry = entries(result("migrate_to", migrate_source="n1", migrate_target="n2"), "n1")[0]
    assert (entry["migrate_source"], entry["migrate_target"]) == ("n1", "n2")


@pytest.mark.parametrize(
    ("given", "failure", "counted"),
    [
        (result("start"), False, False),
        (result("start", 1), True, True),
        (result("monitor", 0, target=7), True, False),
        (result("monitor", 5, target=7), True, False),
        (result("monitor", 7, interval_ms=1), True, True),
        (result("monitor", 0, interval_ms=1, status="timeout"), True, True),
        (result("start", 0, status="cancelled"), False, False),
        (result("start", 193, status="pending"), False, False),
    ],
)
def test_what_is_a_failure(given: OperationResult, failure: bool, counted: bool) -> None:
    assert (is_failure(given), counts_as_failure(given)) == (failure, counted)


def test_a_pending_operation_is_shown_as_pending() -> None:
    order = RunOperation(resource=A, operation="start", timeout_ms=1, user_data="3:7:0:uuid")
    entry = pending_entry(order, "n1", 9, 5)
    assert (entry["id"], entry["op-status"], entry["rc-code"]) == ("A_last_0", "-1", "193")
    assert entry["transition-magic"] == "-1:193;3:7:0:uuid"


@pytest.mark.parametrize("text", ["", "1:2:3", "a:2:3:u", "1:2:x:u"])
def test_no_transition_key(text: str) -> None:
    assert parse_transition_key(text) is None


def test_a_transition_key_reads_as_it_was_written() -> None:
    key = parse_transition_key("3:7:8:a-b:c")
    assert key is not None and (key.action_id, key.transition_id, key.target_rc, key.te_uuid) == (3, 7, 8, "a-b:c")
    assert str(key) == "3:7:8:a-b:c"


def test_digests_by_meta_data() -> None:
    names = ("fake", "passwd", "state")
    traits = AgentTraits(parameters=names, reloadable=("fake",), private=("passwd",), reloads=True)
    entry = entries(result("start"), "n1", traits)[0]
    assert entry["op-force-restart"] == " passwd  state " and entry["op-restart-digest"] == digest({"state": "/a"})
    assert entry["op-secure-params"] == " passwd "


@pytest.mark.parametrize(
    ("xml", "expected"),
    [
        ("not xml", None),
        ("<resource-agent/>", AgentTraits()),
        ('<r><parameters><parameter name="b" unique="0"/><parameter name="a" unique="1"/><parameter name="c"/>'
         '</parameters><actions><action name="reload"/></actions></r>',
         AgentTraits(parameters=("a", "b", "c"), reloadable=("b",), reloads=True)),
        ('<r><parameters><parameter name="b" unique="0"/><parameter name="a" reloadable="1" private="1"/></parameters>'
         '<actions><action name="reload-agent"/></actions></r>',
         AgentTraits(parameters=("a", "b"), reloadable=("a",), private=("a",), reloads=True)),
    ],
)
def test_traits_from_meta_data(xml: str, expected: AgentTraits | None) -> None:
    assert read_traits(xml) == expected


# Status ---------------------------------------------------------------------------------------------------------------


def test_only_what_changed_is_written_in_one_merge() -> None:
    status = Status()
    status.node("n1", "1")
    status.set_state("n1", {"in_ccm": "true"})
    status.put("n1", A, entries(result("start"), "n1"))
    (write,) = status.take_writes()
    assert write.operation == "modify"
    element = etree.fromstring(write.xml)
    assert [op.get("id") for op in element.iter("lrm_rsc_op")] == ["A_last_0"]
    assert status.take_writes() == []
    assert not status.put("n1", A, entries(result("start"), "n1"))
    assert not status.set_state("n1", {"in_ccm": "true"})
    assert status.take_writes() == []
    status.put("n1", A, entries(result("monitor", interval_ms=5), "n1"))
    element = etree.fromstring(status.take_writes()[0].xml)
    assert [op.get("id") for op in element.iter("lrm_rsc_op")] == ["A_monitor_5"]


def test_deletions_leave_before_the_merge() -> None:
    status = Status()
    status.node("n1", "1")
    status.put("n1", A, entries(result("start"), "n1"))
    status.take_writes()
    status.drop_resource("n1", "A")
    status.put("n1", A, entries(result("stop"), "n1"))
    assert [write.operation for write in status.take_writes()] == ["delete", "modify"]


def test_what_was_read_is_what_was_written() -> None:
    status = Status()
    status.node("n1", "1")
    status.set_state("n1", {"in_ccm": "true", "join": "member"})
    status.put("n1", A, entries(result("start"), "n1"))
    again = Status.read(etree.fromstring(status.take_writes()[0].xml))
    assert again.nodes == status.nodes
    assert again.nodes["n1"].joined and again.nodes["n1"].in_cluster


def test_remote_nodes_are_not_read_as_members() -> None:
    section = etree.fromstring('<status><node_state id="r" uname="r" remote_node="true"/></status>')
    assert Status.read(section).nodes == {}


def test_dropping_what_is_not_there_writes_nothing() -> None:
    status = Status()
    assert not status.drop_resource("n1", "A") and not status.drop_node("n1") and not status.drop_history("n1")
    assert not status.drop_operation("n1", "A", "x")
    assert status.take_writes() == []


# Changes --------------------------------------------------------------------------------------------------------------


def changed(*changes: str, whole: str = "") -> Changed:
    diff = f'<diff format="2">{"".join(changes)}</diff>' if changes else ""
    return Changed(generation=1, version=Version(0, 1, 1), digest="", diff=diff, whole=whole)


@pytest.mark.parametrize(
    ("change", "own", "expected"),
    [
        ('<change operation="modify" path="/cib/configuration/crm_config"/>', False, (True, False, False)),
        ('<change operation="modify" path="/cib/configuration/nodes"/>', True, (True, False, False)),
        ('<change operation="create" path="/cib/status/node_state[@id=\'1\']/lrm"/>', True, (False, False, False)),
        ('<change operation="create" path="/cib/status/node_state[@id=\'1\']/lrm"/>', False, (False, True, False)),
        ('<change operation="modify" path="/cib/status/node_state[@id=\'1\']/transient_attributes[@id=\'1\']"/>', False,
         (False, False, True)),
        ('<change operation="delete" path="/cib/status/node_state[@id=\'1\']/transient_attributes[@id=\'1\']"/>', True,
         (False, False, False)),
        ('<change operation="delete" path="/cib/status/node_state[@id=\'9\']/transient_attributes[@id=\'9\']"/>', False,
         (False, False, False)),
        ('<change operation="create" path="/cib/status"><node_state id="1"><transient_attributes id="1"/></node_state>'
         "</change>", False, (False, False, True)),
        ('<change operation="modify" path="/cib"><change-list/></change>', False, (False, False, False)),
        ('<change operation="create" path="/cib"><configuration/></change>', False, (True, True, True)),
        ('<change operation="modify" path="/elsewhere"/>', False, (True, True, True)),
    ],
)
def test_what_a_change_means(change: str, own: bool, expected: tuple[bool, bool, bool]) -> None:
    meaning = meaning_of(changed(change), own, gone=("9",))
    assert (meaning.configuration, meaning.history, meaning.attributes) == expected
    assert meaning.matters == any(expected)


def test_a_change_without_a_diff_may_be_anything() -> None:
    assert meaning_of(changed(whole="<cib/>"), own=True).history


@pytest.mark.parametrize("text", ["plain", "it's", 'a "b"', "both ' and \"", "''\"\"'"])
def test_any_name_can_be_written_in_xpath(text: str) -> None:
    root = etree.fromstring("<r/>")
    found = etree.SubElement(root, "x", {"id": text})
    etree.SubElement(root, "x", {"id": "other"})
    assert root.xpath(f"/r/x[@id={xpath_literal(text)}]") == [found]


def test_who_asks_to_leave_is_named_also_when_his_whole_state_is_new() -> None:
    block = '<instance_attributes id="i"><nvpair id="s" name="shutdown" value="1"/></instance_attributes>'
    inside = f'<transient_attributes id="2">{block}</transient_attributes>'
    state = f'<node_state id="2" uname="n2">{inside}</node_state>'
    for path, element in (("/cib/status", state), ("/cib/status/node_state[@id='2']", inside)):
        change = f'<change operation="create" path="{path}" position="0">{element}</change>'
        assert meaning_of(changed(change), own=False).shutdowns == ("2",)
    gone = """<change operation="delete" path="/cib/status/node_state[@id='2']/transient_attributes[@id='2']"/>"""
    assert meaning_of(changed(gone), own=False).shutdowns == ()
