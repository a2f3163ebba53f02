# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.bench._decisions FILE [KIND ...]`: what a process sees of its own decisions, as JSON in CPU seconds.

Reading, deciding, writing the graph; then the decision after a diff of each KIND, from the diff as it is published to
the graph, as the pengine does it. Each kind's last graph is compared with that from the text.
"""

from __future__ import annotations

import gc
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lxml import etree

from ha.cib.model.diff import apply_diff
from ha.cib.model.document import Document, attributes_of
from ha.cib.model.edit import Transaction
from ha.cib.model.parse import parse
from ha.pe.core import decide_on, read, schedule
from ha.pe.core.graph import write_graph
from ha.pe.core.graph_text import graph_text
from ha.pe.core.kept import KeptModel
from ha.pe.core.stages import decide
from ha.pe.io.collector import paused_collector

NOW_S = 1_700_000_000
DIFFS = 3


def main(arguments: Sequence[str]) -> int:
    path, *kinds = arguments
    text = Path(path).read_bytes()
    told: dict[str, object] = {"spans": spans(text), "diffs": {}}
    gc.collect()
    told["diffs"] = {kind: statistics.median(times_after(kind, text)) for kind in kinds}
    print(json.dumps(told))
    return 0


def spans(text: bytes) -> list[float]:
    """Of reading, deciding and writing, from the text."""
    decide_on(read(b"<cib><configuration/></cib>", NOW_S))  # Raises the depth that walks may have.
    clock = time.process_time
    with paused_collector():
        at = [clock()]
        cluster = read(text, NOW_S)
        at.append(clock())
        decide(cluster)
        at.append(clock())
        graph_text(*write_graph(cluster))
        at.append(clock())
    return [later - earlier for earlier, later in itertools.pairwise(at)]


# After a diff ------------------------------------------------------------------------------------------------------


def times_after(kind: str, text: bytes) -> list[float]:
    """Seconds for each of DIFFS decisions after a change of this kind, on a model that is kept."""
    document = Document.from_bytes(text)
    sender = Document.from_bytes(text)
    document.snapshot()
    model = KeptModel(document.root)
    model.schedule(NOW_S)
    times = []
    for number in range(DIFFS):
        change = Transaction(sender)
        CHANGES[kind](change, sender, number)
        diff = change.diff()
        assert diff is not None, kind
        published = etree.tostring(diff)
        with paused_collector():
            began = time.process_time()
            transaction = Transaction(document)
            apply_diff(transaction, parse(published))
            document.snapshot()
            model.touch(transaction.parts())
            decision = model.schedule(NOW_S)
            times.append(time.process_time() - began)
    assert decision.graph_xml == schedule(etree.tostring(document.root), NOW_S).graph_xml, kind
    return times


def _result(change: Transaction, sender: Document, number: int) -> None:
    """A result of one resource is recorded anew."""
    state = sender.root.findall("status/node_state")[-1]
    place = next(state.iter("lrm_rsc_op"), state)
    change.set_attributes(place, {**attributes_of(place), "crm-debug-origin": f"bench-{number}"})


def _failure(change: Transaction, sender: Document, number: int) -> None:
    """A fail count of one resource."""
    id = next(sender.root.iterfind("configuration/resources//primitive")).get("id")
    _set_transient(change, sender, f"fail-count-{id}#monitor_10000", str(number + 1))


def _attribute(change: Transaction, sender: Document, number: int) -> None:
    """An attribute of a node that nothing asks for."""
    _set_transient(change, sender, "bench", str(number))


def _standby(change: Transaction, sender: Document, number: int) -> None:
    """A node goes into standby, and comes back."""
    _set_transient(change, sender, "standby", "off" if number % 2 else "on")


def _option(change: Transaction, sender: Document, number: int) -> None:
    """A cluster option."""
    block = next(sender.root.iterfind("configuration/crm_config/cluster_property_set"))
    _set_pair(change, block, "batch-limit", str(number + 10))


def _definition(change: Transaction, sender: Document, number: int) -> None:
    """A meta attribute of one resource."""
    element = next(sender.root.iterfind("configuration/resources//primitive"))
    block = element.find("meta_attributes")
    if block is not None:
        _set_pair(change, block, "migration-threshold", str(number + 100))
        return
    block = etree.Element("meta_attributes", id="bench-meta")
    block.append(_pair("migration-threshold", str(number + 100)))
    change.append(element, block)


CHANGES: dict[str, Callable[[Transaction, Document, int], None]] = {
    "result": _result,
    "fail count": _failure,
    "attribute": _attribute,
    "standby": _standby,
    "option": _option,
    "definition": _definition,
}


def _set_transient(change: Transaction, sender: Document, name: str, value: str) -> None:
    """An attribute of the last node, as attrd writes it."""
    state = sender.root.findall("status/node_state")[-1]
    owner = state.find("transient_attributes")
    if owner is not None:
        _set_pair(change, owner[0], name, value)
        return
    owner = etree.Element("transient_attributes", id=state.get("id") or "")
    etree.SubElement(owner, "instance_attributes", id="bench-transient").append(_pair(name, value))
    change.append(state, owner)


def _set_pair(change: Transaction, block: etree._Element, name: str, value: str) -> None:
    pair = next((pair for pair in block if pair.get("name") == name), None)
    if pair is None:
        change.append(block, _pair(name, value))
    else:
        change.set_attributes(pair, {**attributes_of(pair), "value": value})


def _pair(name: str, value: str) -> etree._Element:
    return etree.Element("nvpair", id=f"bench-{name.replace('#', '-')}", name=name, value=value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
