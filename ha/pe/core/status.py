# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 1c: the status section: tickets, and the state of every node; the operation history follows (`history`)."""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.pe.core.configuration import read_node_attributes
from ha.pe.core.fencing import fence_node
from ha.pe.core.history import read_node_history
from ha.pe.core.operations import set_next_role, stop_action
from ha.pe.core.status_facts import shutdown_requested
from ha.pe.model.cluster import Cluster
from ha.pe.model.constraint import Ticket
from ha.pe.model.node import Node
from ha.pe.model.roles import Role
from ha.pe.model.scores import MINUS_INFINITY
from ha.pe.model.values import boolean, integer, is_true, ms_to_s


def read_status(cluster: Cluster) -> None:
    """Reads node states first, then histories: those of remote nodes once their connection is known to be up."""
    status = cluster.document.section("status")
    if status is not None:
        for element in status:
            if element.tag == "tickets":
                for state in element.iterchildren("ticket_state"):
                    _read_ticket(cluster, state)
            elif element.tag == "node_state":
                _read_node_state(cluster, element)
        while _read_histories(cluster, status, False):
            pass
        _read_histories(cluster, status, cluster.fencing_enabled)
    for container in reversed(cluster.stop_needed):
        node = container.current_node
        if node is not None:
            stop_action(container, node, False)
    cluster.stop_needed = []
    for node in cluster.nodes:
        if not node.is_remote_kind:
            continue
        if node.shutdown and node.remote is not None:
            set_next_role(node.remote, Role.STOPPED, "remote shutdown")
        if not node.unpacked:
            judge_remote_node(node)


def _read_ticket(cluster: Cluster, element: Element) -> None:
    id = element.get("id")
    if not id:
        return
    ticket = cluster.tickets.setdefault(id, Ticket(id))
    ticket.state.update({str(k): str(v) for k, v in element.attrib.items() if k != "id"})
    ticket.granted = is_true(ticket.state.get("granted"))
    ticket.standby = is_true(ticket.state.get("standby"))
    last = integer(ticket.state.get("last-granted"))
    if last is not None:
        ticket.last_granted = last


# Node states -------------------------------------------------------------------------------------------------------


def _find_node(cluster: Cluster, element: Element) -> Node | None:
    return cluster.node_by_id(element.get("id")) or cluster.node(element.get("uname"))


def _read_node_state(cluster: Cluster, element: Element) -> None:
    if element.get("id") is None:
        return
    node = _find_node(cluster, element)
    if node is None:
        return
    if node.is_remote_kind:
        node.remote_fenced = bool(integer(element.get("node_fenced")) or 0)
        return
    read_node_attributes(cluster, element.find("transient_attributes"), node, overwrite=True)
    _read_wishes(node)
    node.unclean = False
    node.seen = True
    _judge_node(cluster, element, node)
    if not cluster.quorate and node.online and cluster.no_quorum_policy == "fence":
        fence_node(cluster, node, "cluster does not have quorum")


def _read_wishes(node: Node) -> None:
    if is_true(node.attributes.get("standby")):
        node.standby = True
    if is_true(node.attributes.get("maintenance")):
        node.maintenance = True


def _member_since(cluster: Cluster, element: Element) -> int:
    """When it joined the membership: a moment, 0 if it is out, -1 if it was never seen."""
    text = element.get("in_ccm")
    if text is None:
        return -1
    flag = boolean(text)
    if flag is not None:
        return cluster.now if flag else 0
    moment = integer(text)
    return -1 if moment is None or moment < 0 else moment


def _process_since(element: Element) -> int:
    """When its processes joined: a moment (1 if it is not told), 0 if they are out."""
    text = element.get("crmd")
    if text is None or text.lower() == "offline":
        return 0
    if text.lower() == "online":
        return 1
    return max(0, integer(text) or 0)


def _judge_node(cluster: Cluster, element: Element, node: Node) -> None:
    node.shutdown = False
    if shutdown_requested(node):
        node.shutdown = True
    elif (element.get("expected") or "").lower() == "member":
        node.expected_up = True
    if cluster.fencing_enabled:
        online = _is_online_with_fencing(cluster, element, node)
    else:
        online = _is_online_without_fencing(cluster, element, node)
    if online:
        node.online = True
    if not online or node.shutdown:
        node.score = MINUS_INFINITY


def _is_online_without_fencing(cluster: Cluster, element: Element, node: Node) -> bool:
    if _member_since(cluster, element) <= 0:
        return False
    if _process_since(element) > 0:
        return (element.get("join") or "").lower() == "member"
    if node.expected_up:
        fence_node(cluster, node, "peer is unexpectedly down")
    return False


