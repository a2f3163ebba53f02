# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of `ha metrics`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NoReturn

import click

from ha import __version__, whole_file
from ha.cli.exit_codes import Exit
from ha.cli.metrics import cluster_families, failover_families, node_families
from ha.cli.metrics.openmetrics import Family, render
from ha.root import Root, RootError

FILE_MODE = 0o644
"""The collector that reads the file is another user."""


@click.command()
@click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")
@click.option("--output-to", "target", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Replace FILE as a whole instead of writing to standard output: for node_exporter's textfile "
              "collector, which reads files named *.prom.")  # fmt: skip
def metrics(prefix: str | None, target: Path | None) -> None:
    """Write OpenMetrics text about this node and the cluster.

    It answers whatever is dead: the CIB is read from shared memory, each worker is asked on its own, and what could not
    be had is left out and 0 in ha_up. Names of ha_cluster_exporter mean what they mean there. Be root or in group
    haclient to have all of it.

    Exit status 0 when text was written, 73 when FILE cannot be.
    """
    try:
        root = Root.choose(prefix)
    except RootError as error:
        _fail(str(error), Exit.USAGE)
    text = render(collect(root, int(time.time())))
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        whole_file.replace(target, text.encode(), mode=FILE_MODE, durable=False)
    except OSError as error:
        _fail(f"{target}: {error.strerror}", Exit.CANNOT_CREATE)


def collect(root: Root, now_s: int) -> list[Family]:
    """Everything that can be had."""
    build = Family("ha_build", "The release in the label; always 1.")
    build.add(1, version=__version__)
    cluster = _of_cib(root, now_s)
    recovery = _of_log(root)
    sources = {"cib-in-memory": cluster is not None, "log": recovery is not None}
    node = node_families.families_of(node_families.ask_all(root), sources)
    return [build, *node, *(recovery or ()), *(cluster or ())]


def _of_cib(root: Root, now_s: int) -> list[Family] | None:
    from ha.cib.io.reader import CibReader, SharedMemoryError
    from ha.cib.msg import CibCopy
    from ha.cli.source.cluster import view_of
    from ha.pe.model.document import CibError

    reader = CibReader(root)
    try:
        copy = reader.read()
        return list(cluster_families.families_of(view_of(copy.xml, now_s))) if isinstance(copy, CibCopy) else None
    except (SharedMemoryError, CibError) as error:
        click.echo(f"ha metrics: the CIB is left out: {error}", err=True)
        return None
    finally:
        reader.close()


def _of_log(root: Root) -> list[Family] | None:
    from ha.cli.timeline.log_lines import own_logs
    from ha.logd.model import ConfigError

    try:
        paths = list(own_logs(root))
        phases = failover_families.last_recovery(paths)
    except (OSError, ConfigError) as error:
        click.echo(f"ha metrics: the log is left out: {error}", err=True)
        return None
    if not paths:
        return None
    return [] if phases is None else list(failover_families.families_of(phases))


def _fail(text: str, status: Exit) -> NoReturn:
    click.echo(f"ha metrics: {text}", err=True)
    raise SystemExit(status)
