# SPDX-License-Identifier: GPL-2.0-or-later
"""What resources there are, and where they run."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from ha.cli.crm_resource.session import Session, tell
from ha.cli.exit_codes import Exit
from ha.cli.source.cluster import moment, primitives
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role


def list_resources(session: Session) -> int:
    """--list: as crm_mon prints them."""
    from ha.cli.output.status_text import resource_lines

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
    """The primitives a resource consists of; where a clone has made many of it, all of them."""
    asked = {each.xml.get("id") for each in primitives([resource])}
    while resource.parent is not None:
        resource = resource.parent
    yield from (each for each in primitives([resource]) if each.xml.get("id") in asked)


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
        if resource.is_group and resource.parent is None and found:
            break
    if not found:
        tell(f"resource {name} is NOT running")
    return Exit.OK


def query_xml(session: Session) -> int:
    """--query-xml: the definition with its template merged in."""
    return _print_definition(session.resource().xml)


def query_xml_raw(session: Session) -> int:
    """--query-xml-raw: the definition as it is configured."""
    return _print_definition(session.resource().orig_xml)


def _print_definition(element: etree._Element) -> int:
    print("Resource XML:")
    print(etree.tostring(element, encoding="unicode", pretty_print=True))
    return Exit.OK


def running_nodes(resource: Resource) -> list[str]:
    """Names of the nodes on which any part of it runs, each once, in order of the configuration."""
    return list(dict.fromkeys(node.name for instance in instances(resource) for node in instance.active))


def list_operations(session: Session) -> int:
    """--list-operations: the history, one line an operation."""
    options = session.options
    node = session.require_node(options.node) if options.node else None
    wanted = {each.xml.get("id") for each in instances(session.resource())} if options.resource else None
    status = session.cluster.document.section("status")
    for state in status.iterchildren("node_state") if status is not None else ():
        if node not in (None, state.get("uname")):
            continue
        for entry in state.iterfind("lrm/lrm_resources/lrm_resource"):
            if wanted is None or entry.get("id") in wanted:
                _print_operations(session, str(state.get("uname")), entry)
    return Exit.OK


def _print_operations(session: Session, node: str, entry: etree._Element) -> None:
    from ha.cli.output.status_text import primitive_text

    name = str(entry.get("id"))
    known = session.cluster.find(name)
    if known is None or not known.is_primitive:
        title = f"{name}\t({':'.join(v for n in ('class', 'provider', 'type') if (v := entry.get(n)))}):\t REMOVED"
    else:
        title = primitive_text(known, name, None, False)
    for operation in entry.iterchildren("lrm_rsc_op"):
        done = execution_words(operation.get("op-status"))
        print(
            f"{title}: {operation.get('operation_key')} (node={node}, call={operation.get('call-id')}, "
            f"rc={operation.get('rc-code')}, last-rc-change='{moment(operation.get('last-rc-change'))}', "
            f"exec={operation.get('exec-time')}ms): {done}"
        )


EXECUTION_WORDS = {
    "-1": "pending", "0": "complete", "1": "Cancelled", "2": "Timed Out", "3": "NOT SUPPORTED", "4": "Error",
    "5": "Not installed", "6": "Executor Disconnected", "7": "Internal communication failure",
}  # fmt: skip


def execution_words(status: str | None) -> str:
    """How an operation's execution ended, in the words that clients expect."""
    return EXECUTION_WORDS.get(status or "", "UNKNOWN!")
