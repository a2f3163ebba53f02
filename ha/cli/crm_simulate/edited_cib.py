# SPDX-License-Identifier: GPL-2.0-or-later
"""A copy of the CIB into which made-up events and simulated results are written, as a live cluster would."""

from __future__ import annotations

import time
from collections.abc import Callable

from lxml import etree
from lxml.etree import _Element as Element

from ha.pe.core.digests import digest, operation_parameters_of
from ha.pe.model.action import notify_key, operation_key
from ha.pe.model.cluster import FEATURE_SET
from ha.pe.model.values import integer

PROGRAM = "crm_simulate"
_NOBODY = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
"""Where a history entry names the crmd that asked for the operation."""


class EditError(Exception):
    """The wanted change makes no sense in this CIB; a sentence for the operator."""


class EditedCib:
    """Indexes the node states, so that playing a long transition stays fast."""

    def __init__(self, cib: bytes) -> None:
        self.root = etree.fromstring(cib, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=True))
        self.status = _child(self.root, "status")
        self._histories: dict[str, dict[str, Element]] = {}

    def text(self) -> bytes:
        return etree.tostring(self.root)

    # Nodes -----------------------------------------------------------------------------------------------------

    def node_state(self, name: str, id: str | None = None) -> Element:
        """The node's state, created if it is missing."""
        by_id = None
        for state in self.status.iterchildren("node_state"):
            if state.get("uname") == name:
                return state
            if id is not None and state.get("id") == id:
                by_id = state
        if by_id is None:
            known = self._configured_id(name) if id is None else id
            by_id = next((s for s in self.status.iterchildren("node_state") if s.get("id") == known), None)
            if by_id is None:
                by_id = etree.SubElement(self.status, "node_state", {"id": known})
        by_id.set("uname", name)
        return by_id

    def _configured_id(self, name: str) -> str:
        for node in self.root.iterfind("configuration/nodes/node"):
            if node.get("uname") == name:
                return str(node.get("id"))
        return name

    def set_node(self, name: str, *, up: bool, member: bool | None = None) -> Element:
        """Marks a node as up or down; `member` says otherwise for the membership alone."""
        state = self.node_state(name)
        state.set("in_ccm", "true" if (up if member is None else member) else "false")
        state.set("crmd", "online" if up else "offline")
        state.set("join", "member" if up else "down")
        state.set("expected", "member" if up else "down")
        state.set("crm-debug-origin", PROGRAM)
        return state

    def forget_node(self, name: str) -> None:
        """Takes away history and transient attributes, as nothing runs on the node any more."""
        state = self.node_state(name)
        for tag in ("lrm", "transient_attributes"):
            for element in state.findall(tag):
                state.remove(element)
        self._histories.pop(str(state.get("id")), None)

    def set_transient(self, state: Element, name: str, value: str) -> Element:
        attributes = _child(state, "transient_attributes", state.get("id"))
        block = _child(attributes, "instance_attributes", state.get("id"))
        for pair in block.iterchildren("nvpair"):
            if pair.get("name") == name:
                pair.set("value", value)
                return pair
        return etree.SubElement(block, "nvpair", {"id": f"{block.get('id')}-{name}", "name": name, "value": value})

    def transient(self, state: Element, name: str) -> str | None:
        for pair in state.iterfind("transient_attributes/instance_attributes/nvpair"):
            if pair.get("name") == name:
                return pair.get("value")
        return None

    # History ---------------------------------------------------------------------------------------------------

    def history(
        self, state: Element, names: tuple[str, ...], agent: dict[str, str | None], known: Callable[[str], bool]
    ) -> Element:
        """The history of a resource on a node: under the first of `names` that has one, else a new one."""
        node_id = str(state.get("id"))
        entries = self._histories.get(node_id)
        if entries is None:
            entries = {str(e.get("id")): e for e in state.iterfind("lrm/lrm_resources/lrm_resource")}
            self._histories[node_id] = entries
        for name in names:
            if name in entries:
                return entries[name]
        if not agent.get("class") or not agent.get("type"):
            raise EditError(f"Resource {names[0]} not found in the status section of {state.get('id')}")
        container = _child(_child(state, "lrm", state.get("id")), "lrm_resources")
        entry = etree.SubElement(container, "lrm_resource", {"id": names[-1]})
        for attribute in ("class", "provider", "type"):
            value = agent.get(attribute)
            if value is not None:
                entry.set(attribute, value)
        entries[names[-1]] = entry
        return entry

    def forget_history(self, node: str, history: Element) -> None:
        """Takes away what is known of a resource on a node."""
        state = self.node_state(node)
        self._histories.pop(str(state.get("id")), None)
        container = history.getparent()
        assert container is not None
        container.remove(history)

    def record(self, history: Element, result: Result) -> None:
        """Writes the result of an operation into a history."""
        call_id = 1 + max((integer(op.get("call-id")) or 0 for op in history.iterchildren("lrm_rsc_op")), default=0)
        for entry_id in result.entry_ids():
            entry = next((op for op in history.iterchildren("lrm_rsc_op") if op.get("id") == entry_id), None)
            if entry is None:
                entry = etree.SubElement(history, "lrm_rsc_op", {"id": entry_id})
            for name, value in result.attributes(call_id).items():
                entry.set(name, value)

    # Tickets and options ---------------------------------------------------------------------------------------

    def set_ticket(self, id: str, name: str, value: bool) -> None:
        tickets = _child(self.status, "tickets")
        state = next((t for t in tickets.iterchildren("ticket_state") if t.get("id") == id), None)
        if state is None:
            state = etree.SubElement(tickets, "ticket_state", {"id": id})
        state.set(name, "true" if value else "false")

    def set_option(self, name: str, value: str) -> None:
        config = _child(_child(self.root, "configuration"), "crm_config")
        block = _child(config, "cluster_property_set", "cib-bootstrap-options")
        for pair in config.iterfind("cluster_property_set/nvpair"):
            if pair.get("name") == name:
                pair.set("value", value)
                return
        etree.SubElement(block, "nvpair", {"id": f"{block.get('id')}-{name}", "name": name, "value": value})


