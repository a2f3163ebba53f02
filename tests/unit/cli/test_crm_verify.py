# SPDX-License-Identifier: GPL-2.0-or-later
"""crm_verify: what makes a CIB invalid, what is merely doubtful, and what the clients of its text look for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lxml import etree

from ha.cli.crm_verify import main
from tests.unit.pe.small_cib import cib, operation, primitive, running

PCS_LEAVES_OUT = re.compile(r".*-V( -V)* .*more detail.*")
"""What pcs takes for the advice to ask again with more -V."""
API = Path("/usr/share/pacemaker/api/api-result-2.25.rng")
VERSION = b'<cib admin_epoch="0" epoch="1" num_updates="0" '
DOUBTFUL = "fencing is disabled"
SUMMARY = "Errors found during check: config not valid"


def verify(capsys: pytest.CaptureFixture[str], text: bytes, *options: str) -> tuple[int, list[str]]:
    code = main(["-X", text.replace(b"<cib ", VERSION, 1).decode(), *options])
    told = capsys.readouterr()
    assert told.out == ""
    return code, told.err.splitlines()


FENCER = '<primitive id="F" class="stonith" type="fence_null"/>'
VALID = cib(resources=FENCER + primitive("A"), options={"stonith-enabled": "true"})
INVALID = {
    "fence device": (cib(resources=primitive("A"), options={"stonith-enabled": "true"}), "there is no fence device"),
    "identifier": (cib(resources=primitive("A") + primitive("A")), "the id is taken"),
    "element": (cib(resources='<primitiv id="A"/>'), "<primitiv"),
    "reference": (
        cib(constraints='<rsc_location id="l" rsc="gone" node="n1" score="1"/>'),
        "refers to resource 'gone', which does not exist",
    ),
    "option": (cib(options={"no-quorum-policy": "bogus"}), "no-quorum-policy: 'bogus' is not valid: the default"),
    "time": (cib(options={"cluster-delay": "soon"}), "cluster-delay: 'soon' is not valid"),
    "role": (cib(resources=primitive("A", meta={"target-role": "Up"})), "target-role of A: 'Up' is no role"),
    "promoted": (
        cib(resources=primitive("A", meta={"target-role": "Promoted"})),
        "target-role of A: 'Promoted' makes sense for promotable clones only",
    ),
    "text": (b"<cib", "line 1"),
    "nothing": (b"", ""),
}  # fmt: skip


def test_nothing_is_said_of_the_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(capsys, VALID) == (0, [])
    assert verify(capsys, VALID, "-VV") == (0, [])


@pytest.mark.parametrize("what", INVALID)
def test_an_error_is_named_and_makes_it_invalid(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, expected = INVALID[what]
    code, lines = verify(capsys, text, "-VV")
    assert code == 78
    assert any(line.startswith("error: ") and expected in line for line in lines)
    assert lines[-1] == SUMMARY


@pytest.mark.parametrize("what", INVALID)
def test_programs_read_the_same_as_xml(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, expected = INVALID[what]
    assert main(["-X", text.replace(b"<cib ", VERSION, 1).decode(), "--output-as=xml"]) == 78
    told = capsys.readouterr()
    assert told.err == ""
    root = etree.fromstring(told.out)
    status = root.find("status")
    assert status is not None
    assert status.get("message") == "Invalid configuration"
    assert any(expected in str(error.text) for error in status.iterfind("errors/error"))
    if API.exists():
        etree.RelaxNG(etree.parse(API)).assertValid(root)


def test_a_role_from_a_clone_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    meta = '<meta_attributes id="C-m"><nvpair id="C-m-t" name="target-role" value="Up"/></meta_attributes>'
    _, lines = verify(capsys, cib(resources=f'<clone id="C">{meta}{primitive("A")}</clone>'))
    assert [line for line in lines if "target-role" in line] == [
        "error: target-role of C: 'Up' is no role: it does not count"
    ]


def test_warnings_are_shown_from_two_v_on(capsys: pytest.CaptureFixture[str]) -> None:
    text = cib(resources=primitive("A"))
    assert verify(capsys, text) == (0, [])
    assert verify(capsys, text, "-V") == (0, [])
    code, (line,) = verify(capsys, text, "-VV")
    assert code == 0
    assert line.startswith(f"warning: {DOUBTFUL}")


def test_what_is_hidden_is_advertised_in_the_words_that_pcs_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    text = cib(resources=primitive("A"), options={"no-quorum-policy": "bogus"})
    for options in ([], ["-V"]):
        _, lines = verify(capsys, text, *options)
        assert [line for line in lines if PCS_LEAVES_OUT.match(line)] == ["-V -V may provide more details"]
    _, lines = verify(capsys, text, "-V", "-V")
    assert not any(PCS_LEAVES_OUT.match(line) for line in lines)
    assert any(DOUBTFUL in line for line in lines)


def test_a_slip_in_the_name_of_an_option_is_doubtful(capsys: pytest.CaptureFixture[str]) -> None:
    text = cib(options={"no-quorum-polcy": "freeze", "my-own-option": "1"})
    code, lines = verify(capsys, text, "-VV")
    assert code == 0
    assert lines == ["warning: cluster option 'no-quorum-polcy' is not known, and does not count: "
                     "is 'no-quorum-policy' meant?"]  # fmt: skip


def test_failures_in_the_status_are_doubtful(capsys: pytest.CaptureFixture[str]) -> None:
    failed = {"n1": {"A": operation("A", "monitor", "n1", interval_ms=10_000, rc=7, name="A_last_failure_0")}}
    text = cib(
        resources=FENCER + primitive("A"), options={"stonith-enabled": "true"}, history=[running("A", "n1"), failed]
    )
    code, lines = verify(capsys, text, "-VV")
    assert code == 0
    assert lines == ["warning: A_monitor_10000 failed on n1, with exit code 7"]


def test_three_v_tell_what_the_cluster_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = verify(capsys, VALID, "-VVV")
    assert code == 0
    assert [" ".join(line.split()) for line in lines if "A " in line] == ["notice: Actions: Start A ( n2 )"]


def test_quiet_leaves_the_exit_code_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(capsys, INVALID["role"][0], "-q", "-VV") == (78, [])
    assert main(["-q", "-x", "/nonexistent"]) == 66
    assert "no such file" in capsys.readouterr().err


def test_what_was_checked_is_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = VALID.replace(b"<cib ", VERSION, 1)
    assert main(["-X", text.decode(), "-S", str(tmp_path / "saved.xml")]) == 0
    assert (tmp_path / "saved.xml").read_bytes() == text
    assert main(["-X", text.decode(), "-S", str(tmp_path / "no" / "where")]) == 73
    assert "no/where: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--output-as=xml"]])
@pytest.mark.parametrize(
    ("source", "code"),
    [
        (["-x", "/nonexistent"], 66), (["-x", "/"], 66), (["-X", "\udc80"], 78), (["-X", "<cib\x01/>"], 78),
        (["-X", "<wrong/>"], 78),
    ],
)  # fmt: skip
def test_bad_input_ends_in_a_sentence(
    source: list[str], code: int, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*source, *options]) == code
    told = capsys.readouterr()
    if options:
        assert etree.fromstring(told.out).findtext("status/errors/error")
    else:
        assert told.err.strip()


@pytest.mark.parametrize("options", [[], ["-L", "-p"], ["-x"], ["--no-such"], ["-p", "--output-as=html"]])
def test_a_call_that_makes_no_sense_is_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options) == 64
    assert "crm_verify: error:" in capsys.readouterr().err
