# SPDX-License-Identifier: GPL-2.0-or-later
"""A short run of the fuzzer, on what needs nothing from outside this repository."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ha.cli.crm_simulate import main as crm_simulate
from ha.cli.exit_codes import Exit
from tests.conformance.fuzz import EXAMPLE, attempt, time_limit
from tests.conformance.mutations import BOMB, mutated


@pytest.mark.parametrize("seed", range(8))
def test_spoiled_input_gets_an_exit_code_and_a_sentence(seed: int, tmp_path: Path) -> None:
    for number in range(1, 26):
        cib = mutated(EXAMPLE, random.Random(f"{seed}:{number}"))
        wrong, _ = attempt(number, cib, tmp_path / "cib.xml")
        assert not wrong, f"seed {seed} input {number}: {wrong}"


def test_an_entity_bomb_is_refused_unread(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cib.xml"
    path.write_bytes(BOMB + EXAMPLE.replace(b'value="', b'value="&j;', 1))
    assert crm_simulate(["-x", str(path), "-S"]) == Exit.DATA_ERROR
    assert "crm_simulate:" in capsys.readouterr().err


def test_a_truncated_file_is_refused_with_the_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cib.xml"
    path.write_bytes(EXAMPLE[: len(EXAMPLE) // 2])
    assert crm_simulate(["-x", str(path), "-S"]) == Exit.DATA_ERROR
    assert "line 1" in capsys.readouterr().err


@pytest.mark.parametrize("call_id", ["", "Promoted", "-5min", "9" * 40])
def test_a_call_id_that_is_no_number_is_played_over(call_id: str, tmp_path: Path) -> None:
    cib = EXAMPLE.replace(b'call-id="2"', f'call-id="{call_id}"'.encode()).replace(b'id="A_monitor_10000"', b'id="A_x"')
    assert attempt(1, cib, tmp_path / "cib.xml") == ("", Exit.OK)


@pytest.mark.parametrize("name", ["-5min", "a b", "%s", "a:b", "10s"])
def test_a_parameter_whose_name_is_no_attribute_is_written_as_an_element(name: str, tmp_path: Path) -> None:
    pair = f'<instance_attributes id="A-i"><nvpair id="A-i-p" name="{name}" value="v"/></instance_attributes>'
    cib = EXAMPLE.replace(b"<operations>", pair.encode() + b"<operations>", 1)
    assert attempt(1, cib, tmp_path / "cib.xml") == ("", Exit.OK)


def test_what_comes_to_no_end_is_found() -> None:
    with pytest.raises(TimeoutError, match="not done"), time_limit(0.05):
        while True:
            pass
