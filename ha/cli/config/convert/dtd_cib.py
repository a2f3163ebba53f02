# SPDX-License-Identifier: GPL-2.0-or-later
"""A CIB of before Pacemaker 1.0 (the DTD of Heartbeat 2.1 and of pacemaker-0.6), in the words of 1.0.

Then, nvpairs lay inside <attributes>; what is a meta attribute today was an XML attribute of the resource or an
instance attribute; names had underscores; constraints were from/to, where `from` of an order came after `to` unless the
type said "before"; master_slave, prereq and disabled are master, requires and enabled today.
Source: crm.dtd as Heartbeat 2.1 documents it.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from ha.cib.model.document import attributes_of
from ha.cib.model.upgrade import free_id
from ha.cli.config.convert.cib_text import take
from ha.cli.config.convert.model import Remarks

RESOURCES = ("primitive", "group", "clone", "master_slave")
META = frozenset(
    {
        "allow-migrate", "clone-max", "clone-node-max", "collocated", "failure-timeout", "globally-unique",
        "interleave", "is-managed", "master-max", "master-node-max", "migration-threshold", "multiple-active", "notify",
        "ordered", "priority", "resource-failure-stickiness", "resource-stickiness", "restart-type", "target-role",
    }
)  # fmt: skip
"""Meta attributes of today, which could be XML attributes or instance attributes."""
_OP_NAMES = {"prereq": "requires", "on_fail": "on-fail", "start_delay": "start-delay"}
_RULE_NAMES = {"boolean_op": "boolean-op", "score_attribute": "score-attribute"}
_RUNTIME = (
    "have_quorum", "dc_uuid", "ccm_transition", "cib_feature_revision", "crm_feature_set", "generated", "ignore_dtd",
    "num_peers", "cib_feature_revision_list", "cib-last-written", "debug_source", "remote_access_port",
)  # fmt: skip
_NO_NEED = ("short_resource_names", "ignore_dtd")


def is_before_1_0(root: etree._Element) -> bool:
    """No schema is named, or that of 0.6; or nvpairs lie in <attributes>."""
    name = root.get("validate-with", "")
    return name in ("", "pacemaker-0.6", "transitional-0.6") or next(root.iter("attributes"), None) is not None


def rewrite(root: etree._Element, remarks: Remarks) -> None:
    """In place. What is not understood stays as it is, and the grammar will refuse it."""
    for name in _RUNTIME:
        take(root, name)
    for wrapper in list(root.iter("attributes")):
        _unwrap(wrapper)
    for rule in root.iter("rule"):
        _rename(rule, _RULE_NAMES)
    _options(root, remarks)
    for element in list(root.iter(*RESOURCES)):
        _resource(root, element)
    for op in list(root.iter("op")):
        _operation(op)
    for element in root.iter(etree.Element):
        _roles(element)
    for order in root.iter("rsc_order"):
        _order(order)
    for colocation in root.iter("rsc_colocation"):
        _colocation(colocation, remarks)


def _roles(element: etree._Element) -> None:
    """Roles were written in any case."""
    for name in ("role", "from_role", "to_role"):
        if name in element.attrib:
            element.set(name, element.get(name, "").capitalize())
    if element.tag == "nvpair" and element.get("name") == "target-role":
        element.set("value", element.get("value", "").capitalize())


def _unwrap(wrapper: etree._Element) -> None:
    parent = wrapper.getparent()
    assert parent is not None
    place = parent.index(wrapper)
    for child in reversed(list(wrapper)):
        parent.insert(place, child)
    parent.remove(wrapper)


def _rename(element: etree._Element, names: Mapping[str, str]) -> None:
    """New names for attributes, in place of the old ones."""
    renamed = {names.get(name, name): value for name, value in attributes_of(element).items()}
    element.attrib.clear()
    for name, value in renamed.items():
        element.set(name, value)


def _options(root: etree._Element, remarks: Remarks) -> None:
    for pair in list(root.iterfind("configuration/crm_config/cluster_property_set/nvpair")):
        name = pair.get("name", "")
        if name in _NO_NEED:
            _remove(pair)
            remarks.changed(f"crm_config {name}", "it has no counterpart and no need")
        else:
            pair.set("name", name.replace("_", "-"))


def _resource(root: etree._Element, element: etree._Element) -> None:
    meta: dict[str, str] = {}
    for name in list(attributes_of(element)):
        plain = name.replace("_", "-")
        if plain in META:
            meta[plain] = take(element, name) or ""
    for holder in list(element.iterchildren("instance_attributes")):
        if holder.find("rule") is None:
            for pair in list(holder.iterchildren("nvpair")):
                plain = (pair.get("name") or "").replace("_", "-")
                if plain in META:
                    meta.setdefault(plain, pair.get("value", ""))
                    holder.remove(pair)
            if len(holder) == 0:
                element.remove(holder)
    for pair in element.iterfind("meta_attributes/nvpair"):
        pair.set("name", (pair.get("name") or "").replace("_", "-"))
    if element.tag == "master_slave":
        element.tag = "master"
    _add_meta(root, element, meta)
    _sort_children(element)


def _add_meta(root: etree._Element, element: etree._Element, meta: Mapping[str, str]) -> None:
    if not meta:
        return
    holder = next((h for h in element.iterchildren("meta_attributes") if h.find("rule") is None), None)
    if holder is None:
        identity = free_id(root, f"{element.get('id')}-meta")
        holder = etree.Element("meta_attributes", {"id": identity})
        element.insert(0, holder)
    known = {pair.get("name") for pair in holder.iterchildren("nvpair")}
    for name, value in meta.items():
        if name not in known:
            identity = free_id(root, f"{holder.get('id')}-{name}")
            etree.SubElement(holder, "nvpair", {"id": identity, "name": name, "value": value})


def _sort_children(element: etree._Element) -> None:
    """Attributes first, then operations, then members."""
    ranks = {"meta_attributes": 0, "instance_attributes": 1, "operations": 2}
    element[:] = sorted(element, key=lambda child: ranks.get(str(child.tag), 3))


def _operation(op: etree._Element) -> None:
    _rename(op, _OP_NAMES)
    disabled = take(op, "disabled")
    if disabled is not None:
        op.set("enabled", "false" if disabled.lower() in ("true", "yes", "y", "on", "1") else "true")


def _order(order: etree._Element) -> None:
    given = attributes_of(order)
    here, there = (given.pop("from", ""), given.pop("action", "")), (given.pop("to", ""), given.pop("to_action", ""))
    first, then = (here, there) if given.pop("type", "after") == "before" else (there, here)
    made = {"id": given.pop("id", ""), "first": first[0], "then": then[0]}
    made |= {"first-action": first[1]} if first[1] else {}
    made |= {"then-action": then[1]} if then[1] else {}
    order.attrib.clear()
    for name, value in {**made, **given}.items():
        order.set(name, value)


def _colocation(colocation: etree._Element, remarks: Remarks) -> None:
    names = {"from": "rsc", "to": "with-rsc", "from_role": "rsc-role", "to_role": "with-rsc-role",
             "node_attribute": "node-attribute"}  # fmt: skip
    if (take(colocation, "symmetrical") or "").lower() in ("true", "yes", "1"):
        remarks.lost(f"rsc_colocation {colocation.get('id')}", "symmetrical: a colocation has one direction",
                     "add the same one the other way round")  # fmt: skip
    _rename(colocation, names)


def _remove(element: etree._Element) -> None:
    parent = element.getparent()
    assert parent is not None
    parent.remove(element)
