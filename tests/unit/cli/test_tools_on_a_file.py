# SPDX-License-Identifier: GPL-2.0-or-later
"""The tools on a CIB in a file: outputs and exit codes that other programs parse."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from lxml import etree

from ha.cli import cibadmin, crm_attribute, crm_diff, crm_resource, crm_standby, crm_verify

CIB = """\
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" admin_epoch="0" epoch="7" num_updates="3">
  <configuration>
    <crm_config>
      <cluster_property_set id="cib-bootstrap-options">
        <nvpair id="cib-bootstrap-options-stonith-enabled" name="stonith-enabled" value="false"/>
      </cluster_property_set>
    </crm_config>
    <nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
    <resources>
      <primitive id="web" class="ocf" provider="heartbeat" type="Dummy"/>
      <primitive id="db" class="ocf" provider="heartbeat" type="Dummy"/>
    </resources>
    <constraints/>
  </configuration>
  <status/>
</cib>
"""


@pytest.fixture
def cib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cib.xml"
    path.write_text(CIB)
    monkeypatch.setenv("CIB_file", str(path))
    return path


def run(tool: object, line: str | list[str]) -> int:
    arguments = line.split() if isinstance(line, str) else line
    return int(tool.main(arguments))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (["-C", "-o", "resources", "-X", '<primitive id="web" class="ocf" type="Dummy"/>'], 108),
        (["-M", "-X", '<primitive id="absent" class="ocf" type="Dummy"/>'], 105),
        (["-M", "-c", "-o", "resources", "-X", '<primitive id="new" class="ocf" type="Dummy"/>'], 0),
        (["-C", "-o", "resources", "-X", '<primitive idd="new"/>'], 78),
        (["-C", "-o", "resources", "-X", "<primitive"], 65),
        (["-R", "-X", '<cib admin_epoch="0" epoch="1" num_updates="0"><configuration/><status/></cib>'], 103),
        (["-D", "-o", "resources", "-X", '<primitive id="absent"/>'], 0),
        (["-D", "--xpath", "//primitive[@id='web']"], 0),
        (["-Q", "--xpath", "//primitive[@id='absent']"], 105),
        (["-Q", "--xpath", "//["], 64),
        (["-Q", "-o", "nonsense"], 105),
        (["-E"], 107),
        (["-Q", "-M"], 64),
        ([], 64),
    ],
)
def test_exit_codes_of_cibadmin(cib: Path, order: list[str], code: int) -> None:
    assert run(cibadmin, order) == code


def test_a_refused_write_names_element_line_and_rule_and_changes_nothing(
    cib: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(cibadmin, ["-C", "-o", "resources", "-X", '<primitive idd="new"/>'])
    captured = capsys.readouterr()
    assert "line 1, <primitive>: has no attribute 'idd'" in captured.err
    assert etree.fromstring(captured.out).find("failed_update") is not None
    assert cib.read_text() == CIB


def test_a_query_of_several_elements_is_wrapped(cib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cibadmin, ["-Q", "--xpath", "//primitive"]) == 0
    found = etree.fromstring(capsys.readouterr().out)
    assert found.tag == "xpath-query"
    assert [e.get("id") for e in found] == ["web", "db"]


def test_a_configuration_change_raises_the_epoch(cib: Path) -> None:
    run(cibadmin, ["-D", "--xpath", "//primitive[@id='web']"])
    root = etree.parse(cib).getroot()
    assert (root.get("epoch"), root.get("num_updates")) == ("8", "0")


def test_an_attribute_is_set_queried_and_deleted(cib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(crm_attribute, "-n maintenance-mode -v true") == 0
    assert run(crm_attribute, "-n maintenance-mode -G") == 0
    assert capsys.readouterr().out == "scope=crm_config  name=maintenance-mode value=true\n"
    assert run(crm_attribute, "-n maintenance-mode -G -q") == 0
    assert capsys.readouterr().out == "true\n"
    assert run(crm_attribute, "-n maintenance-mode -D") == 0
    assert run(crm_attribute, "-n maintenance-mode -G") == 105
    assert run(crm_attribute, "-n maintenance-mode -G -q -d unset") == 0
    assert capsys.readouterr().out == "unset\n"


def test_an_option_that_is_there_is_changed_in_place(cib: Path) -> None:
    assert run(crm_attribute, "-n stonith-enabled -v true") == 0
    pairs = etree.parse(cib).findall(".//nvpair[@name='stonith-enabled']")
    assert [pair.get("value") for pair in pairs] == ["true"]


def test_standby_is_a_node_attribute(cib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(crm_standby, "-N n1 -v on") == 0
    assert run(crm_standby, "-N n1 -G") == 0
    assert capsys.readouterr().out == "scope=nodes  name=standby value=on\n"
    assert run(crm_standby, "-N n1 -D") == 0
    assert run(crm_standby, "-N n1 -G -q") == 0
    assert capsys.readouterr().out == "off\n"


def test_move_writes_the_constraint_that_clients_expect_and_clear_drops_it(cib: Path) -> None:
    assert run(crm_resource, "--move -r web -N n2") == 0
    found = etree.parse(cib).find(".//rsc_location")
    assert found is not None
    assert dict(found.attrib) == {"id": "cli-prefer-web", "rsc": "web", "node": "n2", "score": "INFINITY"}
    assert run(crm_resource, "--clear -r web") == 0
    assert etree.parse(cib).find(".//rsc_location") is None


def test_ban_with_a_lifetime_is_a_rule_that_ends(cib: Path) -> None:
    assert run(crm_resource, "--ban -r web -N n1 --lifetime PT5M") == 0
    rule = etree.parse(cib).find(".//rsc_location[@id='cli-ban-web-on-n1']/rule")
    assert rule is not None
    assert rule.get("score") == "-INFINITY"
    assert rule.find("date_expression") is not None
    assert run(crm_resource, "--clear -r web -N n1") == 0
    assert etree.parse(cib).find(".//rsc_location") is None


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("--move -r absent -N n1", 105),
        ("--move -r web -N absent", 105),
        ("--move -r web", 2),
        ("--ban -r web -N n1 --lifetime soon", 2),
        ("--locate", 64),
        ("--locate -r web", 0),
        ("--move --ban -r web -N n1", 64),
        ("-r web -g state", 105),
        ("--restart -r web", 7),
    ],
)
def test_exit_codes_of_crm_resource(cib: Path, line: str, code: int) -> None:
    assert run(crm_resource, line) == code


def test_a_parameter_is_set_and_read_back(cib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(crm_resource, "-r web -p state -v /a") == 0
    assert run(crm_resource, "-r web -g state") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "/a"
    assert run(crm_resource, "-r web -m -p target-role -v Stopped") == 0
    assert run(crm_resource, "-r web -m -d target-role") == 0
    assert run(crm_resource, "-r web -m -g target-role") == 105


def test_verify_accepts_the_valid_and_names_what_is_wrong(cib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(crm_verify, ["-x", str(cib)]) == 0
    broken = CIB.replace("<constraints/>", '<constraints><rsc_order id="o" first="web" then="gone"/></constraints>')
    assert run(crm_verify, ["-X", broken]) == 78
    assert "gone" in capsys.readouterr().err
    assert run(crm_verify, ["-X", "<cib"]) == 78
    assert run(crm_verify, ["-x", "/nonexistent"]) == 66


@pytest.mark.parametrize(("text", "code", "errors"), [(CIB, 0, 0), ("<cib", 78, 1)])
def test_verify_answers_programs_in_xml(text: str, code: int, errors: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(crm_verify, ["--output-as=xml", "-X", text]) == code
    answer = etree.fromstring(capsys.readouterr().out)
    assert answer.tag == "pacemaker-result"
    assert answer.xpath("string(status/@code)") == str(code)
    assert len(answer.findall("status/errors/error")) == errors


def test_a_diff_applied_gives_the_new_configuration(
    cib: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.xml"
    new.write_text(CIB.replace("Dummy", "Stateful", 1))
    assert run(crm_diff, ["-o", str(cib), "-n", str(cib)]) == 0
    capsys.readouterr()
    assert run(crm_diff, ["-o", str(cib), "-n", str(new), "--no-version"]) == 1
    patch = capsys.readouterr().out
    assert run(cibadmin, ["-P", "-X", patch]) == 0
    found = etree.parse(cib).find(".//primitive[@id='web']")
    assert found is not None
    assert found.get("type") == "Stateful"


def test_without_a_cluster_the_tools_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CIB_file", raising=False)
    monkeypatch.setenv("HA_ROOT", "/tmp/ha-nowhere")
    assert run(cibadmin, "-Q") == 102
    assert "not running" in capsys.readouterr().err


def test_a_client_sees_the_change_through_the_file_it_holds_open(cib: Path) -> None:
    """As pcs does: it makes the file, has it changed, and reads on without opening it anew."""
    with cib.open() as held:
        before = held.read()
        assert run(crm_resource, "--move --resource web --node n1") == 0
        held.seek(0)
        after = held.read()
    assert "cli-prefer-web" not in before and "cli-prefer-web" in after
    assert [each.name for each in cib.parent.iterdir()] == [cib.name]


def test_a_shorter_text_leaves_no_tail_of_the_longer_one(cib: Path) -> None:
    cib.write_text(cib.read_text() + "\n" * 4000)
    assert run(cibadmin, ["-D", "--xpath", "//primitive[@id='web']"]) == 0
    assert cib.stat().st_size < len(CIB) + 200
    etree.parse(cib)


TIED = """\
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" admin_epoch="0" epoch="5" num_updates="0">
  <configuration>
    <crm_config/><nodes><node id="1" uname="n1"/></nodes>
    <resources>
      <group id="g"><primitive id="a" class="ocf" provider="pacemaker" type="Dummy"/></group>
      <clone id="cl"><primitive id="c" class="ocf" provider="pacemaker" type="Dummy"/></clone>
      <primitive id="d" class="ocf" provider="pacemaker" type="Dummy"/>
    </resources>
    <constraints>
      <rsc_location id="l2" rsc="g" score="100" node="n1"/>
      <rsc_location id="l3" rsc="d" score="INFINITY" node="n1"/>
      <rsc_colocation id="co" rsc="cl" with-rsc="g" score="INFINITY"/>
      <rsc_colocation id="co2" rsc="g" with-rsc="d" score="100"/>
      RING
    </constraints>
  </configuration>
  <status>
    <node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member">
      <lrm id="1"><lrm_resources>
        <lrm_resource id="c" class="ocf" provider="pacemaker" type="Dummy">
          <lrm_rsc_op id="c_last_0" operation="start" operation_key="c_start_0" transition-key="1:0:0:x" call-id="5"
            transition-magic="0:0;1:0:0:x" rc-code="0" op-status="0" interval="0" last-rc-change="1795822505"
            exec-time="19" queue-time="0" on_node="n1"/>
        </lrm_resource>
      </lrm_resources></lrm>
    </node_state>
  </status>
