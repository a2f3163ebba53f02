# SPDX-License-Identifier: GPL-2.0-or-later
"""Which alerts arise from what, and who is called with which words."""

from __future__ import annotations

import pytest
from lxml import etree

from ha.ccm.msg import ViewId
from ha.cib.msg import Changed, Version
from ha.crm import msg
from ha.crm.core import Crmd
from ha.crm.core.alerts import MAX_SECTION_LENGTH, MAX_TELLS, MAX_WAITING
from ha.crm.model.alerts import (
    MAX_AGENTS,
    AlertAgent,
    AlertEvent,
    attribute_event,
    fencing_event,
    node_event,
    read_alerts,
    resource_event,
)
from ha.crm.model.change import AttributeChange, meaning_of
from ha.lrm.msg import ExecutionStatus, OperationResult, Resource, RunAlert
from ha.machine import Connected, Effect, Fired, Local, Lost, Note, Received, Remote, Send
from ha.stonith.msg import Fenced
from tests.unit.crm.test_crmd import VIEW, crmd, sent, view

WEB = Resource(id="web", agent_class="ocf", agent_type="Dummy", provider="heartbeat")
NIGHT_S, DAY_S = 1_700_000_000, 1_800_000_000
AT_MS = 1_700_000_000_123
PAGER = '<alerts><alert id="pager" path="/bin/page"/></alerts>'


def agents(inner: str, attributes: str = "", now_s: int = NIGHT_S) -> tuple[AlertAgent, ...]:
    section = f'<alerts><alert id="a" path="/bin/a"{attributes}>{inner}</alert></alerts>'
    return read_alerts(etree.fromstring(section), now_s)


def pair(name: str, value: str, kind: str = "meta_attributes", more: str = "", number: int = 1) -> str:
    return f'<{kind} id="s{number}">{more}<nvpair id="p{number}" name="{name}" value="{value}"/></{kind}>'


def result(
    operation: str = "monitor", rc: int = 0, status: ExecutionStatus = "done", *, target: int = 0,
    interval_ms: int = 0, call_id: int = 5, change_s: int = 9,
) -> OperationResult:  # fmt: skip
    return OperationResult(
        resource=WEB, operation=operation, interval_ms=interval_ms, call_id=call_id, rc=rc, status=status, exec_ms=12,
        user_data=f"3:7:{target}:uuid", last_rc_change_s=change_s,
    )


# What is configured ---------------------------------------------------------------------------------------------------


def test_without_recipients_once_and_else_once_for_each() -> None:
    (only,) = agents("")
    assert (only.recipient, only.timeout_ms, only.timestamp_format) == (None, 30_000, "%H:%M:%S.%06N")
    two = agents('<recipient id="r1" value="x"/><recipient id="r2" value="y"/>')
    assert [agent.recipient for agent in two] == ["x", "y"]


def test_what_a_recipient_says_goes_before_what_its_alert_says() -> None:
    inner = pair("timeout", "5s") + pair("colour", "red", "instance_attributes", number=2)
    own = pair("timeout", "2min", number=3) + pair("colour", "blue", "instance_attributes", number=4)
    one, two = agents(inner + f'<recipient id="r1" value="x">{own}</recipient><recipient id="r2" value="y"/>')
    assert (one.timeout_ms, one.parameters) == (120_000, {"colour": "blue"})
    assert (two.timeout_ms, two.parameters) == (5_000, {"colour": "red"})


@pytest.mark.parametrize(
    ("inner", "count"),
    [
        (pair("enabled", "false"), 0),
        (pair("enabled", "false") + '<recipient id="r" value="x"/>', 0),
        ('<recipient id="r" value="x">' + pair("enabled", "no") + '</recipient><recipient id="q" value="y"/>', 1),
        (pair("enabled", "perhaps"), 1),
        (pair("timeout", "soon"), 1),
    ],
)
def test_enabled(inner: str, count: int) -> None:
    assert len(agents(inner)) == count


