# SPDX-License-Identifier: GPL-2.0-or-later
"""crm_simulate: what it prints, writes and refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.cli.crm_simulate import main
from tests.unit.pe.small_cib import absent, cib, primitive, running


@pytest.fixture
def running_cluster(tmp_path: Path) -> Path:
    path = tmp_path / "in.xml"
    path.write_bytes(cib(resources=primitive("A"), history=[running("A", "n1"), absent("A", ["n2"])]))
    return path


def test_a_simulation_tells_what_happens_and_how_it_ends(
    running_cluster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-x", str(running_cluster), "-S", "-t", "2023-11-14 22:13:20Z", "-d", "n1"]) == 0
    text = capsys.readouterr().out
    before, after = text.split("Revised Cluster Status:")
    assert "    * A\t(ocf:heartbeat:Dummy):\t Started n1" in before
    assert "  * Taking node n1 offline" in before
    assert "  * Start      A       (    n2 )" in before
    assert "  * Resource action: A               start on n2" in before
    assert "  * Resource action: A               monitor=10000 on n2" in before
    assert "    * A\t(ocf:heartbeat:Dummy):\t Started n2" in after
    assert "    * OFFLINE: [ n1 ]" in after


def test_a_failure_is_injected_and_recovered(running_cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-x", str(running_cluster), "-S", "-i", "A_monitor_10000@n1=7"]) == 0
    text = capsys.readouterr().out
    assert "Injecting A_monitor_10000@n1=7 into the configuration" in text
    assert "  * Recover    A       (    n1 )" in text


def test_a_failing_action_ends_the_transition(running_cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = running_cluster.with_name("out.xml")
    options = ["-S", "-u", "n2", "-i", "A_monitor_10000@n1=7", "-F", "A_stop_0@n1=1", "-O", str(output)]
    assert main(["-x", str(running_cluster), *options]) == 0
    text = capsys.readouterr().out
    assert "failed with rc=1" in text
    assert "FAILED n1 (blocked)" in text.split("Revised Cluster Status:")[1]
    assert b"A_last_failure_0" in output.read_bytes()


def test_quiet_scores_and_files(running_cluster: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    graph, dot = tmp_path / "g.xml", tmp_path / "g.dot"
    assert main(["-x", str(running_cluster), "-sSQ", "-G", str(graph), "-D", str(dot)]) == 0
    told = capsys.readouterr()
    assert set(told.out.splitlines()) == {
        "pcmk__primitive_assign: A allocation score on n1: 0",
        "pcmk__primitive_assign: A allocation score on n2: 0",
    }
    assert told.err == ""
    assert graph.read_text().startswith("<transition_graph")
    assert dot.read_text().splitlines() == [' digraph "g" {', "}"]


def test_the_outcome_is_stable(running_cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a simulation leaves behind needs nothing more."""
    output = running_cluster.with_name("out.xml")
    assert main(["-x", str(running_cluster), "-S", "-d", "n1", "-O", str(output)]) == 0
    capsys.readouterr()
    assert main(["-x", str(output), "-S"]) == 0
    assert "Resource action" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "options", "code"),
    [
        (None, [], 66),
        (b"<cib", [], 65),
        (b"<wrong/>", [], 65),
        (b"<cib><configuration/></cib>", ["-t", "someday"], 64),
        (b"<cib><configuration/></cib>", ["--no-such-option"], 64),
    ],
)
def test_bad_input_is_refused_in_a_sentence(
    tmp_path: Path, content: bytes | None, options: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.xml"
    if content is not None:
        path.write_bytes(content)
    assert main(["-x", str(path), "-S", *options]) == code
    assert "crm_simulate: " in capsys.readouterr().err


@pytest.mark.parametrize("spec", ["nonsense", "A_monitor_10000@n1", "B_monitor_0@n1=7", "A@n1=1"])
def test_a_bad_injection_is_told_and_left_out(
    running_cluster: Path, spec: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-x", str(running_cluster), "-S", "-i", spec]) == 0
    assert "Invalid" in capsys.readouterr().err
