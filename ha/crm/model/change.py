# SPDX-License-Identifier: GPL-2.0-or-later
"""What a published change of the CIB means to the DC: whether the cluster has to be scheduled anew."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from lxml import etree

from ha.cib.msg import Changed
from ha.crm.model.status import SHUTDOWN

_PAIR_ID = re.compile(r"""/nvpair\[@id=(['"])(.*?)\1\]$""")
_STATE_ID = re.compile(r"""/cib/status/node_state\[@id=(['"])(.*?)\1\]""")


@dataclass(frozen=True, slots=True)
class AttributeChange:
    """A transient attribute that was written, or removed: the nvpair `pair_id` of the node with the id `node_id`.

    Of a removed one the diff tells no name: both `name` and `value` are "".
    """

    node_id: str
    pair_id: str
    name: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """`configuration`: cluster options or nodes may differ. `history`: somebody else touched node states or history.
    `attributes`: transient attributes differ. `shutdowns`: ids of the nodes whose attribute `shutdown` was written.
    `text`: the first thing that changed, for the log. `written`: the transient attributes one by one."""

    configuration: bool = False
    history: bool = False
    attributes: bool = False
    text: str = ""
    shutdowns: tuple[str, ...] = ()
    written: tuple[AttributeChange, ...] = ()

    @property
    def matters(self) -> bool:
        return self.configuration or self.history or self.attributes


def meaning_of(changed: Changed, own: bool, gone: Collection[str] = ()) -> Meaning:
    """`own`: the crmd of this node wrote it, and knows what it did to the status. `gone`: ids of nodes that are out,
    whose transient attributes matter to nobody.

    A change without a diff may be anything. The diff's form is the cib's v2 patch: `change` elements with an
    `operation` and a `path` such as /cib/status/node_state[@id='1']/transient_attributes[@id='1'].
    """
    if not changed.diff:
        return Meaning(configuration=True, history=True, attributes=True, text="the CIB was replaced")
    root = etree.fromstring(changed.diff.encode(), etree.XMLParser(resolve_entities=False, no_network=True))
    configuration = history = attributes = False
    first = ""
    shutdowns: dict[str, None] = {}
    written: list[AttributeChange] = []
    for change in root.iter("change"):
        path = change.get("path", "")
        kind = _kind(path, change)
        found = _attributes(path, change) if kind == "attributes" else []
        shutdowns.update(dict.fromkeys(each.node_id for each in found if each.name == SHUTDOWN))
        if kind == "attributes" and (own or _node_id(path) in gone):
            kind = "bookkeeping"
        if kind == "attributes":
            written += found
        mattering = kind != "bookkeeping" and not (own and kind == "history")
        if mattering and not first:
            first = f"{change.get('operation', 'change')} {path}"
        configuration = configuration or kind in ("configuration", "everything")
        history = history or (kind in ("history", "everything") and not own)
        attributes = attributes or kind in ("attributes", "everything")
    return Meaning(configuration, history, attributes, first, tuple(shutdowns), tuple(written))


def _attributes(path: str, change: etree._Element) -> list[AttributeChange]:
    node_id = _node_id(path) or next((state.get("id", "") for state in change.iter("node_state")), "")
    if change.get("operation") == "delete":
        match = _PAIR_ID.search(path)
        return [AttributeChange(node_id, match[2])] if match is not None else []
    return [
        AttributeChange(node_id, pair.get("id", ""), pair.get("name", ""), pair.get("value", ""))
        for pair in change.iter("nvpair")
        if change.get("operation") in ("create", "modify")
    ]


def _node_id(path: str) -> str:
    match = _STATE_ID.match(path)
    return match[2] if match is not None else ""


def _kind(path: str, change: etree._Element) -> str:
    if path.startswith("/cib/configuration"):
        return "configuration"
    if path.startswith("/cib/status"):
        if "/transient_attributes" in path or next(change.iter("transient_attributes"), None) is not None:
            return "attributes"
        return "history"
    if path == "/cib":
        created = {child.tag for child in change}
        if created & {"configuration", "status"}:
            return "everything"
        return "bookkeeping"  # versions, have-quorum, dc-uuid: the writer knows
    return "everything"
