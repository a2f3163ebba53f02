# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha metrics`: that what it writes is OpenMetrics, whatever the cluster is like; the names are the exporter's."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ha.apphbd.msg import ClientLine, Clients
from ha.ccm.msg import Member, MembershipEvent, View, ViewId
from ha.cli.ha import main
from ha.cli.metrics import cluster_families, failover_families, node_families, openmetrics
from ha.cli.metrics.openmetrics import MAX_LABEL_CHARACTERS, Family, render
from ha.cli.source.cluster import view_of
from ha.crm.msg import State
from ha.machine import Message
from ha.rmd.msg import WorkerLine, Workers
from tests.unit.cli.openmetrics_checker import Read, check, value_of
from tests.unit.pe.small_cib import NOW, cib, operation, primitive, running

LOGS = Path(__file__).parent / "node_loss_logs"
CLUSTER = cib(
    options={"stonith-enabled": "true"},
    resources=f'<group id="G">{primitive("A", meta={"migration-threshold": "3"})}</group><clone id="C">{primitive("P")}'
    f"</clone>{primitive('lone')}",
    constraints='<rsc_location id="ban" rsc="G" node="n2" score="-INFINITY" role="Started"/>'
    '<rsc_location id="like" rsc="G" node="n1" score="50"/>',
    history=[running("A", "n1"), running("P", "n1"), {"n2": {"P": operation("P", "start", "n2", rc=1)}}],
    transient={
        "n1": {"site": "a&quot;\\&#10;b", "fail-count-A#monitor_10000": "2"},
        "n2": {"fail-count-P#start_0": "INFINITY"},
    },
).replace(b"<cib ", b'<cib cib-last-written="Sat Nov 28 00:15:51 2026" ', 1)
PREFIX = "ha_cluster_pacemaker"


def of_cluster(text: bytes) -> dict[str, Read]:
    return check(render(cluster_families.families_of(view_of(text, NOW))))


def of_node(answers: dict[str, Message | None]) -> dict[str, Read]:
    return check(render(node_families.families_of(answers, {"log": False})))


# The text ------------------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(st.dictionaries(st.sampled_from(["a", "b", "c_d"]), st.text()), st.floats(), st.text())
def test_any_text_and_number_can_be_told(labels: dict[str, str], value: float, words: str) -> None:
    family = Family("ha_any", "Any.")
    family.add(value, **labels)
    other = Family("ha_other_seconds", words, unit="seconds")
    other.add(1)
    escaped = render([family, other])
    # What is printable is the checker's matter for our own labels; here everything may come.
    read = check("".join(c if c.isprintable() or c == "\n" else "?" for c in escaped))["ha_any"]
    ((key, told),) = read.samples.items()
    assert told == value or (math.isnan(told) and math.isnan(value))
    assert [name for name, _ in key] == sorted(name for name, text in labels.items() if text)


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "\\n", '"', "ü{},="])
def test_a_label_comes_back_as_it_was(text: str) -> None:
    family = Family("ha_any", "Any.")
    family.add(1, label=text)
    assert list(check(render([family]))["ha_any"].samples) == [(("label", text),)]


def test_half_a_surrogate_pair_is_told_as_an_escape() -> None:
    family = Family("ha_any", "Any.")
    family.add(1, label="\udc80")
    render([family]).encode("utf-8")


def test_what_is_too_much_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmetrics, "MAX_SAMPLES", 3)
    family = Family("ha_any", "Any.")
    for number in range(5):
        family.add(number, label=f"{number}")
    family.add(9, label="0")
    long = Family("ha_long", "Any.")
    long.add(1, label="x" * 10_000)
    families = check(render([family, long]))
    assert list(families["ha_any"].samples.values()) == [0, 1, 2]
    assert value_of(families, "ha_metrics_left_out") == 3
    assert [len(key[0][1]) for key in families["ha_long"].samples] == [MAX_LABEL_CHARACTERS]


def test_a_family_without_samples_is_left_out() -> None:
    assert list(check(render([Family("ha_none", "None.")]))) == ["ha_metrics_left_out"]


@pytest.mark.parametrize(
    "text",
    [
        "", "# EOF", "ha_a 1\n# EOF\n", "# TYPE ha_a gauge\n# EOF\n", "# TYPE ha_a gauge\nha_b 1\n# EOF\n",
        "# TYPE ha_a counter\nha_a 1\n# EOF\n", "# TYPE ha_a counter\nha_a_total -1\n# EOF\n",
        "# TYPE ha_a gauge\nha_a 1\nha_a 2\n# EOF\n", '# TYPE ha_a gauge\nha_a{b="\n"} 1\n# EOF\n',
        '# TYPE ha_a gauge\nha_a{b="\\x"} 1\n# EOF\n', "# TYPE ha_a gauge\n\nha_a 1\n# EOF\n",
        "# TYPE ha_a gauge\nha_a 1\n# EOF\nha_a 2\n# EOF\n", "# TYPE ha_a gauge\n# UNIT ha_a seconds\nha_a 1\n# EOF\n",
        "# TYPE ha_a gauge\nha_a 1\n# TYPE ha_b gauge\nha_b 1\n# TYPE ha_a gauge\nha_a 2\n# EOF\n",
        "# TYPE ha_a stateset\nha_a 1\n# EOF\n", "# TYPE ha_a gauge\nha_a one\n# EOF\n",
    ],
)  # fmt: skip
def test_the_checker_refuses(text: str) -> None:
    with pytest.raises(AssertionError):
        check(text)


