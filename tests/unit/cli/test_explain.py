# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha explain`: what it says, and that what it suggests, typed in as printed, has the effect."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ha.cli import cibadmin, crm_attribute, crm_resource, crm_standby
from ha.cli.explain.command import explanation
from ha.cli.explain.search import LIMIT_S
from ha.cli.explain.trial import judge, reaches
from ha.cli.ha import main as ha
from tests.unit.pe.small_cib import NOW, absent, cib, operation, primitive, running

TOOLS: dict[str, Callable[[list[str]], int]] = {
    "cibadmin": cibadmin.main,
    "crm_attribute": crm_attribute.main,
    "crm_resource": crm_resource.main,
    "crm_standby": crm_standby.main,
}
STICKY = primitive("a", meta={"resource-stickiness": "7"})
ON_N1 = [running("a", "n1"), absent("a", ["n2"])]
LIKES_N1 = '<rsc_location id="likes" rsc="a" node="n1" score="100"/>'
SECOND = '<rsc_location id="second" rsc="a" node="n2" score="50"/>'
MUST_N2 = '<rsc_location id="must" rsc="a" node="n2" score="INFINITY"/>'
BAN = '<rsc_location id="cli-ban-a-on-n2" rsc="a" node="n2" score="-INFINITY"/>'
RULE = (
    '<rsc_location id="ruled" rsc="a"><rule id="r" score="20">'
    '<expression id="e" attribute="#uname" operation="eq" value="n2"/></rule></rsc_location>'
)
BY_ATTRIBUTE = RULE.replace('score="20"', 'score-attribute="pref"')


def said(text: bytes, resource: str = "a", node: str | None = "n2") -> list[str]:
    return list(explanation(text, resource, node, NOW, time.monotonic))


def commands(lines: list[str]) -> list[str]:
    """What to type for the first suggestion."""
    start = next(number for number, line in enumerate(lines) if "smallest change" in line or "two together" in line)
    indented = itertools.takewhile(lambda line: line.startswith("      "), lines[start + 1 :])
    return [line.strip() for line in indented if not line.strip().startswith("(")]


def runs_on(text: bytes, resource: str, node: str) -> bool:
    cluster = judge(text, NOW).cluster
    found, place = cluster.find(resource), cluster.node(node)
    assert found is not None
    assert place is not None
    return reaches(found, place)


