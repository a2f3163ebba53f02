# SPDX-License-Identifier: GPL-2.0-or-later
"""A kept model beside decisions from scratch, and changes for it to follow."""

from __future__ import annotations

import copy
import random

from lxml import etree
from lxml.etree import _Element as Element

from ha.cib.model.diff import apply_diff, diff_of
from ha.cib.model.document import Document
from ha.cib.model.edit import Transaction
from ha.cib.model.parse import parse
from ha.cli.crm_simulate.scores import ScoreLines
from ha.pe.core import Decision, schedule
from ha.pe.core.kept import KeptModel


class Follower:
    """A tree changed by diffs alone, and two kept models of it: one reports, and so looks at everything."""

    def __init__(self, text: bytes) -> None:
        self.document = Document.from_bytes(text)
        self.model = KeptModel(self.document.root)
        self.reporting = KeptModel(self.document.root)
        self.decisions = 0

    def text(self) -> bytes:
        return self.document.snapshot().to_bytes()

    def follow(self, text: bytes) -> None:
        """Goes to another version, by the diff that a cib would publish."""
        diff = diff_of(Document.from_bytes(self.text()), Document.from_bytes(text))
        if diff is None:
            return
        transaction = Transaction(self.document)
        apply_diff(transaction, parse(etree.tostring(diff)))
        self.model.touch(transaction.parts())
        self.reporting.touch(transaction.parts())

    def check_graph(self, now_s: int) -> None:
        """Fails where the kept model decides otherwise than a new one."""
        fast, new = self.model.schedule(now_s), schedule(self.text(), now_s)
        assert fast.graph_xml == new.graph_xml
        assert fast.recheck_at_s == new.recheck_at_s
        self.decisions += 1

    def check(self, now_s: int) -> None:
        """As `check_graph`; scores and reports of the model that looks at everything, and traces in the tree, too."""
        before = etree.tostring(self.document.root)
        kept_lines, new_lines = (ScoreLines(scores=True, utilization=True) for _ in range(2))
        fast = self.model.schedule(now_s)
        kept = self.reporting.schedule(now_s, kept_lines)
        new = schedule(self.text(), now_s, new_lines)
        assert fast.graph_xml == kept.graph_xml == new.graph_xml
        assert fast.recheck_at_s == new.recheck_at_s
        assert kept.recheck_at_s == new.recheck_at_s
        assert kept_lines.lines == new_lines.lines
        assert tables(kept) == tables(new)
        assert set(map(repr, tables(fast))) <= set(map(repr, tables(new)))
        self.decisions += 1
        assert etree.tostring(self.document.root) == before


def tables(decision: Decision) -> list[tuple[str, list[tuple[str, int]], str, str]]:
    """Every resource's table of nodes, and its role now and next."""
    found = []
    stack = list(decision.cluster.resources)
    while stack:
        resource = stack.pop()
        stack.extend(resource.children)
        table = [(name, entry.score) for name, entry in resource.allowed.items()]
        found.append((resource.id, table, resource.orig_role.name, resource.next_role.name))
    return found


# Changes -----------------------------------------------------------------------------------------------------------


def disturb(root: Element, chance: random.Random) -> None:
    """One change such as clusters see: results, failures, lost nodes, forgotten histories, options, definitions."""
    changes = (_result, _result, _fail, _move_node, _forget, _recall, _transient, _option, _definition)
    chance.choice(changes)(root, chance)


def disturb_status(root: Element, chance: random.Random) -> None:
    """One change of what resources do: results, failures, fail counts, histories forgotten or found."""
    chance.choice((_result, _fail, _recall, _counts, _forget_one))(root, chance)


def _some(chance: random.Random, elements: list[Element]) -> Element | None:
    return chance.choice(elements) if elements else None


def _operations(root: Element) -> list[Element]:
    return list(root.iterfind("status/node_state/lrm/lrm_resources/lrm_resource/lrm_rsc_op"))


def _result(root: Element, chance: random.Random) -> None:
    operation = _some(chance, _operations(root))
    if operation is not None:
        call = str(chance.randint(1, 20))
        operation.set("call-id", call)
        operation.set("rc-code", chance.choice(("0", "7")))
        operation.set("operation", chance.choice(("monitor", "start", "stop")))


