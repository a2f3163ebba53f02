# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha membership`: why a node was taken for dead."""

from __future__ import annotations

import json
from datetime import datetime

import click
import msgspec

from ha.cli.exit_codes import Exit
from ha.heartbeat.msg import AccusationLine, Accusations, GetAccusations
from ha.ipc.client import Connection, NotConnected, TimedOut
from ha.root import Root

ASK_TIMEOUT_MS = 5_000


@click.group()
def membership() -> None:
    """Who is there, and why somebody was taken for dead."""


@membership.command()
@click.argument("node")
@click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")
@click.option("--output-as", type=click.Choice(["text", "json"]), default="text", show_default=True)
def why(node: str, prefix: str | None, output_as: str) -> None:
    """Who took NODE for dead since this node's heartbeat started, and on what evidence.

    Each accuser is named with the links that it heard NODE on, the last packets there, and how late the accuser was
    itself: a node that was paused is a bad witness. Other nodes' evidence is on those nodes: ask there too.
    """
    answer = _ask(prefix, node.lower())
    if node.lower() not in answer.known:
        click.echo(f"ha membership: {node} is no node; there are {', '.join(sorted(answer.known))}", err=True)
        raise SystemExit(Exit.NO_SUCH_OBJECT)
    if output_as == "json":
        click.echo(json.dumps(msgspec.to_builtins(answer), indent=2))
        return
    click.echo(f"{node} is {answer.known[node.lower()]} now, as this node sees it")
    if not answer.lines:
        click.echo("nobody has called it dead since the heartbeat of this node started")
    for line in answer.lines:
        _show(line)


def _show(line: AccusationLine) -> None:
    at = datetime.fromtimestamp(line.at_ms / 1000).isoformat(" ", timespec="milliseconds")
    click.echo(f"{at}  {line.accuser} called {line.node} dead: {line.evidence}")
    for link in line.links:
        click.echo(f"    link {link}")
    if line.links:
        click.echo(f"    {line.accuser} itself was at most {line.late_ms} ms late")


def _ask(prefix: str | None, node: str) -> Accusations:
    try:
        with Connection.open(Root.choose(prefix), "heartbeat", program="ha") as heartbeat:
            answer = heartbeat.ask(GetAccusations(node=node), ASK_TIMEOUT_MS)
    except NotConnected as error:
        click.echo(f"ha membership: {error}", err=True)
        raise SystemExit(Exit.TIMEOUT if isinstance(error, TimedOut) else Exit.NOT_CONNECTED) from error
    if not isinstance(answer, Accusations):
        click.echo(f"ha membership: heartbeat answered {type(answer).__name__}", err=True)
        raise SystemExit(Exit.PROTOCOL)
    return answer