def test_a_rule_may_switch_an_alert_off_for_a_time() -> None:
    rule = '<rule id="x"><date_expression id="d" operation="lt" end="2024-01-01"/></rule>'
    inner = pair("enabled", "false", more=rule)
    assert (len(agents(inner, now_s=NIGHT_S)), len(agents(inner, now_s=DAY_S))) == (0, 1)


EVENTS = {
    "node": node_event("n2", "2", "lost", AT_MS),
    "fencing": fencing_event(Fenced(request_id="r", target="n2", action="off", ok=True), AT_MS),
    "attribute": attribute_event("n2", "pingd", "100", AT_MS),
}


@pytest.mark.parametrize(
    ("inner", "wanted"),
    [
        ("", ["node", "fencing"]),
        ("<select/>", ["node", "fencing"]),
        ("<select><select_nodes/></select>", ["node"]),
        ("<select><select_fencing/><select_attributes/></select>", ["fencing", "attribute"]),
        ('<select><select_attributes><attribute id="x" name="pingd"/></select_attributes></select>', ["attribute"]),
        ('<select><select_attributes><attribute id="x" name="other"/></select_attributes></select>', []),
        ("<select><select_resources/></select>", []),
    ],
)
def test_selection(inner: str, wanted: list[str]) -> None:
    (agent,) = agents(inner)
    assert [name for name, event in EVENTS.items() if agent.wants(event)] == wanted


@pytest.mark.parametrize(
    "section",
    [
        "<x/>", "<alerts><x/></alerts>", "<alerts><alert/></alerts>", "<alerts><alert><recipient/></alert></alerts>",
        '<alerts><alert path=""><select><x/><select_attributes><attribute/></select_attributes></select></alert>'
        "</alerts>",
        "<alerts><alert><meta_attributes/><instance_attributes><nvpair/></instance_attributes></alert></alerts>",
        '<alerts><alert><meta_attributes id-ref="gone"/><meta_attributes score="x"><rule><x/></rule></meta_attributes>'
        "</alert></alerts>",
        '<alerts><alert><meta_attributes><rule><date_expression operation="?" start="x"/></rule>'
        '<nvpair name="timeout" value="999999999999999999999"/></meta_attributes></alert></alerts>',
    ],
)  # fmt: skip
def test_whatever_a_cib_without_validation_holds_can_be_read(section: str) -> None:
    for agent in read_alerts(etree.fromstring(section), NIGHT_S):
        for event in EVENTS.values():
            agent.wants(event)
        assert agent.timeout_ms > 0


# What events say ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "quiet",
    [
        result("monitor", 7, target=7),
        result("monitor", 0, target=0),
        result("start", 1, "cancelled"),
        result("start", 0, "pending"),
        result("start", 1, "invalid", call_id=0),
    ],
)
def test_nobody_is_alerted_of_an_expected_probe_or_of_what_did_not_run(quiet: OperationResult) -> None:
    assert resource_event("n1", quiet, AT_MS) is None


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (result("start"), {"task": "start", "rc": "0", "target_rc": "0", "status": "0", "desc": "ok", "interval": "0"}),
        (result("monitor", 0, target=7), {"task": "monitor", "rc": "0", "target_rc": "7", "desc": "ok"}),
        (result("monitor", 7, interval_ms=10_000), {"interval": "10000", "rc": "7", "desc": "not running"}),
        (result("stop", 1, "timeout"), {"rc": "1", "status": "2", "desc": "Timed Out", "exec_time": "12"}),
        (result("start", 77), {"rc": "77", "desc": "code 77"}),
    ],
)
def test_what_is_said_of_an_operation(told: OperationResult, says: dict[str, str]) -> None:
    event = resource_event("n1", told, AT_MS)
    assert event is not None and event.kind == "resource"
    assert {"node": "n1", "rsc": "web", **says}.items() <= event.says.items()