def _fail(root: Element, chance: random.Random) -> None:
    operation = _some(chance, _operations(root))
    if operation is not None:
        operation.set("rc-code", chance.choice(("1", "5", "6", "8", "193", "x")))
        operation.set("op-status", chance.choice(("0", "2", "4", "-1", "7", "1")))
        operation.set("last-rc-change", str(1_700_000_000 - chance.randint(0, 100)))


def _move_node(root: Element, chance: random.Random) -> None:
    state = _some(chance, list(root.iterfind("status/node_state")))
    if state is not None:
        up = chance.random() < 0.5
        state.set("in_ccm", "true" if up else "false")
        state.set("crmd", "online" if up else "offline")
        state.set("join", "member" if up else "down")
        state.set("expected", chance.choice(("member", "down")))


def _forget(root: Element, chance: random.Random) -> None:
    wanted = chance.choice(("lrm/lrm_resources/lrm_resource", "lrm/lrm_resources/lrm_resource/lrm_rsc_op", "lrm", "."))
    gone = _some(chance, list(root.iterfind(f"status/node_state/{wanted}")))
    if gone is not None:
        parent = gone.getparent()
        assert parent is not None
        parent.remove(gone)


def _forget_one(root: Element, chance: random.Random) -> None:
    gone = _some(chance, list(root.iterfind("status/node_state/lrm/lrm_resources/lrm_resource")))
    if gone is not None:
        parent = gone.getparent()
        assert parent is not None
        parent.remove(gone)


def _counts(root: Element, chance: random.Random) -> None:
    """A resource's failures on a node are counted, or forgotten."""
    entry = _some(chance, list(root.iterfind("status/node_state/lrm/lrm_resources/lrm_resource")))
    if entry is None:
        return
    state = next(entry.iterancestors("node_state"))
    block = state.find("transient_attributes/instance_attributes")
    if block is None:
        outer = etree.SubElement(state, "transient_attributes", id=state.get("id") or "")
        block = etree.SubElement(outer, "instance_attributes", id=f"status-{state.get('id')}")
    for kind, value in (("fail-count", chance.choice(("1", "2", "INFINITY"))), ("last-failure", "1699999990")):
        name = f"{kind}-{entry.get('id')}#monitor_10000"
        known = next((pair for pair in block if pair.get("name") == name), None)
        if known is not None and chance.random() < 0.5:
            block.remove(known)
        elif known is None:
            id = f"{block.get('id')}-{name}".replace("#", ".").replace(":", ".")
            etree.SubElement(block, "nvpair", id=id, name=name, value=value)
        else:
            known.set("value", value)


def _recall(root: Element, chance: random.Random) -> None:
    """One node's history of a resource becomes another's, too."""
    entries = list(root.iterfind("status/node_state/lrm/lrm_resources/lrm_resource"))
    place = _some(chance, list(root.iterfind("status/node_state/lrm/lrm_resources")))
    source = _some(chance, entries)
    if source is not None and place is not None and all(e.get("id") != source.get("id") for e in place):
        place.insert(chance.randint(0, len(place)), copy.deepcopy(source))


def _transient(root: Element, chance: random.Random) -> None:
    block = _some(chance, list(root.iterfind("status/node_state/transient_attributes/instance_attributes")))
    if block is not None:
        name = chance.choice(("standby", "fail-count-B#monitor_10000", "last-failure-B#monitor_10000", "shutdown"))
        known = next((pair for pair in block if pair.get("name") == name), None)
        if known is None:
            known = etree.SubElement(block, "nvpair", {"id": f"{block.get('id')}-{len(block)}-{name}", "name": name})
        known.set("value", chance.choice(("true", "0", "1", "INFINITY", "1699999990")))


def _option(root: Element, chance: random.Random) -> None:
    for block in root.iterfind("configuration/crm_config/cluster_property_set"):
        name = chance.choice(("maintenance-mode", "symmetric-cluster", "stop-all-resources", "shutdown-lock"))
        known = next((pair for pair in block if pair.get("name") == name), None)
        if known is None:
            known = etree.SubElement(block, "nvpair", {"id": f"{block.get('id')}-{name}", "name": name})
        known.set("value", chance.choice(("true", "false")))


def _definition(root: Element, chance: random.Random) -> None:
    found = _some(chance, list(root.iterfind("configuration/resources//primitive")))
    if found is not None:
        parent = found.getparent()
        assert parent is not None
        if chance.random() < 0.3 and (parent.tag == "resources" or len(parent) > 1):
            parent.remove(found)
        else:
            found.set("type", chance.choice(("Dummy", "Stateful")))