def _wants_termination(node: Node) -> bool:
    text = node.attributes.get("terminate")
    flag = boolean(text)
    if flag is not None:
        return flag
    return (integer(text) or 0) > 0


def _pending_too_long(cluster: Cluster, member: int, process: int) -> bool:
    if cluster.node_pending_ms and member > 0 and process <= 0:
        deadline = member + ms_to_s(cluster.node_pending_ms)
        if cluster.now >= deadline:
            return True
        cluster.recheck_at(deadline)
    return False


def _is_online_with_fencing(cluster: Cluster, element: Element, node: Node) -> bool:
    member = _member_since(cluster, element)
    process = _process_since(element)
    join = element.get("join")
    if node.shutdown:
        return process > 0
    if member < 0:
        fence_node(cluster, node, "peer has not been seen by the cluster")
        return False
    if join == "banned":
        fence_node(cluster, node, "peer failed Pacemaker membership criteria")
    elif _wants_termination(node):
        if member <= 0 and process <= 0 and join == "down":
            return False
        fence_node(cluster, node, "fencing was requested")
    elif element.get("expected") in (None, "down"):
        if _pending_too_long(cluster, member, process):
            fence_node(cluster, node, "peer pending timed out on joining the process group")
        elif member > 0 or process > 0:
            node.standby = node.pending = True
    elif member <= 0:
        fence_node(cluster, node, "peer is no longer part of the cluster", priority_delay=True)
    elif process <= 0:
        fence_node(cluster, node, "peer process is no longer available")
    elif join == "member":
        pass
    elif join in ("pending", "down"):
        node.standby = node.pending = True
    else:
        fence_node(cluster, node, "peer was in an unknown state")
    return member > 0


# Remote nodes and histories ----------------------------------------------------------------------------------------


def judge_remote_node(node: Node) -> None:
    """A remote node is online if its connection, and the container that launches it, are up."""
    connection = node.remote
    if connection is None:
        node.online = False
        return
    container = connection.launcher
    host = connection.active[0] if container is not None and len(connection.active) == 1 else None
    if connection.orig_role is Role.STARTED:
        node.online = True
        if connection.next_role is Role.STOPPED:
            node.shutdown = True
    if container is not None and container.failed:
        node.online = False
        node.remote_reset = True
    elif connection.failed:
        node.online = False
    elif connection.orig_role is Role.STOPPED or (container is not None and container.orig_role is Role.STOPPED):
        node.online = False
        node.remote_reset = False
    elif host is not None and not host.online and host.unclean:
        node.online = False
        node.remote_reset = True


def _history_can_be_read(cluster: Cluster, node: Node, any_node: bool) -> bool:
    if any_node:
        return True
    connection = node.remote
    if node.is_guest:
        assert connection is not None
        assert connection.launcher is not None
        return connection.orig_role is Role.STARTED and connection.launcher.orig_role is Role.STARTED
    if node.is_remote:
        return connection is not None and (cluster.shutdown_lock or connection.orig_role is Role.STARTED)
    return cluster.fencing_enabled or cluster.shutdown_lock or node.online


def _read_histories(cluster: Cluster, status: Element, any_node: bool) -> bool:
    progress = False
    for element in status.iterchildren("node_state"):
        if element.get("id") is None or element.get("uname") is None:
            continue
        node = _find_node(cluster, element)
        if node is None or node.unpacked or not _history_can_be_read(cluster, node, any_node):
            continue
        if node.is_remote_kind:
            judge_remote_node(node)
            _read_remote_attributes(cluster, element, node)
        node.unpacked = True
        read_node_history(cluster, element, node)
        progress = True
    return progress


def _read_remote_attributes(cluster: Cluster, element: Element, node: Node) -> None:
    node.remote_maintenance = bool(integer(element.get("node_in_maintenance")) or 0)
    if not node.remote_reset:
        node.unclean = False
        node.seen = True
    read_node_attributes(cluster, element.find("transient_attributes"), node, overwrite=True)
    if shutdown_requested(node):
        node.shutdown = True
    _read_wishes(node)
    if node.remote is not None and not node.remote.managed:
        node.maintenance = True
    discovery = node.attributes.get("resource-discovery-enabled")
    if discovery is not None and not is_true(discovery) and not (node.is_remote and not cluster.fencing_enabled):
        node.probes_allowed = False
