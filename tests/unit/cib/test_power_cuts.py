# SPDX-License-Identifier: GPL-2.0-or-later
"""A power cut between any two system calls loses nothing that was acknowledged; the player itself sees what would."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.cib.io import files
from ha.cib.io.files import CibFiles
from tests.unit.cib.power import play

CUTS = 300


def test_no_cut_loses_an_acknowledged_configuration() -> None:
    made, lost = play(CUTS, seed=3)
    assert made >= CUTS
    assert lost == []


def test_names_that_are_not_synced_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_sync_folder", lambda folder: None)
    assert play(CUTS, seed=3)[1]


def test_data_that_is_not_synced_would_be_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    append = CibFiles.append
    monkeypatch.setattr(CibFiles, "append", lambda self, records, durable: append(self, records, False))
    assert play(CUTS, seed=3)[1]


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
