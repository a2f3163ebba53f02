# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 1a: options, nodes, resources and tags from the configuration section."""

from __future__ import annotations

from lxml import etree
from lxml.etree import _Element as Element

from ha.pe.core.health import read_health_colours
from ha.pe.core.resources import contains_remote_connection, unpack_resource
from ha.pe.model import scores
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node, sort_by_name
from ha.pe.model.resource import Resource
from ha.pe.model.values import integer, interval_ms, is_true


def read_configuration(cluster: Cluster) -> None:
    """Fills the cluster from everything but the status section."""
    root = cluster.document.root
    cluster.quorate = is_true(root.get("have-quorum"))
    cluster.rsc_defaults = cluster.document.section("rsc_defaults")
    cluster.op_defaults = cluster.document.section("op_defaults")
    _read_options(cluster)
    _read_nodes(cluster, cluster.document.section("nodes"))
    resources = cluster.document.section("resources")
    if resources is not None:
        implied = _read_remote_nodes(cluster, resources)
        _read_resources(cluster, [*resources, *implied])
    _read_tags(cluster, cluster.document.section("tags"))


# Options -----------------------------------------------------------------------------------------------------------


def _read_options(cluster: Cluster) -> None:
    config = cluster.document.section("crm_config")
    cluster.read_attributes(config, "cluster_property_set", cluster.options, None, "cib-bootstrap-options")
    cluster.probe_resources = cluster.flag("enable-startup-probes")
    cluster.have_fencing = cluster.flag("have-watchdog")
    cluster.unfencing = _mentions_unfencing(cluster)
    cluster.fencing_enabled = cluster.flag("fencing-enabled")
    action = cluster.option("fencing-action")
    cluster.fence_action = "off" if action == "poweroff" else action
    cluster.concurrent_fencing = cluster.flag("concurrent-fencing")
    cluster.priority_fencing_ms = interval_ms(cluster.option("priority-fencing-delay"))
    cluster.stop_all = cluster.flag("stop-all-resources")
    cluster.symmetric = cluster.flag("symmetric-cluster")
    cluster.no_quorum_policy = _quorum_policy(cluster)
    cluster.stop_removed_resources = cluster.flag("stop-removed-resources")
    cluster.cancel_removed_actions = cluster.flag("cancel-removed-actions")
    cluster.in_maintenance = cluster.flag("maintenance-mode")
    cluster.start_failure_fatal = cluster.flag("start-failure-is-fatal")
    cluster.startup_fencing = cluster.fencing_enabled and cluster.flag("startup-fencing")
    read_health_colours(cluster)
    cluster.placement_strategy = cluster.option("placement-strategy").lower()
    cluster.shutdown_lock = cluster.flag("shutdown-lock")
    cluster.shutdown_lock_ms = interval_ms(cluster.option("shutdown-lock-limit")) if cluster.shutdown_lock else 0
    cluster.node_pending_ms = interval_ms(cluster.option("node-pending-timeout"))
    cluster.fence_remote_without_quorum = cluster.flag("fence-remote-without-quorum")


def _quorum_policy(cluster: Cluster) -> str:
    policy = cluster.option("no-quorum-policy").lower()
    if policy in ("ignore", "freeze", "demote"):
        return policy
    if policy in ("fence", "suicide") and cluster.fencing_enabled:
        # A partition that never had quorum does not shoot itself.
        panic = integer(cluster.document.root.get("no-quorum-panic"))
        return "fence" if panic or cluster.quorate else "stop"
    return "stop"


def _mentions_unfencing(cluster: Cluster) -> bool:
    for path in ("resources//meta_attributes/nvpair", "rsc_defaults/meta_attributes/nvpair"):
        for pair in cluster.document.root.iterfind(f"configuration/{path}"):
            if pair.get("name") in ("provides", "requires") and pair.get("value") == "unfencing":
                return True
    return False


# Nodes -------------------------------------------------------------------------------------------------------------


def create_node(cluster: Cluster, id: str, name: str, remote: bool, score: int) -> Node:
    node = Node(id, name, remote, score)
    if remote:
        cluster.have_remote_nodes = True
    node.attributes["#kind"] = "remote" if remote else "cluster"
    cluster.add_node(node)
    cluster.nodes.append(node)
    cluster.nodes = sort_by_name(cluster.nodes)
    return node


def apply_startup_fencing(cluster: Cluster, node: Node) -> None:
    """A node of which nothing is known yet counts as unsafe, if startup-fencing says so."""
    if node.is_remote_kind and node.remote is None:
        return
    node.unclean = cluster.startup_fencing


def _read_nodes(cluster: Cluster, section: Element | None) -> None:
    if section is None:
        return
    for element in section.iterchildren("node"):
        id = element.get("id")
        kind = (element.get("type") or "member").lower()
        if id is None or kind not in ("member", "remote", "ping"):
            continue
        score = scores.parse_or(element.get("score"))
        node = create_node(cluster, id, element.get("uname") or id, kind == "remote", score)
        apply_startup_fencing(cluster, node)
        read_node_attributes(cluster, element, node, overwrite=False)


