# SPDX-License-Identifier: GPL-2.0-or-later
"""The operation history of a node, as crm_mon shows it in text and XML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml.etree import _Element as Element

from ha.pe.core.failcounts import fail_count
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource

INFINITY = 1_000_000


@dataclass(frozen=True, slots=True)
class ResourceHistory:
    """`operations` are those worth showing, in order of their calls. `resource` is None for one no longer known."""

    id: str
    resource: Resource | None
    operations: tuple[Element, ...]
    fail_count: int

    @property
    def orphan(self) -> bool:
        return self.resource is None or self.resource.removed

    @property
    def migration_threshold(self) -> int:
        return self.resource.ban_after_failures if self.resource else INFINITY


def histories(cluster: Cluster) -> Iterator[tuple[Node, list[ResourceHistory]]]:
    """Of every node that is online, in the order of the status section; nodes without any are left out."""
    status = cluster.document.section("status")
    for state in status.iterchildren("node_state") if status is not None else ():
        node = cluster.node_by_id(state.get("id"))
        if node is None or not node.online:
            continue
        entries = (_history(cluster, node, entry) for entry in state.iterfind("lrm/lrm_resources/lrm_resource"))
        if found := [entry for entry in entries if entry.operations or entry.fail_count]:
            yield node, found


def _history(cluster: Cluster, node: Node, entry: Element) -> ResourceHistory:
    shown = (operation for operation in entry.iterchildren("lrm_rsc_op") if worth_showing(operation))
    resource = cluster.find(entry.get("id"))
    return ResourceHistory(
        id=resource.printable_id if resource is not None else str(entry.get("id")),
        resource=resource,
        operations=tuple(sorted(shown, key=lambda operation: int(operation.get("call-id") or 0))),
        fail_count=fail_count(node, resource)[0] if resource is not None else 0,
    )


def worth_showing(operation: Element) -> bool:
    """A notification is not, nor a probe that found nothing."""
    return operation.get("operation") != "notify" and not (
        is_probe(operation) and operation.get("rc-code") in ("7", "193")
    )


def is_probe(operation: Element) -> bool:
    return operation.get("operation") == "monitor" and (operation.get("interval") or "0") == "0"


def task_of(operation: Element) -> str:
    return "probe" if is_probe(operation) else str(operation.get("operation"))


def shown_count(count: int) -> str:
    return "INFINITY" if count >= INFINITY else str(count)
