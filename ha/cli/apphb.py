# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha apphb`: who is watched on this node, and how well everybody is."""

from __future__ import annotations

import json
from typing import NoReturn

import click
import msgspec

from ha.apphbd.msg import ClientEvent, ClientLine, Clients, GetClients, Subscribe
from ha.cli.exit_codes import Exit
from ha.ipc.client import Connection, NotConnected, TimedOut
from ha.machine import Message
from ha.root import Root, RootError

ASK_TIMEOUT_MS = 5_000
EVENT_WAIT_MS = 3_600_000

MEANINGS = {
    "HBREG": "is ready",
    "HBWARN": "is late",
    "NOHB": "is silent: it hangs",
    "HBAGAIN": "beats again",
    "HUP": "hung up without a word",
    "HBUNREG": "ended its watch",
}

root_option = click.option(
    "--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own)."
)
output_option = click.option("--output-as", type=click.Choice(["text", "json"]), default="text", show_default=True)


@click.group()
def apphb() -> None:
    """Processes that have themselves watched: the node's workers, applications, and programs by NOTIFY_SOCKET."""


@apphb.command()
@root_option
@output_option
def status(prefix: str | None, output_as: str) -> None:
    """Show every client of apphbd: its state, its last beat, and how long it may be silent.

    Exit status 0 when all are well, 1 when somebody is late or hangs.
    """
    with _connect(prefix) as apphbd:
        answer = _ask(apphbd, GetClients())
    if not isinstance(answer, Clients):
        _fail(f"apphbd answered {type(answer).__name__}: is it another version?", Exit.NOT_CONNECTED)
    lines = sorted(answer.clients, key=lambda line: (line.module, line.pid))
    if output_as == "json":
        click.echo(json.dumps(msgspec.to_builtins(lines), indent=2))
    else:
        click.echo(f"{'client':<24}{'pid':>8}  {'state':<9}{'last beat':>12}{'may be silent':>15}")
        for line in lines:
            click.echo(_row(line))
    if any(line.state in {"late", "hung"} for line in lines):
        raise SystemExit(Exit.ERROR)


@apphb.command()
@root_option
@output_option
def watch(prefix: str | None, output_as: str) -> None:
    """Print what befalls the clients, as it happens, until interrupted."""
    with _connect(prefix) as apphbd:
        _ask(apphbd, Subscribe())
        while True:
            try:
                message = apphbd.receive(EVENT_WAIT_MS)
            except TimedOut:
                continue
            except NotConnected as error:
                _fail(str(error), Exit.NOT_CONNECTED)
            if isinstance(message, ClientEvent):
                click.echo(_event(message, output_as))


def _event(event: ClientEvent, output_as: str) -> str:
    if output_as == "json":
        return json.dumps(msgspec.to_builtins(event))
    return f"{event.module} (pid {event.pid}) {MEANINGS[event.event]}, {event.silent_ms} ms after its last beat"


def _row(line: ClientLine) -> str:
    limit = f"{line.deadline_ms} ms" if line.deadline_ms else "for ever"
    says = f"  {line.status}" if line.status else ""
    return f"{line.module:<24}{line.pid:>8}  {line.state:<9}{f'{line.silent_ms} ms':>12}{limit:>15}{says}"


def _connect(prefix: str | None) -> Connection:
    try:
        return Connection.open(Root.choose(prefix), "apphbd", program="ha")
    except (NotConnected, RootError) as error:
        _fail(str(error), Exit.NOT_CONNECTED)


def _ask(apphbd: Connection, request: Message) -> Message:
    try:
        return apphbd.ask(request, ASK_TIMEOUT_MS)
    except TimedOut as error:
        _fail(str(error), Exit.TIMEOUT)
    except NotConnected as error:
        _fail(str(error), Exit.NOT_CONNECTED)


def _fail(text: str, status: Exit) -> NoReturn:
    click.echo(f"ha apphb: {text}", err=True)
    raise SystemExit(status)