def read_node_attributes(cluster: Cluster, element: Element | None, node: Node, overwrite: bool) -> None:
    """Adds permanent attributes and capacities; with `overwrite` transient ones, which win."""
    attributes = node.attributes
    attributes["#uname"] = node.name
    attributes["#id"] = node.id
    dc = cluster.document.root.get("dc-uuid")
    if cluster.dc is None and dc is not None and node.id.lower() == dc.lower():
        cluster.dc = node
        attributes["#is_dc"] = "true"
    elif node is not cluster.dc:
        attributes["#is_dc"] = "false"
    cluster_name = cluster.options.get("cluster-name")
    if cluster_name is not None:
        attributes["#cluster-name"] = cluster_name
    if overwrite:
        transient: dict[str, str] = {}
        cluster.read_attributes(element, "instance_attributes", transient)
        attributes.update(transient)
    else:
        cluster.read_attributes(element, "instance_attributes", attributes)
    capacity: dict[str, str] = {}
    cluster.read_attributes(element, "utilization", capacity)
    for name, value in capacity.items():
        node.utilization.setdefault(name, integer(value) or 0)
    if "#site-name" not in attributes:
        site = attributes.get("site-name") or cluster_name
        if site is not None:
            attributes["#site-name"] = site


# Remote nodes ------------------------------------------------------------------------------------------------------


def _read_remote_nodes(cluster: Cluster, resources: Element) -> list[Element]:
    """Creates the nodes that resources stand for; returns the connection resources implied by guests."""
    implied: list[Element] = []
    for element in resources:
        if contains_remote_connection(element):
            _add_remote_node(cluster, element.get("id"))
        elif element.tag == "primitive":
            _read_guest(cluster, element, implied)
        elif element.tag == "group":
            for member in element.iterchildren("primitive"):
                _read_guest(cluster, member, implied)
    return implied


def _add_remote_node(cluster: Cluster, name: str | None) -> None:
    if name and cluster.node(name) is None:
        create_node(cluster, name, name, True, 0)


def _read_guest(cluster: Cluster, element: Element, implied: list[Element]) -> None:
    given: dict[str, str] = {}
    for block in element.iterchildren("meta_attributes"):
        for pair in block:
            resolved = cluster.document.resolve(pair)
            if resolved is not None and resolved.get("name") is not None:
                given[resolved.get("name") or ""] = resolved.get("value") or ""
    name = given.get("remote-node")
    if not name or any(other.get("id") == name for other in implied):
        return
    implied.append(
        connection_definition(
            name,
            container=element.get("id"),
            migratable=given.get("remote-allow-migrate"),
            managed=given.get("is-managed"),
            timeout=given.get("remote-connect-timeout", "60s"),
            address=given.get("remote-addr"),
            port=given.get("remote-port"),
        )
    )
    _add_remote_node(cluster, name)


def connection_definition(
    name: str,
    container: str | None,
    migratable: str | None,
    managed: str | None,
    timeout: str | None,
    address: str | None,
    port: str | None,
) -> Element:
    """The definition of the connection resource that a guest node implies."""
    primitive = etree.Element("primitive", id=name, provider="pacemaker", type="remote")
    primitive.set("class", "ocf")
    meta = {"internal_rsc": "true", "container": container, "allow-migrate": migratable, "is-managed": managed}
    _add_pairs(primitive, "meta_attributes", name, meta)
    if port or address:
        _add_pairs(primitive, "instance_attributes", name, {"addr": address, "port": port})
    operations = etree.SubElement(primitive, "operations")
    etree.SubElement(operations, "op", id=f"{name}-monitor-30s", interval="30s", name="monitor", timeout="30s")
    if timeout:
        etree.SubElement(operations, "op", id=f"{name}-start-0", interval="0", name="start", timeout=timeout)
    return primitive


def _add_pairs(parent: Element, tag: str, name: str, pairs: dict[str, str | None]) -> None:
    block = etree.SubElement(parent, tag, id=f"{name}-{tag}")
    for key, value in pairs.items():
        if value:
            etree.SubElement(block, "nvpair", id=f"{name}-{tag}-{key}", name=key, value=value)


# Resources ---------------------------------------------------------------------------------------------------------


def _read_resources(cluster: Cluster, elements: list[Element]) -> None:
    for element in elements:
        id = element.get("id")
        if not id:
            continue
        if element.tag == "template":
            cluster.templates.setdefault(id, [])
            continue
        resource = unpack_resource(cluster, element, None)
        if resource is not None:
            cluster.resources.append(resource)
    for resource in cluster.resources:
        _link_launcher(cluster, resource)
        link_remote_node(cluster, resource)
    cluster.resources.sort(key=lambda resource: -resource.priority)


def _link_launcher(cluster: Cluster, resource: Resource) -> None:
    if resource.children:
        for child in resource.children:
            _link_launcher(cluster, child)
        return
    container = resource.meta.get("container")
    if container is None or container == resource.id:
        return
    launcher = cluster.find(container)
    if launcher is not None:
        resource.launcher = launcher
        launcher.launched.append(resource)


def link_remote_node(cluster: Cluster, resource: Resource) -> None:
    """Ties a connection resource to the node it stands for."""
    if not resource.is_remote_connection:
        return
    node = cluster.node(resource.id)
    if node is None:
        return
    node.remote = resource
    if resource.launcher is None:
        apply_startup_fencing(cluster, node)
    else:
        node.attributes["#kind"] = "container"


def _read_tags(cluster: Cluster, section: Element | None) -> None:
    if section is None:
        return
    for tag in section.iterchildren("tag"):
        name = tag.get("id")
        if name is None:
            continue
        for reference in tag.iterchildren("obj_ref"):
            id = reference.get("id")
            if id is not None:
                members = cluster.tags.setdefault(name, [])
                if id not in members:
                    members.append(id)
