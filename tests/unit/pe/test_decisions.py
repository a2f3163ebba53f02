# SPDX-License-Identifier: GPL-2.0-or-later
"""What is decided for small clusters: one rule of behaviour per test."""

from __future__ import annotations

import pytest

from ha.pe.core import schedule
from tests.unit.pe.small_cib import DUMMY, NOW, absent, cib, operation, plan, primitive, running

FENCING = {"stonith-enabled": "true"}
FENCE_DEVICE = '<primitive id="F" class="stonith" type="fence_x"/>'


def test_a_resource_is_probed_everywhere_then_started_then_watched() -> None:
    found = plan(cib(resources=primitive("A")))
    assert found.executed() == {"A_monitor_0@n1", "A_monitor_0@n2", "A_start_0@n1", "A_monitor_10000@n1"}
    assert found.is_after("A_start_0@n1", "A_monitor_0@n2")
    assert found.is_after("A_monitor_10000@n1", "A_start_0@n1")


def test_what_runs_is_left_alone() -> None:
    text = cib(resources=primitive("A"), history=[running("A", "n1"), absent("A", ["n2"])])
    assert plan(text).names == set()


def test_a_location_constraint_chooses_the_node() -> None:
    rule = '<rsc_location id="l" rsc="A" node="n2" score="100"/>'
    assert "A_start_0@n2" in plan(cib(resources=primitive("A"), constraints=rule)).names


def test_a_rule_on_a_node_attribute_chooses_the_node() -> None:
    constraint = (
        '<rsc_location id="l" rsc="A"><rule id="r" score="100">'
        '<expression id="e" attribute="room" operation="eq" value="b"/></rule></rsc_location>'
    )
    text = cib(resources=primitive("A"), constraints=constraint, transient={"n2": {"room": "b"}})
    assert "A_start_0@n2" in plan(text).names


def test_stickiness_holds_against_a_smaller_preference() -> None:
    rule = '<rsc_location id="l" rsc="A" node="n2" score="100"/>'
    known = [running("A", "n1"), absent("A", ["n2"])]
    stays = cib(resources=primitive("A", meta={"resource-stickiness": "200"}), constraints=rule, history=known)
    moves = cib(resources=primitive("A", meta={"resource-stickiness": "50"}), constraints=rule, history=known)
    assert plan(stays).names == set()
    assert {"A_stop_0@n1", "A_start_0@n2"} <= plan(moves).names
    assert plan(moves).is_after("A_start_0@n2", "A_stop_0@n1")


def test_a_group_starts_in_order_on_one_node() -> None:
    group = f'<group id="G">{primitive("A")}{primitive("B")}</group>'
    found = plan(cib(resources=group))
    assert {"A_start_0@n1", "B_start_0@n1"} <= found.names
    assert found.is_after("B_start_0@n1", "A_start_0@n1")


def test_a_colocation_and_an_ordering_hold() -> None:
    rules = (
        '<rsc_location id="l" rsc="A" node="n2" score="10"/>'
        '<rsc_colocation id="c" rsc="B" with-rsc="A" score="INFINITY"/>'
        '<rsc_order id="o" first="A" then="B"/>'
    )
    found = plan(cib(resources=primitive("B") + primitive("A"), constraints=rules))
    assert {"A_start_0@n2", "B_start_0@n2"} <= found.names
    assert found.is_after("B_start_0@n2", "A_start_0@n2")


def test_an_anticolocation_keeps_apart() -> None:
    rule = '<rsc_colocation id="c" rsc="B" with-rsc="A" score="-INFINITY"/>'
    found = plan(cib(resources=primitive("A") + primitive("B"), constraints=rule))
    assert {"A_start_0@n1", "B_start_0@n2"} <= found.names


def test_an_ordered_set_is_a_chain() -> None:
    rule = (
        '<rsc_order id="o"><resource_set id="s"><resource_ref id="A"/><resource_ref id="B"/>'
        '<resource_ref id="C"/></resource_set></rsc_order>'
    )
    found = plan(cib(nodes=["n1"], resources="".join(map(primitive, "CBA")), constraints=rule))
    assert found.is_after("C_start_0@n1", "B_start_0@n1")
    assert found.is_after("B_start_0@n1", "A_start_0@n1")


