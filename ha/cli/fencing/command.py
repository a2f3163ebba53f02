# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of `ha fencing`."""

from __future__ import annotations

import sys
import time
from typing import NoReturn, TypeVar

import click

from ha import __version__
from ha.cli.exit_codes import Exit, words
from ha.cli.fencing import arming, report
from ha.cli.source.cib import SourceError, connect
from ha.cli.source.durations import DurationError, parse_duration
from ha.ipc.client import Connection, NotConnected, TimedOut
from ha.root import Root, RootError
from ha.stonith.msg import DrillDevices, DrillsBegun, FencingStatus, GetFencingStatus

PROGRAM = "ha fencing"
ASK_TIMEOUT_MS = 10_000
POLL_S = 0.2
"""Between two looks at whether a drill is over; its agents take longer than that."""
MAX_DISARM_S = 86_400
FORMS = ("text", "xml", "json")

T = TypeVar("T")

root_option = click.option(
    "--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own)."
)
form_option = click.option("--output-as", "form", type=click.Choice(FORMS), default="text", show_default=True)


@click.group()
@click.version_option(__version__, prog_name=PROGRAM)
def fencing() -> None:
    """Which device would shoot which node, proved before it is needed; and fencing switched off for a while.

    Exit status: 0 all is well, 1 something would hinder a fence (status, drill), 64 usage, 102 the cluster does not
    run here, 105 no such device, 124 no answer in time; a refused change of the configuration has the code of the
    refusal.
    """


@fencing.command()
@root_option
@form_option
def status(prefix: str | None, form: str) -> None:
    """For each node: the devices that would shoot it, level by level, and when that was last proved.

    Then what would hinder a fence, each with its remedy. Exit status 1 if there is anything. Every node knows the
    results of all.
    """
    _finish(_ask(prefix, FencingStatus, lambda number: GetFencingStatus(request_id=number)), form)


@fencing.command()
@click.argument("device", default="")
@click.option("--timeout", default="2min", show_default=True, metavar="TIME", help="How long to wait for the results.")
@root_option
@form_option
def drill(device: str, timeout: str, prefix: str | None, form: str) -> None:
    """Try DEVICE (all devices) now, from every node that may use it, and show the result as `status` does.

    Harmless: agents are asked for monitor, list and status, never to switch. A device in use by a fence waits for it.
    """
    deadline = time.monotonic() + _seconds(timeout, "--timeout")
    begun = _ask(prefix, DrillsBegun, lambda number: DrillDevices(request_id=number, device=device))
    if not begun.expected:
        _fail(f"there is no fence device {device}" if device else "no fence device is configured", Exit.NO_SUCH_OBJECT)
    while True:
        answer = _ask(prefix, FencingStatus, lambda number: GetFencingStatus(request_id=number))
        over = {(name, node) for order, name, node in answer.orders if order == begun.order}
        missing = [pair for pair in begun.expected if pair not in over]
        if not missing:
            return _finish(answer, form, device)
        if time.monotonic() > deadline:
            late = ", ".join(f"{name} from {node}" for name, node in missing)
            _fail(f"not over within {timeout}: {late}", Exit.TIMEOUT)
        time.sleep(POLL_S)


@fencing.command()
@click.option("--for", "duration", required=True, metavar="TIME", help="How long, e.g. 30min; at most a day.")
@root_option
def disarm(duration: str, prefix: str | None) -> None:
    """The cluster fences nobody for TIME, on all nodes; then fencing is armed again by itself.

    No second copy of a resource can come of it: a node that is lost meanwhile keeps its resources, they are started
    nowhere else. So this is downtime, if anything happens. Fencing by hand (stonith_admin) works on.
    """
    seconds = int(_seconds(duration, "--for"))
    if not 1 <= seconds <= MAX_DISARM_S:
        _fail(f"--for {duration}: between a second and a day", Exit.USAGE)
    until_s = int(time.time()) + seconds
    _change(prefix, until_s)
    click.echo(f"fencing is DISARMED until {report.moment(until_s)}: resources of a lost node are started nowhere else")
    click.echo("end it earlier with: ha fencing arm")


@fencing.command()
@root_option
def arm(prefix: str | None) -> None:
    """End a disarming now. Nodes that were lost meanwhile are fenced within a minute."""
    _change(prefix, None)
    click.echo("fencing is armed")


def _change(prefix: str | None, until_s: int | None) -> None:
    try:
        arming.write(connect(_root(prefix), PROGRAM), until_s)
    except SourceError as error:
        _fail(str(error), error.code)


def _seconds(text: str, option: str) -> float:
    try:
        return parse_duration(text)
    except DurationError as error:
        _fail(f"{option} {text}: {error}", Exit.USAGE)


def _root(prefix: str | None) -> Root:
    try:
        return Root.choose(prefix)
    except RootError as error:
        _fail(str(error), Exit.USAGE)


def _ask(prefix: str | None, kind: type[T], question: arming.Question) -> T:
    try:
        with Connection.open(_root(prefix), "stonithd", program="ha") as stonithd:
            answer = stonithd.ask(question(stonithd.new_request_id()), ASK_TIMEOUT_MS)
    except NotConnected as error:
        _fail(str(error), Exit.TIMEOUT if isinstance(error, TimedOut) else Exit.NOT_CONNECTED)
    if not isinstance(answer, kind):
        _fail(f"stonithd answered {type(answer).__name__}: is it another version?", Exit.PROTOCOL)
    return answer


def _finish(answer: FencingStatus, form: str, device: str = "") -> None:
    shown = report.narrowed(answer, device)
    code = Exit.ERROR if shown.findings else Exit.OK
    if form == "json":
        click.echo(report.as_json(shown))
    elif form == "xml":
        click.echo(report.result_as_xml(shown, [PROGRAM, *sys.argv[2:]], code, words(code)), nl=False)
    else:
        for line in report.as_text(shown, time.time()):
            click.echo(line)
    raise SystemExit(code)


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"{PROGRAM}: {text}", err=True)
    raise SystemExit(code)