def test_what_is_said_of_nodes_fencing_and_attributes() -> None:
    assert EVENTS["node"].says == {"node": "n2", "nodeid": "2", "desc": "lost"}
    assert EVENTS["attribute"].says == {"node": "n2", "attribute_name": "pingd", "attribute_value": "100"}
    failed = Fenced(request_id="r", target="n2", action="reboot", ok=False, executor="n3", reason="no device")
    says = fencing_event(failed, AT_MS).says
    assert (says["node"], says["task"], says["rc"]) == ("n2", "reboot", "1")
    assert says["desc"] == "Operation reboot of n2 by n3: failed: no device (ref=r)"


STATE = "/cib/status/node_state[@id='2']"
PLACE = f"{STATE}/transient_attributes[@id='2']/instance_attributes[@id='s']"
NVPAIR = '<nvpair id="status-2-a.b" name="a#b" value="1"/>'


@pytest.mark.parametrize(
    ("change", "written"),
    [
        (f'<change operation="create" path="{PLACE}">'
         f"{NVPAIR}</change>", ("a#b", "1")),
        (f'<change operation="create" path="{STATE}"><transient_attributes id="2"><instance_attributes id="s">{NVPAIR}'
         "</instance_attributes></transient_attributes></change>", ("a#b", "1")),
        (f'<change operation="modify" path="{PLACE}/nvpair'
         f'[@id=\'status-2-a.b\']"><change-result>{NVPAIR}</change-result></change>', ("a#b", "1")),
        (f'<change operation="delete" path="{PLACE}/nvpair'
         '[@id=\'status-2-a.b\']"/>', ("", "")),
        (f'<change operation="delete" path="{STATE}/transient_attributes[@id=\'2\']"/>', None),
        (f'<change operation="create" path="{STATE}/lrm"/>', None),
    ],
)  # fmt: skip
def test_attributes_in_a_change_of_the_cib(change: str, written: tuple[str, str] | None) -> None:
    diff = f'<diff format="2">{change}</diff>'
    changed = Changed(generation=1, version=Version(0, 1, 1), digest="", diff=diff)
    expected = () if written is None else (AttributeChange("2", "status-2-a.b", *written),)
    assert meaning_of(changed, own=False).written == expected
    assert meaning_of(changed, own=True).written == () == meaning_of(changed, own=False, gone=("2",)).written


# The crmd -------------------------------------------------------------------------------------------------------------


def member(xml: str = PAGER) -> Crmd:
    """n1 under the DC n2, which has told it the alerts."""
    machine = crmd()
    view(machine, "n2", "n1")
    machine.step(Received(Remote("n2", "crmd"), msg.LeaderIs(view=VIEW, term=1, dc="n2", established=True)), 3)
    offer = msg.JoinOffer(view=VIEW, term=1, incarnation="n2-1", established=True)
    machine.step(Received(Remote("n2", "crmd"), offer), 4)
    told = machine.step(Received(Remote("n2", "crmd"), msg.SetAlerts(view=VIEW, term=1, xml=xml)), 5)
    assert len(sent(told, msg.AlertsHeld)) == 1
    return machine


def called(effects: list[Effect]) -> list[RunAlert]:
    return [e.message for e in effects if isinstance(e, Send) and isinstance(e.message, RunAlert)]


def ended(machine: Crmd, told: OperationResult) -> list[Effect]:
    return machine.step(Received(Local("lrmd"), told), machine.context.now)


def test_a_member_alerts_of_its_own_operations_once() -> None:
    machine = member()
    (call,) = called(ended(machine, result("start")))
    assert (call.alert, call.path, call.timeout_ms, call.at_ms) == ("pager", "/bin/page", 30_000, 1_000_005)
    assert {"CRM_alert_kind": "resource", "CRM_alert_node": "n1", "CRM_alert_rsc": "web", "CRM_alert_version": "2.1.5",
            "CRM_alert_node_sequence": "1"}.items() <= call.environment.items()
    assert "CRM_alert_recipient" not in call.environment
    assert called(ended(machine, result("start"))) == [], "the LRM may say it twice"
    (call,) = called(ended(machine, result("start", call_id=6)))
    assert call.environment["CRM_alert_node_sequence"] == "2"