</cib>
"""
NEAR_G = """\
Locations:
  * Node n1 (score=100, id=l2, rsc=g)
Resources colocated with g:
  * cl (score=INFINITY, id=co)
Resources g is colocated with:
  * d (score=100, id=co2)
    * Locations:
      * Node n1 (score=INFINITY, id=l3, rsc=d)
"""
NEAR_C = """\
Resources cl is colocated with:
  * g (score=INFINITY, id=co)
    * Locations:
      * Node n1 (score=100, id=l2, rsc=g)
"""
STACK_OF_C = """\
    * Resources g is colocated with:
      * d (score=100, id=co2)
        * Locations:
          * Node n1 (score=INFINITY, id=l3, rsc=d)
"""


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("--constraints --resource g", NEAR_G),
        ("-a -r a", NEAR_G),
        ("-a -r c", NEAR_C),
        ("--stack -r cl", NEAR_C + STACK_OF_C),
        ("-W -r c", "resource c is running on: n1\n"),
        ("-O -r a", ""),
        (
            "-O -r c",
            "c\t(ocf:pacemaker:Dummy):\t Started: c_start_0 (node=n1, call=5, rc=0, "
            f"last-rc-change='{time.ctime(1795822505)}', exec=19ms): complete\n",
        ),
    ],
)
def test_crm_resource_tells_ties_and_operations_as_pacemaker_does(
    cib: Path, capsys: pytest.CaptureFixture[str], order: str, expected: str
) -> None:
    """Recorded from Pacemaker 2.1.5; crmsh asks so for `crm resource constraints` and `crm resource operations`."""
    cib.write_text(TIED.replace("RING", ""))
    assert run(crm_resource, order) == 0
    assert capsys.readouterr().out == expected


def test_a_ring_of_colocations_is_shown_once(cib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cib.write_text(TIED.replace("RING", '<rsc_colocation id="back" rsc="d" with-rsc="cl" score="5"/>'))
    assert run(crm_resource, "--stack -r g") == 0
    assert "* g (score=INFINITY, id=co) (loop)" in capsys.readouterr().out


AGENT = """\
#!/bin/sh
echo "$1 of $OCF_RESOURCE_INSTANCE with ${OCF_RESKEY_word:-nothing} in $OCF_RESKEY_CRM_meta_timeout ms"
case $1 in
start) sleep 1000 & echo $! >"$OCF_RESKEY_pidfile" ;;
stop) kill "$(cat "$OCF_RESKEY_pidfile")" ;;
monitor) exit 7 ;;
promote) sleep 1000 ;;
demote) kill -TERM $$ ;;
esac
"""


@pytest.fixture
def agent(cib: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Resources web and cl (a clone of `many`) of an agent of ours. Returns the file that tells its service's pid."""
    provider = tmp_path / "ocf" / "test"
    provider.mkdir(parents=True)
    (provider / "it").write_text(AGENT)
    (provider / "it").chmod(0o755)
    monkeypatch.setenv("HA_OCF_PATH", str(provider.parent))
    pid_file = tmp_path / "pid"
    body = (
        '<instance_attributes id="ID-p"><nvpair id="ID-w" name="word" value="joy"/>'
        f'<nvpair id="ID-f" name="pidfile" value="{pid_file}"/></instance_attributes>'
        '<operations><op id="ID-s" name="start" interval="0" timeout="7s"/></operations></primitive>'
    )
    web = '<primitive id="web" class="ocf" provider="test" type="it">' + body.replace("ID", "web")
    many = '<primitive id="many" class="ocf" provider="test" type="it">' + body.replace("ID", "many")
    old = '<primitive id="web" class="ocf" provider="heartbeat" type="Dummy"/>'
    cib.write_text(CIB.replace(old, f'{web}<clone id="cl">{many}</clone>'))
    return pid_file


