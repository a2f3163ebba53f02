# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha plan`: what a change leads to, told before it is made; and what is no plan."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from ha.cli.ha import main
from ha.cli.plan import edits
from ha.cli.plan.commands import describe, make_plan
from ha.cli.plan.model import Plan, PlanError, Step, load
from tests.unit.pe.small_cib import NOW, absent, cib, primitive, running

META = '<meta_attributes id="A-m"><nvpair id="A-m-target-role" name="target-role" value="{}"/></meta_attributes>'


def two_nodes(**changes: object) -> bytes:
    fields = {
        "resources": primitive("A") + primitive("B"),
        "history": [running("A", "n1"), absent("A", ["n2"]), running("B", "n2"), absent("B", ["n1"])],
        **changes,
    }
    return cib(**fields)  # type: ignore[arg-type]


def standby(text: bytes) -> bytes:
    pair = '<instance_attributes id="s"><nvpair id="s-1" name="standby" value="on"/></instance_attributes>'
    return text.replace(b'<node id="n1" uname="n1"/>', f'<node id="n1" uname="n1">{pair}</node>'.encode())


def steps(made: Plan) -> list[str]:
    return [f"{step.operation} {step.resource} {step.node}" for step in made.steps if not step.is_minor]


def test_what_a_standby_would_move_is_told_in_order() -> None:
    made = make_plan(two_nodes(), standby(two_nodes()), NOW)
    assert steps(made) == ["stop A n1", "start A n2"]
    assert made.rests
    assert made.revision == "0.0.0"
    text = "\n".join(describe(made, everything=False))
    assert "Move       A" in text
    assert "1. stop         A" in text
    assert "1 probes, monitors and the like" in text


def test_a_resource_that_is_deleted_is_stopped_and_forgotten() -> None:
    after = two_nodes().replace(primitive("B").encode(), b"")
    made = make_plan(two_nodes(), after, NOW)
    assert steps(made) == ["stop B n2"]
    assert made.rests


def test_what_changes_nothing_is_said_to_do_so() -> None:
    made = make_plan(two_nodes(), two_nodes().replace(b"<cib ", b'<cib epoch="7" '), NOW)
    assert made.patch == ""
    assert made.steps == ()
    assert "Nothing is changed" in next(describe(made, everything=False))


def test_what_the_cluster_would_refuse_is_no_plan() -> None:
    location = b'<constraints><rsc_location id="l" rsc="ghost" node="n1" score="1"/></constraints>'
    with pytest.raises(PlanError, match=r"would refuse it: .*ghost"):
        make_plan(two_nodes(), two_nodes().replace(b"<constraints></constraints>", location), NOW)


def test_the_status_is_not_the_operators_to_write() -> None:
    with pytest.raises(PlanError, match="only the cluster itself writes"):
        make_plan(two_nodes(), two_nodes(history=[]), NOW)


def test_a_command_works_on_a_copy_and_sees_no_other_cib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIB_shadow", "somebody-elses")
    script = "import os; assert 'CIB_shadow' not in os.environ; open(os.environ['CIB_file'], 'a').write('<!---->')"
    changed = edits.by_command(two_nodes(), [sys.executable, "-c", script])
    assert changed == two_nodes() + b"<!---->"


@pytest.mark.parametrize(
    ("command", "words"), [(["false"], "exit code 1"), (["/no/such/command"], "cannot be run: No such file")]
)
def test_a_command_that_fails_is_no_plan(command: list[str], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        edits.by_command(two_nodes(), command)


def test_an_editor_sees_a_readable_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "sed -i s/Dummy/Other/")
    changed = edits.by_editor(two_nodes())
    assert b'type="Other"' in changed
    assert changed.count(b"\n") > 20


def test_a_saved_plan_is_the_same_when_it_is_read(tmp_path: Path) -> None:
    made = make_plan(two_nodes(), standby(two_nodes()), NOW)
    made.save(tmp_path / "plan")
    assert load(tmp_path / "plan") == made


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"\xff", b'{"format": 2}', b'{"format": 1, "steps": [{"x": 1}]}'])
def test_what_is_no_plan_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "plan").write_bytes(text)
    with pytest.raises(PlanError, match="is no plan"):
        load(tmp_path / "plan")


def test_a_spoiled_plan_never_gets_through(tmp_path: Path) -> None:
    made = make_plan(two_nodes(), standby(two_nodes()), NOW)
    good = msgspec.json.encode(made)
    for cut in range(0, len(good) - 1, 7):
        (tmp_path / "plan").write_bytes(good[:cut])
        with pytest.raises(PlanError):
            load(tmp_path / "plan")


def test_the_commands_on_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, edited, saved = tmp_path / "cib.xml", tmp_path / "edited.xml", tmp_path / "plan.json"
    file.write_bytes(two_nodes())
    edited.write_bytes(standby(two_nodes()))
    monkeypatch.setenv("CIB_file", str(file))
    run = CliRunner().invoke
    result = run(main, ["plan", "--cib", str(edited), "--save", str(saved)])
    assert result.exit_code == 0, result.output
    assert f"To have it done: ha apply {saved}" in result.output
    assert load(saved).steps[0] == Step(transition=1, operation="stop", resource="A", node="n1")
    assert file.read_bytes() == two_nodes()
    assert run(main, ["plan"]).exit_code == 2
    assert run(main, ["plan", "--edit", "true"]).exit_code == 2
    assert run(main, ["plan", "--cib", str(tmp_path / "none")]).exit_code == 66
    assert run(main, ["apply", str(tmp_path / "none")]).exit_code == 66