# The cluster ---------------------------------------------------------------------------------------------------------


def test_the_exporters_families_are_there() -> None:
    families = of_cluster(CLUSTER)
    assert {f"{PREFIX}_{name}" for name in (
        "nodes", "node_attributes", "resources", "stonith_enabled", "fail_count", "migration_threshold",
        "config_last_change", "location_constraints", "maintenance_mode_enabled",
    )} <= set(families)  # fmt: skip
    assert value_of(families, f"{PREFIX}_stonith_enabled") == 1
    assert value_of(families, f"{PREFIX}_nodes", node="n1", status="dc", type="member") == 1
    assert value_of(families, f"{PREFIX}_nodes", node="n2", status="dc") == 0
    assert value_of(families, f"{PREFIX}_node_attributes", node="n1", name="site", value='a"\\\nb') == 1
    assert value_of(families, f"{PREFIX}_config_last_change") == 1795824951


def test_resources_are_told_with_the_exporters_labels() -> None:
    families = of_cluster(CLUSTER)
    a = {"node": "n1", "resource": "A", "agent": "ocf:heartbeat:Dummy", "group": "G", "role": "started",
         "managed": "true"}  # fmt: skip
    assert value_of(families, f"{PREFIX}_resources", **a, status="active") == 1
    assert value_of(families, f"{PREFIX}_resources", **a, status="failed") == 0
    assert value_of(families, f"{PREFIX}_resources", resource="P", clone="C", node="n2", status="failed") == 1
    lone = [dict(key) for key in families[f"{PREFIX}_resources"].samples if ("resource", "lone") in key]
    assert {labels["status"] for labels in lone} == {"active", "orphaned", "blocked", "failed", "failure_ignored"}
    assert all("node" not in labels and labels["role"] == "stopped" for labels in lone)


def test_instances_of_a_clone_that_run_nowhere_are_one() -> None:
    families = of_cluster(cib(resources=f'<clone id="C">{primitive("P")}</clone>', nodes=("n1", "n2", "n3")))
    assert value_of(families, f"{PREFIX}_resources", clone="C", resource="P", status="active") == 0
    assert value_of(families, "ha_metrics_left_out") == 0


def test_infinity_is_infinite() -> None:
    families = of_cluster(CLUSTER)
    assert value_of(families, f"{PREFIX}_fail_count", node="n1", resource="A") == 2
    assert value_of(families, f"{PREFIX}_fail_count", node="n2", resource="P") == math.inf
    assert value_of(families, f"{PREFIX}_migration_threshold", node="n1", resource="A") == 3
    assert value_of(families, f"{PREFIX}_location_constraints", constraint="like", node="n1", resource="G") == 50
    assert value_of(families, f"{PREFIX}_location_constraints", constraint="ban", role="started") == -math.inf


@pytest.mark.parametrize("text", ["", "never", "Sat Nov 28", "Sat Nov 99 00:15:51 2026", "1795824951"])
def test_a_date_that_is_none_gives_no_last_change(text: str) -> None:
    assert cluster_families.last_change_s(text) is None


def test_a_day_of_one_digit_is_a_date() -> None:
    assert cluster_families.last_change_s("Tue Nov  3 00:00:00 2026") == 1793664000


# The node ------------------------------------------------------------------------------------------------------------


def client(module: str, state: str, kind: str = "worker", silent_ms: int = 7) -> ClientLine:
    return ClientLine(module=module, pid=1, interval_ms=100, deadline_ms=1000, silent_ms=silent_ms, state=state,  # type: ignore[arg-type]
                      kind=kind)  # type: ignore[arg-type]  # fmt: skip


def test_what_is_down_is_left_out_and_said_so() -> None:
    families = of_node({})
    assert set(families) == {"ha_up", "ha_metrics_left_out"}
    assert set(families["ha_up"].samples.values()) == {0}
    assert {dict(key)["module"] for key in families["ha_up"].samples} == {*node_families.ASKED, "log"}


