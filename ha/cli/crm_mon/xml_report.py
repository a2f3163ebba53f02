# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster's status as XML, in the elements and attributes that pcs, crmsh, Hawk and the exporter read."""

from __future__ import annotations

from lxml import etree
from lxml.etree import _Element as Element

from ha.cli.crm_mon.history import ResourceHistory, failed_histories, histories, shown_failures, task_of
from ha.cli.output.status_text import displayed_role, is_listed
from ha.cli.output.xml_result import yes_no
from ha.cli.source.cluster import RC_WORDS, agent_name, disabled, is_shown, iso_moment, moment, primitives
from ha.pe.core.health import health_grade
from ha.pe.core.kinds.bundle import Bundle
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.values import integer

STATUS_WORDS = {
    -1: "pending", 0: "complete", 1: "Cancelled", 2: "Timed Out", 3: "NOT SUPPORTED", 4: "Error", 5: "Hard error",
    6: "Fatal error", 7: "Not installed", 8: "Internal communication failure", 9: "Cannot execute now",
    10: "No fence device", 11: "No secrets",
}  # fmt: skip


def report(parent: Element, cluster: Cluster, *, inactive: bool = True) -> None:
    """Append summary, nodes, resources, attributes, history, failures, tickets and bans to `parent`."""
    _summary(parent, cluster)
    append_nodes(parent, cluster)
    append_resources(parent, cluster, inactive=inactive)
    append_node_attributes(parent, cluster)
    _history(parent, cluster)
    append_failures(parent, cluster)
    _tickets(parent, cluster)
    _bans(parent, cluster)


# Summary -------------------------------------------------------------------------------------------------------------


def _summary(parent: Element, cluster: Cluster) -> None:
    root = cluster.document.root
    summary = etree.SubElement(parent, "summary")
    etree.SubElement(summary, "stack", {"type": cluster.options.get("cluster-infrastructure", "unknown")})
    dc = {"present": yes_no(cluster.dc is not None)}
    if cluster.dc is not None:
        dc |= {
            "version": cluster.options.get("dc-version", ""),
            "name": cluster.dc.name,
            "id": cluster.dc.id,
            "with_quorum": yes_no(cluster.quorate),
            "mixed_version": "false",
        }
    etree.SubElement(summary, "current_dc", dc)
    etree.SubElement(summary, "last_update", {"time": moment(cluster.now)})
    etree.SubElement(
        summary,
        "last_change",
        {
            "time": str(root.get("cib-last-written") or ""),
            "user": str(root.get("update-user") or ""),
            "client": str(root.get("update-client") or ""),
            "origin": str(root.get("update-origin") or ""),
        },
    )
    etree.SubElement(summary, "nodes_configured", {"number": str(len(cluster.nodes))})
    members = list(primitives(cluster.resources))
    etree.SubElement(
        summary,
        "resources_configured",
        {
            "number": str(sum(not r.removed for r in members)),
            "disabled": str(sum(disabled(r) for r in members)),
            "blocked": str(sum(r.blocked for r in members)),
        },
    )
    etree.SubElement(
        summary,
        "cluster_options",
        {
            "stonith-enabled": yes_no(cluster.fencing_enabled),
            "symmetric-cluster": yes_no(cluster.symmetric),
            "no-quorum-policy": cluster.no_quorum_policy,
            "maintenance-mode": yes_no(cluster.in_maintenance),
            "stop-all-resources": yes_no(cluster.stop_all),
            "stonith-timeout-ms": cluster.options.get("stonith-timeout", "60000").removesuffix("s"),
            "priority-fencing-delay-ms": str(cluster.priority_fencing_ms),
        },
    )


# Nodes ---------------------------------------------------------------------------------------------------------------


def append_nodes(parent: Element, cluster: Cluster) -> None:
    listed = etree.SubElement(parent, "nodes")
    for node in cluster.nodes:
        _node(listed, cluster, node)


def _health_word(cluster: Cluster, node: Node) -> str:
    grade = health_grade(cluster, node)
    return "red" if grade < 0 else "yellow" if grade == 0 else "green"


def _node(parent: Element, cluster: Cluster, node: Node) -> None:
    has_features = node.online and not node.is_remote_kind
    attributes = {
        "name": node.name,
        "id": node.id,
        "online": yes_no(node.online),
        "standby": yes_no(node.standby),
        "standby_onfail": yes_no(node.fail_standby),
        "maintenance": yes_no(node.maintenance),
        "pending": yes_no(node.pending),
        "unclean": yes_no(node.unclean),
        "health": _health_word(cluster, node),
        **({"feature_set": node.attributes.get("#feature-set", "<3.15.1")} if has_features else {}),
        "shutdown": yes_no(node.shutdown),
        "expected_up": yes_no(node.expected_up),
        "is_dc": yes_no(node is cluster.dc),
        "resources_running": str(len(node.running)),
        "type": "remote" if node.is_remote_kind else "member",
    }
    if node.is_guest and node.remote is not None and node.remote.launcher is not None:
        attributes["id_as_resource"] = node.remote.launcher.id
    etree.SubElement(parent, "node", attributes)


