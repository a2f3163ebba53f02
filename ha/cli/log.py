# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha log`: what logd writes, changed while it runs."""

from __future__ import annotations

from typing import get_args

import click

from ha.cli.exit_codes import Exit
from ha.ipc.client import Connection, NotConnected, TimedOut
from ha.ipc.links import WORKERS
from ha.logd.msg import GetLevels, Levels, Reopen, SetLevel
from ha.machine import Level, Message
from ha.root import Root

ASK_TIMEOUT_MS = 5_000

root_option = click.option(
    "--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's)."
)


def ask(prefix: str | None, request: Message) -> Levels:
    """logd's answer; ends the command with a sentence and exit status when there is none."""
    try:
        with Connection.open(Root.choose(prefix), "logd", program="ha") as logd:
            answer = logd.ask(request, ASK_TIMEOUT_MS)
    except NotConnected as error:
        click.echo(f"ha log: {error}", err=True)
        raise SystemExit(Exit.TIMEOUT if isinstance(error, TimedOut) else Exit.NOT_CONNECTED) from error
    if not isinstance(answer, Levels):
        click.echo(f"ha log: logd answered {type(answer).__name__}", err=True)
        raise SystemExit(Exit.PROTOCOL)
    return answer


def show(levels: Levels) -> None:
    for module, level in sorted(levels.levels.items()):
        dropped = levels.dropped.get(module, 0)
        click.echo(f"{module or 'all':<12} {level:<9}" + (f" {dropped} lines dropped" if dropped else ""))
    for module, dropped in sorted(levels.dropped.items()):
        if module not in levels.levels and dropped:
            click.echo(f"{module:<12} {'':<9} {dropped} lines dropped")


@click.group()
def log() -> None:
    """What is logged on this node."""


@log.command()
@root_option
def levels(prefix: str | None) -> None:
    """Show the level of each module, and how many lines were dropped."""
    show(ask(prefix, GetLevels()))


@log.command()
@root_option
@click.option("--module", default="", type=click.Choice(["", *WORKERS]), help="Only of this one.")
@click.argument("level", type=click.Choice(get_args(Level)))
def level(prefix: str | None, module: str, level: Level) -> None:
    """Write lines from LEVEL on, until logd restarts."""
    show(ask(prefix, SetLevel(module=module, level=level)))


@log.command()
@root_option
def reopen(prefix: str | None) -> None:
    """Close the log files and open them again (after they were moved away)."""
    try:
        with Connection.open(Root.choose(prefix), "logd", program="ha") as logd:
            logd.send(Reopen())
    except NotConnected as error:
        click.echo(f"ha log: {error}", err=True)
        raise SystemExit(Exit.NOT_CONNECTED) from error