SITUATIONS = {
    "raise the score of location second from 50 to 108": cib(
        resources=STICKY, history=ON_N1, constraints=LIKES_N1 + SECOND
    ),
    "raise the score of rule r of ruled from 20 to 108": cib(
        resources=STICKY, history=ON_N1, constraints=LIKES_N1 + RULE
    ),
    "lower resource-stickiness of a from 7 to 2": cib(
        resources=STICKY, history=ON_N1, constraints=BY_ATTRIBUTE, transient={"n2": {"pref": "3"}}
    ),
    "drop the ban cli-ban-a-on-n2": cib(resources=STICKY, history=ON_N1, constraints=BAN + MUST_N2),
    "drop the earlier move cli-prefer-a": cib(
        resources=STICKY,
        history=ON_N1,
        constraints='<rsc_location id="cli-prefer-a" rsc="a" node="n1" score="INFINITY"/>' + SECOND,
    ),
    "take n2 out of standby": cib(
        resources=STICKY, history=ON_N1, constraints=MUST_N2, transient={"n2": {"standby": "on"}}
    ),
    "end the maintenance of n2": cib(
        resources=STICKY, history=ON_N1, constraints=MUST_N2, transient={"n2": {"maintenance": "true"}}
    ),
    "move a to n2": cib(resources=primitive("a"), history=ON_N1),
    "let a run (target-role)": cib(
        resources=primitive("a", meta={"target-role": "Stopped"}), history=[absent("a", ["n1", "n2"])],
        constraints=SECOND,
    ),
    "let b run (target-role)": cib(
        resources=primitive("a") + primitive("b", meta={"target-role": "Stopped"}), constraints=MUST_N2
        + '<rsc_order id="o" first="b" then="a"/>', history=[absent("a", ["n1", "n2"]), absent("b", ["n1", "n2"])],
    ),
    "let the cluster manage a": cib(
        resources=primitive("a", meta={"is-managed": "false"}), history=ON_N1, constraints=MUST_N2
    ),
    "switch stop-all-resources off": cib(
        resources=STICKY, history=[absent("a", ["n1", "n2"])], constraints=MUST_N2,
        options={"stop-all-resources": "true"},
    ),
    "remove location never": cib(
        resources=primitive("a"), history=ON_N1,
        constraints='<rsc_location id="never" rsc="a" node="n2" score="-INFINITY"/>' + MUST_N2,
    ),
    "take n2 out of standby, and move a to n2": cib(
        resources=STICKY, history=ON_N1, transient={"n2": {"standby": "on"}}
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", SITUATIONS)
def test_what_is_suggested_has_the_effect_when_typed(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SITUATIONS[words]
    assert not runs_on(text, "a", "n2")
    lines = said(text)
    assert any(line.endswith(f": {words}") for line in lines), lines
    path = tmp_path / "cib.xml"
    path.write_bytes(text)
    monkeypatch.setenv("CIB_file", str(path))
    for command in commands(lines):
        tool, *arguments = shlex.split(command)
        assert TOOLS[tool](arguments) == 0, command
    assert runs_on(path.read_bytes(), "a", "n2")


@pytest.mark.parametrize("number", [107, 108])
def test_the_number_suggested_is_the_smallest(number: int) -> None:
    text = cib(resources=STICKY, history=ON_N1, constraints=LIKES_N1 + SECOND.replace('"50"', f'"{number}"'))
    assert runs_on(text, "a", "n2") is (number >= 108)


def test_failures_are_named_and_cleared() -> None:
    failed = {"n2": {"a": operation("a", "monitor", "n2", interval_ms=10_000, rc=1, name="a_last_failure_0")}}
    text = cib(
        resources=STICKY, history=[*ON_N1, failed], constraints=MUST_N2,
        transient={"n2": {"fail-count-a#monitor_10000": "INFINITY"}},
    )  # fmt: skip
    lines = said(text)
    assert any("a failed INFINITY times there" in line for line in lines)
    assert any(line.endswith(": clear the failures of a on n2") for line in lines), lines


def test_a_node_that_is_down_is_to_be_started() -> None:
    lines = said(cib(resources=STICKY, history=ON_N1, down=["n2"], constraints=MUST_N2))
    assert "why not on n2: the node is offline" in lines
    assert any(line.endswith(": start Heartbeat on n2") for line in lines)


def test_without_a_change_that_helps_it_says_so() -> None:
    # n2 may be running it still: until it is fenced, nothing an operator could configure makes it usable.
    fencer = '<primitive id="fencer" class="stonith" type="external/ssh"/>'
    text = cib(
        resources=primitive("a") + fencer, history=[running("a", "n1")], lost=["n2"],
        options={"stonith-enabled": "true"},
    )  # fmt: skip
    lines = said(text)
    assert lines[-1] == "  no single change that I know would have it run on n2"


def test_what_moves_with_it_is_told() -> None:
    near = '<rsc_colocation id="near" rsc="b" with-rsc="a" score="INFINITY"/>'
    text = cib(resources=STICKY + primitive("b"), history=[*ON_N1, running("b", "n1")], constraints=near)
    assert "      (then b goes from n1 to n2)" in said(text)


def test_a_search_ends_in_time() -> None:
    ticks = itertools.count(0, int(LIMIT_S) + 1)
    text = cib(resources=STICKY, history=ON_N1)
    lines = list(explanation(text, "a", "n2", NOW, lambda: float(next(ticks))))
    assert lines[-1] == "  no change that would have it run on n2 was found within 20 s"


@pytest.mark.parametrize("arguments", [["a"], ["a", "--node", "n2"]])
def test_the_command_reads_the_file(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cib.xml"
    path.write_bytes(SITUATIONS["move a to n2"])
    monkeypatch.setenv("CIB_file", str(path))
    result = CliRunner().invoke(ha, ["explain", *arguments])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("a runs on n1, and is to stay there\n")
    assert crm_resource.main(["--why", "--resource", "a"]) == 0
    told = capsys.readouterr().out
    assert "Resource a runs on n1, and is to stay there" in told
    assert "  * why not on n2: " in told


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["absent"], 105, "resource 'absent' is not configured; there are: a"),
        (["a", "--node", "absent"], 105, "node 'absent' is not known; the nodes are: n1 n2"),
        ([], 2, "Missing argument"),
    ],
)
def test_wrong_names_are_told(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cib.xml"
    path.write_bytes(SITUATIONS["move a to n2"])
    monkeypatch.setenv("CIB_file", str(path))
    result = CliRunner().invoke(ha, ["explain", *arguments])
    assert result.exit_code == code
    assert words in result.output


@pytest.mark.parametrize(("content", "code"), [(b"<cib", 65), (b"<nodes/>", 65)])
def test_a_file_that_is_no_cib_is_refused(
    content: bytes, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cib.xml"
    path.write_bytes(content)
    monkeypatch.setenv("CIB_file", str(path))
    assert CliRunner().invoke(ha, ["explain", "a"]).exit_code == code
