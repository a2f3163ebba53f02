# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes and resources as text, line by line, exactly as the clients of Pacemaker's tools know them.

Every line begins with its bullet; a nested list is indented by two blanks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cmp_to_key

from ha.cli.exit_codes import words
from ha.pe.core.health import health_grade
from ha.pe.core.history_facts import masks_probe_failure
from ha.pe.core.kinds.bundle import Bundle, Replica
from ha.pe.core.kinds.clone import Clone
from ha.pe.core.resources import is_disabled
from ha.pe.model.action import split_key
from ha.pe.model.cluster import Cluster
from ha.pe.model.node import Node, sort_by_name
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role, parse_role
from ha.pe.model.values import compare_names

_PENDING_STATES = {
    "start": "Starting", "stop": "Stopping", "migrate_to": "Migrating", "migrate_from": "Migrating",
    "promote": "Promoting", "demote": "Demoting",
}  # fmt: skip
_AGENT_WORDS = {
    4: "Insufficient privileges", 6: "Not configured", 8: "Promoted", 9: "Failed in promoted role",
    190: "Service is active but might fail soon", 191: "Service is promoted but might fail soon",
}  # fmt: skip
"""Exit codes that agents have and commands have not."""
_WITH_PROVIDER = ("ocf",)


def status_lines(cluster: Cluster, *, inactive: bool = True, pending: bool = True) -> Iterator[str]:
    """Node list and resource list."""
    if cluster.nodes:
        yield "* Node List:"
        for line in node_lines(cluster):
            yield f"  {line}"
        yield ""
    yield "* Full List of Resources:" if inactive else "* Active Resources:"
    lines = [
        line
        for resource in cluster.resources
        if is_listed(resource, inactive)
        for line in resource_lines(resource, inactive=inactive, pending=pending)
    ]
    if not lines:
        yield "  * No resources" if inactive else "  * No active resources"
    for line in lines:
        yield f"  {line}"


def is_listed(resource: Resource, inactive: bool) -> bool:
    """Whether a list of resources, with or without the inactive ones, has this one."""
    if resource.removed and not resource.is_active(True):
        return False
    return inactive or resource.is_active(False)


# Nodes ---------------------------------------------------------------------------------------------------------------


def node_lines(cluster: Cluster) -> Iterator[str]:
    """Nodes about which there is something to say one by one, then the others by state."""
    plain: dict[str, list[str]] = {
        "Online": [], "OFFLINE": [], "RemoteOnline": [], "RemoteOFFLINE": [], "GuestOnline": [], "": [],
    }  # fmt: skip
    for node in cluster.nodes:
        if _is_remarkable(cluster, node):
            yield f"* {_node_kind(node)} {node.name}: {node_state(node)}{_health(cluster, node)}"
        elif node.online:
            title = "GuestOnline" if node.is_guest else "RemoteOnline" if node.is_remote_kind else "Online"
            plain[title].append(node.name)
        else:
            # A guest that is down is its resource's matter.
            title = "RemoteOFFLINE" if node.is_remote else "" if node.is_guest else "OFFLINE"
            plain[title].append(node.name)
    for title, names in plain.items():
        if title and names:
            yield f"* {title}: [ {' '.join(names)} ]"


def node_state(node: Node) -> str:
    """The state in words."""
    if node.unclean:
        return f"UNCLEAN ({'online' if node.online else 'pending' if node.pending else 'offline'})"
    if node.pending:
        return "pending"
    if node.fail_standby and node.online:
        return "standby (on-fail)"
    if node.standby:
        if not node.online:
            return "OFFLINE (standby)"
        return "standby (with active resources)" if node.running else "standby"
    if node.maintenance:
        return "maintenance" if node.online else "OFFLINE (maintenance)"
    return "online" if node.online else "OFFLINE"


def _is_remarkable(cluster: Cluster, node: Node) -> bool:
    special = node.unclean or node.pending or (node.fail_standby and node.online)
    return special or node.standby or node.maintenance or health_grade(cluster, node) <= 0


def _node_kind(node: Node) -> str:
    return "GuestNode" if node.is_guest else "RemoteNode" if node.is_remote_kind else "Node"


def _health(cluster: Cluster, node: Node) -> str:
    health = health_grade(cluster, node)
    return " (health is RED)" if health < 0 else " (health is YELLOW)" if health == 0 else ""


# Resources -----------------------------------------------------------------------------------------------------------


