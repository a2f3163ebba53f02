# SPDX-License-Identifier: GPL-2.0-or-later
"""A CIB of an older schema (pacemaker-0.6, 1.x, 2.x, 3.x) => the present words, checked by our own grammar.

The grammar takes what 1.0 to 4.0 say; what is rewritten is what nobody acts on any more under its old name. The status
is left behind: the cluster finds out by itself what runs where.
Source: the documentation of Pacemaker 1.0 to 3.0 on deprecated options.
"""

from __future__ import annotations

from lxml import etree

from ha.cib.model.document import SCHEMA_DEFAULT, Document
from ha.cib.model.edit import Transaction
from ha.cib.model.operations import schema_number
from ha.cib.model.parse import parse
from ha.cib.model.refusal import Refusal
from ha.cib.model.upgrade import free_id, upgrade_acls
from ha.cli.config.convert import dtd_cib
from ha.cli.config.convert.cib_text import check_valid, option, take, text_of
from ha.cli.config.convert.model import Conversion, ConversionError, Remarks

TO_DEFAULTS = {
    "default-action-timeout": ("op_defaults", "timeout"),
    "default-resource-stickiness": ("rsc_defaults", "resource-stickiness"),
    "default-migration-threshold": ("rsc_defaults", "migration-threshold"),
    "is-managed-default": ("rsc_defaults", "is-managed"),
}
RENAMED = {"transition-idle-timeout": "cluster-delay"}
MEANT_NOTHING = {
    "cluster-infrastructure": "the cluster says itself what it runs on",
    "dc-version": "the cluster says itself which version its DC has",
    "expected-quorum-votes": "the nodes of ha.cf are counted",
    "last-lrm-refresh": "a time stamp",
}
_NOTIFICATION = ("notification-agent", "notification-recipient")
_PCMK_COMMANDS = {f"pcmk_{action}_cmd": f"pcmk_{action}_action" for action in
                  ("list", "monitor", "off", "on", "reboot", "status")}  # fmt: skip
_FAILURE_STICKINESS = ("resource-failure-stickiness", "resource_failure_stickiness")
_GONE_CLASSES = {"upstart": "a systemd unit", "nagios": "an OCF agent that checks the service"}


def convert(cib: tuple[str, bytes]) -> Conversion:
    """The CIB as (name, bytes). Raises ConversionError when it cannot be used, or the result would not be valid."""
    filename, data = cib
    remarks = Remarks()
    root = _read(filename, data)
    if dtd_cib.is_before_1_0(root):
        dtd_cib.rewrite(root, remarks)
        root.set("validate-with", "pacemaker-1.0")
    for status in root.findall("status"):
        if len(status):
            remarks.changed("status", "it is left behind: the cluster finds out by itself what runs where")
        status[:] = []
    _Modernizer(root, remarks).all()
    document = Document(root)
    if schema_number(root.get("validate-with", "")) < schema_number(SCHEMA_DEFAULT):
        upgrade_acls(Transaction(document))
        if root.get("validate-with") != "none":
            root.set("validate-with", SCHEMA_DEFAULT)
    check_valid(root, filename)
    return Conversion({"cib.xml": text_of(root)}, tuple(remarks.made))


def _read(filename: str, data: bytes) -> etree._Element:
    try:
        root = parse(data)
        if root.tag == "cib":
            for name in ("admin_epoch", "epoch", "num_updates"):
                root.set(name, root.get(name, "0"))
        return Document(root).root
    except Refusal as refusal:
        raise ConversionError((f"{filename}: {refusal}",)) from refusal


