# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of crm_mon, and its live display."""

from __future__ import annotations

import argparse
import contextlib
import html
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ha import __version__
from ha.cli.crm_mon.text_report import Sections, report
from ha.cli.exit_codes import Exit, words
from ha.cli.fencing import history as fencing_history
from ha.cli.source.cib import SourceError, chosen_file, read_cib
from ha.cli.source.cluster import view_of
from ha.cli.source.durations import DurationError, parse_duration
from ha.pe.model.cluster import Cluster
from ha.pe.model.document import CibError
from ha.root import Root, RootError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from ha.stonith.msg import FenceEvent

PROGRAM = "crm_mon"
DEFAULT_INTERVAL_S = 5.0
NAGIOS_CRITICAL = 2
CLEAR_SCREEN = "\033[H\033[J"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Show the state of the cluster.", add_help=False)
    p.add_argument("-?", "--help", "--help-all", action="help", help="show this help and exit")
    p.add_argument("-$", "--version", action="version", version=f"crm_mon (Heartbeat) {__version__}")
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    mode = p.add_argument_group("mode")
    mode.add_argument("-1", "--one-shot", action="store_true", help="show it once and exit")
    mode.add_argument("-i", "--interval", metavar="TIME", default="5s", help="refresh at least that often (default 5s)")
    mode.add_argument("-d", "--daemonize", action="store_true", help="keep a file up to date, in the background")
    mode.add_argument("-p", "--pid-file", metavar="FILE", help="for --daemonize: where its process id goes")
    mode.add_argument("-s", "--simple-status", action="store_true", help="one line and an exit code, for nagios")
    output = p.add_argument_group("output")
    output.add_argument("--output-as", choices=["console", "text", "xml", "html", "none"], default="console")
    output.add_argument("--output-to", metavar="FILE", default="-")
    output.add_argument("-X", "--as-xml", action="store_true", help="the same as --output-as=xml")
    output.add_argument("-h", "--as-html", metavar="FILE", help="the same as --output-as=html --output-to=FILE")
    output.add_argument("-N", "--disable-ncurses", action="store_true", help=argparse.SUPPRESS)
    show = p.add_argument_group("show")
    for short, name, text in (
        ("-n", "group-by-node", "resources by node"),
        ("-r", "inactive", "resources that do not run, too"),
        ("-f", "failcounts", "fail counts"),
        ("-o", "operations", "the operation history"),
        ("-t", "timing-details", "the operation history with times"),
        ("-c", "tickets", "tickets"),
        ("-A", "show-node-attributes", "node attributes"),
        ("-D", "hide-headers", "no summary"),
        ("-R", "show-detail", "more detail"),
        ("-b", "brief", "briefly"),
        ("-j", "pending", "operations under way (always shown)"),
    ):
        show.add_argument(short, f"--{name}", action="store_true", help=text)
    show.add_argument("-L", "--neg-locations", nargs="?", const="", help="constraints that keep resources away")
    show.add_argument(
        "-m", "--fence-history", nargs="?", const="2", default="1", choices=fencing_history.LEVELS, metavar="LEVEL",
        help="fencing history: 0 none, 1 failures and what is under way (default without the option), 2 successes too "
        "(default without LEVEL), 3 everything",
    )  # fmt: skip
    show.add_argument("-V", "--verbose", action="count", default=0)
    show.add_argument("-Q", "--quiet", action="store_true")
    show.add_argument("-w", "--web-cgi", action="store_true", help=argparse.SUPPRESS)
    return p


def sections_of(options: argparse.Namespace) -> Sections:
    return Sections(
        headers=not options.hide_headers and not options.quiet,
        inactive=options.inactive,
        group_by_node=options.group_by_node,
        attributes=options.show_node_attributes,
        failcounts=options.failcounts,
        operations=options.operations,
        timing=options.timing_details,
        tickets=options.tickets,
        bans=options.neg_locations is not None,
        detail=options.show_detail,
    )


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(argv)
        interval_s = parse_duration(options.interval)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    except DurationError as error:
        print(f"{PROGRAM}: --interval: {error}", file=sys.stderr)
        return Exit.USAGE
    form = "xml" if options.as_xml else "html" if options.as_html else options.output_as
    try:
        root = Root.choose(options.root)
    except RootError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return Exit.USAGE
    if options.simple_status:
        return simple_status(root)
    request = list(argv if argv is not None else sys.argv[1:])
    if options.daemonize:
        if (options.as_html or options.output_to) == "-":
            print(f"{PROGRAM}: --daemonize needs a file: --as-html=FILE or --output-to=FILE", file=sys.stderr)
            return Exit.USAGE
        from ha.cli.crm_mon.background import keep_up_to_date

        keep_up_to_date(root, options.pid_file, interval_s, lambda: show_once(root, options, form, request))
    live = form == "console" and not options.one_shot and chosen_file() is None
    if live:
        with contextlib.suppress(KeyboardInterrupt):
            return watch(root, options, interval_s)
        return Exit.OK
    return show_once(root, options, form, request)


