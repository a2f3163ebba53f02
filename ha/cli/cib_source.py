# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a tool's CIB comes from: the running cluster, a file (CIB_file), or a shadow copy (CIB_shadow).

Source: every tool of Pacemaker honours these variables, and `pcs -f FILE` is nothing but CIB_file. What only the
running cluster needs is imported when it is asked: messages and sockets are half of a small tool's start-up time.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from ha.cli.exit_codes import Exit

if TYPE_CHECKING:
    from ha.cib.msg import Query, Write, Written
    from ha.ipc.client import Connection
    from ha.root import Root

DEFAULT_TIMEOUT_MS = 30_000
MAX_FILE_BYTES = 64 * 1024 * 1024
"""The CIB's own limit."""


class SourceError(Exception):
    """The CIB cannot be had or changed. `code` is the exit code for it, the text a sentence for the operator."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class CibSource(Protocol):
    def read(self) -> bytes:
        """The whole CIB. Raises SourceError."""

    def query(self, *, scope: str = "", xpath: str = "", no_children: bool = False) -> str:
        """A part of it. Raises SourceError, with NO_SUCH_OBJECT when nothing matches."""

    def write(self, operation: Write) -> Written:
        """Change it. A refusal is the answer's matter; raises SourceError when there was no answer."""

    def new_request_id(self) -> str: ...


@dataclass(slots=True)
class LiveCib:
    """The running cluster's, through this node's cib."""

    link: Connection
    timeout_ms: int = DEFAULT_TIMEOUT_MS

    def read(self) -> bytes:
        return self.query().encode()

    def query(self, *, scope: str = "", xpath: str = "", no_children: bool = False) -> str:
        from ha.cib.msg import Answer, Query

        user = os.environ.get("CIB_user", "")
        request = Query(request_id=self.new_request_id(), scope=scope, xpath=xpath, no_children=no_children, user=user)
        answer = self._ask(request)
        if not isinstance(answer, Answer):
            raise SourceError(Exit.PROTOCOL, f"the cib answered {type(answer).__name__} to a query")
        if answer.rc:
            raise SourceError(answer.rc, answer.reason)
        return answer.xml

    def write(self, operation: Write) -> Written:
        import msgspec

        from ha.cib.msg import Written

        if not operation.user and (user := os.environ.get("CIB_user")):
            operation = msgspec.structs.replace(operation, user=user)
        answer = self._ask(operation)
        if not isinstance(answer, Written):
            raise SourceError(Exit.PROTOCOL, f"the cib answered {type(answer).__name__} to a write")
        return answer

    def new_request_id(self) -> str:
        return self.link.new_request_id()

    def _ask(self, request: Query | Write) -> object:
        from ha.ipc.client import NotConnected, TimedOut

        try:
            return self.link.ask(request, self.timeout_ms)
        except TimedOut as error:
            raise SourceError(Exit.TIMEOUT, str(error)) from error
        except NotConnected as error:
            raise SourceError(Exit.NOT_CONNECTED, str(error)) from error


PACEMAKER_CIB_FOLDER = Path("/var/lib/pacemaker/cib")
"""Where crmsh looks for root's shadow copies."""


def shadow_file(name: str) -> Path:
    """The file of shadow copy `name`: in CIB_shadow_dir; else in Pacemaker's folder (root, where it exists) or a
    temporary one, as crmsh looks for it too. Raises SourceError for a name that is no file name."""
    if not name or "/" in name or "\0" in name:
        raise SourceError(Exit.USAGE, f"{name!r} cannot name a shadow copy: use letters and digits")
    if folder := os.environ.get("CIB_shadow_dir"):
        return Path(folder) / f"shadow.{name}"
    if os.getuid() == 0 and PACEMAKER_CIB_FOLDER.is_dir():
        return PACEMAKER_CIB_FOLDER / f"shadow.{name}"
    return Path(os.environ.get("TMPDIR") or "/tmp") / f"shadow.{name}"


def chosen_file(*, shadow: bool = True) -> Path | None:
    """The file that CIB_shadow or CIB_file name (a shadow copy wins, unless told to be overlooked), None when the
    running cluster is meant."""
    if shadow and (copy := os.environ.get("CIB_shadow")):
        return shadow_file(copy)
    if name := os.environ.get("CIB_file"):
        return Path(name)
    return None


def read_file(path: Path) -> bytes:
    """Raises SourceError for a file that is missing, unreadable or over the limit."""
    try:
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise SourceError(Exit.DATA_ERROR, f"{path} is larger than a CIB can be ({MAX_FILE_BYTES} bytes)")
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceError(Exit.NO_INPUT, f"{path}: no such file") from None
    except OSError as error:
        raise SourceError(Exit.NO_INPUT, f"{path}: {error.strerror}") from error


def read_stream(stream: BinaryIO) -> bytes:
    """Raises SourceError for what is over the limit, or cannot be read."""
    try:
        data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SourceError(Exit.NO_INPUT, f"standard input: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise SourceError(Exit.DATA_ERROR, f"standard input is larger than a CIB can be ({MAX_FILE_BYTES} bytes)")
    return data


def open_cib(root: Root, program: str, timeout_ms: int = DEFAULT_TIMEOUT_MS, *, shadow: bool = True) -> CibSource:
    """The CIB that the environment chooses, to read and to change. Raises SourceError."""
    path = chosen_file(shadow=shadow)
    if path is None:
        return connect(root, program, timeout_ms)
    from ha.cli.cib_file import CibFile

    return CibFile(path, program)


def connect(root: Root, program: str, timeout_ms: int = DEFAULT_TIMEOUT_MS) -> LiveCib:
    """The running cluster's CIB. Raises SourceError."""
    from ha.ipc.client import Connection, NotConnected

    try:
        return LiveCib(Connection.open(root, "cib", program=program), timeout_ms)
    except NotConnected as error:
        raise SourceError(Exit.NOT_CONNECTED, str(error)) from error


def read_cib(root: Root, program: str) -> bytes:
    """The CIB that the environment chooses, whole. Raises SourceError."""
    path = chosen_file()
    if path is not None:
        return read_file(path)
    live = connect(root, program)
    try:
        return live.read()
    finally:
        live.link.close()
