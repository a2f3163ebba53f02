# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_verify`: is a CIB valid, and what would the policy engine complain of?"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ha.cli.cib_findings import Findings, examine
from ha.cli.exit_codes import Exit
from ha.cli.output.result import add_output_options, add_version, emit

PROGRAM = "crm_verify"
WARNINGS_FROM = 2
NOTICES_FROM = 3
"""So many -V show warnings and notices."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Check a configuration for errors. Exit status 0: it is valid; 78: it is not.",
    )
    add_version(p)
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("-L", "--live-check", action="store_true", help="the running cluster's")
    source.add_argument("-x", "--xml-file", metavar="FILE", help='"-" is standard input')
    source.add_argument("-X", "--xml-text", metavar="XML")
    source.add_argument("-p", "--xml-pipe", action="store_true", help="from standard input")
    p.add_argument("-S", "--save-xml", metavar="FILE", help="write the CIB that was checked to FILE")
    p.add_argument(
        "-V", "--verbose", action="count", default=0, help="-VV: warnings as well; -VVV: what the cluster would do"
    )
    p.add_argument("-q", "--quiet", action="store_true", help="of a configuration, the exit code alone tells")
    add_output_options(p, "text", "xml")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    request = [PROGRAM, *(sys.argv[1:] if argv is None else argv)]
    code, trouble, found = check(options)
    if options.output_as == "xml":
        errors = [*trouble, *found.errors, *(f"warning: {text}" for text in _shown_warnings(options, found))]
        return emit(options, request, (), code=code, errors=[*errors, *(f"notice: {text}" for text in found.notices)])
    lines = [] if options.quiet else list(report(options, found))
    for line in (*(f"{PROGRAM}: {text}" for text in trouble), *lines):
        print(line, file=sys.stderr)
    return emit(options, request, (), code=code)


def check(options: argparse.Namespace) -> tuple[int, list[str], Findings]:
    """(exit code, why it could not be checked, what is wrong)."""
    from ha.cli.source.cib import SourceError
    from ha.root import RootError

    try:
        data = read(options)
        found = examine(data, int(time.time()), decide=options.verbose >= NOTICES_FROM)
        if options.save_xml:
            Path(options.save_xml).write_bytes(data)
    except SourceError as error:
        return error.code, [str(error)], Findings()
    except RootError as error:
        return Exit.USAGE, [str(error)], Findings()
    except OSError as error:
        return Exit.CANNOT_CREATE, [f"{error.filename}: {error.strerror}"], Findings()
    return (Exit.CONFIGURATION if found.errors else Exit.OK), [], found


def report(options: argparse.Namespace, found: Findings) -> Sequence[str]:
    """The lines for people, which all go to standard error. pcs takes a line with "-V" and "more detail" for the advice
    to ask again, and leaves it out."""
    lines = [f"error: {text}" for text in found.errors]
    lines += [f"warning: {text}" for text in _shown_warnings(options, found)]
    lines += [f"notice: {text}" for text in found.notices]
    if found.errors:
        lines.append("Errors found during check: config not valid")
        if found.warnings and options.verbose < WARNINGS_FROM:
            lines.append("-V -V may provide more details")
    return lines


def _shown_warnings(options: argparse.Namespace, found: Findings) -> Sequence[str]:
    return found.warnings if options.verbose >= WARNINGS_FROM else ()


def read(options: argparse.Namespace) -> bytes:
    """Raises SourceError, RootError."""
    from ha.cli.source.cib import read_cib, read_file, read_stream
    from ha.root import Root

    if options.live_check:
        return read_cib(Root.choose(options.root), PROGRAM)
    if options.xml_text is not None:
        return str(options.xml_text).encode(errors="surrogateescape")
    if options.xml_file is not None and options.xml_file != "-":
        return read_file(Path(options.xml_file))
    return read_stream(sys.stdin.buffer)
