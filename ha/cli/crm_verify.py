# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_verify`: is a CIB valid, and what would the policy engine complain of?"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ha import __version__
from ha.cli.exit_codes import Exit

PROGRAM = "crm_verify"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Check a configuration for errors.")
    p.add_argument("-$", "--version", action="version", version=f"crm_verify (Heartbeat) {__version__}")
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("-L", "--live-check", action="store_true", help="the running cluster's")
    source.add_argument("-x", "--xml-file", metavar="FILE")
    source.add_argument("-X", "--xml-text", metavar="XML")
    source.add_argument("-p", "--xml-pipe", action="store_true", help="from standard input")
    p.add_argument("-S", "--save-xml", metavar="FILE", help="write the CIB that was checked to FILE")
    p.add_argument("-V", "--verbose", action="count", default=0)
    p.add_argument("-q", "--quiet", action="store_true", help="the exit code alone tells")
    p.add_argument("--output-as", choices=("text", "xml"), default="text", help="xml goes to standard output")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    code, complaints = check(options)
    if options.output_as == "xml":
        print_xml(argv, code, complaints)
    else:
        print_text(options.quiet, code, complaints)
    return code


def check(options: argparse.Namespace) -> tuple[int, list[str]]:
    """(exit code, what is wrong)."""
    from ha.cli.cib_source import SourceError
    from ha.root import RootError

    try:
        data = read(options)
        complaints = problems(data)
        if options.save_xml:
            Path(options.save_xml).write_bytes(data)
    except SourceError as error:
        return error.code, [str(error)]
    except (OSError, RootError) as error:
        return Exit.CANNOT_CREATE, [str(error)]
    return (Exit.CONFIGURATION if complaints else Exit.OK), complaints


def print_text(quiet: bool, code: int, complaints: Sequence[str]) -> None:
    if code == Exit.CONFIGURATION:
        if not quiet:
            for text in complaints:
                print(f"error: {text}", file=sys.stderr)
        print("Errors found during check: config not valid", file=sys.stderr)
    else:
        for text in complaints:
            print(f"{PROGRAM}: {text}", file=sys.stderr)


def print_xml(argv: Sequence[str] | None, code: int, complaints: Sequence[str]) -> None:
    from ha.cli.exit_codes import WORDS
    from ha.cli.xml_result import XmlResult

    result = XmlResult([PROGRAM, *(sys.argv[1:] if argv is None else argv)])
    print(result.finish(code, WORDS[code], complaints), end="")


def read(options: argparse.Namespace) -> bytes:
    from ha.cli.cib_source import read_cib, read_file
    from ha.root import Root

    if options.live_check:
        return read_cib(Root.choose(options.root), PROGRAM)
    if options.xml_file is not None:
        return read_file(Path(options.xml_file))
    if options.xml_text is not None:
        return str(options.xml_text).encode()
    return sys.stdin.buffer.read()


def problems(data: bytes) -> list[str]:
    """Breaches of the grammar, double ids, references to nothing; then what the policy engine cannot use."""
    from lxml import etree

    from ha.cib.model.document import Document
    from ha.cib.model.references import dangling, duplicates
    from ha.cib.model.refusal import Refusal
    from ha.cib.schema import load as load_schema
    from ha.pe.core import read as read_cluster
    from ha.pe.model.document import CibError

    try:
        document = Document.from_bytes(data)
    except Refusal as refusal:
        return [str(refusal)]
    if document.root.tag == "cib" and document.root.find("status") is None:
        # crmsh pipes the configuration alone, before each commit.
        etree.SubElement(document.root, "status")
        document = Document.from_bytes(etree.tostring(document.root))
        data = etree.tostring(document.root)
    breach = load_schema().check(document)
    found = [str(breach)] if breach is not None else []
    found += [str(refusal) for refusal in duplicates(document.root)]
    found += [str(refusal) for refusal in dangling(document.root).values()]
    if not found:
        try:
            cluster = read_cluster(data, 0)
        except CibError as error:
            return [str(error)]
        if cluster.fencing_enabled and cluster.resources and not any(r.fence_device for r in cluster.resources):
            found.append(
                "fencing is enabled and there is no fence device: configure one, or set stonith-enabled to false"
                " (a lost node's resources would then be started elsewhere without proof that it is dead)"
            )
    return found
