# SPDX-License-Identifier: GPL-2.0-or-later
"""A CIB in a file (CIB_file, a shadow copy), changed by the same code as the cluster's own."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lxml import etree

from ha.cib.model.parse import parse
from ha.cib.model.query import answer
from ha.cib.model.refusal import Refusal
from ha.cli.exit_codes import Exit
from ha.cli.source.cib import SourceError, read_file

if TYPE_CHECKING:
    from ha.cib.model.document import Document
    from ha.cib.msg import Write, Written


class CibFile:
    """No lock: whoever edits a file is alone with it."""

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
            tree = parse(self.read())
        except Refusal as refusal:
            raise SourceError(refusal.rc, f"{self._path}: {refusal}") from refusal
        if tree.tag != "cib":
            raise SourceError(Exit.DATA_ERROR, f"{self._path}: a CIB begins with <cib>, not <{tree.tag}>")
        try:
            found = answer(tree, scope, xpath, no_children)
        except Refusal as refusal:
            raise SourceError(refusal.rc, str(refusal)) from refusal
        return etree.tostring(found, encoding="unicode", with_tail=False)

    def write(self, operation: Write) -> Written:
        from ha.cib.model.judge import apply_write
        from ha.cib.msg import Written
        from ha.cib.schema import load as load_schema

        try:
            document = self._document()
            apply_write(document, operation, load_schema())
        except Refusal as refusal:
            return Written(request_id=operation.request_id, outcome="refused", rc=refusal.rc, reason=str(refusal))
        if not operation.dry_run:
            self._save(etree.tostring(document.root, encoding="utf-8", xml_declaration=True, pretty_print=True))
        return Written(request_id=operation.request_id, outcome="committed", version=document.version)

    def _document(self) -> Document:
        from ha.cib.model.document import Document

        try:
            return Document.from_bytes(self.read())
        except Refusal as refusal:
            raise SourceError(refusal.rc, f"{self._path}: {refusal}") from refusal

    def _save(self, data: bytes) -> None:
        """In place, for pcs reads the new text through the file it holds open. The text lies complete in a copy before
        the file is touched; a copy that could not take the file's place is kept and named."""
        try:
            copy = self._copy(data)
        except OSError as error:
            raise SourceError(Exit.IO_ERROR, f"{self._path} cannot be written: {error.strerror}") from error
        try:
            with open(self._path, "r+b") as file:
                _fill(file, data)
        except OSError as error:
            text = f"{self._path} cannot be written: {error.strerror}; its new text is in {copy}"
            raise SourceError(Exit.IO_ERROR, text) from error
        copy.unlink()

    def _copy(self, data: bytes) -> Path:
        import tempfile

        with tempfile.NamedTemporaryFile(dir=self._path.parent, prefix=f"{self._path.name}.", delete=False) as file:
            try:
                _fill(file, data)
            except OSError:
                os.unlink(file.name)
                raise
        return Path(file.name)


def _fill(file: IO[bytes], data: bytes) -> None:
    """Make `data` the file's content, on the disk."""
    file.write(data)
    file.truncate()
    file.flush()
    os.fsync(file.fileno())
