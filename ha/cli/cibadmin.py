# SPDX-License-Identifier: GPL-2.0-or-later
"""`cibadmin`: read and change the cluster information base.

Options, outputs and exit codes are those of Pacemaker 2.1's, which crmsh, pcs and Hawk call.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ha import __version__
from ha.cli.exit_codes import Exit, words
from ha.cli.output.xml_text import quoteattr

if TYPE_CHECKING:
    from ha.cib.msg import Operation, Written
    from ha.cli.source.cib import CibSource

PROGRAM = "cibadmin"
MAX_INPUT_BYTES = 64 * 1024 * 1024
DEFAULT_TIMEOUT_S = 30
FEATURES = "acls cibsecrets generated-manpages lsb-agents nagios systemd"

ORDERS: dict[str, str] = {
    "create": "create",
    "modify": "modify",
    "replace": "replace",
    "delete": "delete",
    "delete_all": "delete-all",
    "erase": "erase",
    "patch": "patch",
    "bump": "bump",
    "upgrade": "upgrade",
}
NEEDS_XML = {"create", "modify", "replace", "patch"}


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Read and change the cluster information base (CIB).",
                                allow_abbrev=False)  # fmt: skip
    p.add_argument("-$", "--version", action="version", version=f"cibadmin (Heartbeat) {__version__}")
    p.add_argument("-!", "--feature-set", dest="features", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    order = p.add_argument_group("order (one of)")
    for short, name, text in (
        ("-Q", "query", "print the CIB, a section, or what --xpath selects"),
        ("-C", "create", "add the XML to its section; 108 when it is there already"),
        ("-M", "modify", "merge the XML into what it matches by tag and id; 105 when there is nothing to match"),
        ("-R", "replace", "put the XML in place of what it matches; 103 when the CIB given is older"),
        ("-D", "delete", "remove the first match of the XML or of --xpath"),
        ("-d", "delete-all", "remove every match of the XML or of --xpath"),
        ("-E", "erase", "empty the whole configuration; needs --force"),
        ("-P", "patch", "apply a difference as crm_diff writes it"),
        ("-B", "bump", "raise the epoch"),
        ("-u", "upgrade", "name the newest schema"),
        ("-5", "md5-sum", "print the digest of the XML given, or of the whole CIB"),
        ("-a", "empty", "print an empty CIB"),
    ):
        order.add_argument(short, f"--{name}", action="store_true", help=text)
    what = p.add_argument_group("what")
    what.add_argument("-o", "--scope", "--obj_type", default="", metavar="SECTION", help="nodes, resources, status ...")
    what.add_argument("-A", "--xpath", default="", metavar="XPATH")
    what.add_argument("-X", "--xml-text", metavar="XML")
    what.add_argument("-x", "--xml-file", metavar="FILE")
    what.add_argument("-p", "--xml-pipe", action="store_true", help="XML from standard input")
    how = p.add_argument_group("how")
    how.add_argument("-c", "--allow-create", action="store_true", help="for --modify: add what is not there")
    how.add_argument("-n", "--no-children", action="store_true", help="print elements without their children")
    how.add_argument("-f", "--force", action="store_true")
    how.add_argument("-l", "--local", action="store_true", help="read this node's copy (it always is)")
    how.add_argument("-s", "--sync-call", action="store_true", help=argparse.SUPPRESS)
    how.add_argument("-t", "--timeout", type=int, default=DEFAULT_TIMEOUT_S, metavar="SECONDS")
    how.add_argument("-N", "--node", help=argparse.SUPPRESS)
    how.add_argument("-U", "--user", default="", help="do it with this user's rights")
    how.add_argument("-V", "--verbose", action="count", default=0)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    if options.features:
        print(f"Pacemaker 2.1.5 (Build: heartbeat-{__version__}): {FEATURES}")
        return Exit.OK
    chosen = [name for name in ("query", *ORDERS, "md5_sum", "empty") if getattr(options, name)]
    if len(chosen) != 1:
        print(f"{PROGRAM}: give one order, such as --query or --modify; see --help", file=sys.stderr)
        return Exit.USAGE
    from ha.cli.source.cib import SourceError
    from ha.root import RootError

    try:
        return carry_out(chosen[0], options)
    except SourceError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        print(f"Call cib_{chosen[0]} failed ({error.code}): {words(error.code)}", file=sys.stderr)
        return error.code
    except RootError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return Exit.USAGE


def carry_out(order: str, options: argparse.Namespace) -> int:
    from ha.cli.source.cib import open_cib
    from ha.root import Root

    if order == "empty":
        from lxml import etree

        from ha.cib.model.document import Document

        print(etree.tostring(Document.empty().root, encoding="unicode", pretty_print=True), end="")
        return Exit.OK
    xml = read_xml(options)
    if (order in NEEDS_XML and xml is None) or (order.startswith("delete") and xml is None and not options.xpath):
        print(f"{PROGRAM}: --{order} needs XML: --xml-text, --xml-file or --xml-pipe", file=sys.stderr)
        return Exit.USAGE
    cib = open_cib(Root.choose(options.root), PROGRAM, options.timeout * 1000)
    if order == "query":
        print(pretty(cib.query(scope=options.scope, xpath=options.xpath, no_children=options.no_children)), end="")
        return Exit.OK
    if order == "md5_sum":
        import hashlib

        print(hashlib.md5((xml or cib.read().decode()).encode(), usedforsecurity=False).hexdigest())
        return Exit.OK
    return write(cib, order, xml or "", options)


def write(cib: CibSource, order: str, xml: str, options: argparse.Namespace) -> int:
    from ha.cib.msg import Write

    operation: Operation = ORDERS[order]  # type: ignore[assignment]
    written = cib.write(
        Write(
            request_id=cib.new_request_id(),
            operation=operation,
            scope=options.scope,
            xpath=options.xpath,
            xml=xml,
            allow_create=options.allow_create,
            force=options.force,
            user=options.user,
        )
    )
    if written.outcome == "committed":
        if written.xml:
            print(pretty(written.xml), end="")
        return Exit.OK
    return explain(written, order, options)


def explain(written: Written, order: str, options: argparse.Namespace) -> int:
    """Why a write was not done: prose for people, <failed> for programs, the exit code for both."""
    code = written.rc or Exit.ERROR
    print(f"Call cib_{order} failed ({code}): {words(code)}", file=sys.stderr)
    print(f"  {written.reason}", file=sys.stderr)
    if written.outcome == "unknown":
        print("  whether it was done is not known: query the CIB before trying again", file=sys.stderr)
    print(
        f'<failed>\n  <failed_update object_type="{options.scope or "cib"}" operation="cib_{order}" '
        f"reason={quoteattr(written.reason)}/>\n</failed>"
    )
    return code


def read_xml(options: argparse.Namespace) -> str | None:
    """The operand, from wherever the options say. Raises SourceError."""
    from ha.cli.source.cib import SourceError, read_file

    if options.xml_text is not None:
        return str(options.xml_text)
    if options.xml_file is not None:
        data = read_file(Path(options.xml_file))
    elif options.xml_pipe:
        data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        if len(data) > MAX_INPUT_BYTES:
            raise SourceError(Exit.DATA_ERROR, f"more than {MAX_INPUT_BYTES} bytes on standard input")
    else:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(Exit.DATA_ERROR, f"the XML is not UTF-8: {error}") from error


def pretty(xml: str) -> str:
    """Indented, one element a line."""
    from lxml import etree

    blank = etree.XMLParser(remove_blank_text=True, huge_tree=True, resolve_entities=False)
    return etree.tostring(etree.fromstring(xml, blank), encoding="unicode", pretty_print=True)
