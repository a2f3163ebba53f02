# SPDX-License-Identifier: GPL-2.0-or-later
"""Alerts: what is configured in the CIB's `alerts` section, and what an event says to an alert agent.

Source of names and meanings: Pacemaker Explained, "Alerts". An agent is called once for each recipient, once without
one when there are none. Without <select> it hears of nodes, fencing and resources; of attributes only when asked to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lxml.etree import _Element as Element

from ha.crm.model.history import STATUS_CODES, target_rc
from ha.lrm.msg import OperationResult
from ha.pe.model.attributes import read_blocks
from ha.pe.model.document import Document
from ha.pe.model.rules import RuleInput
from ha.pe.model.values import boolean, interval_ms
from ha.stonith.msg import Fenced

Kind = Literal["node", "fencing", "resource", "attribute"]
DEFAULT_KINDS: frozenset[Kind] = frozenset(("node", "fencing", "resource"))
SELECTORS: Mapping[str, Kind] = {
    "select_nodes": "node", "select_fencing": "fencing", "select_resources": "resource",
    "select_attributes": "attribute",
}
DEFAULT_TIMEOUT_MS = 30_000
DEFAULT_TIMESTAMP_FORMAT = "%H:%M:%S.%06N"
MAX_AGENTS = 100
"""Calls that one event may lead to: alerts times recipients. What is configured beyond is left out."""

RC_WORDS: Mapping[int, str] = {
    0: "ok", 1: "error", 2: "invalid parameter", 3: "unimplemented feature", 4: "insufficient privileges",
    5: "not installed", 6: "not configured", 7: "not running", 8: "promoted", 9: "failed promoted",
    190: "degraded", 191: "promoted degraded",
}
STATUS_WORDS: Mapping[str, str] = {
    "cancelled": "Cancelled", "timeout": "Timed Out", "not supported": "NOT SUPPORTED", "error": "Error",
    "not installed": "NOT INSTALLED", "not connected": "No executor connection", "invalid": "Cannot execute now",
    "no secrets": "CIB secrets unavailable",
}


@dataclass(frozen=True, slots=True)
class AlertAgent:
    """One call that an event leads to. `attributes` None: any; `recipient` None: the alert has none.

    `parameters` are the instance attributes, which become environment variables of the same name.
    """

    alert: str
    path: str
    kinds: frozenset[Kind] = DEFAULT_KINDS
    attributes: frozenset[str] | None = None
    recipient: str | None = None
    timeout_ms: int = DEFAULT_TIMEOUT_MS
    timestamp_format: str = DEFAULT_TIMESTAMP_FORMAT
    parameters: Mapping[str, str] = field(default_factory=dict)

    def wants(self, event: AlertEvent) -> bool:
        if event.kind not in self.kinds:
            return False
        return event.kind != "attribute" or self.attributes is None or event.says["attribute_name"] in self.attributes


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """`says`: what becomes CRM_alert_*, names without that prefix. `at_ms` is Unix time."""

    kind: Kind
    at_ms: int
    says: Mapping[str, str]


def read_alerts(section: Element, now_s: int) -> tuple[AlertAgent, ...]:
    """The calls that the <alerts> element asks for, in its order; those that are switched off (`enabled`) left out.

    A value that is none (an older CIB may hold it) counts as not given.
    """
    document = Document(section)
    found: list[AlertAgent] = []
    for alert in section.iterfind("alert"):
        meta, parameters = _blocks(document, [alert], now_s)
        recipients = alert.findall("recipient")
        if boolean(meta.get("enabled")) is False:
            continue
        if not recipients:
            found.append(_agent(alert, None, meta, parameters))
        for recipient in recipients:
            meta, parameters = _blocks(document, [recipient, alert], now_s)
            if boolean(meta.get("enabled")) is not False:
                found.append(_agent(alert, recipient, meta, parameters))
    return tuple(found)


def _blocks(document: Document, holders: list[Element], now_s: int) -> tuple[dict[str, str], dict[str, str]]:
    """Meta and instance attributes; what an earlier holder says goes before a later one's."""
    meta: dict[str, str] = {}
    parameters: dict[str, str] = {}
    given = RuleInput(now_s, document.resolve)
    for holder in holders:
        read_blocks(document, holder, "meta_attributes", given, meta)
        read_blocks(document, holder, "instance_attributes", given, parameters)
    return meta, parameters


def _agent(
    alert: Element, recipient: Element | None, meta: Mapping[str, str], parameters: Mapping[str, str]
) -> AlertAgent:
    kinds = frozenset(SELECTORS[str(each.tag)] for each in alert.iterfind("select/*") if each.tag in SELECTORS)
    names = frozenset(each.get("name", "") for each in alert.iterfind("select/select_attributes/attribute"))
    return AlertAgent(
        alert=alert.get("id", ""),
        path=alert.get("path", ""),
        kinds=kinds or DEFAULT_KINDS,
        attributes=names or None,
        recipient=None if recipient is None else recipient.get("value", ""),
        timeout_ms=interval_ms(meta.get("timeout")) or DEFAULT_TIMEOUT_MS,
        timestamp_format=meta.get("timestamp-format") or DEFAULT_TIMESTAMP_FORMAT,
        parameters=parameters,
    )


# What events say -----------------------------------------------------------------------------------------------------


def node_event(node: str, node_id: str, desc: Literal["member", "lost"], at_ms: int) -> AlertEvent:
    return AlertEvent("node", at_ms, {"node": node, "nodeid": node_id, "desc": desc})


def fencing_event(message: Fenced, at_ms: int) -> AlertEvent:
    outcome = "OK" if message.ok else f"failed: {message.reason}"
    by = f" by {message.executor}" if message.executor else ""
    desc = f"Operation {message.action} of {message.target}{by}: {outcome} (ref={message.request_id})"
    says = {"node": message.target, "task": message.action, "rc": str(int(not message.ok)), "desc": desc}
    return AlertEvent("fencing", at_ms, says)


def attribute_event(node: str, name: str, value: str, at_ms: int) -> AlertEvent:
    """`value` "" when the attribute was removed."""
    return AlertEvent("attribute", at_ms, {"node": node, "attribute_name": name, "attribute_value": value})


def resource_event(node: str, result: OperationResult, at_ms: int) -> AlertEvent | None:
    """None for what nobody is alerted of: probes that find what was expected, and what did not run."""
    if result.status in ("pending", "cancelled") or result.call_id == 0:
        return None
    wanted = target_rc(result)
    is_probe = result.operation == "monitor" and result.interval_ms == 0
    if is_probe and result.status == "done" and result.rc == wanted:
        return None
    says = {
        "node": node,
        "rsc": result.resource.id,
        "task": result.operation,
        "interval": str(result.interval_ms),
        "rc": str(result.rc),
        "target_rc": str(wanted),
        "status": str(STATUS_CODES[result.status]),
        "exec_time": str(result.exec_ms),
        "desc": _desc(result),
    }
    return AlertEvent("resource", at_ms, says)


def _desc(result: OperationResult) -> str:
    if result.status == "done":
        return RC_WORDS.get(result.rc, f"code {result.rc}")
    return STATUS_WORDS.get(result.status, result.status)