def test_a_member_leaves_nodes_and_fencing_to_the_dc() -> None:
    machine = member()
    fenced = Fenced(request_id="r", target="n3", action="reboot", ok=True)
    assert called(machine.step(Received(Local("stonithd"), fenced), 6)) == []


def test_parameters_do_not_forge_what_the_cluster_says() -> None:
    machine = member('<alerts><alert id="p" path="/p"><instance_attributes id="i">'
                     '<nvpair id="x" name="CRM_alert_kind" value="lie"/><nvpair id="y" name="debug" value="1"/>'
                     "</instance_attributes></alert></alerts>")
    (call,) = called(ended(machine, result("start")))
    assert (call.environment["CRM_alert_kind"], call.environment["debug"]) == ("resource", "1")


def test_events_wait_for_an_lrm_and_a_flood_of_them_is_counted() -> None:
    machine = member()
    machine.step(Lost(Local("lrmd")), 6)
    for number in range(MAX_WAITING + 3):
        machine.alerts.operation_ended(result("start", call_id=number + 1))
    assert len(machine.alerts.waiting) == MAX_WAITING
    effects = machine.step(Connected(Local("lrmd")), 7)
    assert len(called(effects)) == MAX_WAITING
    notes = [effect.text for effect in effects if isinstance(effect, Note)]
    assert f"3 events led to no alert: {MAX_WAITING} were waiting already" in notes
    assert not machine.alerts.waiting and not machine.alerts.left_out


def test_no_event_calls_more_than_a_bounded_number_of_agents() -> None:
    recipients = "".join(f'<recipient id="r{n}" value="{n}"/>' for n in range(MAX_AGENTS + 2))
    machine = member(f'<alerts><alert id="p" path="/p">{recipients}</alert></alerts>')
    effects = ended(machine, result("start"))
    assert len(called(effects)) == MAX_AGENTS
    notes = [effect.text for effect in effects if isinstance(effect, Note)]
    assert any("the last 2 are left out" in text for text in notes)
    assert not any("left out" in e.text for e in ended(machine, result("stop")) if isinstance(e, Note)), "said once"


def test_without_alerts_nothing_is_kept_or_sent() -> None:
    machine = crmd()
    view(machine, "n1")
    assert called(ended(machine, result("start"))) == [] and not machine.alerts.waiting


@pytest.mark.parametrize(
    "garbage",
    ["<alerts", "\x00", "no xml", '<!DOCTYPE a [<!ENTITY b "c">]><alerts>&b;', "x" * (MAX_SECTION_LENGTH + 1)],
)
def test_garbage_from_a_dc_is_dropped_and_what_is_held_stays(garbage: str) -> None:
    machine = member()
    effects = machine.step(Received(Remote("n2", "crmd"), msg.SetAlerts(view=VIEW, term=1, xml=garbage)), 6)
    assert sent(effects, msg.AlertsHeld) == [] and any(isinstance(effect, Note) for effect in effects)
    assert len(called(ended(machine, result("start")))) == 1


@pytest.mark.parametrize(
    ("sender", "instance", "term"), [("n3", 1, 1), ("n2", 2, 1), ("n2", 1, 2)], ids=["sender", "view", "term"]
)
def test_only_the_dc_in_office_says_who_is_alerted(sender: str, instance: int, term: int) -> None:
    machine = member()
    told = msg.SetAlerts(view=ViewId(instance=instance, coordinator="c"), term=term, xml="")
    machine.step(Received(Remote(sender, "crmd"), told), 6)
    assert len(called(ended(machine, result("start")))) == 1


