# SPDX-License-Identifier: GPL-2.0-or-later
"""Where a tool's CIB comes from: the running cluster, a file (CIB_file), or a shadow copy (CIB_shadow).

Source: every tool of Pacemaker honours these variables, and `pcs -f FILE` is nothing but CIB_file. What only the
running cluster needs is imported when it is asked: messages and sockets are half of a small tool's start-up time.
"""

from __future__ import annotations

import os
import socket
from functools import cached_property
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
MAX_SHOWN_BYTES = 1024 * 1024
"""A larger CIB is asked for: to find a part of it in its text takes longer than to ask."""


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


class LiveCib:
    """The running cluster's: changed by this node's cib; read in shared memory, where this user may, or asked of it.

    Shared memory shows what the cib would answer: a change before it is acknowledged. A large CIB is asked for: the cib
    may have what is wanted of it as text already.
    """

    def __init__(self, root: Root, program: str, timeout_ms: int = DEFAULT_TIMEOUT_MS) -> None:
        self._root = root
        self._program = program
        self.timeout_ms = timeout_ms

    @cached_property
    def link(self) -> Connection:
        """To the cib. Raises SourceError."""
        from ha.ipc.client import Connection, NotConnected

        try:
            return Connection.open(self._root, "cib", program=self._program)
        except NotConnected as error:
            raise SourceError(Exit.NOT_CONNECTED, str(error)) from error

    def close(self) -> None:
        link: Connection | None = self.__dict__.pop("link", None)
        if link is not None:
            link.close()

    def read(self) -> bytes:
        shown = self._shown()
        return shown if shown is not None else self._asked("", "", False).encode()

    def query(self, *, scope: str = "", xpath: str = "", no_children: bool = False) -> str:
        shown = self._shown()
        if shown is None:
            return self._asked(scope, xpath, no_children)
        if not scope and not xpath and not no_children:
            return shown.decode()
        from lxml import etree

        from ha.cib.model.parse import parse
        from ha.cib.model.query import answer
        from ha.cib.model.refusal import Refusal

        try:
            found = answer(parse(shown, is_own=True), scope, xpath, no_children)
        except Refusal as refusal:
            raise SourceError(refusal.rc, str(refusal)) from refusal
        return etree.tostring(found, encoding="unicode", with_tail=False)

    def _shown(self) -> bytes | None:
        """The whole CIB from shared memory; None when it has to be asked for: it is not there, this user may not read
        it, or another user's view of it is wanted."""
        if os.environ.get("CIB_user") or not _listens(self._root.socket("cib")):
            return None
        from ha.cib.io.glance import newest_xml
        from ha.cib.io.layout import SharedMemoryError

        try:
            shown = newest_xml(self._root)
        except SharedMemoryError:
            return None
        return shown if shown is not None and len(shown) <= MAX_SHOWN_BYTES else None

    def _asked(self, scope: str, xpath: str, no_children: bool) -> str:
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


def _listens(path: Path) -> bool:
    """Whether a worker has its socket open: what a stopped cluster left in shared memory is not its CIB."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


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
    from ha.cli.source.file import CibFile

    return CibFile(path, program)


def connect(root: Root, program: str, timeout_ms: int = DEFAULT_TIMEOUT_MS) -> LiveCib:
    """The running cluster's CIB, whatever the environment says."""
    return LiveCib(root, program, timeout_ms)


def read_cib(root: Root, program: str) -> bytes:
    """The CIB that the environment chooses, whole. Raises SourceError."""
    path = chosen_file()
    if path is not None:
        return read_file(path)
    live = connect(root, program)
    try:
        return live.read()
    finally:
        live.close()
