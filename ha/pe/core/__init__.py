# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy engine proper: a pure function from a CIB to what is to be done."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lxml.etree import _Element as Element

from ha.pe.core.graph import write_graph
from ha.pe.core.graph_text import Written, graph_text
from ha.pe.core.stages import decide, read_cluster
from ha.pe.model.cluster import Cluster
from ha.pe.model.document import CibError, Document
from ha.pe.model.history import ResourceHistory
from ha.pe.model.reporter import Reporter, Silence

if TYPE_CHECKING:
    from ha.machine import Machine

__all__ = ["CibError", "Cluster", "Decision", "build", "decide_on", "read", "schedule"]

RECURSION_LIMIT = 100_000
"""Depth of the walks along chains of orderings and colocations; each resource of a chain takes up to three frames.

None of these walks may lead through a call from C (`any` of a generator that calls itself, say): such frames lie on the
thread's own stack, which is far too small for so many."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done.

    `graph_xml` is the transition graph in Pacemaker's format. `cluster` holds the resources with their tables of
    scores and their actions with reasons. `recheck_at_s` is the moment (seconds since the epoch) from which the
    decision may be another one although nothing happened, None for never. `graph_head` and `synapses` are what the
    graph's text was made of.
    """

    graph_xml: bytes
    cluster: Cluster
    recheck_at_s: int | None
    graph_head: str = ""
    synapses: list[Written] = field(default_factory=list)


def build() -> Machine:
    """The pengine's machine. Tools that only decide do without it, and without the messages it imports."""
    from ha.pe.core.worker import build as build_worker

    return build_worker()


def read(
    cib: bytes | Element,
    now_s: int,
    reporter: Reporter | None = None,
    *,
    sanitized: bool = False,
    histories: dict[Element, list[ResourceHistory]] | None = None,
) -> Cluster:
    """Reads a whole cib element (with status), as text or tree; nothing is decided. Raises CibError.

    `now_s` is the wall clock in seconds since the epoch. With `sanitized` private parameters may have been blotted
    out, so their digests are not compared. `histories` is what is known of node states from an earlier
    reading of the same tree, and is added to.
    """
    cluster = Cluster(Document.read(cib), now_s, reporter or Silence())
    cluster.sanitized = sanitized
    if histories is not None and cluster.document.root is cib:
        cluster.histories = histories
    cluster.wants_tables = reporter is not None
    with _deep_walks("elements are nested deeper than can be followed"):
        read_cluster(cluster)
    return cluster


def decide_on(cluster: Cluster) -> Decision:
    """Decides for a cluster that was just read. A cluster is good for one decision. Raises CibError."""
    with _deep_walks("a chain of constraints is longer than can be followed"):
        decide(cluster)
        head, synapses = write_graph(cluster)
    return Decision(graph_text(head, synapses), cluster, cluster.recheck_by, head, synapses)


@contextmanager
def _deep_walks(trouble: str) -> Iterator[None]:
    """Raises CibError, with these words, for what is too deep even so."""
    if sys.getrecursionlimit() < RECURSION_LIMIT:
        sys.setrecursionlimit(RECURSION_LIMIT)
    try:
        yield
    except RecursionError:
        raise CibError(trouble) from None


def schedule(cib: bytes | Element, now_s: int, reporter: Reporter | None = None) -> Decision:
    """What is to be done in the cluster that `cib` describes. Raises CibError for input it cannot use."""
    return decide_on(read(cib, now_s, reporter))
