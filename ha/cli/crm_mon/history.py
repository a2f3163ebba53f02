# SPDX-License-Identifier: GPL-2.0-or-later
"""The operation history of a node, as crm_mon shows it in text and XML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml.etree import _Element as Element

from ha.pe.core.failcounts import fail_count
from ha.pe.core.history_facts import masks_probe_failure
from ha.pe.model.cluster import Cluster, FailedOperation
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.values import integer

INFINITY = 1_000_000


@dataclass(frozen=True, slots=True)
class ResourceHistory:
    """`operations` are those worth showing, in order of their calls. `resource` is None for one no longer known."""

    id: str
    resource: Resource | None
    operations: tuple[Element, ...]
    fail_count: int
    last_failure: int = 0
    """Seconds since the epoch; 0 for none."""

    @property
    def orphan(self) -> bool:
        return self.resource is None

    @property
    def migration_threshold(self) -> int:
        return self.resource.ban_after_failures if self.resource else INFINITY


def states_online(cluster: Cluster) -> Iterator[tuple[Node, Element]]:
    """The states of the nodes that are online."""
    status = cluster.document.section("status")
    for state in status.iterchildren("node_state") if status is not None else ():
        node = cluster.node_by_id(state.get("id"))
        if node is not None and node.online:
            yield node, state


def histories(cluster: Cluster) -> Iterator[tuple[Node, list[ResourceHistory]]]:
    """Of every node that is online, in the order of the status section; nodes without any are left out."""
    for node, state in states_online(cluster):
        entries = (_history(cluster, node, entry) for entry in state.iterfind("lrm/lrm_resources/lrm_resource"))
        if found := [entry for entry in entries if entry.operations or entry.fail_count]:
            yield node, found


def failed_histories(cluster: Cluster) -> Iterator[tuple[Node, list[ResourceHistory]]]:
    """Those with a fail count."""
    for node, found in histories(cluster):
        if failed := [history for history in found if history.fail_count]:
            yield node, failed


def _history(cluster: Cluster, node: Node, entry: Element) -> ResourceHistory:
    shown = (operation for operation in entry.iterchildren("lrm_rsc_op") if worth_showing(operation))
    resource = cluster.find(entry.get("id"))
    count, last_failure = fail_count(node, resource) if resource is not None else (0, 0)
    return ResourceHistory(
        id=resource.printable_id if resource is not None else str(entry.get("id")),
        resource=resource,
        operations=tuple(sorted(shown, key=lambda operation: integer(operation.get("call-id")) or 0)),
        fail_count=count,
        last_failure=last_failure,
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


def shown_failures(cluster: Cluster) -> list[FailedOperation]:
    """A probe that found the agent unable to work on a node is no failure: the resource is shown as stopped there, with
    the reason."""
    return [failure for failure in cluster.failed if not masks_probe_failure(failure.element)]
