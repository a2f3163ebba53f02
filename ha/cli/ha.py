# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha`: the command for people."""

from __future__ import annotations

import click

from ha import __version__
from ha.cli.playground.commands import playground


@click.group()
@click.version_option(__version__, prog_name="ha")
def main() -> None:
    """Look at a Heartbeat cluster, check its configuration, and play with one on this machine."""


main.add_command(playground)
