# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a resource is where it is, or is not: what in the configuration and in its history speaks for and against."""

from __future__ import annotations

from collections.abc import Iterator

from lxml.etree import _Element as Element

from ha.cli.crm_resource.listing import instances, running_nodes
from ha.cli.crm_resource.session import Session
from ha.cli.exit_codes import Exit
from ha.pe.core.failcounts import fail_count
from ha.pe.core.resources import target_role
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node, available
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role

INFINITY = 1_000_000


def why(session: Session) -> int:
    """--why: one line for each thing that counts; of all resources when none is named."""
    cluster = session.cluster
    wanted = [session.resource()] if session.options.resource else cluster.resources
    for resource in wanted:
        here = running_nodes(resource)
        print(f"Resource {resource.id} is {'running on ' + ', '.join(here) if here else 'not running'}")
        for line in reasons(cluster, resource):
            print(f"  * {line}")
    return Exit.OK


def reasons(cluster: Cluster, resource: Resource) -> Iterator[str]:
    """What speaks for and against, in words an operator can act on."""
    yield from _state(cluster, resource)
    for node in cluster.nodes:
        yield from _node(node, resource)
    yield from _locations(cluster, resource)
    yield from _relations(cluster, resource)


def _state(cluster: Cluster, resource: Resource) -> Iterator[str]:
    role = target_role(resource)
    if role == Role.STOPPED:
        yield "its target-role is Stopped: crm_resource --meta -r ID --set-parameter target-role -v Started"
    if not resource.managed:
        yield "it is not managed: the cluster neither starts nor stops it"
    if resource.any_within("blocked"):
        yield "it is blocked after a failure that the cluster may not act on: mend it, then crm_resource --cleanup"
    if cluster.in_maintenance:
        yield "the whole cluster is in maintenance-mode"
    if cluster.stop_all:
        yield "stop-all-resources is set"
    if not cluster.quorate and cluster.no_quorum_policy != "ignore":
        yield f"this partition has no quorum (no-quorum-policy {cluster.no_quorum_policy})"


def _node(node: Node, resource: Resource) -> Iterator[str]:
    name = node.name
    if not available(node):
        words = [word for word in ("unclean", "standby", "maintenance", "shutdown") if getattr(node, word)]
        yield f"{name} cannot run it: {', '.join(words) or 'offline'}"
    for instance in instances(resource):
        count = fail_count(node, instance)[0]
        if count:
            limit = instance.ban_after_failures
            shown = "INFINITY" if count >= INFINITY else str(count)
            verdict = f"migration-threshold {limit} reached: banned there" if count >= limit else "still allowed there"
            failed = f"{instance.printable_id} failed {shown} times on {name}"
            yield f"{failed} ({verdict}); forget it: crm_resource --cleanup"


def _family(resource: Resource) -> set[str]:
    return {resource.id, resource.outermost.id, *(instance.xml_id for instance in instances(resource))}


def _locations(cluster: Cluster, resource: Resource) -> Iterator[str]:
    for constraint in _constraints(cluster, "rsc_location"):
        if constraint.get("rsc") in _family(resource):
            if constraint.get("node"):
                yield f"location {constraint.get('id')}: score {constraint.get('score')} on {constraint.get('node')}"
            for rule in constraint.iterchildren("rule"):
                score = rule.get("score") or rule.get("score-attribute")
                yield f"location {constraint.get('id')}: score {score} where rule {rule.get('id')} holds"


def _relations(cluster: Cluster, resource: Resource) -> Iterator[str]:
    family = _family(resource)
    for constraint in _constraints(cluster, "rsc_colocation"):
        name, dependent, primary, score = (constraint.get(key) for key in ("id", "rsc", "with-rsc", "score"))
        if dependent in family:
            yield f"colocation {name}: with {primary}, score {score}"
        elif primary in family:
            yield f"colocation {name}: {dependent} wants to be with it, score {score}"
    for constraint in _constraints(cluster, "rsc_order"):
        if constraint.get("then") in family:
            yield f"order {constraint.get('id')}: after {constraint.get('first')}"


def _constraints(cluster: Cluster, tag: str) -> Iterator[Element]:
    section = cluster.document.section("constraints")
    if section is not None:
        yield from section.iterchildren(tag)