def test_a_clone_runs_on_every_node() -> None:
    found = plan(cib(resources=f'<clone id="C">{primitive("A")}</clone>'))
    starts = {name for name in found.executed() if "_start_" in name}
    assert {name.split("@")[1] for name in starts} == {"n1", "n2"}


def test_a_promotable_clone_promotes_the_instance_that_asks_for_it() -> None:
    clone = (
        '<clone id="C"><meta_attributes id="C-m"><nvpair id="C-p" name="promotable" value="true"/></meta_attributes>'
        f"{primitive('A', monitor_s=0)}</clone>"
    )
    # Instances are as yet stopped; a score from an earlier life makes n2's the better one.
    found = plan(cib(resources=clone, transient={"n2": {"master-A": "10"}, "n1": {"master-A": "5"}}))
    promotions = [name for name in found.executed() if "_promote_" in name]
    assert [name.split("@")[1] for name in promotions] == ["n2"]


def test_nothing_starts_without_quorum() -> None:
    text = cib(resources=primitive("A"), history=[absent("A", ["n1", "n2"])], quorum=False)
    assert plan(text).executed() == set()


def test_a_lost_node_is_fenced_before_its_resources_start_elsewhere() -> None:
    text = cib(
        resources=primitive("A") + FENCE_DEVICE, options=FENCING, lost=["n2"],
        history=[running("A", "n2"), absent("A", ["n1"])],
    )  # fmt: skip
    found = plan(text)
    assert "stonith-n2-reboot@n2" in found.names
    assert found.is_after("A_start_0@n1", "stonith-n2-reboot@n2")


def test_without_fencing_a_lost_node_counts_as_gone() -> None:
    text = cib(resources=primitive("A"), lost=["n2"], history=[running("A", "n2"), absent("A", ["n1"])])
    assert plan(text).executed() == {"A_start_0@n1", "A_monitor_10000@n1"}


def test_a_node_shuts_down_after_its_resources_stopped() -> None:
    text = cib(
        resources=primitive("A"), history=[running("A", "n2"), absent("A", ["n1"])], transient={"n2": {"shutdown": "1"}}
    )
    found = plan(text)
    assert found.is_after("do_shutdown-n2@n2", "A_stop_0@n2")
    assert "A_start_0@n1" in found.names


def test_standby_moves_and_maintenance_leaves_alone() -> None:
    known = [running("A", "n2"), absent("A", ["n1"])]
    standby = cib(resources=primitive("A"), history=known, transient={"n2": {"standby": "on"}})
    assert {"A_stop_0@n2", "A_start_0@n1"} <= plan(standby).names
    maintenance = cib(resources=primitive("A"), history=known, options={"maintenance-mode": "true"})
    assert {name for name in plan(maintenance).executed() if "stop" in name or "start" in name} == set()


@pytest.mark.parametrize("meta", [{"target-role": "Stopped"}, {"target-role": "stopped"}])
def test_target_role_stops(meta: dict[str, str]) -> None:
    text = cib(resources=primitive("A", meta=meta), history=[running("A", "n1"), absent("A", ["n2"])])
    assert "A_stop_0@n1" in plan(text).executed()


def test_what_is_not_managed_is_left_alone() -> None:
    meta = {"is-managed": "false", "target-role": "Stopped"}
    text = cib(resources=primitive("A", meta=meta), history=[running("A", "n1"), absent("A", ["n2"])])
    assert "A_stop_0@n1" not in plan(text).names


def _failed_monitor(node: str, *, when: int = NOW - 10) -> dict[str, dict[str, str]]:
    text = operation("A", "monitor", node, interval_ms=10_000, rc=7, call=3, name="A_last_failure_0")
    return {node: {"A": text.replace("1600000000", str(when))}}


def test_a_failed_resource_is_recovered_where_it_was() -> None:
    known = [running("A", "n1"), absent("A", ["n2"]), _failed_monitor("n1")]
    found = plan(cib(resources=primitive("A"), history=known))
    assert {"A_stop_0@n1", "A_start_0@n1"} <= found.names


def test_after_too_many_failures_it_moves() -> None:
    known = [running("A", "n1"), absent("A", ["n2"]), _failed_monitor("n1")]
    counts = {"n1": {"fail-count-A#monitor_10000": "3", "last-failure-A#monitor_10000": str(NOW - 10)}}
    meta = {"migration-threshold": "3"}
    found = plan(cib(resources=primitive("A", meta=meta), history=known, transient=counts))
    assert {"A_stop_0@n1", "A_start_0@n2"} <= found.names


