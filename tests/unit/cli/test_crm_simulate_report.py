# SPDX-License-Identifier: GPL-2.0-or-later
"""crm_simulate's two forms: what programs read, what people read, and that bad input is told in either."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from ha.cli.crm_simulate import main
from tests.unit.cli.simulated_cluster import CLUSTER, PROMOTED
from tests.unit.pe.small_cib import cib, primitive, running

API = Path("/usr/share/pacemaker/api/api-result-2.25.rng")
NOW = "2023-11-14 22:13:20Z"
EVERYTHING = ["-A", "-c", "-s", "-U"]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TZ", "UTC")
    path = tmp_path / "in.xml"
    path.write_bytes(CLUSTER)
    return path


def document(capsys: pytest.CaptureFixture[str], *options: str, code: int = 0) -> etree._Element:
    assert main([*options, "--output-as=xml"]) == code
    told = capsys.readouterr()
    assert told.err == "", "programs read one stream"
    root = etree.fromstring(told.out)
    status = root.find("status")
    assert status is not None
    assert status.get("code") == str(code)
    assert root[-1] is status
    return root


def found(root: etree._Element, path: str) -> list[dict[str, str]]:
    return [{str(k): str(v) for k, v in element.items()} for element in root.findall(path)]


def test_a_simulation_as_xml_has_every_stage_in_order(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = document(capsys, "-x", str(cluster), "-S", "-t", NOW, "-d", "n1", "-g", "T", *EVERYTHING)
    assert [element.tag for element in root] == [
        "cluster_status", "modifications", "allocations_utilizations", "actions", "transition",
        "revised_cluster_status", "status",
    ]  # fmt: skip
    assert root.get("request", "").startswith("crm_simulate -x ")
    assert found(root, "modifications/*") == [
        {"action": "Offline", "node": "n1"}, {"action": "Granting", "ticket": "T"},
    ]  # fmt: skip
    assert {"action": "move", "resource": "A", "source": "n1", "dest": "n2"} not in found(root, "actions/rsc_action")
    assert found(root, "cluster_status/nodes/node[@name='n1']")[0]["online"] == "true"
    assert found(root, "revised_cluster_status/nodes/node[@name='n1']")[0]["online"] == "false"


def test_what_is_executed_is_told_as_it_was_done(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = document(capsys, "-x", str(cluster), "-S", "-t", NOW)
    executed = found(root, "transition/rsc_action")
    assert {"resource": "P:1", "op": "monitor", "node": "n2"} in executed
    start = {"resource": "Y", "op": "start", "node": "n2"}
    watched = {"resource": "Y", "op": "monitor", "node": "n2", "interval": "10000"}
    places = [place for place in ("n1", "n2") if {**start, "node": place} in executed]
    assert len(places) == 1
    assert {**watched, "node": places[0]} in executed
    assert {"task": "G_start_0"} in found(root, "transition/pseudo_action")
    running_after = found(root, "revised_cluster_status/resources/group/resource[@role='Started']")
    assert [resource["id"] for resource in running_after] == ["X", "Y"]


def test_scores_capacities_and_what_is_taken(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = document(capsys, "-x", str(cluster), "-s", "-U", "-t", NOW)
    weight = {"function": "pcmk__primitive_assign", "node": "n1", "score": "0", "id": "A"}
    assert weight in found(both, "allocations_utilizations/node_weight")
    assert both.findtext("allocations_utilizations/capacity[@comment='Original'][@node='n1']/cpu") == "4"
    assert both.findtext("allocations_utilizations/capacity[@comment='Remaining'][@node='n1']/cpu") == "2"
    assert both.findtext("allocations_utilizations/utilization[@resource='A']/cpu") == "2"
    assert found(both, "allocations_utilizations/promotion_score")
    scores, taken = (document(capsys, "-x", str(cluster), option, "-t", NOW) for option in ("-s", "-U"))
    assert scores.find("allocations/node_weight") is not None
    assert scores.find("allocations/capacity") is None
    assert taken.find("utilizations/capacity") is not None
    assert taken.find("utilizations/node_weight") is None


def test_attributes_and_fail_counts_are_shown_when_asked_for(
    cluster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = document(capsys, "-x", str(cluster), "-t", NOW)
    assert [element.tag for element in plain[0]] == ["nodes", "resources"]
    root = document(capsys, "-x", str(cluster), "-t", NOW, "-A", "-c")
    status = root[0]
    assert [element.tag for element in status] == ["nodes", "resources", "node_attributes", "node_history", "failures"]
    assert found(status, "node_attributes/node[@name='n1']/attribute") == [{"name": "site", "value": "a"}]
    assert found(status, "node_history/node[@name='n2']/resource_history") == [
        {
            "id": "X", "orphan": "false", "migration-threshold": "1000000", "fail-count": "2",
            "last-failure": "Thu Jan  1 00:00:01 1970",
        }
    ]  # fmt: skip
    (failure,) = found(status, "failures/failure")
    assert (failure["op_key"], failure["node"], failure["exitstatus"]) == ("X_start_0", "n2", "error")


def test_the_same_for_people(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-x", str(cluster), "-t", NOW, "-A", "-c"]) == 0
    text = capsys.readouterr().out
    assert text.endswith(
        f"""
  * Node Attributes:
    * Node: n1:
      * {"site":<32}\t: {"a":<10}

  * Migration Summary:
    * Node: n2:
      * X: migration-threshold=1000000 fail-count=2 last-failure='Thu Jan  1 00:00:01 1970'

  * Failed Resource Actions:
    * X_start_0 on n2 'error' (1): call=1, status='complete', last-rc-change='Sun Sep 13 12:26:40 2020', \