def append_node_attributes(parent: Element, cluster: Cluster) -> None:
    listed = etree.Element("node_attributes")
    for node in cluster.nodes:
        shown = {k: v for k, v in sorted(node.attributes.items()) if is_shown(k)}
        if node.online and shown:
            element = etree.SubElement(listed, "node", {"name": node.name})
            for name, value in shown.items():
                etree.SubElement(element, "attribute", {"name": name, "value": value})
    if len(listed):
        parent.append(listed)


# Resources -----------------------------------------------------------------------------------------------------------


def append_resources(parent: Element, cluster: Cluster, *, inactive: bool = True) -> None:
    listed = etree.SubElement(parent, "resources")
    for resource in cluster.resources:
        if is_listed(resource, inactive):
            _resource(listed, resource)


def _with_target_role(resource: Resource, attributes: dict[str, str]) -> dict[str, str]:
    """A collection that has none of its own shows the one of its first member."""
    role = resource.meta.get("target-role")
    if role is None and resource.children:
        role = resource.children[0].meta.get("target-role")
    if role is not None:
        attributes["target_role"] = role
    return attributes


def _resource(parent: Element, resource: Resource) -> None:
    if resource.is_group:
        _group(parent, resource)
    elif resource.is_clone:
        _clone(parent, resource)
    elif isinstance(resource, Bundle):
        _bundle(parent, resource)
    else:
        _primitive(parent, resource)


def _group(parent: Element, group: Resource) -> None:
    attributes = {
        "id": group.id,
        "number_resources": str(len(group.children)),
        "managed": yes_no(group.managed),
        "disabled": yes_no(disabled(group)),
    }
    element = etree.SubElement(parent, "group", attributes)
    for child in group.children:
        _resource(element, child)


def _clone(parent: Element, clone: Resource) -> None:
    attributes = {
        "id": clone.id,
        "multi_state": yes_no(clone.promotable),
        "unique": yes_no(clone.unique),
        "managed": yes_no(clone.managed),
        "disabled": yes_no(disabled(clone)),
        "failed": yes_no(clone.failed),
        "failure_ignored": yes_no(clone.ignore_failure),
    }
    element = etree.SubElement(parent, "clone", _with_target_role(clone, attributes))
    for child in clone.children:
        _resource(element, child)


def _bundle(parent: Element, bundle: Bundle) -> None:
    attributes = {
        "id": bundle.id,
        "type": next((str(e.tag) for e in bundle.xml if e.get("image")), ""),
        "image": bundle.definition.image or "",
        "unique": yes_no(bundle.unique),
        "managed": yes_no(bundle.managed),
        "failed": yes_no(bundle.failed),
    }
    element = etree.SubElement(parent, "bundle", attributes)
    for replica in bundle.replicas:
        listed = etree.SubElement(element, "replica", {"id": str(replica.number)})
        for part in (replica.ip, replica.child, replica.container, replica.connection):
            if part is not None:
                _resource(listed, part)


def role_text(resource: Resource) -> str:
    """The role shown: a pending start, stop ... by its own word."""
    pending = {"start": "Starting", "stop": "Stopping", "promote": "Promoting", "demote": "Demoting",
               "migrate_to": "Migrating", "migrate_from": "Migrating"}  # fmt: skip
    if resource.pending_action in pending:
        return pending[resource.pending_action or ""]
    return displayed_role(resource).text


def _primitive(parent: Element, resource: Resource) -> None:
    attributes = {
        "id": resource.printable_id,
        "resource_agent": agent_name(resource),
        "role": role_text(resource),
        "active": yes_no(resource.is_active(True)),
        "orphaned": yes_no(resource.removed),
        "blocked": yes_no(resource.blocked),
        "managed": yes_no(resource.managed),
        "failed": yes_no(resource.failed),
        "failure_ignored": yes_no(resource.ignore_failure),
        "nodes_running_on": str(len(resource.active)),
    }
    if resource.pending_action == "monitor":
        attributes["pending"] = "Monitoring"
    if resource.lock_node is not None:
        attributes["locked_to"] = resource.lock_node.name
    element = etree.SubElement(parent, "resource", _with_target_role(resource, attributes))
    for node in resource.active:
        cached = yes_no(node.online)
        etree.SubElement(element, "node", {"name": node.name, "id": node.id, "cached": cached})


