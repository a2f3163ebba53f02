# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_diff`: the difference between two CIBs, as a patch that `cibadmin --patch` takes; or apply one to a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ha import __version__
from ha.cli.exit_codes import Exit

PROGRAM = "crm_diff"
STANDARD_INPUT = "-"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Compare two configurations, or apply a patch to one.")
    p.add_argument("-$", "--version", action="version", version=f"crm_diff (Heartbeat) {__version__}")
    p.add_argument("-o", "--original", metavar="FILE")
    p.add_argument("-O", "--original-string", metavar="XML")
    p.add_argument("-n", "--new", metavar="FILE")
    p.add_argument("-N", "--new-string", metavar="XML")
    p.add_argument("-p", "--patch", metavar="FILE", help="apply this patch to the original and print the result")
    p.add_argument("-c", "--cib", action="store_true", help="compare as CIBs, with versions (the default)")
    p.add_argument("-u", "--no-version", action="store_true", help="leave the versions out of the patch")
    p.add_argument("-f", "--filter", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("-V", "--verbose", action="count", default=0)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """0 equal (or applied), 1 different, 65 when an input is no CIB."""
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    from ha.cib.model.refusal import Refusal
    from ha.cli.source.cib import SourceError

    try:
        original = _input(options.original, options.original_string, "original")
        if options.patch is not None:
            return apply_patch(original, _input(options.patch, None, "patch"))
        return compare(original, _input(options.new, options.new_string, "new"), with_version=not options.no_version)
    except SourceError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.code
    except Refusal as refusal:
        print(f"{PROGRAM}: {refusal}", file=sys.stderr)
        return Exit.DATA_ERROR


def _input(file: str | None, text: str | None, name: str) -> bytes:
    from ha.cli.source.cib import SourceError, read_file

    if text is not None:
        return text.encode()
    if file == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    if file is None:
        raise SourceError(Exit.USAGE, f"name the {name} configuration; see --help")
    return read_file(Path(file))


def compare(original: bytes, new: bytes, *, with_version: bool) -> int:
    from lxml import etree

    from ha.cib.model.diff import diff_of
    from ha.cib.model.document import Document

    old, other = Document.from_bytes(original), Document.from_bytes(new)
    patch = diff_of(old, other, with_version)
    if patch is None:
        print(f"{PROGRAM}: they differ in elements that no patch can name: use cibadmin --replace", file=sys.stderr)
        return Exit.DATA_ERROR
    same_version = not with_version or old.version == other.version
    if patch.find("change") is None and same_version:
        return Exit.OK
    print(etree.tostring(patch, encoding="unicode", pretty_print=True), end="")
    return Exit.ERROR


def apply_patch(original: bytes, patch: bytes) -> int:
    from lxml import etree

    from ha.cib.model.document import Document
    from ha.cib.model.operations import perform
    from ha.cib.msg import Write

    document = Document.from_bytes(original)
    perform(document, Write(request_id=PROGRAM, operation="patch", xml=patch.decode("utf-8", "replace")))
    print(etree.tostring(document.root, encoding="unicode", pretty_print=True), end="")
    return Exit.OK
