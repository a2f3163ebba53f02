# SPDX-License-Identifier: GPL-2.0-or-later
"""`crm_shadow`: copies of the configuration to try changes on. With CIB_shadow=NAME every tool works on the copy.

Options, exit codes and file names are those of Pacemaker 2.1's, which crmsh and Hawk use.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ha import whole_file
from ha.cli.exit_codes import Exit
from ha.cli.output.result import add_version

if TYPE_CHECKING:
    from lxml import etree

    from ha.cli.source.cib import CibSource

PROGRAM = "crm_shadow"
DANGEROUS = "To prevent accidental destruction of the cluster, the --force flag is required in order to proceed."


class ShadowError(Exception):
    """Nothing was changed. `code` is the exit code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog=PROGRAM, description="Try changes on a copy of the configuration.")
    add_version(p)
    p.add_argument("--root", help="the node's root directory (default: HA_ROOT, else this machine's own)")
    order = p.add_argument_group("order (one of)").add_mutually_exclusive_group(required=True)
    for short, name, text in (
        ("-w", "which", "print the name of the copy in use"),
        ("-F", "file", "print its file"),
        ("-p", "display", "print it"),
        ("-E", "edit", "open it in $EDITOR"),
        ("-d", "diff", "print what differs from the cluster's; exit 1 if anything does"),
    ):
        order.add_argument(short, f"--{name}", action="store_true", help=text)
    for short, name, text in (
        ("-c", "create", "copy the cluster's configuration"),
        ("-e", "create-empty", "make an empty one"),
        ("-r", "reset", "copy the cluster's configuration again"),
        ("-C", "commit", "put it in place of the cluster's configuration (needs --force)"),
        ("-D", "delete", "delete it (needs --force)"),
        ("-s", "switch", "use another copy"),
    ):
        order.add_argument(short, f"--{name}", metavar="NAME", help=text)
    p.add_argument("-f", "--force", action="store_true", help="overwrite, commit, delete")
    p.add_argument("-b", "--batch", action="store_true", help="start no shell that uses the copy")
    p.add_argument("-a", "--all", action="store_true", help="for --commit: with the status")
    p.add_argument("-v", "--validate-with", metavar="SCHEMA", help="for --create-empty (pacemaker-3.9)")
    p.add_argument("-V", "--verbose", action="count", default=0)
    return p


