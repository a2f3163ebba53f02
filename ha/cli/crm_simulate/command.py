# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of crm_simulate, and the order in which things are done and printed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ha import __version__
from ha.cli.cib_source import SourceError, read_cib, read_file
from ha.cli.crm_simulate.scores import ScoreLines
from ha.cli.crm_simulate.summary import TransitionSummary
from ha.cli.exit_codes import Exit
from ha.pe.core import CibError, decide_on, read
from ha.pe.io.collector import paused_collector
from ha.pe.model.cluster import Cluster
from ha.pe.model.dates import moment_text, parse_moment
from ha.pe.model.document import Document
from ha.pe.model.values import integer

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from ha.cli.crm_simulate.edited_cib import EditedCib

PROGRAM = "crm_simulate"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=PROGRAM, description="What the cluster would do in response to events.", add_help=False
    )
    p.add_argument("-h", "-?", "--help", "--help-all", action="help", help="show this help and exit")
    p.add_argument("-$", "--version", action="version", version=f"{PROGRAM} (Heartbeat) {__version__}")
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    todo = p.add_argument_group("operations")
    todo.add_argument("-R", "--run", action="store_true", help="show what the cluster would do")
    todo.add_argument("-S", "--simulate", action="store_true", help="do it, to a copy, and show the outcome")
    todo.add_argument("-X", "--in-place", action="store_true", help="--simulate, and store the outcome in the file")
    todo.add_argument("-s", "--show-scores", action="store_true")
    todo.add_argument("-U", "--show-utilization", action="store_true")
    todo.add_argument("-j", "--pending", action="store_true", help="show operations under way (always done)")
    todo.add_argument("-P", "--profile", metavar="DIR", help="time every XML file in the folder")
    todo.add_argument("-N", "--repeat", metavar="N", type=int, default=1)
    events = p.add_argument_group("made-up events")
    for short, name, metavar in (
        ("-u", "node-up", "NODE"), ("-d", "node-down", "NODE"), ("-f", "node-fail", "NODE"),
        ("-i", "op-inject", "OPSPEC"), ("-F", "op-fail", "OPSPEC"), ("-g", "ticket-grant", "TICKET"),
        ("-r", "ticket-revoke", "TICKET"), ("-b", "ticket-standby", "TICKET"),
        ("-e", "ticket-activate", "TICKET"),
    ):  # fmt: skip
        events.add_argument(short, f"--{name}", metavar=metavar, action="append", default=[])
    events.add_argument("-q", "--quorum", metavar="QUORUM")
    events.add_argument("-w", "--watchdog", metavar="DEVICE")
    events.add_argument("-t", "--set-datetime", metavar="DATETIME", help="ISO 8601")
    files = p.add_argument_group("files")
    files.add_argument("-I", "--save-input", metavar="FILE")
    files.add_argument("-O", "--save-output", metavar="FILE")
    files.add_argument("-G", "--save-graph", metavar="FILE")
    files.add_argument("-D", "--save-dotfile", metavar="FILE")
    files.add_argument("-a", "--all-actions", action="store_true", help="all actions in the dot file")
    source = p.add_argument_group("data source")
    source.add_argument("-L", "--live-check", action="store_true", help="the running cluster's CIB")
    source.add_argument("-x", "--xml-file", metavar="FILE")
    source.add_argument("-p", "--xml-pipe", action="store_true", help="standard input")
    p.add_argument("-V", "--verbose", action="count", default=0)
    p.add_argument("-Q", "--quiet", action="store_true", help="only what was asked for")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    try:
        with paused_collector():
            return profile(options) if options.profile else Simulation(options).run()
    except SourceError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.code
    except CibError as error:
        print(f"{PROGRAM}: the CIB cannot be used: {error}", file=sys.stderr)
        return Exit.DATA_ERROR
    except BadDate as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return Exit.USAGE
    except OSError as error:
        print(f"{PROGRAM}: {error.filename}: {error.strerror}", file=sys.stderr)
        return Exit.CANNOT_CREATE


def changes_are_wanted(options: argparse.Namespace) -> bool:
    """Whether any made-up event is to go into the CIB first."""
    return any(
        (
            options.node_up, options.node_down, options.node_fail, options.op_inject, options.ticket_grant,
            options.ticket_revoke, options.ticket_standby, options.ticket_activate, options.watchdog,
            options.quorum,
        )
    )  # fmt: skip


class BadDate(ValueError):
    """The wanted date is none; a sentence for the operator."""


def source_of(options: argparse.Namespace) -> bytes:
    """Raises SourceError."""
    if options.xml_file and options.xml_file != "-":
        return read_file(Path(options.xml_file))
    if options.xml_pipe or options.xml_file == "-":
        return sys.stdin.buffer.read()
    from ha.root import Root

    return read_cib(Root.choose(options.root), PROGRAM)


