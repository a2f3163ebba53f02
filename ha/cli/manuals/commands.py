# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha docs`: man pages and shell completion."""

from __future__ import annotations

from pathlib import Path

import click

from ha.cli.exit_codes import Exit
from ha.cli.manuals.completion import for_bash
from ha.cli.manuals.content import commands, manual
from ha.cli.manuals.man_page import SECTION, man_page


@click.group()
def docs() -> None:
    """Man pages and shell completion of all commands, made from the commands themselves."""


@docs.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def man(folder: Path) -> None:
    """Write a man page of every command into FOLDER."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in commands():
            (folder / f"{name}.{SECTION}").write_text(man_page(manual(name)))
    except OSError as error:
        click.echo(f"ha docs: {error.filename}: {error.strerror}", err=True)
        raise SystemExit(Exit.CANNOT_CREATE) from error
    click.echo(f"{len(commands())} man pages in {folder}: man {folder}/ha.{SECTION}")


@docs.command()
@click.argument("shell", type=click.Choice(["bash"]))
def completion(shell: str) -> None:
    """Print completion for SHELL: source <(ha docs completion bash)"""
    click.echo(for_bash([manual(name) for name in commands()]), nl=False)