class Result:
    """What an operation came to. `parameters` are the action's attributes; None for a made-up one."""

    def __init__(
        self, resource_id: str, task: str, interval_ms: int, node: str, exit_code: int, wanted: int,
        parameters: dict[str, str] | None,
    ) -> None:  # fmt: skip
        self.resource_id = resource_id
        self.called = task
        self.task = "start" if task in ("reload", "reload-agent") else task
        self.interval_ms = interval_ms
        self.node = node
        self.exit_code = 0 if task == "notify" else exit_code
        self.wanted = wanted
        self.parameters = parameters

    def entry_ids(self) -> list[str]:
        """Ids of the history entries that it changes."""
        given = self.parameters or {}
        if self.task == "notify":
            kind, task = given.get("CRM_meta_notify_type"), given.get("CRM_meta_notify_operation")
            return [notify_key(self.resource_id, kind, task)]
        if self.called in ("migrate_to", "migrate_from"):
            return [operation_key(self.resource_id, self.task, self.interval_ms)]
        last = operation_key(self.resource_id, "last", 0)
        if self.exit_code != self.wanted:
            failure = operation_key(self.resource_id, "last_failure", 0)
            return [failure] if self.interval_ms else [failure, last]
        return [operation_key(self.resource_id, self.task, self.interval_ms)] if self.interval_ms else [last]

    def attributes(self, call_id: int) -> dict[str, str]:
        key = f"{call_id}:-1:{self.wanted}:{_NOBODY}"
        failed = self.exit_code != self.wanted
        found = {
            "operation_key": operation_key(self.resource_id, self.task, self.interval_ms),
            "operation": self.task,
            "crm-debug-origin": PROGRAM,
            "crm_feature_set": FEATURE_SET,
            "transition-key": key,
            "transition-magic": f"0:{self.exit_code};{key}",
            "exit-reason": "Simulated action result" if failed else "",
            "on_node": self.node,
            "call-id": str(call_id),
            "rc-code": str(self.exit_code),
            "op-status": "0",
            "interval": str(self.interval_ms),
            "last-rc-change": str(int(time.time())),
            "exec-time": "0",
            "queue-time": "0",
        }
        given = self.parameters
        if given is not None:
            if self.called in ("migrate_to", "migrate_from"):
                for name in ("migrate_source", "migrate_target"):
                    if f"CRM_meta_{name}" in given:
                        found[name] = given[f"CRM_meta_{name}"]
            found["op-digest"] = digest(operation_parameters_of(given))
        return found


def _child(parent: Element, tag: str, id: str | None = None) -> Element:
    found = parent.find(tag)
    if found is None:
        found = etree.SubElement(parent, tag)
        if id is not None:
            found.set("id", id)
    return found