def test_members_and_quorum() -> None:
    view = View(id=ViewId(7, "x"), members=(Member("n1", 1), Member("n2", 3)), quorate=True)
    families = of_node({"ccm": MembershipEvent(event="NOT_PRIMARY", view=view)})
    assert value_of(families, "ha_up", module="ccm") == 1
    assert value_of(families, "ha_membership_quorate") == value_of(families, "ha_cluster_corosync_quorate") == 1
    assert value_of(families, "ha_membership_in_doubt") == 1
    assert value_of(families, "ha_membership_view") == 7
    assert value_of(families, "ha_membership_members") == 2
    assert {dict(key)["node"] for key in families["ha_membership_member"].samples} == {"n1", "n2"}


def test_a_node_that_is_out_has_no_quorum_and_no_members() -> None:
    families = of_node({"ccm": MembershipEvent(event="EVICTED", view=None)})
    assert value_of(families, "ha_membership_quorate") == 0
    assert value_of(families, "ha_membership_members") == 0
    assert "ha_membership_member" not in families


def test_workers_and_restarts() -> None:
    lines = [client("crmd", "well"), client("app", "well", "application"), client("app", "hung", "application", 9),
             client("app", "late", "application")]  # fmt: skip
    line = WorkerLine(worker="crmd", pid=1, state="RUNNING", restarts=4, ready_ms=5)
    families = of_node({"apphbd": Clients(clients=lines), "rmd": Workers(workers=[line])})
    assert value_of(families, "ha_worker_state", module="crmd", kind="worker", state="well") == 1
    assert value_of(families, "ha_worker_state", module="crmd", state="hung") == 0
    assert value_of(families, "ha_worker_state", module="app", state="hung") == 1, "the worst of several counts"
    assert value_of(families, "ha_worker_silent_milliseconds", module="app") == 9
    assert value_of(families, "ha_worker_restarts", module="crmd") == 4


def test_the_crmd() -> None:
    families = of_node({"crmd": State(request_id="r", node="n1", fsm="S_IDLE", dc="n1", idle=True)})
    assert [value_of(families, f"ha_crmd_{name}") for name in ("is_dc", "has_dc", "idle")] == [1, 1, 1]
    families = of_node({"crmd": State(request_id="r", node="n1", fsm="S_PENDING")})
    assert [value_of(families, f"ha_crmd_{name}") for name in ("is_dc", "has_dc", "idle")] == [0, 0, 0]


def test_a_worker_that_answers_in_other_words_is_up() -> None:
    families = of_node({"ccm": State(request_id="r", node="n1", fsm="S_IDLE")})
    assert value_of(families, "ha_up", module="ccm") == 1
    assert "ha_membership_quorate" not in families


def test_the_phases_of_the_last_recovery() -> None:
    phases = failover_families.last_recovery([LOGS / "n2.log"])
    assert phases is not None
    families = check(render(failover_families.families_of(phases)))
    assert value_of(families, "ha_failover_loss_seen_timestamp_seconds") == 1795809997.828
    assert {dict(key)["phase"]: value for key, value in families["ha_failover_phase_milliseconds"].samples.items()} == {
        "loss_seen": 0, "view_agreed": 57, "decided": 247, "fencing": 289, "fenced": 603, "start_ordered": 608,
        "started": 778, "done": 794,
    }  # fmt: skip
    assert failover_families.last_recovery([LOGS / "n1.log"]) is None


# The command ---------------------------------------------------------------------------------------------------------


def test_it_answers_where_nothing_runs(short_path: Path) -> None:
    result = CliRunner().invoke(main, ["metrics", "--root", str(short_path)])
    assert result.exit_code == 0
    families = check(result.output)
    assert set(families) == {"ha_build", "ha_up", "ha_metrics_left_out"}
    assert value_of(families, "ha_up", module="cib-in-memory") == 0


def test_a_file_is_replaced_as_a_whole_and_can_be_read(short_path: Path) -> None:
    target = short_path / "ha.prom"
    target.write_text("old")
    held = target.open()
    result = CliRunner().invoke(main, ["metrics", "--root", str(short_path), "--output-to", str(target)])
    assert (result.exit_code, result.output) == (0, "")
    assert held.read() == "old", "who reads the old file reads all of it"
    held.close()
    check(target.read_text())
    assert target.stat().st_mode & 0o777 == 0o644
    assert os.listdir(short_path) == ["ha.prom"]


def test_a_file_that_cannot_be_is_named(short_path: Path) -> None:
    result = CliRunner().invoke(main, ["metrics", "--root", str(short_path), "--output-to", "/nonexistent/ha.prom"])
    assert result.exit_code == 73
    assert "/nonexistent/ha.prom: No such file" in result.output
    (short_path / "folder").mkdir()
    (short_path / "folder" / "ha.prom").mkdir()
    result = CliRunner().invoke(main, ["metrics", "--output-to", str(short_path / "folder" / "ha.prom")])
    assert result.exit_code != 0
    assert os.listdir(short_path / "folder") == ["ha.prom"], "nothing is left behind"
