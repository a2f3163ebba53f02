# SPDX-License-Identifier: GPL-2.0-or-later
"""The durable CIB under damage: what was acknowledged is found, what was torn is cut off, and both are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from ha.cib.io.files import CibFiles
from ha.cib.model.document import Document
from ha.cib.model.store import CheckpointCib
from ha.cib.msg import Version

EMPTY = Document.empty().snapshot().to_bytes()


def checkpoint(files: CibFiles, epoch: int, *records: bytes) -> bytes:
    xml = EMPTY.replace(b'epoch="0" num', b'epoch="%d" num' % epoch)
    files.checkpoint(CheckpointCib(xml, records, Version(0, epoch, 0), backup=True))
    return xml


def test_a_first_start_finds_nothing(tmp_path: Path) -> None:
    assert CibFiles(tmp_path / "crm").load() == (b"", (), ())


def test_records_come_back_in_order(tmp_path: Path) -> None:
    files = CibFiles(tmp_path)
    files.load()
    files.append((b"one", b"two"), durable=True)
    files.append((b"three",), durable=False)
    assert CibFiles(tmp_path).load() == (b"", (b"one", b"two", b"three"), ())


def test_a_checkpoint_begins_the_journal_anew(tmp_path: Path) -> None:
    files = CibFiles(tmp_path)
    files.load()
    files.append((b"old",), durable=True)
    xml = checkpoint(files, 1, b"base")
    files.append((b"new",), durable=True)
    assert CibFiles(tmp_path).load() == (xml, (b"base", b"new"), ())


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_end_is_cut_off_and_what_follows_is_found(tmp_path: Path, cut: int) -> None:
    files = CibFiles(tmp_path)
    files.load()
    files.append((b"whole",), durable=True)
    files.append((b"torn",), durable=True)
    path = tmp_path / "journal"
    path.write_bytes(path.read_bytes()[:-cut])
    again = CibFiles(tmp_path)
    _, records, notes = again.load()
    assert records == (b"whole",)
    assert len(notes) == 1
    again.append((b"after",), durable=True)
    assert CibFiles(tmp_path).load()[1] == (b"whole", b"after")


@pytest.mark.parametrize("at", range(13))
def test_a_flipped_bit_ends_the_journal(tmp_path: Path, at: int) -> None:
    files = CibFiles(tmp_path)
    files.load()
    files.append((b"first", b"second"), durable=True)
    path = tmp_path / "journal"
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(data)
    _, records, notes = CibFiles(tmp_path).load()
    assert records == ()
    assert notes


@pytest.mark.parametrize("garbage", [b"", b"<cib", b"\x00" * 100, b"<nodes/>"])
def test_a_damaged_cib_falls_back_to_the_newest_backup(tmp_path: Path, garbage: bytes) -> None:
    files = CibFiles(tmp_path)
    files.load()
    for epoch in (1, 2, 3):
        xml = checkpoint(files, epoch, b"base")
    (tmp_path / "cib.xml").write_bytes(garbage)
    found, _, notes = CibFiles(tmp_path).load()
    assert found == xml.replace(b'epoch="3"', b'epoch="2"')
    assert len(notes) == 2
    assert "digest" in notes[0]
    assert "cib-1.raw" in notes[1]
    assert [path.read_bytes() for path in tmp_path.glob("cib.auto.*")] == [garbage]


def test_a_cib_put_there_by_hand_is_taken(tmp_path: Path) -> None:
    (tmp_path / "cib.xml").write_bytes(EMPTY)
    assert CibFiles(tmp_path).load() == (EMPTY, (), ())


def test_a_crash_between_the_digest_and_the_cib_is_no_damage(tmp_path: Path) -> None:
    files = CibFiles(tmp_path)
    files.load()
    xml = checkpoint(files, 1)
    sig = tmp_path / "cib.xml.sig"
    sig.write_text("0" * 64 + "\n" + sig.read_text())
    assert CibFiles(tmp_path).load() == (xml, (), ())


def test_backups_rotate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ha.cib.io.files.MAX_BACKUPS", 3)
    files = CibFiles(tmp_path)
    files.load()
    for epoch in range(1, 8):
        checkpoint(files, epoch)
    assert sorted(path.name for path in tmp_path.glob("cib-*.raw")) == ["cib-0.raw", "cib-1.raw", "cib-2.raw"]


def test_what_a_merge_dropped_is_kept(tmp_path: Path) -> None:
    path = CibFiles(tmp_path / "crm").keep_dropped(Version(1, 2, 3), EMPTY)
    assert Path(path).read_bytes() == EMPTY + b"\n"
    assert "1.2.3" in path