class Simulation:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.quiet: bool = options.quiet
        self.lines = ScoreLines(scores=options.show_scores, utilization=options.show_utilization)
        self.text = source_of(options)
        self.document = Document.read(self.text)
        self.printed = False
        self.summary: list[str] = []

    @cached_property
    def cib(self) -> EditedCib:
        """The copy that is changed, for those who change something."""
        from ha.cli.crm_simulate.edited_cib import EditedCib

        return EditedCib(self.text)

    def run(self) -> int:
        options = self.options
        cluster = self.read(self.document.root, sanitized=bool(options.xml_file or options.xml_pipe))
        if not self.quiet:
            self.show_cluster(cluster)
        if changes_are_wanted(options):
            cluster = self.inject(cluster)
        if options.save_input:
            Path(options.save_input).write_bytes(self.cib.text())
        simulate = options.simulate or options.in_place
        if not (options.run or simulate or self._wants_files()):
            return Exit.OK
        graph = self.decide(cluster)
        if not self.quiet:
            self.begin("Transition Summary")
            self.items(self.summary)
        return self.simulate(cluster, graph) if simulate else Exit.OK

    def _wants_files(self) -> bool:
        o = self.options
        return bool(o.save_graph or o.save_dotfile or o.show_scores or o.show_utilization)

    # Stages ----------------------------------------------------------------------------------------------------

    def read(self, cib: bytes | Element, *, sanitized: bool) -> Cluster:
        wants = self.options.show_scores or self.options.show_utilization
        return read(cib, self.now(), self.lines if wants else None, sanitized=sanitized)

    def now(self) -> int:
        """The moment to decide for: as asked, else when the input was made, else now."""
        wanted = self.options.set_datetime
        if wanted:
            moment = parse_moment(wanted)
            if moment is None:
                raise BadDate(f"--set-datetime: '{wanted}' is no date")
            self.info(f"Setting effective cluster time: {wanted}")
            return moment
        made = integer(self.document.root.get("execution-date"))
        if made is None:
            return int(time.time())
        self.info(f"Using the original execution date of: {moment_text(made)}")
        return made

    def show_cluster(self, cluster: Cluster) -> None:
        from ha.cli.status_text import resource_counts

        if cluster.in_maintenance:
            print("\n              *** Resource management is DISABLED ***")
            print("  The cluster will not attempt to start, stop or recover services")
            self.printed = True
        total, disabled, blocked = resource_counts(cluster)
        if disabled or blocked:
            self.space()
            self.info(
                f"{disabled} of {total} resource instances DISABLED and "
                f"{blocked} BLOCKED from further action due to failure"
            )
            self.printed = True
        self.begin("Current cluster status")
        self.status(cluster, pending=True)

    def inject(self, cluster: Cluster) -> Cluster:
        from ha.cli.crm_simulate.injections import inject

        if not self.quiet:
            self.begin("Performing Requested Modifications")
        inject(self.cib, cluster, self.options, self.item, self.warn)
        return self.read(self.cib.text(), sanitized=bool(self.options.xml_file))

    def decide(self, cluster: Cluster) -> bytes:
        options = self.options
        title = " and ".join(
            name
            for name, shown in (
                ("Assignment Scores", options.show_scores), ("Utilization Information", options.show_utilization),
            )
            if shown
        )  # fmt: skip
        graph = decide_on(cluster).graph_xml
        # Made before the picture: it gives a node to actions that have none.
        self.summary = TransitionSummary(cluster).lines()
        if title:
            if not self.quiet:
                self.begin(title)
            self.items(self.lines.lines)
        if options.save_graph:
            Path(options.save_graph).write_bytes(graph)
        if options.save_dotfile:
            from ha.cli.crm_simulate.dot import dot_text

            Path(options.save_dotfile).write_text(dot_text(cluster, options.all_actions, options.verbose > 0))
        return graph

    def simulate(self, cluster: Cluster, graph: bytes) -> int:
        from ha.cli.crm_simulate.play import Player

        if not self.quiet:
            self.begin("Executing Cluster Transition")

        def known(name: str) -> bool:
            return cluster.find(name) is not None

        say = (lambda _: None) if self.quiet else self.item
        complete = Player(self.cib, graph, self.options.op_fail, known, say, self.warn).play()
        output = self.options.save_output or (self.options.xml_file if self.options.in_place else None)
        if output:
            Path(output).write_bytes(self.cib.text())
        if not self.quiet:
            after = read(self.cib.root, self.now())
            self.begin("Revised Cluster Status")
            self.status(after, pending=False)
        return Exit.OK if complete else Exit.ERROR

    # Printing --------------------------------------------------------------------------------------------------

    def status(self, cluster: Cluster, *, pending: bool) -> None:
        from ha.cli.status_text import status_lines

        for line in status_lines(cluster, pending=pending):
            print(f"  {line}" if line else "")

    def begin(self, title: str) -> None:
        self.space()
        print(f"{title}:")
        self.printed = True

    def space(self) -> None:
        if self.printed:
            print()

    def items(self, lines: Sequence[str] | Iterator[str]) -> None:
        for line in lines:
            self.item(line)

    def item(self, text: str) -> None:
        print(text if self.quiet else f"  * {text}")

    def info(self, text: str) -> None:
        if not self.quiet:
            print(text)

    def warn(self, text: str) -> None:
        print(f"{PROGRAM}: {text}", file=sys.stderr)


def profile(options: argparse.Namespace) -> int:
    """Times reading and deciding for every CIB of a folder."""
    for path in sorted(Path(options.profile).glob("*.xml")):
        text = read_file(path)
        began = time.process_time()
        for _ in range(max(1, options.repeat)):
            decide_on(read(text, int(time.time())))
        print(f"  * Testing {path} ... {time.process_time() - began:.2f} secs")
    return Exit.OK
