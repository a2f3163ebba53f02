# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of crm_simulate, and what is wrong with those given."""

from __future__ import annotations

import argparse

from ha import __version__
from ha.cli.output.result import add_output_options
from ha.cli.output.xml_result import NOT_XML

PROGRAM = "crm_simulate"
MAX_EVENT_CHARACTERS = 1024
"""A node, ticket or OPSPEC that is longer is none."""
_EVENTS = (
    "node_up", "node_down", "node_fail", "op_inject", "op_fail", "ticket_grant", "ticket_revoke", "ticket_standby",
    "ticket_activate",
)  # fmt: skip


class BadOption(ValueError):
    """An option's value cannot be used; a sentence for the operator."""


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog=PROGRAM, description="What the cluster would do in response to events.", add_help=False
    )
    p.add_argument("-h", "-?", "--help", "--help-all", action="help", help="show this help and exit")
    p.add_argument("-$", "--version", action="version", version=f"{PROGRAM} (Heartbeat) {__version__}")
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    add_output_options(p, "text", "xml")
    todo = p.add_argument_group("operations")
    todo.add_argument("-R", "--run", action="store_true", help="show what the cluster would do")
    todo.add_argument("-S", "--simulate", action="store_true", help="do it, to a copy, and show the outcome")
    todo.add_argument("-X", "--in-place", action="store_true", help="--simulate, and store the outcome in the file")
    todo.add_argument("-A", "--show-attrs", action="store_true", help="show node attributes")
    todo.add_argument("-c", "--show-failcounts", action="store_true", help="show fail counts and failed actions")
    todo.add_argument("-s", "--show-scores", action="store_true", help="show the scores that decide on places")
    todo.add_argument("-U", "--show-utilization", action="store_true", help="show capacities and what is taken")
    todo.add_argument("-j", "--pending", action="store_true", help="show operations under way (always done)")
    todo.add_argument("-P", "--profile", metavar="DIR", help="time every XML file in the folder")
    todo.add_argument("-N", "--repeat", metavar="N", type=int, default=1, help="with --profile: N times each")
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
    p.add_argument("-V", "--verbose", action="count", default=0, help="numbers in the dot file")
    p.add_argument("-Q", "--quiet", action="store_true", help="only what was asked for")
    return p


def check(options: argparse.Namespace) -> None:
    """Raises BadOption for what no CIB can take up, and for options that contradict each other."""
    given = [(name, value) for name in _EVENTS for value in getattr(options, name)]
    given += [(name, getattr(options, name)) for name in ("quorum", "watchdog") if getattr(options, name) is not None]
    for name, value in given:
        option = f"--{name.replace('_', '-')}"
        if not value:
            raise BadOption(f"{option}: the value is empty")
        if len(value) > MAX_EVENT_CHARACTERS:
            raise BadOption(f"{option}: longer than {MAX_EVENT_CHARACTERS} characters")
        if NOT_XML.search(value):
            raise BadOption(f"{option}: {value!r} has characters that a CIB cannot hold")
    if options.in_place and options.xml_file in (None, "-"):
        raise BadOption("--in-place needs --xml-file, the file to store the outcome in")
    if options.repeat < 1:
        raise BadOption("--repeat: at least once")


def events_are_wanted(options: argparse.Namespace) -> bool:
    """Whether any made-up event is to go into the CIB first."""
    return any(getattr(options, name) for name in (*_EVENTS, "quorum", "watchdog") if name != "op_fail")
