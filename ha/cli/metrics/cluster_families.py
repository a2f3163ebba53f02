# SPDX-License-Identifier: GPL-2.0-or-later
"""What a CIB tells: nodes, resources, failures, constraints.

Source: names, labels and meanings are those of ClusterLabs' ha_cluster_exporter (doc/metrics.md), so that its
dashboards and alert rules work on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime

from ha.cli.crm_mon.history import histories
from ha.cli.crm_mon.xml_report import role_text
from ha.cli.metrics.openmetrics import Family
from ha.cli.source.cluster import agent_name, is_shown, primitives
from ha.pe.model import scores
from ha.pe.model.cluster import Cluster
from ha.pe.model.resource import Resource
from ha.pe.model.scores import INFINITY

PREFIX = "ha_cluster_pacemaker"


def families_of(cluster: Cluster) -> Iterator[Family]:
    yield _nodes(cluster)
    yield _node_attributes(cluster)
    yield _resources(cluster)
    yield from _failures(cluster)
    yield _location_constraints(cluster)
    fencing = Family(f"{PREFIX}_stonith_enabled", "Whether fencing is enabled.")
    fencing.add(cluster.fencing_enabled)
    yield fencing
    maintenance = Family(f"{PREFIX}_maintenance_mode_enabled", "Whether the whole cluster is in maintenance-mode.")
    maintenance.add(cluster.in_maintenance)
    yield maintenance
    changed = Family(f"{PREFIX}_config_last_change", "When the configuration was changed last, in Unix seconds.")
    if (at_s := last_change_s(str(cluster.document.root.get("cib-last-written") or ""))) is not None:
        changed.add(at_s)
    yield changed


def last_change_s(text: str) -> float | None:
    """Unix seconds of cib-last-written, which is UTC; None for what is no date."""
    try:
        return datetime.strptime(" ".join(text.split()), "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _nodes(cluster: Cluster) -> Family:
    family = Family(f"{PREFIX}_nodes", "The nodes of the cluster; one line for each status, 1 for those that hold.")
    for node in cluster.nodes:
        kind = "remote" if node.is_remote_kind else "member"
        statuses = {
            "online": node.online,
            "standby": node.standby,
            "standby_onfail": node.fail_standby,
            "maintenance": node.maintenance,
            "pending": node.pending,
            "unclean": node.unclean,
            "shutdown": node.shutdown,
            "expected_up": node.expected_up,
            "dc": node is cluster.dc,
        }
        for status, holds in statuses.items():
            family.add(holds, node=node.name, type=kind, status=status)
    return family


def _node_attributes(cluster: Cluster) -> Family:
    family = Family(f"{PREFIX}_node_attributes", "The attributes of nodes that are online, in the labels; always 1.")
    for node in cluster.nodes:
        for name, value in sorted(node.attributes.items()):
            if node.online and is_shown(name):
                family.add(1, node=node.name, name=name, value=value)
    return family


def _resources(cluster: Cluster) -> Family:
    family = Family(
        f"{PREFIX}_resources",
        "The resources on each node; one line for each status, 1 for those that hold; without a node: nowhere.",
    )
    nowhere: set[str] = set()
    for resource in primitives(cluster.resources):
        if not resource.active:
            # Instances of an anonymous clone that run nowhere are not told apart.
            if resource.printable_id in nowhere:
                continue
            nowhere.add(resource.printable_id)
        group, clone = _collections(resource)
        statuses = {
            "active": resource.is_active(True),
            "orphaned": resource.removed,
            "blocked": resource.blocked,
            "failed": resource.failed,
            "failure_ignored": resource.ignore_failure,
        }
        for name in [node.name for node in resource.active] or [""]:
            for status, holds in statuses.items():
                family.add(
                    holds, node=name, resource=resource.printable_id, agent=agent_name(resource), group=group,
                    clone=clone, role=role_text(resource).lower(), managed=str(resource.managed).lower(), status=status,
                )  # fmt: skip
    return family


def _collections(resource: Resource) -> tuple[str, str]:
    """(group, clone) that a primitive is part of, "" for none."""
    group = clone = ""
    level = resource.parent
    while level is not None:
        if level.is_group and not group:
            group = level.xml_id
        elif level.is_clone and not clone:
            clone = level.xml_id
        level = level.parent
    return group, clone


def _failures(cluster: Cluster) -> Iterator[Family]:
    counts = Family(f"{PREFIX}_fail_count", "How often a resource has failed on a node.")
    thresholds = Family(
        f"{PREFIX}_migration_threshold", "After how many failures a resource may not run on the node any more."
    )
    for node, found in histories(cluster):
        for history in found:
            counts.add(_score(history.fail_count), node=node.name, resource=history.id)
            thresholds.add(history.migration_threshold, node=node.name, resource=history.id)
    yield counts
    yield thresholds


def _location_constraints(cluster: Cluster) -> Family:
    family = Family(f"{PREFIX}_location_constraints", "Location constraints; the value is the score.")
    section = cluster.document.section("constraints")
    for constraint in section.iterchildren("rsc_location") if section is not None else ():
        score = scores.parse(constraint.get("score"))
        if score is not None:  # else it names an attribute of nodes
            family.add(
                _score(score), constraint=constraint.get("id") or "", node=constraint.get("node") or "",
                resource=constraint.get("rsc") or "", role=(constraint.get("role") or "").lower(),
            )  # fmt: skip
    return family


def _score(value: int) -> float:
    return math.copysign(math.inf, value) if abs(value) >= INFINITY else value
