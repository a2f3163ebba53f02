# SPDX-License-Identifier: GPL-2.0-or-later
"""Our CIB => one that Pacemaker 2.1 (schema pacemaker-3.9) accepts: what is ours alone is taken out and told.

Pacemaker on corosync makes its <node> entries itself, with numbers for ids; those of ours that say nothing but a name
are left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from ha.cib.model.document import Document
from ha.cib.model.edit import PASSING_ATTRIBUTES
from ha.cib.model.operations import schema_number
from ha.cib.model.parse import parse
from ha.cib.model.refusal import Refusal
from ha.cib.model.version import COUNTERS
from ha.cli.config.convert.cib_text import check_valid, take, text_of
from ha.cli.config.convert.model import Conversion, ConversionError, Remarks

TARGET_SCHEMA = "pacemaker-3.9"
OLDER_NAMES = {
    "cancel-removed-actions": "stop-orphan-actions",
    "fencing-action": "stonith-action",
    "fencing-enabled": "stonith-enabled",
    "fencing-timeout": "stonith-timeout",
    "stop-removed-resources": "stop-orphan-resources",
}
"""Options that newer releases renamed; 2.1 knows the older names."""
OUR_OPTIONS = ("takeover-grace",)
ADDRESS_PARAMETERS = ("ip", "nic", "cidr_netmask")
OUR_AGENTS = {"WebPage": "an agent of your own, or ocf:heartbeat:nginx or apache", "fence_playground": ""}


def convert(cib: tuple[str, bytes], nodeids: Mapping[str, str] | None = None) -> Conversion:
    """The CIB as (name, bytes), and ids of nodes by name as corosync.conf has them. Raises ConversionError."""
    filename, data = cib
    try:
        root = Document(parse(data)).root
    except Refusal as refusal:
        raise ConversionError((f"{filename}: {refusal}",)) from refusal
    check_valid(root, filename)
    remarks = Remarks()
    for name in PASSING_ATTRIBUTES - set(COUNTERS):
        take(root, name)
    if schema_number(root.get("validate-with", "")) > schema_number(TARGET_SCHEMA):
        root.set("validate-with", TARGET_SCHEMA)
    for status in root.findall("status"):
        status[:] = []
    for pair in list(root.iterfind("configuration/crm_config/cluster_property_set/nvpair")):
        _option(pair, remarks)
    for primitive in root.iter("primitive", "template"):
        _resource(primitive, remarks)
    for node in list(root.iterfind("configuration/nodes/node")):
        _node(node, nodeids or {}, remarks)
    check_valid(root, "the result")
    return Conversion({"cib.xml": text_of(root)}, tuple(remarks.made))


def _option(pair: etree._Element, remarks: Remarks) -> None:
    name = pair.get("name", "")
    holder = pair.getparent()
    assert holder is not None
    if name in OUR_OPTIONS:
        holder.remove(pair)
        remarks.lost(f"crm_config {name}", f"{name}={pair.get('value')}: Pacemaker has no such thing",
                     "without fencing Pacemaker starts a second copy at once: configure fencing")  # fmt: skip
    elif name in OLDER_NAMES:
        if any(other.get("name") == OLDER_NAMES[name] for other in holder.iterchildren("nvpair")):
            holder.remove(pair)
            remarks.changed(f"crm_config {name}", f"{OLDER_NAMES[name]} is given as well, and holds")
        else:
            pair.set("name", OLDER_NAMES[name])


def _resource(primitive: etree._Element, remarks: Remarks) -> None:
    where = f"{primitive.tag} {primitive.get('id')}"
    agent_class, agent = primitive.get("class"), primitive.get("type", "")
    if agent_class == "heartbeat":
        remarks.lost(where, f"Pacemaker runs no agent of class heartbeat ({agent})", "use the OCF agent of that name")
    elif agent_class == "stonith" and agent.startswith("fence_") and agent in OUR_AGENTS:
        remarks.lost(where, f"{agent} fences nodes of a playground only", "configure the real device")
    elif agent_class == "ocf" and primitive.get("provider") == "heartbeat" and agent == "Address":
        _address(primitive, where, remarks)
    elif agent_class == "ocf" and primitive.get("provider") == "heartbeat" and agent in OUR_AGENTS:
        remarks.lost(where, f"the agent {agent} comes with this program only", f"use {OUR_AGENTS[agent]}")


def _address(primitive: etree._Element, where: str, remarks: Remarks) -> None:
    """Ours and IPaddr2 of resource-agents do the same for the same parameters."""
    for pair in primitive.iterfind("instance_attributes/nvpair"):
        if pair.get("name") not in ADDRESS_PARAMETERS:
            remarks.lost(where, f"parameter {pair.get('name')} of Address: IPaddr2 has no such parameter")
    primitive.set("type", "IPaddr2")
    remarks.changed(where, "the agent Address comes with this program only: IPaddr2 of resource-agents takes its place")


def _node(node: etree._Element, nodeids: Mapping[str, str], remarks: Remarks) -> None:
    name = node.get("uname", "")
    holder = node.getparent()
    assert holder is not None
    if name in nodeids:
        node.set("id", nodeids[name])
        return
    if node.get("type") == "remote":
        return
    if len(node) == 0 and node.get("score") is None and node.get("description") is None:
        holder.remove(node)
        return
    remarks.changed(f"node {name}", f"its attributes hang on the id {node.get('id')!r}; corosync gives it a number",
                    f"say which with --nodeid {name}=NUMBER")  # fmt: skip