def resource_lines(resource: Resource, *, inactive: bool = True, pending: bool = True) -> Iterator[str]:
    """A resource and what is in it."""
    if isinstance(resource, Clone):
        yield from _clone_lines(resource, inactive, pending)
    elif isinstance(resource, Bundle):
        yield f"* {_bundle_title(resource)}:"
        for replica in resource.replicas:
            yield f"  * {_replica(replica, pending)}"
    elif resource.is_group:
        members = [child for child in resource.children if inactive or child.is_active(False)]
        if members:
            yield f"* {_group_title(resource, inactive)}:"
        for child in members:
            for line in resource_lines(child, inactive=inactive, pending=pending):
                yield f"  {line}"
    elif resource.meta.get("internal_rsc") != "true":
        node = resource.current_node or resource.pending_node
        yield f"* {primitive_text(resource, resource.printable_id, node, pending)}"


def displayed_role(resource: Resource) -> Role:
    if resource.orig_role is Role.STARTED and resource.top.promotable:
        return Role.UNPROMOTED
    return resource.orig_role


def primitive_text(resource: Resource, name: str, node: Node | None, pending: bool) -> str:
    """One instance: agent, role, place and what is special."""
    if node is None:
        node = resource.lock_node
    several = len(resource.active) > 1
    if several:
        node = None
    orphaned = " ORPHANED" if resource.removed else ""
    text = f"{name}\t({agent_of(resource)}):\t{orphaned} {_role_words(resource, pending)}"
    if node is not None:
        text += f" {node.name}"
    if displayed_role(resource) is Role.STOPPED:
        probed = failed_probe(resource, node.name if node is not None else None)
        if probed is not None:
            text += f" ({code_words(probed)}) "
    flags = list(_flag_words(resource, node, pending))
    if flags:
        text += f" ({', '.join(flags)})"
    if several:
        description = resource.xml.get("description")
        text += f" ({description})" if description else ""
        text += f" [ {' '.join(node.name for node in resource.active)} ]"
    return text


def agent_of(resource: Resource) -> str:
    standard, kind = resource.xml.get("class"), resource.xml.get("type")
    provider = resource.xml.get("provider") if standard in _WITH_PROVIDER else None
    return f"{standard}:{provider}:{kind}" if provider else f"{standard}:{kind}"


def _role_words(resource: Resource, pending: bool) -> str:
    role = displayed_role(resource)
    if resource.failed:
        return f"FAILED {role.text}" if role > Role.UNPROMOTED else "FAILED"
    under_way = _PENDING_STATES.get(resource.pending_action or "") if pending else None
    return under_way or role.text


def _flag_words(resource: Resource, node: Node | None, pending: bool) -> Iterator[str]:
    if node is not None and not node.online and node.unclean:
        yield "UNCLEAN"
    if node is not None and node is resource.lock_node:
        yield "LOCKED"
    if pending and resource.pending_action == "monitor":
        yield "Monitoring"
    target = resource.meta.get("target-role")
    wanted = parse_role(target)
    if wanted is Role.STOPPED:
        yield "disabled"
    elif wanted is Role.UNPROMOTED and resource.top.promotable:
        yield f"target-role:{target}"
    if resource.blocked:
        yield "blocked"
    elif resource.maintenance:
        yield "maintenance"
    elif not resource.managed:
        yield "unmanaged"
    if resource.ignore_failure:
        yield "failure ignored"


def failed_probe(resource: Resource, node_name: str | None) -> int | None:
    """The exit code of a probe that says that the resource cannot run on a node (None: on some node) at all."""
    wanted = None if node_name is None else node_name.lower()
    top = resource.top
    id = top.child_id if isinstance(top, Clone) else resource.id
    for failure in resource.cluster.failed:
        element = failure.element
        probed_on = element.get("on_node")
        if probed_on is not None and wanted in (None, probed_on.lower()) and masks_probe_failure(element):
            parts = split_key(failure.key)
            if parts is not None and parts[0] == id:
                return int(element.get("rc-code") or 0)
    return None


def code_words(code: int) -> str:
    """The exit code of an agent in words."""
    return _AGENT_WORDS.get(code) or words(code)


# Collections ---------------------------------------------------------------------------------------------------------


def _titled(title: str, remarks: list[str]) -> str:
    return f"{title} ({', '.join(remarks)})" if remarks else title


def _management(resource: Resource) -> list[str]:
    return ["maintenance"] if resource.maintenance else [] if resource.managed else ["unmanaged"]


def _group_title(group: Resource, inactive: bool) -> str:
    remarks: list[str] = []
    if not inactive and group.is_active(False):
        idle = sum(not child.is_active(True) for child in group.children)
        if idle:
            remarks.append(f"{idle} member{'' if idle == 1 else 's'} inactive")
    if is_disabled(group):
        remarks.append("disabled")
    return _titled(f"Resource Group: {group.id}", remarks + _management(group))


