# SPDX-License-Identifier: GPL-2.0-or-later
"""`ha config convert`: configurations of other times and cluster managers into ours, and back."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click

from ha import __version__
from ha.cli.config.convert.model import Conversion, ConversionError, Remark
from ha.cli.exit_codes import Exit, words

MAX_INPUT_BYTES = 64 * 1024 * 1024
INCOMPLETE = Exit.ERROR
STONITH_QUERY_S = 10
RESOURCE_D = "/etc/ha.d/resource.d"

_TO = click.option("--to", "directory", type=click.Path(), metavar="DIR",
                   help="Write the result's files here, and only the remarks to standard output.")  # fmt: skip
_FORCE = click.option("--force", is_flag=True, help="Replace files that are there.")
_FORM = click.option("--output-as", type=click.Choice(("text", "json", "xml")), default="text", show_default=True)


@click.group()
def convert() -> None:
    """Configurations of other times and cluster managers.

    The result goes to standard output, or with --to into a directory; what is not as it was is told. Nothing is dropped
    silently.

    \b
    Exit status:
      0    everything was carried over
      1    converted, but something is lost: see the lines that begin with "lost"
      65   the input cannot be used
      66   there is no such file
      108  a file of the result is there already (--force replaces it)
    """


@convert.command()
@click.argument("haresources", default="/etc/ha.d/haresources")
@click.option("-c", "--ha-cf", default="/etc/ha.d/ha.cf", show_default=True)
@click.option("--resource-d", default=RESOURCE_D, show_default=True, help="Where scripts of class heartbeat are.")
@click.option("--no-monitor", is_flag=True, help="Do not add monitor operations.")
@_TO
@_FORCE
@_FORM
def haresources(
    haresources: str, ha_cf: str, resource_d: str, no_monitor: bool, directory: str | None, force: bool, output_as: str
) -> None:
    """haresources and ha.cf into cib.xml and an ha.cf with a CRM."""
    from ha.cli.config.convert.haresources import Surroundings, convert

    scripts = Path(resource_d)
    around = Surroundings(
        scripts=frozenset(entry.name for entry in scripts.iterdir()) if scripts.is_dir() else frozenset(),
        stonith_parameters=stonith_parameters,
        monitors=not no_monitor,
    )
    sources = ((haresources, _text(haresources)), (ha_cf, _text(ha_cf)))
    _run(lambda: convert(*sources, around), directory, force, output_as)


@convert.command()
@click.argument("corosync_conf", default="/etc/corosync/corosync.conf")
@click.option("--interface", "interfaces", multiple=True, metavar="RING=NAME", help="Where a ring is, such as 0=eth0.")
@_TO
@_FORCE
@_FORM
def corosync(
    corosync_conf: str, interfaces: tuple[str, ...], directory: str | None, force: bool, output_as: str
) -> None:
    """corosync.conf into ha.cf. The CIB beside it is converted with `cib`."""
    from ha.cli.config.convert.corosync import Surroundings, convert

    named = {}
    for pair in interfaces:
        ring, equals, name = pair.partition("=")
        if not equals or not ring.isdecimal() or not name:
            raise click.UsageError(f"--interface takes RING=NAME, not {pair!r}")
        named[int(ring)] = name
    source = (corosync_conf, _text(corosync_conf))
    _run(lambda: convert(source, Surroundings(named, resolve)), directory, force, output_as)


@convert.command()
@click.argument("cib")
@_TO
@_FORCE
@_FORM
def cib(cib: str, directory: str | None, force: bool, output_as: str) -> None:
    """A CIB of an older schema, back to Heartbeat 2's, into the present words. "-" is standard input."""
    from ha.cli.config.convert.older_cib import convert

    source = (cib, _bytes(cib))
    _run(lambda: convert(source), directory, force, output_as)


@convert.command()
@click.argument("cib")
@click.option("--nodeid", "nodeids", multiple=True, metavar="NAME=NUMBER", help="The id of a node in corosync.conf.")
@_TO
@_FORCE
@_FORM
def pacemaker(cib: str, nodeids: tuple[str, ...], directory: str | None, force: bool, output_as: str) -> None:
    """Our CIB into one for Pacemaker 2.1 on corosync. "-" is standard input."""
    from ha.cli.config.convert.pacemaker import convert

    ids = {}
    for pair in nodeids:
        name, equals, number = pair.partition("=")
        if not equals or not number.isdecimal():
            raise click.UsageError(f"--nodeid takes NAME=NUMBER, not {pair!r}")
        ids[name] = number
    source = (cib, _bytes(cib))
    _run(lambda: convert(source, ids), directory, force, output_as)


# Surroundings --------------------------------------------------------------------------------------------------------


def stonith_parameters(plugin: str) -> tuple[str, ...] | None:
    """The names of a Linux-HA plug-in's parameters, as cluster-glue's `stonith` tells them; None when it cannot."""
    program = shutil.which("stonith")
    if program is None:
        return None
    try:
        asked = subprocess.run(
            [program, "-t", plugin, "-n"], capture_output=True, text=True, timeout=STONITH_QUERY_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return None
    return tuple(asked.stdout.split()) if asked.returncode == 0 else None


def resolve(name: str) -> str | None:
    try:
        return str(socket.getaddrinfo(name, None, proto=socket.IPPROTO_UDP)[0][4][0])
    except (OSError, UnicodeError):
        return None


# Input and output ----------------------------------------------------------------------------------------------------


def _bytes(path: str) -> bytes:
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_INPUT_BYTES + 1)
    except (OSError, ValueError) as error:
        _fail(f"{path}: {getattr(error, 'strerror', error)}", Exit.NO_INPUT)
    if len(data) > MAX_INPUT_BYTES:
        _fail(f"{path}: longer than {MAX_INPUT_BYTES} bytes", Exit.DATA_ERROR)
    return data


