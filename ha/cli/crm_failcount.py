# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_failcount`: how often a resource failed on a node, and forgetting it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha.cli.exit_codes import Exit, words
from ha.cli.output.result import add_version

if TYPE_CHECKING:
    from ha.root import Root

PROGRAM = "crm_failcount"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Show or clear a resource's fail count.")
    add_version(p)
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    order = p.add_mutually_exclusive_group(required=True)
    order.add_argument("-G", "--query", "--get-value", action="store_true", help="print the fail count")
    order.add_argument("-D", "--delete", "--delete-attr", action="store_true", help="forget the failures")
    order.add_argument("-v", "--update", "--attr-value", choices=["0"], help=argparse.SUPPRESS)
    p.add_argument("-r", "--resource", "--resource-id", metavar="ID", required=True)
    p.add_argument("-N", "--node", "-U", "--uname", metavar="NODE", help="where (default: this node)")
    p.add_argument("-n", "--operation", metavar="NAME", help="of this operation only")
    p.add_argument("-I", "--interval", metavar="DURATION", help="of the operation with this interval only")
    p.add_argument("-q", "--quiet", "-Q", action="store_true", help="print the value alone")
    p.add_argument("-V", "--verbose", action="count", default=0)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    if options.interval and not options.operation:
        print(f"{PROGRAM}: --interval needs --operation", file=sys.stderr)
        return Exit.USAGE
    from ha.cli.source.cib import SourceError
    from ha.pe.model.document import CibError
    from ha.root import Root, RootError

    try:
        root = Root.choose(options.root)
        node = options.node or root.node_name()
        if options.query:
            return query(root, node, options)
        return forget(root, node, options)
    except SourceError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        print(f"Error performing operation: {words(error.code)}", file=sys.stderr)
        return error.code
    except (CibError, RootError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return Exit.DATA_ERROR


def query(root: Root, node: str, options: argparse.Namespace) -> int:
    """The sum over all operations, or one operation's count; what never failed has 0."""
    from lxml import etree

    from ha.cli.source.cib import read_cib
    from ha.cli.source.durations import DurationError, parse_duration
    from ha.pe.model.scores import parse, readable

    prefix = f"fail-count-{options.resource}"
    wanted = ""
    if options.operation:
        try:
            interval_ms = int(parse_duration(options.interval or "0") * 1000)
        except DurationError as error:
            print(f"{PROGRAM}: --interval: {error}", file=sys.stderr)
            return Exit.USAGE
        wanted = f"{prefix}#{options.operation}_{interval_ms}"
    count = 0
    cib = etree.fromstring(read_cib(root, PROGRAM))
    for state in cib.iterfind("status/node_state"):
        if state.get("uname") != node:
            continue
        for pair in state.iterfind("transient_attributes/instance_attributes/nvpair"):
            name = pair.get("name", "")
            if name == wanted or (not wanted and (name == prefix or name.startswith(f"{prefix}#"))):
                count = min(count + (parse(pair.get("value", "")) or 0), 1_000_000)
    shown = readable(count)
    print(shown if options.quiet else f"scope=status  name={prefix} value={shown}")
    return Exit.OK


def forget(root: Root, node: str, options: argparse.Namespace) -> int:
    from ha.cli import crm_resource

    call = ["--cleanup", "--resource", options.resource, "--node", node]
    for name in ("operation", "interval", "root"):
        if value := getattr(options, name):
            call += [f"--{name}", value]
    return crm_resource.main(call)
