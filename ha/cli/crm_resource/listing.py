# SPDX-License-Identifier: GPL-2.0-or-later
"""What resources there are, and where they run."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from ha.cli.cluster_view import primitives
from ha.cli.crm_resource.session import OrderError, Session, tell
from ha.cli.exit_codes import Exit
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role


def list_resources(session: Session) -> int:
    """--list: as crm_mon prints them."""
    from ha.cli.status_text import resource_lines

    if not session.cluster.resources:
        print("No resources")
        return Exit.OK
    print("Full List of Resources:")
    for resource in session.cluster.resources:
        for line in resource_lines(resource):
            print(f"  {line}")
    return Exit.OK


def list_raw(session: Session) -> int:
    """--list-raw: the ids of all primitives, one a line."""
    for resource in primitives(session.cluster.resources):
        print(resource.id)
    return Exit.OK


def instances(resource: Resource) -> Iterator[Resource]:
    """The primitives a resource consists of."""
    yield from primitives([resource])


def locate(session: Session) -> int:
    """--locate: one line for each place; "NOT running" goes to standard error. The exit code is 0 both ways."""
    resource = session.resource()
    name = session.options.resource
    found = False
    for instance in instances(resource):
        for node in instance.active:
            found = True
            promoted = " Promoted" if instance.orig_role == Role.PROMOTED else ""
            print(f"resource {name} is running on: {node.name}{promoted}")
        if resource.is_group and found:
            break
    if not found:
        tell(f"resource {name} is NOT running")
    return Exit.OK


def query_xml(session: Session, *, expanded: bool) -> int:
    """--query-xml, --query-xml-raw: the definition, with or without its template merged in."""
    resource = session.resource()
    print("Resource XML:")
    print(etree.tostring(resource.xml if expanded else resource.orig_xml, encoding="unicode", pretty_print=True))
    return Exit.OK


def running_nodes(resource: Resource) -> list[str]:
    """Names of the nodes on which any part of it runs, each once, in order of the configuration."""
    return list(dict.fromkeys(node.name for instance in instances(resource) for node in instance.active))


def list_operations(session: Session) -> int:
    """--list-all-operations: the history, one line an operation."""
    status = session.cluster.document.section("status")
    lines = 0
    for state in status.iterchildren("node_state") if status is not None else ():
        if session.options.node and state.get("uname") != session.options.node:
            continue
        for entry in state.iterfind("lrm/lrm_resources/lrm_resource"):
            if session.options.resource and entry.get("id") != session.options.resource:
                continue
            for operation in entry.iterchildren("lrm_rsc_op"):
                lines += 1
                print(
                    f"{entry.get('id')}\t{operation.get('operation')} on {state.get('uname')}: "
                    f"call={operation.get('call-id')} rc={operation.get('rc-code')} "
                    f"status={operation.get('op-status')} interval={operation.get('interval')}ms"
                )
    if not lines and session.options.resource:
        raise OrderError(Exit.NO_SUCH_OBJECT, f"there is no history of {session.options.resource}")
    return Exit.OK