# History -------------------------------------------------------------------------------------------------------------


def _history(parent: Element, cluster: Cluster) -> None:
    listed = etree.SubElement(parent, "node_history")
    for node, found in histories(cluster):
        element = etree.SubElement(listed, "node", {"name": node.name})
        for history in found:
            _resource_history(element, history)


def append_failcounts(parent: Element, cluster: Cluster) -> None:
    """The history of failed resources, without its operations."""
    listed = etree.SubElement(parent, "node_history")
    for node, found in failed_histories(cluster):
        element = etree.SubElement(listed, "node", {"name": node.name})
        for history in found:
            etree.SubElement(element, "resource_history", _history_attributes(history))


def _resource_history(parent: Element, history: ResourceHistory) -> None:
    element = etree.SubElement(parent, "resource_history", _history_attributes(history))
    for operation in history.operations:
        _operation(element, operation)


def _history_attributes(history: ResourceHistory) -> dict[str, str]:
    attributes = {
        "id": history.id,
        "orphan": yes_no(history.orphan),
        "migration-threshold": str(history.migration_threshold),
    }
    if history.fail_count:
        attributes["fail-count"] = str(history.fail_count)
    if history.last_failure:
        attributes["last-failure"] = moment(history.last_failure)
    return attributes


def _operation(parent: Element, operation: Element) -> None:
    interval = operation.get("interval") or "0"
    rc = integer(operation.get("rc-code")) or 0
    attributes = {
        "call": str(operation.get("call-id")),
        "task": task_of(operation),
        "rc": str(rc),
        "rc_text": RC_WORDS.get(rc, "unknown"),
    }
    if interval != "0":
        attributes["interval"] = f"{interval}ms"
    if operation.get("last-rc-change"):
        attributes["last-rc-change"] = moment(operation.get("last-rc-change"))
    for name in ("exec-time", "queue-time"):
        if operation.get(name) is not None:
            attributes[name] = f"{operation.get(name)}ms"
    etree.SubElement(parent, "operation_history", attributes)


def append_failures(parent: Element, cluster: Cluster) -> None:
    failures = shown_failures(cluster)
    if not failures:
        return
    listed = etree.SubElement(parent, "failures")
    for failure in failures:
        operation = failure.element
        rc = integer(operation.get("rc-code")) or 0
        status = integer(operation.get("op-status")) or 0
        attributes = {
            "op_key": failure.key,
            "node": failure.node.name,
            "exitstatus": RC_WORDS.get(rc, "unknown"),
            "exitreason": str(operation.get("exit-reason", "none")),
            "exitcode": str(rc),
            "call": str(operation.get("call-id") or "-1"),
            "status": STATUS_WORDS.get(status, "unknown"),
        }
        if when := iso_moment(operation.get("last-rc-change")):
            attributes["last-rc-change"] = when
            for shown, name in (("queued", "queue-time"), ("exec", "exec-time"), ("interval", "interval")):
                # The schema wants all three, and numbers.
                attributes[shown] = str(max(0, integer(operation.get(name)) or 0))
            attributes["task"] = str(operation.get("operation"))
        etree.SubElement(listed, "failure", attributes)


# Tickets and bans ----------------------------------------------------------------------------------------------------


def _tickets(parent: Element, cluster: Cluster) -> None:
    if not cluster.tickets:
        return
    listed = etree.SubElement(parent, "tickets")
    for name, ticket in sorted(cluster.tickets.items()):
        attributes = {
            "id": name,
            "status": "granted" if ticket.granted else "revoked",
            "standby": yes_no(ticket.standby),
        }
        if ticket.last_granted > -1:
            attributes["last-granted"] = moment(ticket.last_granted)
        etree.SubElement(listed, "ticket", attributes)


def _bans(parent: Element, cluster: Cluster) -> None:
    constraints = cluster.document.section("constraints")
    found = [
        constraint
        for constraint in (constraints.iterchildren("rsc_location") if constraints is not None else ())
        if (constraint.get("score") or "").startswith("-") and constraint.get("rsc") and constraint.get("node")
    ]
    if not found:
        return
    listed = etree.SubElement(parent, "bans")
    for constraint in found:
        weight = str(constraint.get("score"))
        attributes = {
            "id": str(constraint.get("id")),
            "resource": str(constraint.get("rsc")),
            "node": str(constraint.get("node")),
            "weight": "-1000000" if weight == "-INFINITY" else weight,
            "promoted-only": yes_no((constraint.get("role") or "") in ("Promoted", "Master")),
        }
        etree.SubElement(listed, "ban", attributes)
