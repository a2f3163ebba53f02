# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines of `ha report` and `crm_report`."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import click

from ha.cli.exit_codes import Exit
from ha.cli.report.archive import ArchiveError, read_archive, write_archive
from ha.cli.report.evidence import Evidence, collect
from ha.cli.source.durations import DurationError, parse_duration
from ha.root import Root, RootError

SSH_TIMEOUT_S = 60
MAX_NODES = 100


@click.command()
@click.argument("target", default="", metavar="[FILE]")
@click.option("--since", default="24h", show_default=True, metavar="DURATION", help="Logs written since then.")
@click.option("--node", "hosts", multiple=True, metavar="HOST", help="Ask this node too, by ssh; as often as wanted.")
@click.option("--with", "given", multiple=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
              metavar="REPORT", help="Put another node's report into this one.")  # fmt: skip
@click.option("--playground", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Of all nodes of the playground in DIR, instead of this node.")  # fmt: skip
@click.option("--root", "prefix", help="The node's root directory (default: HA_ROOT, else this machine's own).")
def report(
    target: str, since: str, hosts: tuple[str, ...], given: tuple[Path, ...], playground: Path | None,
    prefix: str | None,
) -> None:  # fmt: skip
    """Put what an incident left behind into one FILE.tar.gz: configuration, logs, CIB, inputs of the policy engine.

    There is no secret in it: keys are never taken, and values that are named like passwords, or that an agent calls
    private, are masked wherever they stand. FILE - is standard output. It begins with a manifest: what is in it, and
    what could not be had and why.

    Exit status 0, also when a node could not be asked: the manifest and standard error say so.
    """
    try:
        since_s = time.time() - parse_duration(since)
        roots = _playground(playground) if playground is not None else [Root.choose(prefix)]
    except (DurationError, RootError) as error:
        _fail(str(error), Exit.USAGE)
    make(target, roots, since_s, hosts, given)


def make(target: str, roots: list[Root], since_s: float, hosts: tuple[str, ...], given: tuple[Path, ...]) -> None:
    now_s = int(time.time())
    name = time.strftime("ha-report-%Y%m%d-%H%M%S", time.gmtime(now_s))
    with ThreadPoolExecutor(MAX_NODES) as asking:
        asked = [asking.submit(_ask, host, int(now_s - since_s)) for host in hosts]
        evidence = [collect(root, since_s) for root in roots]
        for path in given:
            with path.open("rb") as file:
                evidence += _read(str(path), file.read())
        for answer in asked:
            evidence += answer.result()
    if target == "-":
        write_archive(sys.stdout.buffer, name, evidence, now_s)
        return
    path = Path(target or name)
    path = path if path.name.endswith((".tar.gz", ".tgz")) else path.with_name(path.name + ".tar.gz")
    try:
        with open(path, "xb", opener=_private) as out:
            write_archive(out, name, evidence, now_s)
    except OSError as error:
        _fail(f"{path}: {error.strerror}", Exit.CANNOT_CREATE)
    for each in evidence:
        for remark in each.remarks:
            click.echo(f"{each.node}: {remark}", err=True)
    click.echo(f"{path}: {', '.join(each.node for each in evidence)}")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _playground(folder: Path) -> list[Root]:
    from ha.cli.playground.layout import PlaygroundError, load

    try:
        place = load(folder)
    except PlaygroundError as error:
        raise RootError(str(error)) from error
    return [place.root(node) for node in place.nodes]


def _ask(host: str, seconds: int) -> list[Evidence]:
    """A node's own report by ssh; when it cannot be had, its place with the reason."""
    try:
        if host.startswith("-"):
            raise ArchiveError("that is no host")
        order = ["ssh", "-oBatchMode=yes", host, "ha", "report", "-", "--since", f"{seconds}s"]
        done = subprocess.run(order, stdin=subprocess.DEVNULL, capture_output=True, timeout=SSH_TIMEOUT_S, check=False)
        if done.returncode:
            raise ArchiveError(f"ssh: exit status {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
        return read_archive(io.BytesIO(done.stdout))
    except (OSError, subprocess.TimeoutExpired, ArchiveError) as error:
        return [Evidence(host.rpartition("@")[2], remarks=[f"not asked: {error}"])]


def _read(name: str, data: bytes) -> list[Evidence]:
    try:
        return read_archive(io.BytesIO(data))
    except ArchiveError as error:
        _fail(f"{name}: {error}", Exit.DATA_ERROR)


def _fail(text: str, code: int) -> NoReturn:
    click.echo(f"ha report: {text}", err=True)
    raise SystemExit(code)


@click.command()
@click.argument("target", default="", metavar="[DEST]")
@click.option("-f", "--from", "begin", metavar="TIME", help="From this time on (YYYY-MM-DD HH:MM:SS, local).")
@click.option("-t", "--to", "end", metavar="TIME", help="Accepted; what came later is there too.")
@click.option("-n", "--nodes", multiple=True, metavar="NAMES", help="Ask these nodes, by ssh (separated by blanks).")
@click.option("-S", "--single-node", is_flag=True, help="This node alone (it always is, without --nodes).")
@click.option("-v", "--verbose", count=True)
@click.version_option(package_name="ha", prog_name="crm_report")
def crm_report(
    target: str, begin: str | None, end: str | None, nodes: tuple[str, ...], single_node: bool, verbose: int
) -> None:
    """The same as `ha report`, with the options that pcs and Pacemaker's users know."""
    try:
        since_s = _moment(begin) if begin else time.time() - 12 * 3600
        if end is not None:
            _moment(end)
        roots = [Root.choose(None)]
    except (ValueError, RootError) as error:
        _fail(str(error), Exit.USAGE)
    hosts = () if single_node else tuple(name for names in nodes for name in names.split())
    make(target, roots, since_s, hosts, ())


def _moment(text: str) -> float:
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y-%m-%d"):
        try:
            return time.mktime(time.strptime(text, form))
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no time: write YYYY-MM-DD HH:MM:SS")
