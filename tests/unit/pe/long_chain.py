# SPDX-License-Identifier: GPL-2.0-or-later
"""`python -m tests.unit.pe.long_chain KIND RESOURCES`: decides on a chain of resources that depend on each other.

In a thread with next to no stack: a walk along the chain that leads through calls from C ends the process at once, with
a chain of a few hundred already. Prints how many of its resources start, stop and migrate, or the engine's complaint.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from lxml import etree

from ha.pe.core import CibError, schedule
from tests.unit.pe.small_cib import NOW, absent, cib, primitive, running

STACK_BYTES = 64 * 1024
STANDBY = '<rsc_location id="off" rsc-pattern=".*" node="n1" score="-INFINITY"/>'


def _orders(ids: Sequence[str]) -> str:
    return "".join(f'<rsc_order id="o-{then}" first="{first}" then="{then}"/>' for first, then in pairwise(ids))


def _colocations(ids: Sequence[str]) -> str:
    return "".join(f'<rsc_colocation id="c-{b}" rsc="{b}" with-rsc="{a}" score="INFINITY"/>' for a, b in pairwise(ids))


def _merged(histories: Sequence[dict[str, dict[str, str]]]) -> list[dict[str, dict[str, str]]]:
    whole: dict[str, dict[str, str]] = {}
    for history in histories:
        for node, entries in history.items():
            whole.setdefault(node, {}).update(entries)
    return [whole]


def chain(kind: str, count: int) -> bytes:
    """The CIB of a chain r0, r1, ... of a kind that the tests name."""
    ids = [f"r{number}" for number in range(count)]
    stopped = _merged([absent(id, ("n1", "n2")) for id in ids])
    started = _merged([history for id in ids for history in (running(id, "n1"), absent(id, ("n2",)))])
    resources = "".join(primitive(id) for id in ids)
    disabled = primitive(ids[0], meta={"target-role": "Stopped"}) + "".join(primitive(id) for id in ids[1:])
    orders, colocations = _orders(ids), _colocations(ids)
    if kind == "ordered":
        return cib(resources=resources, constraints=orders, history=stopped)
    if kind == "ordered, the first disabled":
        return cib(resources=disabled, constraints=orders, history=stopped)
    if kind == "ordered, the first to be stopped":
        return cib(resources=disabled, constraints=orders, history=started)
    if kind == "ordered, moved":
        return cib(resources=resources, constraints=orders + STANDBY, history=started)
    if kind == "ordered, never looked for":
        return cib(resources=resources, constraints=orders)
    if kind == "ordered backwards":
        return cib(resources=resources, constraints=_orders(ids[::-1]), history=stopped)
    if kind == "colocated":
        return cib(resources=resources, constraints=colocations, history=stopped)
    if kind == "colocated backwards":
        return cib(resources=resources, constraints=_colocations(ids[::-1]), history=stopped)
    if kind == "in a group":
        return cib(resources=f'<group id="g">{resources}</group>', history=stopped)
    if kind == "ordered, two nodes change places":
        return _exchanged(ids, orders)
    raise ValueError(kind)


def _exchanged(ids: Sequence[str], constraints: str) -> bytes:
    """What runs on n1 is to migrate to n2 and the other way round; capacity is freed before it is taken."""
    here, there = ("n1", "n2"), ("n2", "n1")
    places = {id: (here if number % 2 else there) for number, id in enumerate(ids)}
    history = _merged([part for id, (old, new) in places.items() for part in (running(id, old), absent(id, (new,)))])
    for id, (_, new) in places.items():
        constraints += f'<rsc_location id="l-{id}" rsc="{id}" node="{new}" score="INFINITY"/>'
    load = '<utilization id="{0}-u"><nvpair id="{0}-u-cpu" name="cpu" value="1"/></utilization>'
    meta = {"allow-migrate": "true"}
    resources = "".join(primitive(id, meta=meta, parameters=load.format(id)) for id in ids)
    text = cib(
        resources=resources, constraints=constraints, history=history, options={"placement-strategy": "balanced"}
    )
    root = etree.fromstring(text)
    for node in root.iterfind("configuration/nodes/node"):
        block = etree.SubElement(node, "utilization", id=f"{node.get('id')}-u")
        etree.SubElement(block, "nvpair", id=f"{node.get('id')}-u-cpu", name="cpu", value=str(len(ids)))
    return etree.tostring(root)


def decide(text: bytes) -> None:
    try:
        decision = schedule(text, NOW)
    except CibError as error:
        print(error)
        return
    tasks = Counter(
        str(action.get("operation"))
        for action in etree.fromstring(decision.graph_xml).iterfind("synapse/action_set/rsc_op")
    )
    print(tasks["start"], tasks["stop"], tasks["migrate_to"])


def main(arguments: Sequence[str]) -> int:
    text = chain(arguments[0], int(arguments[1]))
    threading.stack_size(STACK_BYTES)
    thread = threading.Thread(target=decide, args=(text,))
    thread.start()
    thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
