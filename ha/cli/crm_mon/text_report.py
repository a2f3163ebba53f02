# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster's status for people, section by section, as crm_mon's users know it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lxml.etree import _Element as Element

from ha.cli.crm_mon.history import ResourceHistory, failed_histories, histories, shown_failures, task_of
from ha.cli.output.status_text import node_lines, resource_lines
from ha.cli.source.cluster import RC_WORDS, disabled, is_shown, moment, primitives
from ha.pe.model.cluster import Cluster
from ha.pe.model.values import integer


@dataclass(frozen=True, slots=True)
class Sections:
    """What to show beside summary, nodes, resources and failures."""

    headers: bool = True
    inactive: bool = False
    group_by_node: bool = False
    attributes: bool = False
    failcounts: bool = False
    operations: bool = False
    timing: bool = False
    tickets: bool = False
    bans: bool = False
    detail: bool = False


def report(cluster: Cluster, sections: Sections) -> Iterator[str]:
    """The lines to print."""
    parts = [
        _summary(cluster) if sections.headers else iter(()),
        _nodes(cluster, sections),
        _resources(cluster, sections),
        attribute_lines(cluster) if sections.attributes else iter(()),
        _operations(cluster, sections.timing) if sections.operations or sections.timing else iter(()),
        failcount_lines(cluster) if sections.failcounts and not sections.operations else iter(()),
        _tickets(cluster) if sections.tickets else iter(()),
        _bans(cluster) if sections.bans else iter(()),
        _failures(cluster),
    ]
    first = True
    for part in parts:
        lines = list(part)
        if lines:
            if not first:
                yield ""
            first = False
            yield from lines


def _summary(cluster: Cluster) -> Iterator[str]:
    root = cluster.document.root
    quorum = "with quorum" if cluster.quorate else "WITHOUT quorum"
    version = cluster.options.get("dc-version", "unknown")
    dc = f"{cluster.dc.name} (version {version}) - partition {quorum}" if cluster.dc else "NONE"
    members = list(primitives(cluster.resources))
    notes = [
        f"{count} {word}"
        for count, word in (
            (sum(disabled(r) for r in members), "DISABLED"),
            (sum(r.blocked for r in members), "BLOCKED from further action due to failure"),
        )
        if count
    ]
    count = sum(not r.removed for r in members)
    changed = str(root.get("cib-last-written") or "")
    for word, name in (("by", "update-user"), ("via", "update-client"), ("on", "update-origin")):
        if root.get(name):
            changed += f" {word} {root.get(name)}"
    yield "Cluster Summary:"
    yield f"  * Stack: {cluster.options.get('cluster-infrastructure', 'unknown')}"
    yield f"  * Current DC: {dc}"
    yield f"  * Last updated: {moment(cluster.now)}"
    yield f"  * Last change:  {changed}"
    yield f"  * {counted(len(cluster.nodes), 'node')} configured"
    suffix = f" ({', '.join(notes)})" if notes else ""
    yield f"  * {counted(count, 'resource instance')} configured{suffix}"
    if cluster.in_maintenance:
        yield ""
        yield "              *** Resource management is DISABLED ***"
        yield "  The cluster will not attempt to start, stop or recover services"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _nodes(cluster: Cluster, sections: Sections) -> Iterator[str]:
    yield "Node List:"
    if not sections.group_by_node:
        for line in node_lines(cluster):
            yield f"  {line}"
        return
    for node in cluster.nodes:
        state = "online" if node.online else "OFFLINE"
        yield f"  * Node {node.name}: {'standby' if node.standby else state}:"
        yield "    * Resources:"
        for resource in node.running:
            for line in resource_lines(resource):
                yield f"      {line.removesuffix(' ' + node.name)}"


def _resources(cluster: Cluster, sections: Sections) -> Iterator[str]:
    shown = [r for r in cluster.resources if r.is_active(False) or (sections.inactive and not r.removed)]
    if sections.group_by_node:
        shown = [r for r in cluster.resources if not r.is_active(False)] if sections.inactive else []
        title = "Inactive Resources:"
    else:
        title = "Full List of Resources:" if sections.inactive else "Active Resources:"
    if not shown:
        if not sections.group_by_node:
            yield title
            yield "  * No resources" if sections.inactive else "  * No active resources"
        return
    yield title
    for resource in shown:
        for line in resource_lines(resource, inactive=sections.inactive):
            yield f"  {line}"


