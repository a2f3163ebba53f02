# SPDX-License-Identifier: GPL-2.0-or-later
"""The status section as the DC keeps it: who is in, and what ran where.

The DC is its only writer (but for transient attributes, which are attrd's), so it holds a copy, changes that, and
writes what changed. Form: Pacemaker's `node_state`, as in the inputs of its scheduler cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from lxml import etree

from ha.lrm.msg import Resource

JoinState = Literal["member", "pending", "down"]


class StatusWrite(NamedTuple):
    """One write to the cib: delete what `xpath` selects, or merge `xml` into the status section."""

    operation: Literal["delete", "modify"]
    xpath: str
    xml: str


SHUTDOWN = "shutdown"
"""The transient attribute by which a node asks to leave (Pacemaker's name)."""


@dataclass(slots=True)
class ResourceRecord:
    """`operations`: lrm_rsc_op id -> its attributes."""

    resource: Resource
    operations: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class NodeRecord:
    """`attributes`: those of node_state but id and uname."""

    id: str
    attributes: dict[str, str] = field(default_factory=dict)
    resources: dict[str, ResourceRecord] = field(default_factory=dict)
    transient: bool = False
    shutting_down: bool = False
    """The attribute `shutdown` may be set: the policy engine takes such a node for one that leaves in good order."""

    @property
    def in_cluster(self) -> bool:
        return self.attributes.get("in_ccm") == "true"

    @property
    def joined(self) -> bool:
        return self.attributes.get("join") == "member"

    @property
    def is_lost(self) -> bool:
        """Out, and not known to have left or to be down."""
        return not self.in_cluster and self.attributes.get("expected") == "member"


class Status:
    """A changeable copy; `take_writes` hands out what has to be written to make the cib's equal to it."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeRecord] = {}
        self._changed: dict[str, dict[str, set[str]]] = {}
        self._deleted: dict[str, None] = {}

    @classmethod
    def read(cls, section: etree._Element | None) -> Status:
        """From a <status> element that the cib has validated; None is an empty one."""
        status = cls()
        for state in section.iterfind("node_state") if section is not None else ():
            uname = state.get("uname") or state.get("id") or ""
            if state.get("remote_node") == "true" or not uname:
                continue
            record = NodeRecord(
                id=state.get("id", uname),
                transient=state.find("transient_attributes") is not None,
                shutting_down=state.find(f"transient_attributes//nvpair[@name='{SHUTDOWN}']") is not None,
            )
            record.attributes = {
                str(n): str(v) for n, v in state.attrib.items() if n not in ("id", "uname")
            }
            for element in state.iterfind("lrm/lrm_resources/lrm_resource"):
                record.resources[element.get("id", "")] = _read_resource(element)
            status.nodes[uname] = record
        return status

    def node(self, uname: str, node_id: str) -> NodeRecord:
        """The record of a node, made when there is none."""
        if uname not in self.nodes:
            self.nodes[uname] = NodeRecord(id=node_id)
        return self.nodes[uname]

    def set_state(self, uname: str, attributes: Mapping[str, str]) -> bool:
        """Whether anything changed."""
        record = self.nodes[uname]
        if all(record.attributes.get(name) == value for name, value in attributes.items()):
            return False
        record.attributes.update(attributes)
        self._changed.setdefault(uname, {})
        return True

    def put(self, uname: str, resource: Resource, entries: Iterable[Mapping[str, str]]) -> bool:
        """Record operations; whether any is new or different."""
        record = self.nodes[uname]
        mine = record.resources.setdefault(resource.id, ResourceRecord(resource))
        changed = False
        for entry in entries:
            attributes = dict(entry)
            number = attributes["id"]
            if mine.operations.get(number) != attributes:
                mine.operations[number] = attributes
                self._changed.setdefault(uname, {}).setdefault(resource.id, set()).add(number)
                changed = True
        return changed

    def drop_operation(self, uname: str, resource_id: str, operation_id: str) -> bool:
        record = self.nodes.get(uname)
        mine = record.resources.get(resource_id) if record is not None else None
        if mine is None or mine.operations.pop(operation_id, None) is None:
            return False
        self._delete(
            f"{_state_path(uname)}/lrm/lrm_resources/lrm_resource[@id={xpath_literal(resource_id)}]"
            f"/lrm_rsc_op[@id={xpath_literal(operation_id)}]"
        )
        return True

    def drop_resource(self, uname: str, resource_id: str) -> bool:
        record = self.nodes.get(uname)
        if record is None or record.resources.pop(resource_id, None) is None:
            return False
        self._delete(f"{_state_path(uname)}/lrm/lrm_resources/lrm_resource[@id={xpath_literal(resource_id)}]")
        return True

    def drop_history(self, uname: str) -> bool:
        """Everything that ran on a node that was fenced."""
        record = self.nodes.get(uname)
        if record is None or not record.resources:
            return False
        record.resources.clear()
        self._delete(f"{_state_path(uname)}/lrm")
        return True

    def drop_transient(self, uname: str) -> bool:
        record = self.nodes.get(uname)
        if record is None:
            return False
        record.transient = record.shutting_down = False
        self._delete(f"{_state_path(uname)}/transient_attributes")
        return True

    def drop_shutdown(self, uname: str) -> bool:
        """Whether there was one to take back."""
        record = self.nodes.get(uname)
        if record is None or not record.shutting_down:
            return False
        record.shutting_down = False
        self._delete(f"{_state_path(uname)}/transient_attributes//nvpair[@name='{SHUTDOWN}']")
        return True

    def drop_node(self, uname: str) -> bool:
        if self.nodes.pop(uname, None) is None:
            return False
        self._changed.pop(uname, None)
        self._delete(_state_path(uname))
        return True

    def take_writes(self) -> list[StatusWrite]:
        """What is not written yet, in the order in which it must be: deletions, then one merge."""
        writes = [StatusWrite("delete", path, "") for path in self._deleted]
        if self._changed:
            section = etree.Element("status")
            for uname in sorted(self._changed):
                if uname in self.nodes:
                    self._append_state(section, uname, self._changed[uname])
            if len(section):
                writes.append(StatusWrite("modify", "", etree.tostring(section, encoding="unicode")))
        self._deleted, self._changed = {}, {}
        return writes

    def _append_state(self, section: etree._Element, uname: str, changed: Mapping[str, set[str]]) -> None:
        record = self.nodes[uname]
        state = etree.SubElement(section, "node_state", {"id": record.id, "uname": uname, **record.attributes})
        lrm = etree.SubElement(etree.SubElement(state, "lrm", {"id": record.id}), "lrm_resources")
        for resource_id in sorted(changed):
            mine = record.resources.get(resource_id)
            if mine is None:
                continue
            element = etree.SubElement(lrm, "lrm_resource", _resource_attributes(mine.resource))
            for number in sorted(changed[resource_id]):
                if number in mine.operations:
                    etree.SubElement(element, "lrm_rsc_op", mine.operations[number])

    def _delete(self, path: str) -> None:
        self._deleted[path] = None


def _read_resource(element: etree._Element) -> ResourceRecord:
    resource = Resource(
        id=element.get("id", ""),
        agent_class=element.get("class", ""),
        agent_type=element.get("type", ""),
        provider=element.get("provider", ""),
    )
    operations = {
        op.get("id", ""): {str(name): str(value) for name, value in op.attrib.items()}
        for op in element.iterfind("lrm_rsc_op")
    }
    return ResourceRecord(resource, operations)


def _resource_attributes(resource: Resource) -> dict[str, str]:
    attributes = {"id": resource.id, "class": resource.agent_class, "type": resource.agent_type}
    if resource.provider:
        attributes["provider"] = resource.provider
    return attributes


def _state_path(uname: str) -> str:
    return f"/cib/status/node_state[@uname={xpath_literal(uname)}]"


def xpath_literal(text: str) -> str:
    """An XPath 1.0 expression for a string; one with both kinds of quote has to be put together."""
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    return "concat(" + ", \"'\", ".join(f"'{part}'" for part in text.split("'")) + ")"