queued=0ms, exec=10ms
"""
    )


def test_moves_with_roles_say_from_which_to_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.xml"
    path.write_bytes(PROMOTED)
    root = document(capsys, "-x", str(path), "-R", "-t", NOW)
    demote = {"action": "demote", "resource": "P:0", "role": "Promoted", "next-role": "Unpromoted", "source": "n1"}
    assert demote in found(root, "actions/rsc_action")


def test_lost_nodes_are_fenced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fencer = '<primitive id="F" class="stonith" type="fence_null"/>'
    path = tmp_path / "in.xml"
    path.write_bytes(
        cib(
            nodes=("n1", "n2", "n3"), lost=["n2"], options={"stonith-enabled": "true"},
            resources=fencer + primitive("A"), history=[running("A", "n2")],
        )
    )  # fmt: skip
    root = document(capsys, "-x", str(path), "-S", "-t", NOW)
    (node_action,) = found(root, "actions/node_action")
    assert (node_action["task"], node_action["node"]) == ("Fence (reboot)", "n2")
    assert found(root, "transition/fencing_action") == [{"target": "n2", "op": "reboot"}]


def test_warnings_are_errors_of_the_document(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["-q", "1", "-w", "0", "-i", "nonsense", "-i", "A_monitor_10000@n1=7"]
    root = document(capsys, "-x", str(cluster), "-S", "-t", NOW, *options)
    assert [e.text for e in root.findall("status/errors/error")] == ["Invalid operation spec: nonsense"]
    assert dict(root.find("modifications").attrib) == {"quorum": "1", "watchdog": "0"}  # type: ignore[union-attr]
    injected = found(root, "modifications/inject_attr")
    assert injected[0]["name"] == "fail-count-A#monitor_10000"
    assert injected[0]["cib_node"] == "n1"


@pytest.mark.parametrize(
    "options",
    [
        ["-R"], ["-R", *EVERYTHING], ["-S", "-A", "-s"], ["-S", "-U"], ["-S", "-u", "n1", "-d", "n2", "-g", "T"],
        ["-S", "-i", "A_monitor_10000@n1=7"], ["-R", "-i", "nonsense"], ["-t", "someday"], ["-X", "-p"],
        ["-P", "/dev/null"],
    ],
)  # fmt: skip
def test_the_document_is_as_the_schema_of_pacemakers_clients_says(
    cluster: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if not API.exists():
        pytest.skip(f"{API} is not here (Debian: pacemaker-cli-utils)")
    schema = etree.RelaxNG(etree.parse(API))
    source = [] if "-p" in options else ["-x", str(cluster)]
    main([*source, *options, "--output-as=xml"])
    schema.assertValid(etree.fromstring(capsys.readouterr().out))


def test_timings_of_a_folder(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = document(capsys, "-P", str(cluster.parent), "-N", "2")
    (timing,) = found(root, "timings/timing")
    assert timing["file"] == str(cluster)
    assert float(timing["duration"]) > 0


def test_the_result_goes_into_a_file(cluster: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out"
    assert main(["-x", str(cluster), "-R", "--output-as=xml", "--output-to", str(target)]) == 0
    assert etree.parse(target).getroot().tag == "pacemaker-result"
    assert main(["-x", str(cluster), "-R", "--output-to", str(target)]) == 0
    assert target.read_text().startswith("Current cluster status:")
    assert capsys.readouterr().out == ""
    assert main(["-x", str(cluster), "-R", "--output-to", str(tmp_path / "no" / "where")]) == 73
    assert "no/where: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        (None, [], 66),
        (b"<cib", [], 65),
        (b"", [], 65),
        (b"<wrong/>", [], 65),
        (CLUSTER, ["-t", "someday"], 64),
        (CLUSTER, ["-u", "\x01"], 64),
        (CLUSTER, ["-u", "\udc80"], 64),
        (CLUSTER, ["-g", ""], 64),
        (CLUSTER, ["-F", "A" * 5000], 64),
        (CLUSTER, ["-N", "0"], 64),
        (CLUSTER, ["-O", "/nowhere/out"], 73),
        (CLUSTER, ["-G", "/nowhere/out"], 73),
        (CLUSTER, ["-D", "/nowhere/out"], 73),
        (CLUSTER, ["-I", "/nowhere/out"], 73),
        (CLUSTER, ["-P", "/nowhere"], 66),
    ],
)
def test_what_cannot_be_done_is_told_in_either_form(
    tmp_path: Path, content: bytes | None, options: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.xml"
    if content is not None:
        path.write_bytes(content)
    assert main(["-x", str(path), "-S", *options]) == code
    assert "crm_simulate: " in capsys.readouterr().err
    root = document(capsys, "-x", str(path), "-S", *options, code=code)
    assert root.findtext("status/errors/error")


def test_in_place_wants_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-X", "-p"]) == 64
    assert "--in-place needs --xml-file" in capsys.readouterr().err


def test_a_name_that_is_no_xml_name_is_still_a_capacity(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.write_bytes(CLUSTER.replace(b'name="cpu"', b'name="7 of:9"'))
    root = document(capsys, "-x", str(cluster), "-U", "-t", NOW)
    assert root.findtext("utilizations/capacity[@comment='Original'][@node='n1']/_7_of_9") == "4"


@pytest.mark.parametrize("moment", ["9" * 30, "-9", "soon"])
def test_an_execution_date_that_is_none_is_overlooked(
    cluster: Path, moment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.write_bytes(CLUSTER.replace(b"<cib ", f'<cib execution-date="{moment}" '.encode(), 1))
    assert main(["-x", str(cluster), "-R"]) == 0
    assert "execution date" not in capsys.readouterr().out


@pytest.mark.parametrize("value", ["", "9" * 40, "-1", "x"])
@pytest.mark.parametrize("name", ["rc-code", "op-status", "call-id", "interval", "last-rc-change", "exec-time"])
def test_garbage_in_a_history_is_shown_without_a_trace_back(
    cluster: Path, name: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = etree.fromstring(CLUSTER)
    for entry in root.iter("lrm_rsc_op"):
        entry.set(name, value)
    cluster.write_bytes(etree.tostring(root))
    assert main(["-x", str(cluster), "-S", *EVERYTHING]) == 0
    capsys.readouterr()
    document(capsys, "-x", str(cluster), "-S", *EVERYTHING)