def attribute_lines(cluster: Cluster) -> Iterator[str]:
    yield "Node Attributes:"
    for node in cluster.nodes:
        shown = {name: value for name, value in sorted(node.attributes.items()) if is_shown(name)}
        if node.online and shown:
            yield f"  * Node: {node.name}:"
            for name, value in shown.items():
                yield f"    * {name:<32}\t: {value:<10}"


def _operations(cluster: Cluster, timing: bool) -> Iterator[str]:
    yield "Operations:"
    for node, found in histories(cluster):
        yield f"  * Node: {node.name}:"
        for history in found:
            yield f"    * {_threshold(history)}:"
            for operation in history.operations:
                words = _operation_words(operation, timing)
                line = f"      * ({operation.get('call-id')}) {task_of(operation)}"
                yield f"{line}: {' '.join(words)}" if words else line


def _operation_words(operation: Element, timing: bool) -> list[str]:
    words = []
    if (operation.get("interval") or "0") != "0":
        words.append(f'interval="{operation.get("interval")}ms"')
    if timing:
        if operation.get("last-rc-change"):
            words.append(f'last-rc-change="{moment(operation.get("last-rc-change"))}"')
        words += [f'{name}="{operation.get(name)}ms"' for name in ("exec-time", "queue-time") if operation.get(name)]
        rc = integer(operation.get("rc-code")) or 0
        words.append(f"rc={rc} ({RC_WORDS.get(rc, 'unknown')})")
    return words


def _threshold(history: ResourceHistory) -> str:
    words = f"{history.id}: migration-threshold={history.migration_threshold}"
    if history.fail_count:
        words += f" fail-count={history.fail_count}"
    if history.last_failure:
        words += f" last-failure='{moment(history.last_failure)}'"
    return words


def failcount_lines(cluster: Cluster) -> Iterator[str]:
    yield "Migration Summary:"
    for node, failed in failed_histories(cluster):
        yield f"  * Node: {node.name}:"
        for history in failed:
            yield f"    * {_threshold(history)}"


def _tickets(cluster: Cluster) -> Iterator[str]:
    if cluster.tickets:
        yield "Tickets:"
        for name, ticket in sorted(cluster.tickets.items()):
            yield f"  * {name}: {'granted' if ticket.granted else 'revoked'}{' [standby]' if ticket.standby else ''}"


def _bans(cluster: Cluster) -> Iterator[str]:
    section = cluster.document.section("constraints")
    lines = [
        f"  * {c.get('id')}\tprevents {c.get('rsc')} from running on {c.get('node')}"
        for c in (section.iterchildren("rsc_location") if section is not None else ())
        if (c.get("score") or "").startswith("-") and c.get("rsc") and c.get("node")
    ]
    if lines:
        yield "Negative Location Constraints:"
        yield from lines


def _failures(cluster: Cluster) -> Iterator[str]:
    failures = shown_failures(cluster)
    if not failures:
        return
    yield "Failed Resource Actions:"
    for failure in failures:
        operation = failure.element
        rc = integer(operation.get("rc-code")) or 0
        interval = integer(operation.get("interval")) or 0
        task = task_of(operation) if not interval else f"{interval / 1000:g}s-interval {operation.get('operation')}"
        words = f"  * {failure.resource_id} {task} on {failure.node.name}"
        if operation.get("op-status") == "2":
            words += " could not be executed (Timed Out"
            words += f": {operation.get('exit-reason')})" if operation.get("exit-reason") else ")"
        else:
            words += f" returned '{RC_WORDS.get(rc, 'unknown')}'"
            if operation.get("exit-reason"):
                words += f" ({operation.get('exit-reason')})"
        if operation.get("last-rc-change"):
            words += f" at {moment(operation.get('last-rc-change'))}"
        if operation.get("exec-time"):
            words += f" after {operation.get('exec-time')}ms"
        yield words
