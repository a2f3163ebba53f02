# SPDX-License-Identifier: GPL-2.0-or-later
"""What an order of crm_resource works with: the CIB, the model the policy engine makes of it, the workers."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from ha.cli.exit_codes import Exit
from ha.cli.source.cib import CibSource, SourceError, chosen_file, open_cib

if TYPE_CHECKING:
    from ha.cib.msg import Operation, Written
    from ha.machine import Message
    from ha.pe.model.cluster import Cluster
    from ha.pe.model.resource import Resource
    from ha.root import Root

PROGRAM = "crm_resource"
ASK_TIMEOUT_MS = 30_000


class OrderError(Exception):
    """The order cannot be carried out; `code` is the exit code, the text says why and what to do."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class Session:
    def __init__(self, root: Root, options: Namespace, request: list[str] | None = None) -> None:
        """`request` is the whole command line, which the XML form of an answer repeats."""
        self.root = root
        self.options = options
        self.request = request or [PROGRAM]

    @cached_property
    def cib(self) -> CibSource:
        return open_cib(self.root, PROGRAM)

    @cached_property
    def cluster(self) -> Cluster:
        from ha.cli.source.cluster import view_of

        return view_of(self.cib.read(), int(time.time()))

    def resource(self) -> Resource:
        """The one named by --resource, of what a clone has made many of the first. Raises OrderError when it is not
        named or not there."""
        name = self.options.resource
        if not name:
            raise OrderError(Exit.USAGE, "name the resource with --resource")
        found = self.cluster.find(name) or next(
            (each for each in _all(self.cluster.resources) if each.xml.get("id") == name), None
        )
        if found is None:
            raise OrderError(Exit.NO_SUCH_OBJECT, f"resource {name!r} is not configured; see crm_resource --list")
        return found

    def require_node(self, name: str) -> str:
        """The node's name as configured. Raises OrderError for one that is not there."""
        node = self.cluster.node(name)
        if node is None:
            known = " ".join(n.name for n in self.cluster.nodes)
            raise OrderError(Exit.NO_SUCH_OBJECT, f"node {name!r} is not configured; the nodes are: {known}")
        return node.name

    def write(self, operation: Operation, xml: str, *, scope: str = "", xpath: str = "") -> None:
        """Change the CIB. Raises OrderError with the cib's reason."""
        from ha.cib.msg import Write

        written: Written = self.cib.write(
            Write(
                request_id=self.cib.new_request_id(),
                operation=operation,
                scope=scope,
                xpath=xpath,
                xml=xml,
                allow_create=operation == "modify",
            )
        )
        if written.outcome != "committed":
            raise OrderError(written.rc or Exit.ERROR, f"the change was {written.outcome}: {written.reason}")

    def ask(self, worker: str, request: Message, timeout_ms: int = ASK_TIMEOUT_MS) -> Message:
        """Ask another worker of this node. Raises OrderError, also when the tool is at work on a file."""
        from ha.ipc.client import Connection, NotConnected, TimedOut

        if worker == "crmd" and (file := chosen_file()) is not None:
            raise OrderError(Exit.UNIMPLEMENTED, f"{file} is no running cluster: only that can do it")
        try:
            with Connection.open(self.root, worker, program=PROGRAM) as link:
                return link.ask(request, timeout_ms)
        except TimedOut as error:
            raise OrderError(Exit.TIMEOUT, str(error)) from error
        except NotConnected as error:
            raise OrderError(Exit.NOT_CONNECTED, str(error)) from error

    def new_request_id(self) -> str:
        return f"{PROGRAM}-{time.time_ns():x}"


def _all(resources: Iterable[Resource]) -> Iterator[Resource]:
    for resource in resources:
        yield resource
        yield from _all(resource.children)


def tell(text: str) -> None:
    """A remark that is not the answer: standard error, so that scripts read the answer alone."""
    print(text, file=sys.stderr)


__all__ = ["OrderError", "Session", "SourceError", "tell"]
