# SPDX-License-Identifier: GPL-2.0-or-later
"""What the operator said of the nodes, and the ha.cf and first CIB that it amounts to."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ha.cib.model.document import Document
from ha.cib.model.judge import apply_write
from ha.cib.model.refusal import Refusal
from ha.cib.model.schema import Schema
from ha.cib.msg import Write
from ha.cli.output.xml_text import quoteattr
from ha.heartbeat.model.ha_cf import HaCfError
from ha.heartbeat.model.ha_cf_parser import parse

MAX_NODES = 100
MAX_NETWORKS = 8
CLUSTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
NODE_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,99}")


class PlanError(ValueError):
    """What was said of the cluster cannot be; the text says what, and what to say instead."""


@dataclass(frozen=True, slots=True)
class Address:
    """`port` 0: the cluster's."""

    host: str
    port: int = 0

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.is_ipv6 and self.port else self.host
        return f"{host}:{self.port}" if self.port else host


@dataclass(frozen=True, slots=True)
class Node:
    """One address on each of the cluster's networks, in the same order for all nodes."""

    name: str
    addresses: tuple[Address, ...]


def read_address(text: str) -> Address:
    """ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT. Raises PlanError."""
    bare, port = text, ""
    if text.startswith("["):
        bare, _, port = text[1:].partition("]:")
    elif text.count(":") == 1:
        bare, _, port = text.partition(":")
    try:
        host = str(ipaddress.ip_address(bare))
    except ValueError:
        raise PlanError(f"{text!r} is no IP address (write 10.0.0.1, or 10.0.0.1:694 with a port)") from None
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise PlanError(f"{text!r}: {port!r} is no port")
    return Address(host, int(port or 0))


def read_node(text: str) -> Node:
    """NAME=ADDRESS[,ADDRESS...]. Raises PlanError."""
    name, equals, addresses = text.partition("=")
    if not equals or not addresses:
        raise PlanError(f"{text!r}: say NAME=ADDRESS, such as alpha=192.0.2.11")
    if not NODE_NAME.fullmatch(name.lower()):
        raise PlanError(f"{name!r} is no node name: letters, digits, '-', '_' and '.', as `uname -n` says it")
    return Node(name.lower(), tuple(read_address(word) for word in addresses.split(",")))


def check_nodes(nodes: Sequence[Node]) -> None:
    """Raises PlanError when they do not make a cluster."""
    if not 1 <= len(nodes) <= MAX_NODES:
        raise PlanError(f"{len(nodes)} nodes: a cluster has 1 to {MAX_NODES}; name each with --node NAME=ADDRESS")
    names = [node.name for node in nodes]
    addresses = [str(address) for node in nodes for address in node.addresses]
    for what, given in (("node", names), ("address", addresses)):
        if twice := [each for each in dict.fromkeys(given) if given.count(each) > 1]:
            raise PlanError(f"{what} {twice[0]} is given twice")
    counts = {len(node.addresses) for node in nodes}
    if len(counts) > 1 or max(counts) > MAX_NETWORKS:
        raise PlanError(f"each node needs one address on each of the same networks (at most {MAX_NETWORKS}), in order")
    for network in zip(*(node.addresses for node in nodes), strict=True):
        if len({address.is_ipv6 for address in network}) > 1:
            raise PlanError(f"{', '.join(map(str, network))}: one network has IPv4 or IPv6 addresses, not both")


def render_ha_cf(
    nodes: Sequence[Node], own: Node, interface_of: Callable[[Address], str], name: str, profile: str,
    directives: Sequence[str],
) -> str:  # fmt: skip
    """The node's ha.cf. Raises PlanError when a directive is none, or all of it is no ha.cf."""
    lines = [f"# Cluster {name}. Written by `ha cluster init`; every directive is in the documentation of ha.cf.",
             f"cluster {name}", f"profile {profile}", *directives]  # fmt: skip
    for place, address in enumerate(own.addresses):
        kind, interface = "ucast6" if address.is_ipv6 else "ucast", interface_of(address)
        if any(node.addresses[place].port for node in nodes) or ipaddress.ip_address(address.host).is_loopback:
            lines.append(f"bindaddr {address}")
        lines += [f"{kind} {interface} {node.addresses[place]}" for node in nodes]
    lines.append(f"node {' '.join(node.name for node in nodes)}")
    text = "\n".join(lines) + "\n"
    try:
        parse(text, "ha.cf")
    except HaCfError as error:
        raise PlanError("\n".join(error.problems)) from error
    return text


def first_cib(name: str, configuration: str, schema: Schema) -> bytes:
    """The CIB that the cluster begins with: its name and, if given, a <cib> or <configuration> of the operator's.

    Raises PlanError with the reason, element and line for one that the cib would refuse.
    """
    document = Document.empty()
    named = (
        '<crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair id="cib-bootstrap-options-cluster-name" '
        f'name="cluster-name" value={quoteattr(name)}/></cluster_property_set></crm_config>'
    )
    try:
        for xml in (f"<configuration>{named}</configuration>", configuration):
            if xml:
                apply_write(document, Write(request_id="init", operation="modify", xml=xml, allow_create=True), schema)
    except Refusal as refusal:
        raise PlanError(f"the first CIB is refused: {refusal}") from refusal
    return document.snapshot().to_bytes()
