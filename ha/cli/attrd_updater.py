# SPDX-License-Identifier: GPL-2.0-or-later
"""`attrd_updater`: transient attributes of nodes, set by agents and people through attrd.

Options and output are those of Pacemaker 2.1's: agents read the lines `name="x" host="n" value="v"` with sed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ha import __version__
from ha.cli.exit_codes import Exit

if TYPE_CHECKING:
    from ha.attrd.msg import Attribute
    from ha.ipc.client import Connection

PROGRAM = "attrd_updater"
TIMEOUT_MS = 25_000
"""A little more than attrd takes to give up on a request."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Set, query and remove transient attributes of nodes.")
    parser.add_argument("--root", help="the node's root directory (default: HA_ROOT, else the machine's own)")
    parser.add_argument("--version", "-$", action="version", version=f"Heartbeat {__version__}")
    parser.add_argument("-n", "--name", metavar="NAME", help="the attribute")
    parser.add_argument("-N", "--node", metavar="NODE", default="", help="of this node (default: the local one)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("-U", "-v", "--update", metavar="VALUE", help='set; "value++" and "value+=N" count')
    what.add_argument("-B", "--update-both", metavar="VALUE", help="set the value and the dampening (-d)")
    what.add_argument("-Y", "--update-delay", action="store_true", help="set the dampening (-d) only")
    what.add_argument("-D", "--delete", action="store_true", help="remove")
    what.add_argument("-Q", "--query", action="store_true", help="print the value")
    parser.add_argument("-R", "--refresh", action="store_true", help="have all values written into the CIB again")
    parser.add_argument("-A", "--all", action="store_true", help="with -Q: of all nodes")
    parser.add_argument("-d", "--delay", metavar="TIME", help="write when nothing changed for so long (dampening)")
    parser.add_argument("-s", "--set", metavar="ID", default="", help="the id of the instance_attributes to use")
    parser.add_argument("-p", "--private", action="store_true", help="never write it into the CIB")
    parser.add_argument("-l", "--lifetime", choices=("reboot",), default="reboot", help="always until the reboot")
    parser.add_argument("-q", "--quiet", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-V", "--verbose", action="count", default=0, help=argparse.SUPPRESS)
    parser.add_argument("--output-as", choices=("text", "xml", "none"), default="text", help="form of the output")
    return parser


class Failed(Exception):
    """The command could not do what was asked; with its exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = parser().parse_args(arguments)
    code: int = Exit.OK
    error = ""
    found: list[Attribute] = []
    try:
        found = _run(options)
    except Failed as failure:
        code, error = failure.code, str(failure)
    if options.output_as == "xml":
        _print_xml([PROGRAM, *arguments], found, code, error)
    else:
        if options.output_as == "text":
            for attribute in found:
                print(f'name="{attribute.name}" host="{attribute.node}" value="{attribute.value}"')
        if error:
            print(f"{PROGRAM}: {error}", file=sys.stderr)
    return code


def _run(options: argparse.Namespace) -> list[Attribute]:
    """Carry the command out; the attributes asked for. Raises Failed."""
    from ha.ipc.client import Connection, NotConnected, TimedOut
    from ha.root import Root, RootError

    delay_ms = _delay_ms(options)
    try:
        with Connection.open(Root.choose(options.root), "attrd", program=PROGRAM) as attrd:
            if options.refresh:
                _refresh(attrd)
            if options.query:
                return _query(attrd, options)
            if not options.refresh or options.name:
                _update(attrd, options, delay_ms)
    except RootError as error:
        raise Failed(Exit.USAGE, str(error)) from error
    except TimedOut as error:
        raise Failed(Exit.TIMEOUT, str(error)) from error
    except NotConnected as error:
        raise Failed(Exit.NOT_CONNECTED, str(error)) from error
    return []


def _delay_ms(options: argparse.Namespace) -> int:
    """Also checks that the options make a whole command."""
    if not options.name and not options.refresh and not (options.query and options.all):
        raise Failed(Exit.USAGE, "-n NAME is needed")
    changes = options.delete or options.update_delay or options.update is not None or options.update_both is not None
    if not changes and not options.query and not options.refresh:
        raise Failed(Exit.USAGE, "say what to do: -U VALUE, -B VALUE, -Y, -D, -Q or -R")
    if (options.update_both is not None or options.update_delay) and options.delay is None:
        raise Failed(Exit.USAGE, "-B and -Y need the dampening: -d TIME")
    if options.delay is None:
        return 0
    from ha.cli.source.durations import DurationError, parse_duration

    try:
        return round(parse_duration(options.delay) * 1000)
    except DurationError as error:
        raise Failed(Exit.USAGE, f"-d {options.delay}: {error}") from error


def _refresh(attrd: Connection) -> None:
    from ha.attrd.msg import Refresh

    _expect_updated(attrd, attrd.ask(Refresh(request_id=attrd.new_request_id()), TIMEOUT_MS))


def _query(attrd: Connection, options: argparse.Namespace) -> list[Attribute]:
    node = "" if options.all else (options.node or attrd.node)
    found = _known(attrd, options.name or "", node)
    if not found:
        who = "no node has the" if options.all else f"{node} has no"
        raise Failed(Exit.NO_SUCH_OBJECT, f"{who} attribute {options.name or ''}".rstrip())
    return found


def _known(attrd: Connection, name: str, node: str) -> list[Attribute]:
    from ha.attrd.msg import Attributes, QueryAttributes

    answer = attrd.ask(QueryAttributes(request_id=attrd.new_request_id(), name=name, node=node), TIMEOUT_MS)
    if not isinstance(answer, Attributes):
        raise Failed(Exit.PROTOCOL, f"attrd answered {type(answer).__name__}: is it another version?")
    return answer.attributes


def _update(attrd: Connection, options: argparse.Namespace, delay_ms: int) -> None:
    from ha.attrd.msg import UpdateAttribute

    value: str | None = options.update if options.update is not None else options.update_both
    if options.update_delay:
        found = _known(attrd, options.name, options.node or attrd.node)
        if not found:
            raise Failed(Exit.NO_SUCH_OBJECT, f"{options.node or attrd.node} has no attribute {options.name}")
        value = found[0].value
    request = UpdateAttribute(
        request_id=attrd.new_request_id(),
        name=options.name,
        value=value,
        node=options.node,
        set_id=options.set,
        private=options.private,
        dampen_ms=delay_ms,
        keep_dampening=not options.update_delay and options.update_both is None,
    )
    _expect_updated(attrd, attrd.ask(request, TIMEOUT_MS))


def _expect_updated(attrd: Connection, answer: object) -> None:
    from ha.attrd.msg import Updated

    if not isinstance(answer, Updated):
        raise Failed(Exit.PROTOCOL, f"attrd answered {type(answer).__name__}: is it another version?")
    if answer.rc:
        raise Failed(answer.rc, answer.reason)


def _print_xml(request: Sequence[str], found: Sequence[Attribute], code: int, error: str) -> None:
    from lxml import etree

    from ha.cli.output.xml_result import XmlResult

    result = XmlResult(request)
    for attribute in found:
        place = {"name": attribute.name, "value": attribute.value, "host": attribute.node}
        etree.SubElement(result.root, "attribute", place)
    print(result.finish(code, error or "OK", [error] if error else []), end="")