def _text(path: str) -> str:
    data = _bytes(path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        _fail(f"{path}:{line}: not UTF-8", Exit.DATA_ERROR)
        raise


def _fail(text: str, code: Exit) -> None:
    click.echo(f"ha config convert: {text}", err=True)
    raise SystemExit(code)


def _run(make: Callable[[], Conversion], directory: str | None, force: bool, output_as: str) -> None:
    try:
        made = make()
    except ConversionError as error:
        if output_as != "text":
            _emit(output_as, None, Exit.DATA_ERROR, error.problems)
        else:
            for problem in error.problems:
                click.echo(problem, err=True)
        raise SystemExit(Exit.DATA_ERROR) from error
    if directory is not None:
        _write(made, Path(directory), force)
    code = Exit.OK if made.complete else INCOMPLETE
    if output_as != "text":
        _emit(output_as, made, code)
    else:
        if directory is None:
            click.echo("".join(_titled(name, text, len(made.files)) for name, text in made.files.items()), nl=False)
        for line in report(made.remarks):
            click.echo(line, err=directory is None)
    raise SystemExit(code)


def _titled(name: str, text: str, count: int) -> str:
    if count == 1:
        return text
    return f"<!-- {name} -->\n{text}" if name.endswith(".xml") else f"# {name}\n{text}"


def report(remarks: tuple[Remark, ...]) -> list[str]:
    """The remarks for people, what is lost first."""
    lines = []
    for weight in ("lost", "changed"):
        for remark in remarks:
            if remark.weight == weight:
                lines.append(f"{weight}: {remark.where}: {remark.what}")
                lines += [f"    {remark.advice}"] if remark.advice else []
    lost = sum(remark.weight == "lost" for remark in remarks)
    return [*lines, f"{lost} lost, {len(remarks) - lost} changed"]


def _write(made: Conversion, directory: Path, force: bool) -> None:
    taken = [name for name in made.files if (directory / name).exists()]
    if taken and not force:
        _fail(f"{directory / taken[0]} is there already: --force replaces it", Exit.EXISTS)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in made.files.items():
            (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}", Exit.CANNOT_CREATE)


def _emit(form: str, made: Conversion | None, code: Exit, problems: tuple[str, ...] = ()) -> None:
    files = made.files if made is not None else {}
    remarks = made.remarks if made is not None else ()
    if form == "json":
        told = [{"weight": r.weight, "where": r.where, "what": r.what, "advice": r.advice} for r in remarks]
        result = {"status": {"code": int(code), "message": words(code), "errors": list(problems)},
                  "files": files, "remarks": told}  # fmt: skip
        click.echo(json.dumps(result, indent=2))
        return
    from lxml import etree

    from ha.cli.output.xml_result import XmlResult, as_xml

    result_xml = XmlResult(["ha", *sys.argv[1:]])
    for name, text in files.items():
        etree.SubElement(result_xml.root, "file", {"name": name}).text = as_xml(text)
    for remark in remarks:
        attributes = {"weight": remark.weight, "where": as_xml(remark.where), "what": as_xml(remark.what)}
        attributes |= {"advice": as_xml(remark.advice)} if remark.advice else {}
        etree.SubElement(result_xml.root, "remark", attributes)
    click.echo(result_xml.finish(code, words(code), problems), nl=False)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("haresources", default="/etc/ha.d/haresources")
@click.option("-c", "--ha-cf", default="/etc/ha.d/ha.cf", show_default=True)
@click.option("--no-monitor", is_flag=True, help="Do not add monitor operations.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the CIB instead of writing it.")
@click.option("--cib", "target", default="/var/lib/heartbeat/crm/cib.xml", show_default=True, metavar="FILE")
@click.version_option(__version__, prog_name="haresources2cib")
def haresources2cib(haresources: str, ha_cf: str, no_monitor: bool, to_stdout: bool, target: str) -> None:
    """haresources and ha.cf into a CIB. `ha config convert haresources` does this too, and rewrites ha.cf."""
    from ha.cli.config.convert.haresources import Surroundings, convert

    scripts = Path(RESOURCE_D)
    names = frozenset(entry.name for entry in scripts.iterdir()) if scripts.is_dir() else frozenset()
    around = Surroundings(names, stonith_parameters, monitors=not no_monitor)
    try:
        made = convert((haresources, _text(haresources)), (ha_cf, _text(ha_cf)), around)
    except ConversionError as error:
        for problem in error.problems:
            click.echo(problem, err=True)
        raise SystemExit(Exit.DATA_ERROR) from error
    if to_stdout:
        click.echo(made.files["cib.xml"], nl=False)
    elif Path(target).exists() or Path(f"{target}.sig").exists():
        _fail(f"{target} is there already: look at it, or use --stdout", Exit.EXISTS)
    else:
        try:
            Path(target).write_text(made.files["cib.xml"], encoding="utf-8")
        except OSError as error:
            _fail(f"{target}: {error.strerror}", Exit.CANNOT_CREATE)
    for line in report(made.remarks):
        click.echo(line, err=True)
    raise SystemExit(Exit.OK if made.complete else INCOMPLETE)
