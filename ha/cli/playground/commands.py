# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha playground ...`: N whole nodes on this machine, without privileges."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ha.cli.playground import cluster, control, demo, layout
from ha.cli.playground.layout import PlaygroundError

EXIT_FAILED = 1

folder_option = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=layout.default_folder,
    show_default="HA_PLAYGROUND or /tmp/ha-playground-UID",
    help="Where the nodes' files live.",
)


class Group(click.Group):
    """Turns what went wrong into one sentence and exit status 1."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except PlaygroundError as error:
            click.echo(f"ha playground: {error}", err=True)
            sys.exit(EXIT_FAILED)


@click.group(cls=Group)
def playground() -> None:
    """A whole cluster on this machine, without privileges.

    Every node has its own directory, processes and shared memory; a switch between them can be cut, and a power
    supply fences them. 'HA_ROOT=DIR/n1 crm_mon -1' looks at it from outside.
    """


@playground.command()
@folder_option
@click.option("--nodes", default=3, show_default=True, help=f"How many, 1 to {layout.MAX_NODES}.")
@click.option("--profile", type=click.Choice(["default", "fast"]), default="default", show_default=True)
@click.option(
    "--cib",
    "cib_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Configuration to load (XML).",
)
def up(folder: Path, nodes: int, profile: layout.Profile, cib_file: Path | None) -> None:
    """Make the nodes and start them; wait until they form a cluster."""
    place = cluster.up(folder, nodes, profile, click.echo)
    if cib_file is not None:
        cluster.load_configuration(place, cib_file.read_bytes(), str(cib_file))
        click.echo(f"loaded {cib_file}")
    click.echo(f"the cluster is up: HA_ROOT={place.root(place.nodes[0]).prefix} crm_mon -1")


@playground.command()
@folder_option
def status(folder: Path) -> None:
    """Show each node's power and what its crmd says."""
    place = layout.load(folder)
    for node in place.nodes:
        power = control.order(place, f"status {node}")
        click.echo(f"{node}: power {power}; {cluster.describe(place, node)}")


@playground.command("exec", context_settings={"ignore_unknown_options": True})
@folder_option
@click.argument("node")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def execute(folder: Path, node: str, command: tuple[str, ...]) -> None:
    """Run a command as if on NODE: ha playground exec n1 -- crm_mon -1"""
    place = layout.load(folder)
    try:
        os.execvpe(command[0], command, control.environment(place, node))
    except OSError as error:
        raise PlaygroundError(f"{command[0]}: {error.strerror}") from error


def _order_command(name: str, verb: str, text: str) -> None:
    @playground.command(name, help=text)
    @folder_option
    @click.argument("node")
    def carry_out(folder: Path, node: str) -> None:
        click.echo(f"{node}: {control.order(layout.load(folder), f'{verb} {node}')}")


_order_command("kill", "off", "Pull NODE's plug: SIGKILL to all of its processes, shared memory gone.")
_order_command("start", "on", "Give NODE power again; it boots and joins.")
_order_command("freeze", "freeze", "Stop all processes of NODE where they stand (SIGSTOP).")
_order_command("thaw", "thaw", "Let a frozen NODE go on.")


@playground.command()
@folder_option
@click.argument("a")
@click.argument("b")
@click.option("--one-way", is_flag=True, help="Only what A sends to B is lost.")
def cut(folder: Path, a: str, b: str, one_way: bool) -> None:
    """Cut the network between nodes A and B."""
    verb = "cut-one-way" if one_way else "cut"
    click.echo("cut: " + control.order(layout.load(folder), f"{verb} {a} {b}"))


@playground.command()
@folder_option
def heal(folder: Path) -> None:
    """Mend all cuts."""
    click.echo(control.order(layout.load(folder), "heal"))


@playground.command()
@folder_option
def down(folder: Path) -> None:
    """End all nodes, the switch and the power supply. The files stay until the next 'up'."""
    control.order(layout.load(folder), "quit")
    click.echo("the playground is down")


@playground.command("demo")
@click.option("--port", default=demo.DEFAULT_PORT, show_default=True, help="Of the web page.")
def run_demo(port: int) -> None:
    """Three nodes, a web page, the loss of its node: everything shown, with times."""
    demo.run(port)
