# SPDX-License-Identifier: GPL-2.0-or-later
"""The spool: files that appear whole or not at all, claims that one wins, garbage that is named."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ha.runner.model import End, Holder, Job
from ha.runner.spool import MAX_RECORD_BYTES, REVOKED, Spool, SpoolError


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def job(job_id: str, **more: object) -> Job:
    return Job(id=job_id, argv=("/bin/true",), timeout_ms=1_000, **more)  # type: ignore[arg-type]


def test_jobs_and_results_come_back(spool: Spool) -> None:
    spool.write_job(job("life1.2", ticket=b"\x00\xff"))
    spool.write_job(job("life1.10"))
    assert spool.jobs() == ["life1.10", "life1.2"]
    assert spool.read_job("life1.2").ticket == b"\x00\xff"
    assert spool.result("life1.2") is None
    end = End(fate="exited", code=3, stdout=b"\xff")
    spool.write_result("life1.2", end)
    assert spool.result("life1.2") == end
    spool.drop("life1.2")
    assert spool.jobs() == ["life1.10"]
    assert spool.result("life1.2") is None


def test_one_claim_wins(spool: Spool) -> None:
    assert spool.claim("j", Holder(42, 7))
    assert not spool.claim("j", REVOKED)
    assert spool.claimant("j") == Holder(42, 7)
    assert [path.name for path in spool.directory.glob("j.*")] == ["j.claim"]


def test_passwords_in_it_are_for_the_owner_alone(spool: Spool) -> None:
    spool.write_job(job("j", environment={"OCF_RESKEY_passwd": "secret"}))
    assert spool.directory.joinpath("records").stat().st_mode & 0o077 == 0
    assert spool.directory.joinpath("j.job").stat().st_mode & 0o077 == 0


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.binary(), max_size=5))
def test_records_of_any_name(records: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(Path(directory))
        for name, data in records.items():
            spool.keep(name, data)
        assert spool.records() == (records, [])
        for name in records:
            spool.keep(name, None)
        assert spool.records() == ({}, [])


def test_long_names_do_not_meet(spool: Spool) -> None:
    spool.keep("x" * 1_000, b"1")
    spool.keep("x" * 1_001, b"2")
    assert sorted(spool.records()[0].values()) == [b"1", b"2"]


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"not msgpack", b"\x80", os.urandom(100)])
def test_garbage_is_named_and_left_alone(spool: Spool, garbage: bytes) -> None:
    spool.keep("good", b"data")
    (spool.records_directory / "=bad").write_bytes(garbage)
    records, (complaint,) = spool.records()
    assert records == {"good": b"data"}
    assert "=bad" in complaint
    (spool.directory / "j.job").write_bytes(garbage)
    with pytest.raises(SpoolError, match=r"j\.job"):
        spool.read_job("j")
    (spool.directory / "j.result").write_bytes(garbage)
    with pytest.raises(SpoolError, match=r"j\.result"):
        spool.result("j")


def test_limits(spool: Spool) -> None:
    with pytest.raises(SpoolError, match="bytes are more than"):
        spool.keep("big", bytes(MAX_RECORD_BYTES + 1))
    with pytest.raises(SpoolError, match="bytes are more than"):
        spool.write_job(job("j", stdin=bytes(5_000_000)))
    with open(spool.directory / "j.result", "wb") as stream:
        stream.truncate(9_000_000)
    with pytest.raises(SpoolError, match="more than"):
        spool.result("j")
    with pytest.raises(AssertionError):
        spool.write_job(job("../escape"))


def test_a_boot_empties_it_and_a_restart_does_not(spool: Spool) -> None:
    first = spool.boot()
    spool.write_job(job("j"))
    spool.keep("r", b"x")
    assert Spool(spool.directory).boot() == first
    assert spool.jobs() == ["j"]
    (spool.directory / "boot").write_bytes(b"\xff another life")
    assert spool.boot() != first
    assert spool.jobs() == []
    assert spool.records() == ({}, [])


def test_sweep_removes_litter_and_spares_what_is_being_written(spool: Spool) -> None:
    spool.write_job(job("kept"))
    spool.write_result("kept", End(fate="exited"))
    spool.write_result("gone", End(fate="exited"))
    spool.keep("r", b"x")
    mine = spool.directory / f".kept.result-{os.getpid()}"
    mine.touch()
    dead = [spool.directory / ".kept.result-999999999", spool.directory / "kept.claim-999999999"]
    for path in dead:
        path.touch()
    spool.sweep()
    assert sorted(path.name for path in spool.directory.iterdir()) == sorted(
        [mine.name, "kept.job", "kept.result", "records"]
    )
    assert spool.records()[0] == {"r": b"x"}
