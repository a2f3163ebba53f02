# SPDX-License-Identifier: GPL-2.0-or-later
"""The smaller tools: what Pacemaker's clients call, with the outputs and exit codes they rely on."""

from __future__ import annotations

import importlib
import io
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from ha.cli import crm_rule, crm_ticket, crm_verify, daemon_metadata, pacemakerd
from ha.pe.model.options import OPTIONS
from tests.unit.cli.contract import CIB, SEQUENCES


@pytest.fixture
def cib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "cib.xml"
    path.write_text(CIB)
    monkeypatch.setenv("CIB_file", str(path))
    monkeypatch.setenv("CIB_shadow_dir", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    for name in ("CIB_shadow", "OCF_RESOURCE_INSTANCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with tempfile.TemporaryDirectory(dir="/tmp") as root:  # short: sockets are named below it
        monkeypatch.setenv("HA_ROOT", root)
        yield path


def call(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    words = shlex.split(command)
    with monkeypatch.context() as patched:
        if words[0] == "env":
            name, _, value = words[1].partition("=")
            patched.setenv(name, value)
            words = words[2:]
        code = importlib.import_module(f"ha.cli.{words[0]}").main(words[1:])
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize("name", SEQUENCES)
def test_calls_answer_as_clients_expect(
    name: str, cib: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for expected in SEQUENCES[name]:
        code = call(expected.command, monkeypatch)
        printed = capsys.readouterr()
        assert code == expected.code, f"{expected.command}: {printed}"
        if expected.out is not None:
            assert printed.out == expected.out, expected.command
        if code and expected.out == "" and code != 105:
            assert printed.err.startswith(("usage:", expected.command.split()[0])), expected.command


def test_boothd_sets_all_attributes_in_one_write(cib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = etree.fromstring(cib.read_bytes()).get("num_updates")
    assert crm_ticket.main(["-t", "T", "-g", "--force", "-S", "owner", "--attr-value=-3", "-S", "term", "-v", "1"]) == 0
    root = etree.fromstring(cib.read_bytes())
    state = root.find("status/tickets/ticket_state")
    assert state is not None
    assert {k: v for k, v in state.attrib.items() if k != "last-granted"} == {
        "id": "T", "granted": "true", "owner": "-3", "term": "1",
    }  # fmt: skip
    assert int(str(root.get("num_updates"))) == int(str(before)) + 1
    assert crm_ticket.main(["-t", "T", "-l"]) == 0
    assert capsys.readouterr().out.startswith("T\tgranted           last-granted='")


@pytest.mark.parametrize("garbage", ["", "<rule", "<a/>" * 3, "\0", "<rule id='over'>" * 3])
def test_a_rule_in_garbage_is_a_clear_error(garbage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert crm_rule.main(["--check", "--rule", "over", "--xml-text", garbage]) == 65
    assert "no XML" in capsys.readouterr().err


def test_a_shadow_name_that_leaves_its_folder_is_refused(cib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("../other", "a/b", "/etc/passwd"):
        assert call(f"crm_shadow -b -f -c {name}", monkeypatch) == 64


def test_a_shadow_copy_goes_before_a_file(cib: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shadow.s").write_text(CIB.replace('value="false"', 'value="true"'))
    assert call("env CIB_shadow=s crm_attribute -t crm_config -n stonith-enabled -v maybe", monkeypatch) == 0
    assert "maybe" not in cib.read_text()
    assert "maybe" in (tmp_path / "shadow.s").read_text()


def test_a_committed_shadow_copy_is_the_configuration(cib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("crm_shadow -b -c trial", monkeypatch) == 0
    assert call("env CIB_shadow=trial crm_attribute -t crm_config -n cluster-name -v tried", monkeypatch) == 0
    assert "tried" not in cib.read_text()
    assert call("env CIB_shadow=trial crm_shadow -b -C trial --force", monkeypatch) == 0
    assert "tried" in cib.read_text()


def test_fail_counts_of_all_operations_are_added(
    cib: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = "".join(
        f'<nvpair id="f{i}" name="{name}" value="{value}"/>'
        for i, (name, value) in enumerate(
            {
                "fail-count-d#monitor_10000": "2",
                "fail-count-d#start_0": "INFINITY",
                "fail-count-dd#start_0": "1",
            }.items()
        )
    )
    state = (
        '<node_state id="1" uname="n1"><transient_attributes id="1"><instance_attributes id="i">'
        f"{pairs}</instance_attributes></transient_attributes></node_state>"
    )
    cib.write_text(CIB.replace("<status/>", f"<status>{state}</status>"))
    for options, value in (("", "INFINITY"), (" -n monitor -I 10s", "2"), (" -n monitor -I 20s", "0")):
        assert call(f"crm_failcount -G -q -r d -N n1{options}", monkeypatch) == 0
        assert capsys.readouterr().out == f"{value}\n"


def test_the_scheduler_metadata_names_every_option_that_is_heeded() -> None:
    root = etree.fromstring(daemon_metadata.metadata("x", "text", daemon_metadata.scheduler()))
    named = {str(p.get("name")): p for p in root.iterfind("parameters/parameter")}
    for option in OPTIONS.values():
        for name in filter(None, (option.name, option.older_name)):
            content = named[name].find("content")
            assert content is not None
            assert content.get("default") == option.default
            for word in content.iterfind("option"):
                assert option.allows(str(word.get("value")))
    assert named["no-quorum-policy"].findall("content/option")


@pytest.mark.parametrize("name", ["schedulerd", "controld", "based", "fenced"])
def test_metadata_executables(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    main = getattr(daemon_metadata, name)
    monkeypatch.setattr("sys.argv", [f"pacemaker-{name}", "metadata"])
    assert main() == 0
    root = etree.fromstring(capsys.readouterr().out.encode())
    names = [str(p.get("name")) for p in root.iterfind("parameters/parameter")]
    assert names and len(set(names)) == len(names)
    monkeypatch.setattr("sys.argv", [f"pacemaker-{name}", "version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("CRM Version: 2.1.5 ")
    monkeypatch.setattr("sys.argv", [f"pacemaker-{name}"])
    assert main() == 64


def test_a_configuration_without_status_is_verified_as_crmsh_pipes_it(cib: Path) -> None:
    assert crm_verify.main(["--xml-text", CIB.replace("<status/>", "")]) == 0
    assert crm_verify.main(["--xml-text", CIB.replace("<status/>", "").replace('id="2" uname', 'id="1" uname')]) == 78


def test_pacemakerd_answers_its_callers(cib: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert pacemakerd.main(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "Pacemaker 2.1.5"
    assert pacemakerd.main(["-F"]) == 0
    assert capsys.readouterr().out.startswith("Pacemaker 2.1.5 (Build: ")
    assert pacemakerd.main(["-F", "--output-as=xml"]) == 0
    assert etree.fromstring(capsys.readouterr().out).find("pacemakerd/features/feature") is not None
    assert pacemakerd.main(["-S"]) == 102
    assert pacemakerd.main([]) == 64