def main(argv: Sequence[str] | None = None) -> int:
    try:
        options = parser().parse_args(argv)
    except SystemExit as ended:
        return Exit.USAGE if ended.code else Exit.OK
    from ha.cli.source.cib import SourceError
    from ha.root import RootError

    order = next(name for name in ORDERS if getattr(options, name) not in (None, False))
    try:
        return ORDERS[order](options)
    except (ShadowError, SourceError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.code
    except RootError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return Exit.USAGE
    except OSError as error:
        print(f"{PROGRAM}: {error.filename}: {error.strerror}", file=sys.stderr)
        return Exit.IO_ERROR


def edit(options: argparse.Namespace) -> int:
    file = _file(_active())
    _read(_active())
    editor = os.environ.get("EDITOR") or "vi"
    return subprocess.run([*editor.split(), str(file)], check=False).returncode


def diff(options: argparse.Namespace) -> int:
    from ha.cib.model.diff import diff_of
    from ha.cib.model.document import Document
    from ha.cib.model.refusal import Refusal

    name = _active()
    try:
        patch = diff_of(Document.from_bytes(_cluster(options)), Document.from_bytes(_read(name)), True)
    except Refusal as refusal:
        raise ShadowError(Exit.DATA_ERROR, str(refusal)) from refusal
    if patch is None:
        print("they differ in elements that no patch can name")
        return Exit.ERROR
    lines = list(diff_lines(patch))
    for line in lines:
        print(line)
    return Exit.ERROR if lines else Exit.OK


def diff_lines(patch: etree._Element) -> Iterator[str]:
    """A patch as people read it: -- what goes, ++ what comes, + and - for attributes, > for what moves."""
    from lxml import etree

    for change in patch.iterfind("change"):
        path = change.get("path", "")
        match change.get("operation"):
            case "delete":
                yield f"-- {path}"
            case "create":
                for line in etree.tostring(change[0], encoding="unicode", pretty_print=True).splitlines():
                    yield f"++ {path}:  {line}"
            case "move":
                yield f"+~ {path} moved to offset {change.get('position')}"
            case _:
                for attribute in change.iterfind("change-list/change-attr"):
                    gone = attribute.get("operation") == "unset"
                    value = "" if gone else f"={attribute.get('value')}"
                    yield f"{'- ' if gone else '+ '} {path}:  @{attribute.get('name')}{value}"


def create(options: argparse.Namespace) -> int:
    _refuse_existing(options.create, options.force)
    _write(options.create, _cluster(options))
    return _enter(options.create, options, new=True)


def create_empty(options: argparse.Namespace) -> int:
    from lxml import etree

    from ha.cib.model.document import Document

    _refuse_existing(options.create_empty, options.force)
    root = Document.empty().root
    if options.validate_with:
        root.set("validate-with", options.validate_with)
    _write(options.create_empty, etree.tostring(root, encoding="utf-8", xml_declaration=True, pretty_print=True))
    print(f"Created new {root.get('validate-with')} configuration")
    return _enter(options.create_empty, options, new=True)


def reset(options: argparse.Namespace) -> int:
    _read(options.reset)
    _write(options.reset, _cluster(options))
    return _enter(options.reset, options, new=True)


def switch(options: argparse.Namespace) -> int:
    _read(options.switch)
    return _enter(options.switch, options, new=False)


def commit(options: argparse.Namespace) -> int:
    from lxml import etree

    from ha.cib.model.document import Document
    from ha.cib.model.refusal import Refusal
    from ha.cib.msg import Write

    _require_force(options)
    try:
        whole = Document.from_bytes(_read(options.commit)).root
    except Refusal as refusal:
        raise ShadowError(Exit.DATA_ERROR, str(refusal)) from refusal
    part = whole if options.all else whole.find("configuration")
    if part is None:
        raise ShadowError(Exit.DATA_ERROR, f"shadow copy {options.commit!r} has no configuration")
    source = _source(options)
    written = source.write(
        Write(
            request_id=source.new_request_id(), operation="replace", scope="" if options.all else "configuration",
            xml=etree.tostring(part, encoding="unicode", with_tail=False), force=options.all,
        )
    )  # fmt: skip
    if written.outcome != "committed":
        raise ShadowError(
            written.rc or Exit.ERROR,
            f"Could not commit shadow instance '{options.commit}': it was {written.outcome}: {written.reason}",
        )
    return _leave(options.commit)


def delete(options: argparse.Namespace) -> int:
    _require_force(options)
    _file(options.delete).unlink(missing_ok=True)
    return _leave(options.delete)


def _active() -> str:
    name = os.environ.get("CIB_shadow", "")
    if not name:
        raise ShadowError(Exit.NO_SUCH_OBJECT, "No active shadow configuration defined")
    return name


def _file(name: str) -> Path:
    from ha.cli.source.cib import shadow_file

    return shadow_file(name)


def _read(name: str) -> bytes:
    from ha.cli.source.cib import SourceError, read_file

    try:
        return read_file(_file(name))
    except SourceError as error:
        raise ShadowError(Exit.NO_SUCH_OBJECT, f"Could not access shadow instance '{name}': {error}") from error


def _write(name: str, data: bytes) -> None:
    """In one step, readable by its owner alone: it holds what the CIB holds."""
    whole_file.replace(_file(name), data)


def _source(options: argparse.Namespace) -> CibSource:
    """The cluster's CIB (or CIB_file's), not the shadow copy that may be in use."""
    from ha.cli.source.cib import open_cib
    from ha.root import Root

    return open_cib(Root.choose(options.root), PROGRAM, shadow=False)


def _cluster(options: argparse.Namespace) -> bytes:
    return _source(options).read()


def _refuse_existing(name: str, force: bool) -> None:
    if _file(name).exists() and not force:
        raise ShadowError(Exit.CANNOT_CREATE, f"A shadow instance '{name}' already exists.\n  {DANGEROUS}")


def _require_force(options: argparse.Namespace) -> None:
    if not options.force:
        raise ShadowError(Exit.USAGE, f"The supplied command is considered dangerous.  {DANGEROUS}")


def _enter(name: str, options: argparse.Namespace, *, new: bool) -> int:
    """Say how to use the copy; without --batch, at a terminal, start a shell that does."""
    print("Setting up shadow instance")
    if not options.batch and sys.stdin.isatty():
        shell = os.environ.get("SHELL") or "/bin/sh"
        print("Type Ctrl-D to leave it", flush=True)
        done = subprocess.run([shell], env={**os.environ, "CIB_shadow": name}, check=False)
        return done.returncode
    if new:
        print("A new shadow instance was created.  To begin using it paste the following into your shell:")
    else:
        print("To switch to the named shadow instance, paste the following into your shell:")
    print(f"  CIB_shadow={name} ; export CIB_shadow")
    return Exit.OK


def _leave(name: str) -> int:
    if os.environ.get("CIB_shadow") in (name, None, ""):
        print("Please remember to unset the CIB_shadow variable by pasting the following into your shell:")
        print("  unset CIB_shadow")
    return Exit.OK


def _print(text: str) -> int:
    print(text)
    return Exit.OK


ORDERS: dict[str, Callable[[argparse.Namespace], int]] = {
    "which": lambda options: _print(_active()),
    "file": lambda options: _print(str(_file(_active()))),
    "display": lambda options: _print(_read(_active()).decode().rstrip("\n")),
    "edit": edit,
    "diff": diff,
    "create": create,
    "create_empty": create_empty,
    "reset": reset,
    "commit": commit,
    "delete": delete,
    "switch": switch,
}
