# SPDX-License-Identifier: GPL-2.0-or-later
"""A change, made on a copy of the CIB by whatever command the operator would have used on the cluster.

Every tool of Pacemaker's, ours, crmsh and pcs work on a file when CIB_file names one.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from ha.cib.model.diff import diff_of
from ha.cib.model.document import Document
from ha.cib.model.edit import PASSING_ATTRIBUTES
from ha.cib.model.judge import apply_write
from ha.cib.model.refusal import Refusal
from ha.cib.msg import Write
from ha.cib.schema import load as load_schema
from ha.cli.exit_codes import Exit
from ha.cli.plan.model import PlanError
from ha.cli.source.cib import SourceError, read_file

REQUEST_ID = "ha-plan"


def by_command(cib: bytes, command: Sequence[str]) -> bytes:
    """The copy after `command` was at it. Raises PlanError when it cannot be run, or fails."""
    with _copy_of(cib) as copy:
        _run(list(command), _environment(copy), shlex.join(command))
        return from_file(copy)


def by_editor(cib: bytes) -> bytes:
    """The copy as the operator leaves it. Raises PlanError."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    name = f"the editor {editor!r}"
    root = etree.fromstring(cib)
    etree.indent(root)
    with _copy_of(etree.tostring(root, pretty_print=True)) as copy:
        try:
            command = [*shlex.split(editor), str(copy)]
        except ValueError as error:
            raise PlanError(Exit.NOT_INSTALLED, f"{name} cannot be run: {error}") from error
        _run(command, None, name)
        return from_file(copy)


@contextlib.contextmanager
def _copy_of(cib: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ha-plan-") as folder:
        copy = Path(folder) / "cib.xml"
        copy.write_bytes(cib)
        yield copy


def _run(command: Sequence[str], environment: dict[str, str] | None, name: str) -> None:
    """`name` is what the operator calls it."""
    try:
        status = subprocess.run(command, env=environment, check=False).returncode
    except OSError as error:
        raise PlanError(Exit.NOT_INSTALLED, f"{name} cannot be run: {error.strerror}") from error
    if status:
        raise PlanError(Exit.ERROR, f"{name} ended with exit code {status}: nothing to plan")


def from_file(path: Path) -> bytes:
    """A changed copy that is there already. Raises PlanError."""
    try:
        return read_file(path)
    except SourceError as error:
        raise PlanError(error.code, str(error)) from error


def _environment(copy: Path) -> dict[str, str]:
    """The tools that lie beside this program are found first; nothing names the live CIB or a shadow of it."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("CIB_")}
    own = os.path.dirname(os.path.abspath(sys.argv[0]))
    beside = os.path.dirname(sys.executable)
    path = os.pathsep.join([own, beside, os.environ.get("PATH", os.defpath)])
    return {**given, "CIB_file": str(copy), "PATH": path}


@dataclass(frozen=True, slots=True)
class Edit:
    """`patch` turns the CIB of `revision` into `cib`, as the cluster will have it; "" when nothing is changed."""

    revision: str
    patch: str
    cib: bytes


def edit_between(before: bytes, after: bytes) -> Edit:
    """Raises PlanError when no patch can tell what became of the copy, or the cluster would refuse it."""
    try:
        old, new = Document.from_bytes(before), Document.from_bytes(after)
        revision = str(old.version)
        _with_the_moment_of(old.root, new.root)
        diff = diff_of(old, new)
        if diff is None:
            raise PlanError(Exit.DATA_ERROR, "no patch can tell the change: give the elements it touches ids")
        if diff.find("change") is None:
            return Edit(revision, "", before)
        if any(_is_status(change) for change in diff.iterchildren("change")):
            raise PlanError(Exit.DATA_ERROR, "the change touches the status, which only the cluster itself writes")
        patch = etree.tostring(diff, encoding="unicode")
        apply_write(old, Write(request_id=REQUEST_ID, operation="patch", xml=patch), load_schema())
        return Edit(revision, patch, old.snapshot().to_bytes())
    except Refusal as refusal:
        raise PlanError(refusal.rc, f"the cluster would refuse it: {refusal}") from refusal


def _with_the_moment_of(old: etree._Element, new: etree._Element) -> None:
    """The tool that made the change counted for itself; the cluster does so on its own."""
    for name in PASSING_ATTRIBUTES:
        if (value := old.get(name)) is not None:
            new.set(name, value)
        else:
            new.attrib.pop(name, "")


def _is_status(change: etree._Element) -> bool:
    path = change.get("path") or ""
    return path == "/cib/status" or path.startswith("/cib/status/")
