# SPDX-License-Identifier: GPL-2.0-or-later
"""A power cut between any two system calls loses nothing that was acknowledged; the player itself sees what would."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import pytest

from ha.cib.io import files
from ha.cib.io.files import CibFiles
from tests.unit.cib.power import Call, FailingOs, RecordingOs, lost_by, play, write_for_a_while

CUTS = 300


def test_no_cut_loses_an_acknowledged_configuration() -> None:
    made, lost = play(CUTS, seed=3)
    assert made >= CUTS
    assert lost == []


def test_names_that_are_not_synced_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "sync_folder", lambda folder: None)
    assert play(CUTS, seed=3)[1]


def test_data_that_is_not_synced_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    append = CibFiles.append
    monkeypatch.setattr(CibFiles, "append", lambda self, records, durable: append(self, records, False))
    assert play(CUTS, seed=3)[1]


@pytest.mark.parametrize(("error", "calls_failing"), [(errno.EIO, 1), (errno.ENOSPC, 3), (errno.EROFS, 2)])
def test_an_error_anywhere_loses_nothing_that_was_acknowledged(tmp_path: Path, error: int, calls_failing: int) -> None:
    """The disk fails for some calls, and works again: the core tries again, and what it acknowledged is there."""
    calls = sum(call.kind != "acknowledged" for call in _life(RecordingOs(_folder(tmp_path, "calm")))[1])
    chance = Random(error)
    for fails_at in sorted(chance.sample(range(1, calls), 25)):
        record = FailingOs(_folder(tmp_path, f"at-{fails_at}"), fails_at=fails_at, fails_for=calls_failing, error=error)
        acknowledged, _ = _life(record)
        assert record.made >= fails_at
        disk = {path.name: path.read_bytes() for path in record.folder.iterdir()}
        assert lost_by(disk, acknowledged) == [], f"call {fails_at} failed"


def _folder(place: Path, name: str) -> Path:
    folder = place / name
    folder.mkdir()
    return folder


def _life(record: RecordingOs) -> tuple[dict[str, str], list[Call]]:
    calls = write_for_a_while(record, 30, Random(11))
    return {call.name: call.data.decode() for call in calls if call.kind == "acknowledged"}, calls


def test_zeros_at_the_end_of_the_journal_are_no_records(tmp_path: Path) -> None:
    store = CibFiles(tmp_path)
    store.load()
    store.append((b"whole",), durable=True)
    with (tmp_path / "journal").open("ab") as journal:
        journal.write(bytes(4096))
    again = CibFiles(tmp_path)
    assert again.load()[1] == (b"whole",)
    again.append((b"after",), durable=True)
    assert CibFiles(tmp_path).load()[1] == (b"whole", b"after")
