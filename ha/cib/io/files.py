# SPDX-License-Identifier: GPL-2.0-or-later
"""The durable CIB: cib.xml with its digest, rotated backups, and the journal of what came after.

    cib.xml, cib.xml.sig          the newest checkpoint and the SHA-256 of the file (two lines while it is replaced)
    cib-N.raw, cib-N.raw.sig      earlier ones; cib.last holds the next N
    journal                       records: length, CRC-32, data. A torn end is cut off: it was never acknowledged.
    dropped-*.xml                 what a merge dropped

The names are those that operators' tools know (reference/cli, section 4).
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from pathlib import Path

from ha.cib.model.document import Document
from ha.cib.model.parse import MAX_DOCUMENT_BYTES
from ha.cib.model.refusal import Refusal
from ha.cib.model.store import CheckpointCib
from ha.cib.msg import Version
from ha.whole_file import sync_folder, write_all

MAX_BACKUPS = 100
MAX_DROPPED = 50
MAX_JOURNAL_FILE_BYTES = 512 * 1024 * 1024
MAX_RECORD_BYTES = 80 * 1024 * 1024
_FRAME = struct.Struct("<II")
_MODE = 0o600


def write_file(path: Path, data: bytes) -> None:
    """Replace `path`: the old file or the new one is there after a power cut, never a mixture."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class CibFiles:
    """The files of one folder (root.cib_dir). Methods raise OSError; the caller repeats or reports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal = -1
        self._good_bytes = 0
        self._is_torn = False

    # Loading ---------------------------------------------------------------------------------------------------------

    def load(self) -> tuple[bytes, tuple[bytes, ...], tuple[str, ...]]:
        """(document or b"", records of the journal, notes on damage). Opens the journal for appending."""
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        notes: list[str] = []
        xml = self._load_document(notes)
        records = self._load_journal(notes)
        return xml, records, tuple(notes)

    def _load_document(self, notes: list[str]) -> bytes:
        """cib.xml, or the newest backup that is whole. Damaged files are put aside, not deleted."""
        for path in [self.folder / "cib.xml", *self._backups()]:
            if not path.exists():
                continue
            data, fault = _read_document(path)
            if not fault:
                if path.name != "cib.xml":
                    notes.append(f"the CIB was taken from {path}")
                return data
            notes.append(f"{path} is not used: {fault}")
            if path.name == "cib.xml":
                os.replace(path, self.folder / f"cib.auto.{_hash(data)[:8]}")
        return b""

    def _backups(self) -> list[Path]:
        """The newest first."""
        found = [(int(p.stem[4:]), p) for p in self.folder.glob("cib-*.raw") if p.stem[4:].isdigit()]
        return [path for _, path in sorted(found, key=lambda pair: pair[1].stat().st_mtime_ns, reverse=True)]

    def _load_journal(self, notes: list[str]) -> tuple[bytes, ...]:
        path = self.folder / "journal"
        self.close()
        is_new = not path.exists()
        self._journal = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        if is_new:
            sync_folder(self.folder)  # syncing the file alone does not promise that its name stays
        size = os.fstat(self._journal).st_size
        if size > MAX_JOURNAL_FILE_BYTES:
            raise OSError(f"{path} is {size} bytes long; the limit is {MAX_JOURNAL_FILE_BYTES}")
        with open(path, "rb") as file:
            data = file.read()
        records, good = _records(data)
        if good < len(data):
            notes.append(f"{path}: the last {len(data) - good} bytes are no whole record, and are cut off")
            os.ftruncate(self._journal, good)
        self._good_bytes, self._is_torn = good, False
        os.lseek(self._journal, good, os.SEEK_SET)
        return records

    # Writing ---------------------------------------------------------------------------------------------------------

    def append(self, records: tuple[bytes, ...], durable: bool) -> None:
        """On return the records outlive this process, and when `durable` a power cut."""
        data = b"".join(_FRAME.pack(len(record), zlib.crc32(record)) + record for record in records)
        if self._is_torn:
            # Nothing may follow what a failed write left: all behind it would be cut off at the next load.
            os.ftruncate(self._journal, self._good_bytes)
            os.lseek(self._journal, self._good_bytes, os.SEEK_SET)
        self._is_torn = True
        write_all(self._journal, data)
        if durable:
            os.fdatasync(self._journal)
        self._good_bytes += len(data)
        self._is_torn = False

    def checkpoint(self, request: CheckpointCib) -> None:
        """Replace cib.xml, keep the old one as a backup if wanted, and begin the journal anew."""
        path, sig = self.folder / "cib.xml", self.folder / "cib.xml.sig"
        data = request.xml + b"\n"
        old = sig.read_text(encoding="ascii").split()[:1] if sig.exists() else []
        if request.backup and path.exists():
            self._back_up(path, sig)
        # Each name is certain before the next is replaced: a power cut may otherwise keep the later one alone, and a
        # new document without its digest, or a new journal without its document, has lost what the old ones held.
        write_file(sig, "\n".join([_hash(data), *old, ""]).encode())
        sync_folder(self.folder)
        write_file(path, data)
        sync_folder(self.folder)
        journal = b"".join(_FRAME.pack(len(record), zlib.crc32(record)) + record for record in request.records)
        write_file(self.folder / "journal", journal)
        sync_folder(self.folder)
        self.close()
        self._journal = os.open(self.folder / "journal", os.O_RDWR | os.O_CLOEXEC)
        self._good_bytes, self._is_torn = os.lseek(self._journal, 0, os.SEEK_END), False

    def _back_up(self, path: Path, sig: Path) -> None:
        last = self.folder / "cib.last"
        text = last.read_text(encoding="ascii").strip() if last.exists() else "0"
        number = int(text) % MAX_BACKUPS if text.isascii() and text.isdigit() and len(text) < 10 else 0
        for source, target in ((path, f"cib-{number}.raw"), (sig, f"cib-{number}.raw.sig")):
            if source.exists():
                temporary = self.folder / (target + ".new")
                if temporary.exists():
                    os.unlink(temporary)
                os.link(source, temporary)
                os.replace(temporary, self.folder / target)
        write_file(last, f"{(number + 1) % MAX_BACKUPS}\n".encode())

    def keep_dropped(self, version: Version, xml: bytes) -> str:
        """Keep a CIB that a merge dropped; the oldest of more than MAX_DROPPED go. Returns the path."""
        self.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        path = self.folder / f"dropped-{version}-{_hash(xml)[:8]}.xml"
        write_file(path, xml + b"\n")
        sync_folder(self.folder)
        kept = sorted(self.folder.glob("dropped-*.xml"), key=lambda p: p.stat().st_mtime_ns)
        for old in kept[:-MAX_DROPPED]:
            os.unlink(old)
        return str(path)

    def close(self) -> None:
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1


def _read_document(path: Path) -> tuple[bytes, str]:
    """(data, fault): fault is "" for a whole CIB. A file without a .sig was put there by hand, and is judged as XML."""
    if path.stat().st_size > MAX_DOCUMENT_BYTES:
        return b"", f"larger than {MAX_DOCUMENT_BYTES} bytes"
    data = path.read_bytes()
    sig = path.with_name(path.name + ".sig")
    if sig.exists() and _hash(data) not in sig.read_text(encoding="ascii", errors="replace").split():
        return data, f"it does not match its digest in {sig.name} (edit the CIB with cibadmin, or remove the .sig file)"
    try:
        Document.from_bytes(data)
    except Refusal as refusal:
        return data, str(refusal)
    return data.rstrip(b"\n"), ""


def _records(data: bytes) -> tuple[tuple[bytes, ...], int]:
    """The whole records from the start, and where they end."""
    records: list[bytes] = []
    at = 0
    while at + _FRAME.size <= len(data):
        length, crc = _FRAME.unpack_from(data, at)
        record = data[at + _FRAME.size : at + _FRAME.size + length]
        # Zeros, which a file system may leave where data never arrived, would be an empty record with a right checksum.
        if length == 0 or length > MAX_RECORD_BYTES or len(record) < length or zlib.crc32(record) != crc:
            break
        records.append(record)
        at += _FRAME.size + length
    return tuple(records), at