@pytest.mark.parametrize(
    ("order", "code", "out"),
    [
        ("--force-check -r web", 7, "returned 7 (not running)\nmonitor of web with joy in 20000 ms\n"),
        ("--force-check -r web -T 5s", 7, "returned 7 (not running)\nmonitor of web with joy in 5000 ms\n"),
        ("--force-check -r many", 7, "returned 7 (not running)\nmonitor of many with joy in 20000 ms\n"),
        ("--force-check -r cl", 3, ""),
        ("--force-check -r db", 5, ""),
        ("--force-check -r absent", 105, ""),
        ("--force-check", 64, ""),
        ("--force-promote -r web -T 1s", 124, ""),
        ("--force-demote -r web", 1, ""),
        ("--force-check -r web -T nonsense", 2, ""),
    ],
)
def test_an_agent_is_run_past_the_cluster(
    agent: Path, capsys: pytest.CaptureFixture[str], order: str, code: int, out: str
) -> None:
    assert run(crm_resource, order) == code
    assert capsys.readouterr().out.endswith(out)


def test_a_service_that_was_started_by_hand_lives_on(agent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It holds the agent's output open, as careless services do: nobody waits for its end."""
    assert run(crm_resource, "--force-start -r web") == 0
    assert "Operation force-start for web (ocf:test:it) returned 0 (ok)\nstart of web" in capsys.readouterr().out
    os.kill(int(agent.read_text()), 0)
    assert run(crm_resource, "--force-stop -r web") == 0


def test_what_the_cluster_runs_is_not_started_again(agent: Path, cib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = TIED[TIED.index("<status>") : TIED.index("</cib>")].replace('"c_', '"web_').replace('"c"', '"web"')
    cib.write_text(cib.read_text().replace("<status/>", started.replace("pacemaker", "test").replace("Dummy", "it")))
    assert run(crm_resource, "--force-start -r web") == 107
    assert "the cluster runs web on n1" in capsys.readouterr().err
    assert not agent.exists()
