# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the CIB in a process, with nothing else around: python -m tests.bench.cib_reads.

Budgets (design section 11): unchanged 1 us; a new version of 20 KB 0.3 ms. Peer: a query by Pacemaker's library took
0.13 to 0.25 ms on this machine, changed or not (it needs a running cluster, so it is not measured here).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable

from lxml import etree

from ha.cib.io.publisher import Publisher, purge
from ha.cib.io.reader import CibReader
from ha.cib.model.document import Document
from ha.cib.model.edit import Transaction
from ha.cib.model.operations import set_version
from ha.cib.model.store import PublishCib
from ha.cib.msg import Version
from ha.root import Root
from tests.bench.cib_writes import primitives

VERSIONS = 400


def document(size_bytes: int) -> Document:
    """A CIB of about this size: primitives, and node_states that change."""
    count = max(1, size_bytes // len(primitives(1)))
    states = "".join(f'<node_state id="{n}" uname="n{n}" crmd="online"/>' for n in range(8))
    return Document.from_bytes(
        '<cib crm_feature_set="3.16.2" validate-with="pacemaker-3.9" admin_epoch="0" epoch="1" num_updates="0">'
        "<configuration><crm_config/><nodes/>"
        f"<resources>{primitives(count)}</resources><constraints/></configuration><status>{states}</status></cib>"
    )


def step(cib: Document, number: int) -> PublishCib:
    """The next version: one attribute of one node_state is another."""
    transaction = Transaction(cib)
    element = cib.root[1][number % len(cib.root[1])]
    transaction.set_attributes(element, {**dict(element.items()), "crm-debug-origin": f"bench-{number}"})
    version = cib.version
    set_version(transaction, Version(version.admin_epoch, version.epoch, version.num_updates + 1))
    diff = transaction.diff()
    assert diff is not None
    shot = cib.snapshot()
    return PublishCib(number + 1, shot.version, shot.digest, shot.parts, (etree.tostring(diff),))


def median_us(calls: list[float]) -> float:
    return statistics.median(calls) * 1e6


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ours(root: Root, size_bytes: int) -> str:
    publisher, reader, cib = Publisher(root), CibReader(root), document(size_bytes)
    shot = cib.snapshot()
    publisher.publish(PublishCib(publisher.generation + 1, shot.version, shot.digest, shot.parts, ()))
    reader.tree()
    rounds = 100_000
    unchanged_us = timed(lambda: [reader.tree() for _ in range(rounds)]) / rounds * 1e6
    followed, whole, published = [], [], []
    base = publisher.generation
    for number in range(base, base + VERSIONS):
        request = step(cib, number)
        published.append(timed(lambda request=request: publisher.publish(request)))  # type: ignore[misc]
        followed.append(timed(reader.tree))
        whole.append(timed(lambda: Document.from_bytes(reader.read().xml)))  # type: ignore[union-attr]
    tree = reader.tree()
    assert tree is not None
    assert etree.tostring(tree) == cib.snapshot().to_bytes()
    publisher.close()
    reader.close()
    size = len(cib.snapshot().to_bytes())
    return (
        f"{size / 1024:7.0f} KB: unchanged {unchanged_us:.2f} us; new version by its diff {median_us(followed):.0f} us,"
        f" parsed whole {median_us(whole):.0f} us; published in {median_us(published):.0f} us"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        root = Root(folder)
        root.run_dir.mkdir(parents=True, exist_ok=True)
        try:
            for size in (5_000, 20_000, 1_000_000, 16_000_000):
                print(ours(root, size))
        finally:
            purge(root)