class _Modernizer:
    def __init__(self, root: etree._Element, remarks: Remarks) -> None:
        self.root, self.remarks = root, remarks

    def all(self) -> None:
        for pair in list(self.root.iterfind("configuration/crm_config/cluster_property_set/nvpair")):
            self._option(pair)
        for node in self.root.iterfind("configuration/nodes/node"):
            if node.get("type") == "normal":
                node.set("type", "member")
        for element in list(self.root.iter("primitive", "template")):
            self._device_commands(element)
            self._operations(element)
            self._isolation(element)
            if element.get("class") in _GONE_CLASSES:
                advice = f"use {_GONE_CLASSES[element.get('class', '')]}"
                self.remarks.lost(_of(element), f"class {element.get('class')} cannot be run here", advice)
        for holder in list(self.root.iter("meta_attributes")):
            self._failure_stickiness(holder)
        for colocation in self.root.iter("rsc_colocation"):
            for name in ("score-attribute", "score-attribute-mangle"):
                if take(colocation, name) is not None:
                    self.remarks.changed(_of(colocation), f"{name} never had an effect and is left out")
        for rkt in self.root.iter("rkt"):
            self.remarks.lost(_of(_parent(rkt)), "rkt containers cannot be run", "use podman or docker")

    def _option(self, pair: etree._Element) -> None:
        name, value = (pair.get("name") or "").replace("_", "-"), pair.get("value", "")
        where = f"crm_config {pair.get('name')}"
        if name in TO_DEFAULTS:
            target = TO_DEFAULTS[name]
            _parent(pair).remove(pair)
            option(self.root, target[0], target[1], value)
            self.remarks.changed(where, f"it is {target[1]} in {target[0]} now")
        elif name == "default-resource-failure-stickiness":
            _parent(pair).remove(pair)
            if value == "-INFINITY":
                option(self.root, "rsc_defaults", "migration-threshold", "1")
                self.remarks.changed(where, "it is migration-threshold=1 in rsc_defaults now")
            elif value not in ("0", ""):
                self.remarks.lost(where, f"a score of {value} for each failure", "set migration-threshold")
        elif name in _NOTIFICATION:
            _parent(pair).remove(pair)
            self.remarks.lost(where, f"{value}: notifications became alerts", "configure an alert (docs/guide.md)")
        elif name in MEANT_NOTHING:
            _parent(pair).remove(pair)
            self.remarks.changed(where, f"it is left out: {MEANT_NOTHING[name]}")
        else:
            pair.set("name", RENAMED.get(name, name))

    def _device_commands(self, element: etree._Element) -> None:
        for pair in list(element.iterfind("instance_attributes/nvpair")):
            name = pair.get("name") or ""
            if name in _PCMK_COMMANDS:
                pair.set("name", _PCMK_COMMANDS[name])
            elif name == "pcmk_arg_map":
                key, _, value = pair.get("value", "").partition(":")
                if key == "port" and "," not in value:
                    pair.set("name", "pcmk_host_argument")
                    pair.set("value", value)
                else:
                    _parent(pair).remove(pair)
                    self.remarks.lost(_of(element), f"pcmk_arg_map={pair.get('value')}", "set pcmk_host_argument")

    def _operations(self, element: etree._Element) -> None:
        for op in element.iterfind("operations/op"):
            requires = take(op, "requires")
            if requires is None:
                continue
            if op.get("name") in ("start", "promote"):
                self._add_meta(element, "requires", requires)
                self.remarks.changed(_of(op), f"requires={requires} is a meta attribute of the resource now")
            else:
                self.remarks.changed(_of(op), f"requires={requires} never had an effect but at start and promote")

    def _isolation(self, element: etree._Element) -> None:
        for pair in list(element.iterfind("meta_attributes/nvpair")):
            if (pair.get("name") or "").startswith("isolation"):
                _parent(pair).remove(pair)
                self._add_meta(element, "target-role", "Stopped")
                self.remarks.lost(_of(element), f"{pair.get('name')}={pair.get('value')}: it is stopped now, so that "
                                  "it does not run without its container", "make it a bundle")  # fmt: skip

    def _failure_stickiness(self, holder: etree._Element) -> None:
        for pair in list(holder.iterchildren("nvpair")):
            if pair.get("name") not in _FAILURE_STICKINESS:
                continue
            if pair.get("value") == "-INFINITY":
                pair.set("name", "migration-threshold")
                pair.set("value", "1")
                continue
            holder.remove(pair)
            if pair.get("value") not in ("0", ""):
                self.remarks.lost(_of(_parent(holder)), f"a score of {pair.get('value')} for each failure",
                                  "set migration-threshold")  # fmt: skip

    def _add_meta(self, element: etree._Element, name: str, value: str) -> None:
        holder = element.find("meta_attributes")
        if holder is None or holder.get("id-ref") is not None:
            holder = etree.Element("meta_attributes", {"id": free_id(self.root, f"{element.get('id')}-meta")})
            element.insert(0, holder)
        for pair in holder.iterchildren("nvpair"):
            if pair.get("name") == name:
                pair.set("value", value)
                return
        identity = free_id(self.root, f"{holder.get('id')}-{name}")
        etree.SubElement(holder, "nvpair", {"id": identity, "name": name, "value": value})


def _of(element: etree._Element) -> str:
    return f"{element.tag} {element.get('id')}"


def _parent(element: etree._Element) -> etree._Element:
    parent = element.getparent()
    assert parent is not None, "it lies in the document"
    return parent
