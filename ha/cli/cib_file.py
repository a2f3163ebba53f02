# SPDX-License-Identifier: GPL-2.0-or-later
"""A CIB in a file (CIB_file, a shadow copy), changed by the same code as the cluster's own."""

from __future__ import annotations

import itertools
import os
import tempfile
from pathlib import Path

from lxml import etree

from ha.cib.model.document import Document
from ha.cib.model.judge import apply_write
from ha.cib.model.query import answer
from ha.cib.model.refusal import Refusal
from ha.cib.msg import Write, Written
from ha.cib.schema import load as load_schema
from ha.cli.cib_source import SourceError, read_file
from ha.cli.exit_codes import Exit


class CibFile:
    """Each write replaces the file in one step. No lock: whoever edits a file is alone with it."""

    def __init__(self, path: Path, program: str) -> None:
        self._path = path
        self._numbers = itertools.count(1)
        self._program = program

    def new_request_id(self) -> str:
        return f"{self._program}-{next(self._numbers)}"

    def read(self) -> bytes:
        return read_file(self._path)

    def query(self, *, scope: str = "", xpath: str = "", no_children: bool = False) -> str:
        try:
            found = answer(self._document().root, scope, xpath, no_children)
        except Refusal as refusal:
            raise SourceError(refusal.rc, str(refusal)) from refusal
        return etree.tostring(found, encoding="unicode", with_tail=False)

    def write(self, operation: Write) -> Written:
        try:
            document = self._document()
            apply_write(document, operation, load_schema())
        except Refusal as refusal:
            return Written(request_id=operation.request_id, outcome="refused", rc=refusal.rc, reason=str(refusal))
        if not operation.dry_run:
            self._save(etree.tostring(document.root, encoding="utf-8", xml_declaration=True, pretty_print=True))
        return Written(request_id=operation.request_id, outcome="committed", version=document.version)

    def _document(self) -> Document:
        try:
            return Document.from_bytes(self.read())
        except Refusal as refusal:
            raise SourceError(refusal.rc, f"{self._path}: {refusal}") from refusal

    def _save(self, data: bytes) -> None:
        try:
            mode = self._path.stat().st_mode & 0o777
            with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=self._path.name, delete=False) as new:
                new.write(data)
                new.flush()
                os.fsync(new.fileno())
            os.chmod(new.name, mode)
            os.replace(new.name, self._path)
        except OSError as error:
            raise SourceError(Exit.IO_ERROR, f"{self._path} cannot be written: {error.strerror}") from error