def leader(monkeypatch: pytest.MonkeyPatch) -> Crmd:
    """n1, DC with its CIB read, of n1 and n2 that has joined."""
    machine = crmd()
    view(machine, "n1", "n2")
    machine.step(Received(Remote("n2", "crmd"), msg.LeaderIs(view=VIEW, term=0, dc="", established=False)), 3)
    monkeypatch.setattr(type(machine.election), "is_dc", property(lambda self: True))
    monkeypatch.setattr(machine.join, "is_confirmed", lambda node: True)
    machine.ground.loaded = True
    machine.context.out = []
    return machine


def configure(machine: Crmd, alerts: str) -> list[Effect]:
    machine.context.out = []
    machine.alerts.configured(etree.fromstring(f"<configuration>{alerts}</configuration>"))
    return machine.context.out


def test_the_dc_tells_a_member_until_it_holds_what_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = leader(monkeypatch)
    assert configure(machine, "") == [] == configure(machine, "<alerts/>"), "nothing is configured"
    (told,) = sent(configure(machine, PAGER), msg.SetAlerts)
    assert told.to == Remote("n2", "crmd")
    machine.context.out = []
    machine.alerts.fired("alerts/tell")
    assert len(sent(machine.context.out, msg.SetAlerts)) == 1
    machine.alerts.member_holds("n2", machine.alerts.digest)
    machine.context.out = []
    machine.alerts.fired("alerts/tell")
    assert machine.context.out == []
    (told,) = sent(configure(machine, ""), msg.SetAlerts)
    assert isinstance(told.message, msg.SetAlerts) and told.message.xml == ""


def test_a_member_that_never_answers_is_left_in_peace(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = leader(monkeypatch)
    configure(machine, PAGER)
    for _ in range(MAX_TELLS * 2):
        machine.alerts.tell()
    assert machine.alerts.tells["n2"] == MAX_TELLS
    machine.context.out = []
    machine.alerts.tell()
    assert machine.context.out == []


def test_the_dc_alerts_of_nodes_fencing_and_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = leader(monkeypatch)
    configure(machine, '<alerts><alert id="p" path="/p"><select><select_nodes/><select_fencing/><select_attributes/>'
              "</select></alert></alerts>")
    machine.context.out = []
    machine.status.set_member("n2")
    machine.status.set_member("n2")
    machine.status.set_lost("n2")
    machine.status.set_fenced("n2")
    fenced = Fenced(request_id="r", target="n2", action="reboot", ok=True)
    machine.alerts.fencing_ended(fenced)
    machine.alerts.fencing_ended(fenced)
    machine.alerts.attribute_changed("n1", AttributeChange("1", "status-1-a.b", "a#b", "5"))
    machine.alerts.attribute_changed("n1", AttributeChange("1", "status-1-a.b"))
    machine.alerts.attribute_changed("n1", AttributeChange("1", "status-1-unheard.of"))
    told = [
        tuple(call.environment.get(f"CRM_alert_{name}", "-") for name in ("kind", "node", "desc", "attribute_value"))
        for call in called(machine.context.out)
    ]
    assert told == [
        ("node", "n2", "member", "-"), ("node", "n2", "lost", "-"),
        ("fencing", "n2", "Operation reboot of n2: OK (ref=r)", "-"),
        ("attribute", "n1", "-", "5"), ("attribute", "n1", "-", ""),
    ]  # fmt: skip


def test_an_alerts_section_beyond_the_limit_is_none_and_the_log_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = leader(monkeypatch)
    effects = configure(machine, PAGER.replace("/bin/page", "/" + "x" * MAX_SECTION_LENGTH))
    assert any(isinstance(effect, Note) and "nobody is alerted" in effect.text for effect in effects)
    assert machine.alerts.section is None


def test_an_agent_is_asked_by_kind_alone_where_names_are_not_given() -> None:
    agent = AlertAgent("a", "/a", frozenset(("attribute",)))
    assert agent.wants(AlertEvent("attribute", 0, {"attribute_name": "any"}))


def test_a_timer_of_somebody_else_is_a_broken_invariant() -> None:
    with pytest.raises(AssertionError):
        crmd().step(Fired("alerts/other"), 3)
