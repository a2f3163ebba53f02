# SPDX-License-Identifier: GPL-2.0-or-later
"""The pengine's machine, and what keeps its inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.cib.msg import CibCopy, CibGone, ReadCib, Version
from ha.machine import Connected, Effect, Execute, Finished, Local, Note, Received, Send
from ha.pe.core import build
from ha.pe.io import decisions
from ha.pe.io.decisions import decide
from ha.pe.io.kept_cib import KeptCib
from ha.pe.model.requests import Decide, Decided
from ha.pe.msg import Schedule, Scheduled
from tests.unit.pe.small_cib import NOW, cib, primitive

CRMD = Local("crmd")
VERSION = Version(0, 1, 0)


def ask(number: int, generation: int = 7) -> Received:
    return Received(CRMD, Schedule(request_id=number, generation=generation, now_s=NOW))


def executed(effects: list[Effect]) -> Execute:
    (effect,) = effects
    assert isinstance(effect, Execute)
    return effect


def answer(effects: list[Effect]) -> Scheduled:
    (sent,) = [effect for effect in effects if isinstance(effect, Send)]
    assert sent.to == CRMD
    assert isinstance(sent.message, Scheduled)
    return sent.message


def test_a_request_reads_decides_and_answers() -> None:
    machine = build()
    read = executed(machine.step(ask(1), 0))
    assert read.request == ReadCib(generation=7)
    work = executed(machine.step(Finished(read.operation, CibCopy(generation=7, version=VERSION, xml=b"<cib/>")), 1))
    assert work.request == Decide(b"<cib/>", NOW, generation=7)
    told = answer(machine.step(Finished(work.operation, Decided(graph="<transition_graph/>", saved_as="f")), 2))
    assert (told.request_id, told.generation, told.graph, told.saved_as) == (1, 7, "<transition_graph/>", "f")


def test_a_newer_request_replaces_older_ones() -> None:
    machine = build()
    first = executed(machine.step(ask(1), 0))
    assert machine.step(ask(2), 1) == []
    assert machine.step(ask(3, generation=9), 2) == []
    again = executed(machine.step(Finished(first.operation, CibCopy(generation=7, version=VERSION, xml=b"")), 3))
    assert again.request == ReadCib(generation=9)
    assert again.operation != first.operation


def test_a_generation_that_is_gone_is_an_error() -> None:
    machine = build()
    read = executed(machine.step(ask(1), 0))
    effects = machine.step(Finished(read.operation, CibGone(reason="replaced")), 1)
    assert "generation 7" in answer(effects).error
    assert any(isinstance(effect, Note) for effect in effects)
    executed(machine.step(ask(2), 2))


def test_a_failed_read_is_an_error() -> None:
    machine = build()
    read = executed(machine.step(ask(1), 0))
    assert answer(machine.step(Finished(read.operation, None), 1)).error


def test_others_are_refused() -> None:
    machine = build()
    message = Schedule(request_id=1, generation=1, now_s=NOW)
    (note,) = machine.step(Received(Local("client-1"), message), 0)
    assert isinstance(note, Note)
    assert machine.step(Connected(CRMD), 0) == []


def test_a_decision_is_kept_with_its_date(tmp_path: Path) -> None:
    path = tmp_path / "pe-input-3.xml"
    text = cib(resources=primitive("A"))
    result = decide(Decide(text, NOW), path, KeptCib(None))
    assert result.saved_as == str(path)
    assert result.error == ""
    assert "A_start_0" in result.graph
    assert f'execution-date="{NOW}"'.encode() in path.read_bytes()
    assert decide(Decide(path.read_bytes(), NOW), tmp_path / "again.xml", KeptCib(None)).graph == result.graph


def test_what_cannot_be_decided_is_kept_too(tmp_path: Path) -> None:
    path = tmp_path / "pe-input-0.xml"
    result = decide(Decide(b"<cib", NOW), path, KeptCib(None))
    assert "XML" in result.error
    assert path.exists()


def test_a_missing_folder_costs_the_copy_only(tmp_path: Path) -> None:
    result = decide(Decide(cib(resources=primitive("A")), NOW), tmp_path / "no" / "folder.xml", KeptCib(None))
    assert (result.saved_as, result.error) == ("", "")


class OneLoop:
    """Runs what is asked for in a thread at once."""

    def __init__(self) -> None:
        self.outcomes: list[object] = []

    def in_thread(self, operation: str, function: object, *arguments: object) -> None:
        assert callable(function)
        self.outcomes.append(function(*arguments))


def test_the_oldest_input_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "MAX_SAVED_INPUTS", 3)
    loop = OneLoop()
    adapter = decisions.DecisionAdapter(tmp_path / "inputs")
    adapter.open(loop)  # type: ignore[arg-type]
    for number in range(5):
        adapter.execute(f"decide-{number}", Decide(b"<cib><configuration/></cib>", NOW + number))
    assert sorted(path.name for path in (tmp_path / "inputs").iterdir()) == [f"pe-input-{i}.xml" for i in range(3)]
    assert f'"{NOW + 4}"' in (tmp_path / "inputs" / "pe-input-1.xml").read_text()
