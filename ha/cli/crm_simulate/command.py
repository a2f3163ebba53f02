# SPDX-License-Identifier: GPL-2.0-or-later
"""The order in which a simulation is done and told, and how it ends."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ha.cli.crm_simulate import report as sections
from ha.cli.crm_simulate.options import PROGRAM, BadOption, check, events_are_wanted, parser
from ha.cli.crm_simulate.report import Item, Report, Shown, TextReport, XmlReport
from ha.cli.crm_simulate.scores import ScoreLines
from ha.cli.crm_simulate.summary import TransitionSummary
from ha.cli.exit_codes import Exit
from ha.cli.source.cib import SourceError, read_cib, read_file, read_stream
from ha.pe.core import CibError, decide_on, read
from ha.pe.model.cluster import Cluster
from ha.pe.model.dates import moment_text, parse_moment
from ha.pe.model.document import Document
from ha.pe.model.values import integer

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from ha.cli.crm_simulate.edited_cib import EditedCib

MAX_MOMENT_S = 253_402_300_799
"""The end of the year 9999; what is later is no date."""


def run(argv: Sequence[str] | None) -> int:
    """Exit code of the command with these arguments, None for those of the process."""
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    request = [PROGRAM, *(sys.argv[1:] if argv is None else argv)]
    try:
        with output(options.output_to) as out:
            report = report_for(options, request, out)
            code, errors = attempt(options, report)
            report.finish(code, errors)
            out.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough. What is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.IO_ERROR
    except OSError as error:
        print(f"{PROGRAM}: {options.output_to}: {error.strerror}", file=sys.stderr)
        return Exit.CANNOT_CREATE
    return code


@contextlib.contextmanager
def output(target: str) -> Iterator[TextIO]:
    """Where it is told: no name, however odd, is a reason to break off. Raises OSError."""
    if target != "-":
        with Path(target).open("w", encoding="utf-8", errors="backslashreplace") as out:
            yield out
        return
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    yield sys.stdout


def report_for(options: argparse.Namespace, request: Sequence[str], out: TextIO) -> Report:
    shown = Shown(attributes=options.show_attrs, failcounts=options.show_failcounts)
    if options.output_as == "xml":
        return XmlReport(out, shown, request)
    return TextReport(out, shown, quiet=options.quiet)


def attempt(options: argparse.Namespace, report: Report) -> tuple[int, list[str]]:
    """(exit code, why it is not 0). A warning of the report may be all the reason there is."""
    try:
        check(options)
        return (profile if options.profile else simulate)(options, report), []
    except SourceError as error:
        return error.code, [str(error)]
    except CibError as error:
        return Exit.DATA_ERROR, [f"the CIB cannot be used: {error}"]
    except BadOption as error:
        return Exit.USAGE, [str(error)]
    except BrokenPipeError:
        raise
    except OSError as error:
        return Exit.CANNOT_CREATE, [f"{error.filename}: {error.strerror}"]


def simulate(options: argparse.Namespace, report: Report) -> int:
    return Simulation(options, report).run()


def source_of(options: argparse.Namespace) -> bytes:
    """Raises SourceError."""
    if options.xml_file and options.xml_file != "-":
        return read_file(Path(options.xml_file))
    if options.xml_pipe or options.xml_file == "-":
        return read_stream(sys.stdin.buffer)
    from ha.root import Root, RootError

    try:
        root = Root.choose(options.root)
    except RootError as error:
        raise SourceError(Exit.USAGE, str(error)) from error
    return read_cib(root, PROGRAM)


class Simulation:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, report: Report) -> None:
        self.options = options
        self.report = report
        self.scores = ScoreLines(scores=options.show_scores, utilization=options.show_utilization)
        self.text = source_of(options)
        self.document = Document.read(self.text)

    @cached_property
    def cib(self) -> EditedCib:
        """The copy that is changed, for those who change something."""
        from ha.cli.crm_simulate.edited_cib import EditedCib

        return EditedCib(self.text)

    def run(self) -> int:
        options = self.options
        cluster = self.read(self.document.root, sanitized=bool(options.xml_file or options.xml_pipe))
        self.report.status(sections.BEFORE, cluster)
        if events_are_wanted(options):
            cluster = self.inject(cluster)
        if options.save_input:
            Path(options.save_input).write_bytes(self.cib.text())
        play = options.simulate or options.in_place
        if not (options.run or play or self._wants_files()):
            return Exit.OK
        graph = self.decide(cluster)
        return self.play(cluster, graph) if play else Exit.OK

    def _wants_files(self) -> bool:
        o = self.options
        return bool(o.save_graph or o.save_dotfile or o.show_scores or o.show_utilization)

    # Stages ----------------------------------------------------------------------------------------------------

    def read(self, cib: bytes | Element, *, sanitized: bool) -> Cluster:
        wants = self.options.show_scores or self.options.show_utilization
        return read(cib, self.now(), self.scores if wants else None, sanitized=sanitized)

    def now(self) -> int:
        """The moment to decide for: as asked, else when the input was made, else now."""
        wanted = self.options.set_datetime
        if wanted:
            moment = parse_moment(wanted)
            if moment is None:
                raise BadOption(f"--set-datetime: '{wanted}' is no date")
            self.report.notice(f"Setting effective cluster time: {wanted}")
            return moment
        made = integer(self.document.root.get("execution-date"))
        if made is None or not 0 <= made <= MAX_MOMENT_S:
            return int(time.time())
        self.report.notice(f"Using the original execution date of: {moment_text(made)}")
        return made

    def inject(self, cluster: Cluster) -> Cluster:
        from ha.cli.crm_simulate.injections import inject

        self.report.begin(sections.MODIFICATIONS)
        inject(self.cib, cluster, self.options, self.report.item, self.report.warn)
        return self.read(self.cib.text(), sanitized=bool(self.options.xml_file))

    def decide(self, cluster: Cluster) -> bytes:
        options = self.options
        graph = decide_on(cluster).graph_xml
        # Made before the picture: it gives a node to actions that have none.
        summary = TransitionSummary(cluster).items()
        if options.show_scores or options.show_utilization:
            both = options.show_scores and options.show_utilization
            one = sections.SCORES if options.show_scores else sections.UTILIZATION
            self._tell(sections.SCORES_AND_UTILIZATION if both else one, self.scores.lines)
        if options.save_graph:
            Path(options.save_graph).write_bytes(graph)
        if options.save_dotfile:
            from ha.cli.crm_simulate.dot import dot_text

            Path(options.save_dotfile).write_text(dot_text(cluster, options.all_actions, options.verbose > 0))
        self._tell(sections.ACTIONS, summary)
        return graph

    def _tell(self, section: sections.Section, items: Sequence[Item]) -> None:
        self.report.begin(section)
        for item in items:
            self.report.item(item)

    def play(self, cluster: Cluster, graph: bytes) -> int:
        from ha.cli.crm_simulate.play import Player

        def known(name: str) -> bool:
            return cluster.find(name) is not None

        self.report.begin(sections.TRANSITION)
        player = Player(self.cib, graph, self.options.op_fail, known, self.report.item, self.report.warn)
        complete = player.play()
        target = self.options.save_output or (self.options.xml_file if self.options.in_place else None)
        if target:
            Path(target).write_bytes(self.cib.text())
        if not self.options.quiet or self.options.output_as == "xml":
            self.report.status(sections.AFTER, read(self.cib.root, self.now()))
        return Exit.OK if complete else Exit.ERROR


def profile(options: argparse.Namespace, report: Report) -> int:
    """Times reading and deciding for every CIB of a folder."""
    folder = Path(options.profile)
    if not folder.is_dir():
        raise SourceError(Exit.NO_INPUT, f"{folder}: no such folder")
    report.begin(sections.TIMINGS)
    for path in sorted(folder.glob("*.xml")):
        text = read_file(path)
        began = time.process_time()
        try:
            for _ in range(options.repeat):
                decide_on(read(text, int(time.time())))
        except CibError as error:
            raise SourceError(Exit.DATA_ERROR, f"{path}: the CIB cannot be used: {error}") from error
        took_s = time.process_time() - began
        attributes = {"file": os.fsencode(path).decode(errors="backslashreplace"), "duration": f"{took_s:.6f}"}
        report.item(Item(f"Testing {path} ... {took_s:.2f} secs", "timing", attributes))
    return Exit.OK