def test_an_expired_failure_is_forgotten() -> None:
    known = [running("A", "n1"), absent("A", ["n2"]), _failed_monitor("n1", when=NOW - 1000)]
    counts = {"n1": {"fail-count-A#monitor_10000": "3", "last-failure-A#monitor_10000": str(NOW - 1000)}}
    meta = {"migration-threshold": "3", "failure-timeout": "60s"}
    found = plan(cib(resources=primitive("A", meta=meta), history=known, transient=counts))
    assert "A_clear_failcount_0@n1" in found.names
    assert "A_stop_0@n1" not in found.names


def test_on_fail_block_waits_for_the_operator() -> None:
    operations = '<operations><op id="m" name="monitor" interval="10s" on-fail="block"/></operations>'
    known = [running("A", "n1"), absent("A", ["n2"]), _failed_monitor("n1")]
    text = cib(resources=f'<primitive id="A" {DUMMY}>{operations}</primitive>', history=known)
    assert "A_stop_0@n1" not in plan(text).names


def test_a_recurring_operation_that_is_no_longer_wanted_is_cancelled() -> None:
    history = running("A", "n1")
    history["n1"]["A"] += operation("A", "monitor", "n1", interval_ms=33_000, call=4)
    found = plan(cib(resources=primitive("A"), history=[history, absent("A", ["n2"])]))
    assert found.executed() == {"A_monitor_33000@n1"}
    assert found.attributes("A_monitor_33000@n1")["CRM_meta_interval"] == "33000"


def test_changed_parameters_restart() -> None:
    block = '<instance_attributes id="A-i"><nvpair id="A-i-p" name="p" value="new"/></instance_attributes>'
    history = running("A", "n1")
    history["n1"]["A"] = operation("A", "start", "n1", more='op-digest="00000000000000000000000000000000"') + operation(
        "A", "monitor", "n1", interval_ms=10_000, call=2
    )
    found = plan(cib(resources=primitive("A", parameters=block), history=[history, absent("A", ["n2"])]))
    assert {"A_stop_0@n1", "A_start_0@n1"} <= found.names


def test_a_removed_resource_is_stopped_and_forgotten() -> None:
    found = plan(cib(resources=primitive("B"), history=[running("A", "n1"), absent("B", ["n1", "n2"])]))
    assert {"A_stop_0@n1", "A_delete_0@n1"} <= found.names
    assert found.is_after("A_delete_0@n1", "A_stop_0@n1")


def test_a_template_gives_what_the_resource_does_not_say() -> None:
    operations = '<operations><op id="m" name="monitor" interval="7s"/></operations>'
    template = f'<template id="T" {DUMMY}>{operations}</template>'
    found = plan(cib(nodes=["n1"], resources=f'{template}<primitive id="A" template="T"/>'))
    assert "A_monitor_7000@n1" in found.names


def test_startup_fencing_takes_a_node_that_was_never_seen() -> None:
    text = cib(resources=primitive("A") + FENCE_DEVICE, options=FENCING)
    start = text.index(b'<node_state id="n2"')
    unseen = text[:start] + text[text.index(b"</node_state>", start) + len(b"</node_state>") :]
    assert "stonith-n2-reboot@n2" in plan(unseen).names


def test_the_next_moment_that_matters_is_told() -> None:
    from ha.pe.core import schedule

    known = [running("A", "n1"), absent("A", ["n2"]), _failed_monitor("n1")]
    counts = {"n1": {"fail-count-A#monitor_10000": "1", "last-failure-A#monitor_10000": str(NOW - 10)}}
    text = cib(resources=primitive("A", meta={"failure-timeout": "60s"}), history=known, transient=counts)
    assert schedule(text, NOW).recheck_at_s == NOW + 51


def test_a_bundle_stands_where_its_first_container_runs() -> None:
    bundle = '<bundle id="B"><podman image="i" replicas="2"/><network ip-range-start="192.0.2.1"/></bundle>'
    known = [running("B-podman-1", "n1"), running("B-podman-0", "n2")]
    found = schedule(cib(resources=bundle, history=known), NOW).cluster.find("B")
    assert found is not None
    assert [node.name for node in found.hosts()] == ["n2", "n1"]
    assert found.current_node is not None
    assert found.current_node.name == "n2"