@dataclass(frozen=True, slots=True)
class Fences:
    """The fence history to show. `error` says why there is none; a file has none, and no error."""

    level: int = 0
    events: tuple[FenceEvent, ...] = ()
    error: str = ""

    @classmethod
    def ask(cls, root: Root, options: argparse.Namespace, form: str) -> Fences:
        level = fencing_history.FULL if form == "xml" else int(options.fence_history)
        if level == 0 or chosen_file() is not None:
            return cls()
        try:
            return cls(level, tuple(fencing_history.ask(root, PROGRAM)))
        except fencing_history.HistoryError as error:
            return cls(level, error=str(error))

    def lines(self) -> list[str]:
        if self.error:
            return ["", f"Fencing History: not available ({self.error})"]
        found = list(fencing_history.lines(self.events, self.level))
        return ["", *found] if found else []

    def append_to(self, parent: Element) -> None:
        """Nothing for a file; `status` other than absent when stonithd could not be asked."""
        from lxml import etree

        if self.level:
            given = {"status": str(int(Exit.NOT_CONNECTED))} if self.error else {}
            fencing_history.append_events(etree.SubElement(parent, "fence_history", given), self.events)


def show_once(root: Root, options: argparse.Namespace, form: str, request: list[str]) -> int:
    code, errors, cluster = Exit.OK, [], None
    try:
        cluster = view_of(read_cib(root, PROGRAM), int(time.time()))
    except SourceError as error:
        code, errors = Exit(error.code), [str(error)]
    except CibError as error:
        code, errors = Exit.DATA_ERROR, [str(error)]
    fences = Fences.ask(root, options, form) if cluster is not None else Fences()
    target = options.as_html or options.output_to
    try:
        with contextlib.ExitStack() as stack:
            out = sys.stdout if target == "-" else stack.enter_context(Path(target).open("w"))
            print_result(out, cluster, options, form, request, code, errors, fences)
    except BrokenPipeError:
        raise  # the entry's: whoever read us has seen enough
    except OSError as error:
        print(f"{PROGRAM}: {target}: {error.strerror}", file=sys.stderr)
        return Exit.CANNOT_CREATE
    if form != "xml":
        for text in errors:
            print(f"{PROGRAM}: {text}", file=sys.stderr)
    return code


def print_result(
    out: TextIO, cluster: Cluster | None, options: argparse.Namespace, form: str, request: list[str], code: int,
    errors: list[str], fences: Fences,
) -> None:  # fmt: skip
    if form == "xml":
        from ha.cli.crm_mon import xml_report
        from ha.cli.output.xml_result import XmlResult

        result = XmlResult([PROGRAM, *request])
        if cluster is not None:
            xml_report.report(result.root, cluster)
            fences.append_to(result.root)
        out.write(result.finish(code, words(code), errors))
    elif form == "html" and cluster is not None:
        body = html.escape("\n".join([*report(cluster, sections_of(options)), *fences.lines()]))
        out.write(
            f"<!DOCTYPE html>\n<html><head><title>Cluster status</title></head><body><pre>{body}</pre></body></html>\n"
        )
    elif form != "none" and cluster is not None:
        for line in [*report(cluster, sections_of(options)), *fences.lines()]:
            print(line, file=out)


def simple_status(root: Root) -> int:
    """One line for nagios: 0 all online, 1 something is offline, 2 the cluster cannot be asked."""
    try:
        cluster = view_of(read_cib(root, PROGRAM), int(time.time()))
    except (SourceError, CibError) as error:
        print(f"CLUSTER CRIT: {error}")
        return NAGIOS_CRITICAL
    offline = [node.name for node in cluster.nodes if not node.online]
    standby = [node.name for node in cluster.nodes if node.online and node.standby]
    if cluster.dc is None or offline:
        complaints = (["No DC"] if cluster.dc is None else []) + [f"offline node: {name}" for name in offline]
        print(f"CLUSTER WARN: {', '.join(complaints)}")
        return Exit.ERROR if chosen_file() is None else Exit.OK
    from ha.cli.crm_mon.text_report import counted
    from ha.cli.source.cluster import primitives

    resources = sum(1 for _ in primitives(cluster.resources))
    line = f"{counted(len(cluster.nodes) - len(standby), 'node')} online"
    if standby:
        line += f" ({counted(len(standby), 'standby node')})"
    print(f"CLUSTER OK: {line}, {counted(resources, 'resource instance')} configured")
    return Exit.OK


def watch(root: Root, options: argparse.Namespace, interval_s: float) -> int:
    """Draw the state again on each change of the CIB, and each `interval_s` at least, until interrupted."""
    from ha.cib.msg import Subscribe
    from ha.ipc.client import Connection, NotConnected, TimedOut

    while True:
        try:
            with Connection.open(root, "cib", program=PROGRAM) as cib:
                cib.send(Subscribe())
                while True:
                    draw(root, options)
                    with contextlib.suppress(TimedOut):
                        cib.receive(int(interval_s * 1000))
        except NotConnected as error:
            print(f"{CLEAR_SCREEN}{PROGRAM}: {error}; trying again", flush=True)
            time.sleep(1)


def draw(root: Root, options: argparse.Namespace) -> None:
    try:
        cluster = view_of(read_cib(root, PROGRAM), int(time.time()))
        fences = Fences.ask(root, options, "text")
        text = "\n".join([*report(cluster, sections_of(options)), *fences.lines()])
    except (SourceError, CibError) as error:
        text = f"{PROGRAM}: {error}"
    print(f"{CLEAR_SCREEN}{text}", flush=True)