def _bundle_title(bundle: Bundle) -> str:
    several = " set" if len(bundle.replicas) > 1 else ""
    unique = " (unique)" if bundle.unique else ""
    special = _management(bundle)
    remark = f" ({special[0]})" if special else ""
    return f"Container bundle{several}: {bundle.id} [{bundle.definition.image}]{unique}{remark}"


def _replica(replica: Replica, pending: bool) -> str:
    container = replica.container
    assert container is not None
    shown = replica.child or container
    name = (replica.connection or container).printable_id
    if replica.address is not None:
        name += f" ({replica.address})"
    return primitive_text(shown, name, container.current_node, pending)


def _clone_title(clone: Clone) -> str:
    remarks = ["promotable"] if clone.promotable else []
    if clone.unique:
        remarks.append("unique")
    if is_disabled(clone):
        remarks.append("disabled")
    return _titled(f"Clone Set: {clone.id} [{clone.child_id}]", remarks + _management(clone))


def _clone_lines(clone: Clone, inactive: bool, pending: bool) -> Iterator[str]:
    lines: list[str] = []
    promoted: list[Node] = []
    started: list[Node] = []
    stopped: dict[str, str] = {}
    for child in clone.children:
        if _needs_lines(clone, child, pending):
            lines.extend(resource_lines(child, inactive=inactive, pending=pending))
        elif not child.is_active(False):
            if not child.removed and inactive and not clone.unique:
                stopped[child.id] = "Stopped"
        else:
            place = child.location(current=True)
            assert place is not None
            (promoted if child.state(True) > Role.UNPROMOTED else started).append(place.node)
    if promoted:
        lines.append(f"* Promoted: [ {_names(promoted)} ]")
    if started:
        lines.append(f"* {_started_words(clone)}: [ {_names(started)} ]")
    if inactive and not clone.unique and clone.clone_max > len(promoted) + len(started):
        stopped = _where_stopped(clone)
    by_state: dict[str, list[str]] = {}
    for name, state in stopped.items():
        by_state.setdefault(state, []).append(name)
    for state in sorted(by_state):
        lines.append(f"* {state}: [ {' '.join(sorted(by_state[state], key=cmp_to_key(compare_names)))} ]")
    if lines or inactive:
        yield f"* {_clone_title(clone)}:"
    for line in lines:
        yield f"  {line}"


def _needs_lines(clone: Clone, child: Resource, pending: bool) -> bool:
    """Whether an instance is shown by itself, not in a list of nodes."""
    active = child.is_active(False)
    if clone.unique:
        return active or not clone.removed
    if pending and child.pending_action is not None:
        return True
    if not active:
        return False
    if child.any_within("removed") or not child.all_within("managed") or child.any_within("failed"):
        return True
    place = child.location(current=True) if child.is_active(True) else None
    return place is None or (not place.node.online and place.node.unclean)


def _names(nodes: list[Node]) -> str:
    return " ".join(node.name for node in sort_by_name(nodes))


def _configured_role(clone: Clone) -> Role:
    role = clone.meta.get("target-role")
    if role is None and clone.children:
        role = clone.children[0].meta.get("target-role")
    return parse_role(role)


def _started_words(clone: Clone) -> str:
    if not clone.promotable:
        return "Started"
    return "Unpromoted (target-role)" if _configured_role(clone) is Role.UNPROMOTED else "Unpromoted"


def _where_stopped(clone: Clone) -> dict[str, str]:
    """The nodes that have no instance, with the reason."""
    candidates = [entry.node for entry in clone.allowed.values()] or list(clone.probed.values())
    state = "Stopped (disabled)" if _configured_role(clone) is Role.STOPPED else "Stopped"
    active = {id(node) for node in clone.active}
    found: dict[str, str] = {}
    for node in sort_by_name(candidates):
        if id(node) not in active:
            code = failed_probe(clone, node.name)
            found[node.name] = state if code is None else f"Stopped ({code_words(code)})"
    return found


# Counts --------------------------------------------------------------------------------------------------------------


def resource_counts(cluster: Cluster) -> tuple[int, int, int]:
    """How many instances there are, how many are disabled, and how many blocked."""
    counted = [
        resource
        for top in cluster.resources
        for resource in _instances(top)
        if not resource.removed or resource.orig_role > Role.STOPPED
    ]
    return len(counted), sum(is_disabled(r) for r in counted), sum(r.blocked for r in counted)


def _instances(resource: Resource) -> Iterator[Resource]:
    if isinstance(resource, Bundle):
        for replica in resource.replicas:
            for part in (replica.ip, replica.child, replica.container, replica.connection):
                if part is not None:
                    yield from _instances(part)
    elif resource.children:
        for child in resource.children:
            yield from _instances(child)
    else:
        yield resource
