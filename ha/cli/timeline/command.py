# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of `ha timeline`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import NoReturn

import click

from ha.cli.exit_codes import Exit
from ha.cli.source.durations import DurationError, parse_duration
from ha.cli.timeline.incidents import Incident, incidents_in
from ha.cli.timeline.log_lines import LogFile, own_logs, read_log
from ha.cli.timeline.report import as_builtins, told
from ha.logd.model import ConfigError, stamp
from ha.root import Root, RootError

MAX_LOGS = 64


@click.command()
@click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")
@click.option("--log", "given", multiple=True, type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Another node's ha-log, brought here; as often as there are such. A copy of this node's own does no "
              "harm.")  # fmt: skip
@click.option("--playground", "folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="The logs of all nodes of the playground in DIR, instead of this node's.")  # fmt: skip
@click.option("--since", metavar="DURATION", help="Incidents that ended within the last DURATION, e.g. 30min, 2h, 7d.")
@click.option("--last", is_flag=True, help="The last incident only.")
@click.option("--output-as", type=click.Choice(["text", "json"]), default="text", show_default=True)
def timeline(
    prefix: str | None, given: tuple[Path, ...], folder: Path | None, since: str | None, last: bool, output_as: str
) -> None:
    """What happened in an incident, on all nodes whose logs are there, and what took how long.

    Losses, views, fencing, starts and stops are told in the order of their causes, also where the nodes' clocks
    disagree; what several nodes say of one event is one line. Without other nodes' logs it is this node's account: the
    DC's has most.

    Exit status 0, also when there was no incident; 66 when no log could be read.
    """
    since_ms = _since_ms(since)
    paths = _paths(prefix, given, folder)
    logs = _read(paths)
    logs.sort(key=lambda log: (log.begins_ms is None, log.begins_ms or 0))
    found = [i for i in incidents_in(line for log in logs for line in log.lines) if i.ends_ms >= since_ms]
    if last:
        found = found[-1:]
    if output_as == "json":
        click.echo(json.dumps(_document(found, logs), indent=2))
    else:
        _show(found, logs)


def _since_ms(since: str | None) -> float:
    if since is None:
        return 0
    try:
        return (time.time() - parse_duration(since)) * 1000
    except DurationError as error:
        _fail(f"--since {since}: {error}", Exit.USAGE)


def _paths(prefix: str | None, given: tuple[Path, ...], folder: Path | None) -> list[Path]:
    try:
        if folder is not None:
            roots = _playground_roots(folder)
        else:
            roots = [Root.choose(prefix)]
        paths = [*(path for root in roots for path in own_logs(root)), *given]
    except RootError as error:
        _fail(str(error), Exit.USAGE)
    except ConfigError as error:
        _fail(str(error), Exit.CONFIGURATION)
    if len(paths) > MAX_LOGS:
        _fail(f"{len(paths)} logs: at most {MAX_LOGS} are read at once", Exit.USAGE)
    if not paths:
        _fail("this node has no ha-log: name logs with --log FILE, or a playground with --playground DIR",
              Exit.NO_INPUT)  # fmt: skip
    return paths


def _playground_roots(folder: Path) -> list[Root]:
    from ha.cli.playground.layout import PlaygroundError, load

    try:
        place = load(folder)
        return [place.root(node) for node in place.nodes]
    except PlaygroundError as error:
        _fail(str(error), Exit.NO_INPUT)


def _read(paths: list[Path]) -> list[LogFile]:
    """Those that can be read; the others are complained of. Ends the command when there is none."""
    found = []
    for path in paths:
        try:
            found.append(read_log(path))
        except OSError as error:
            click.echo(f"ha timeline: {path}: {error.strerror or error}", err=True)
    if not found:
        raise SystemExit(Exit.NO_INPUT)
    return found


def _show(found: list[Incident], logs: list[LogFile]) -> None:
    for incident in found:
        for line in told(incident):
            click.echo(line)
        click.echo()
    begins = [log.begins_ms for log in logs if log.begins_ms is not None]
    nodes = sorted({line.node for log in logs for line in log.lines})
    what = "No incident" if not found else "1 incident" if len(found) == 1 else f"{len(found)} incidents"
    whence = f"in the logs of {', '.join(nodes)}, which begin at {stamp(min(begins))}" if begins else "in empty logs"
    click.echo(f"{what} {whence}")
    for log in logs:
        if log.unreadable or log.is_cut:
            cut = "; only its end was read" if log.is_cut else ""
            click.echo(f"  {log.path}: {log.unreadable} lines are none of logd's{cut}")


def _document(found: list[Incident], logs: list[LogFile]) -> dict[str, object]:
    return {
        "incidents": [as_builtins(incident) for incident in found],
        "logs": [
            {
                "path": str(log.path),
                "nodes": sorted({line.node for line in log.lines}),
                "begins_ms": log.begins_ms,
                "unreadable_lines": log.unreadable,
                "is_cut": log.is_cut,
            }
            for log in logs
        ],
    }


def _fail(text: str, status: Exit) -> NoReturn:
    click.echo(f"ha timeline: {text}", err=True)
    raise SystemExit(status)
