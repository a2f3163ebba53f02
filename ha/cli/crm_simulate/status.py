# SPDX-License-Identifier: GPL-2.0-or-later
"""How a cluster looks before and after a simulation, in the words and elements of crm_mon."""

from __future__ import annotations

from collections.abc import Iterator

from lxml.etree import _Element as Element

from ha.cli.crm_mon import text_report, xml_report
from ha.cli.crm_mon.history import shown_failures, states_online
from ha.cli.crm_simulate.report import Shown
from ha.cli.output.status_text import status_lines
from ha.cli.source.cluster import RC_WORDS, is_shown, moment
from ha.pe.model.cluster import Cluster, FailedOperation
from ha.pe.model.values import integer


def lines(cluster: Cluster, shown: Shown, *, pending: bool) -> Iterator[str]:
    """`pending` shows operations under way by words of their own."""
    yield from status_lines(cluster, pending=pending)
    if shown.attributes and _has_attributes(cluster):
        yield ""
        yield from _as_list(text_report.attribute_lines(cluster))
    if shown.failcounts and _has_history(cluster):
        yield ""
        yield from _as_list(text_report.failcount_lines(cluster))
    if shown.failcounts and (failures := shown_failures(cluster)):
        yield ""
        yield "* Failed Resource Actions:"
        yield from (f"  * {_failure_words(failure)}" for failure in failures)


def append(parent: Element, cluster: Cluster, shown: Shown) -> None:
    """As `lines`, as children of `parent`."""
    xml_report.append_nodes(parent, cluster)
    xml_report.append_resources(parent, cluster)
    if shown.attributes:
        xml_report.append_node_attributes(parent, cluster)
    if shown.failcounts:
        if _has_history(cluster):
            xml_report.append_failcounts(parent, cluster)
        xml_report.append_failures(parent, cluster)


def _has_attributes(cluster: Cluster) -> bool:
    return any(node.online and any(is_shown(name) for name in node.attributes) for node in cluster.nodes)


def _has_history(cluster: Cluster) -> bool:
    return any(True for _ in states_online(cluster))


def _as_list(section: Iterator[str]) -> Iterator[str]:
    """A section of crm_mon as an entry of an outer list."""
    yield f"* {next(section)}"
    yield from section


def _failure_words(failure: FailedOperation) -> str:
    operation = failure.element
    code = integer(operation.get("rc-code")) or 0
    status = xml_report.STATUS_WORDS.get(integer(operation.get("op-status")) or 0, "unknown")
    call = operation.get("call-id") or "-1"
    text = f"{failure.key} on {failure.node.name} '{RC_WORDS.get(code, 'unknown')}' ({code}): call={call}"
    text += f", status='{status}'"
    if operation.get("exit-reason"):
        text += f", exitreason='{operation.get('exit-reason')}'"
    if when := moment(operation.get("last-rc-change")):
        text += f", last-rc-change='{when}'"
        for word, name in (("queued", "queue-time"), ("exec", "exec-time")):
            if operation.get(name):
                text += f", {word}={operation.get(name)}ms"
    return text
