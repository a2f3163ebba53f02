# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 3e: what depends on the tickets of a multi-site cluster."""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.pe.core.colocation import constraint_role
from ha.pe.core.fencing import fence_node
from ha.pe.core.nodescores import ban_everywhere
from ha.pe.core.sets import constrained_resource, has_sets, is_known, members_of_tag, read_sets
from ha.pe.model.cluster import Cluster
from ha.pe.model.constraint import LossPolicy, Ticket, TicketDependency
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role

_POLICIES = {"freeze": LossPolicy.FREEZE, "demote": LossPolicy.DEMOTE, "stop": LossPolicy.STOP}


def unpack_ticket(cluster: Cluster, constraint: Element) -> None:
    """Reads one rsc_ticket, and bans, stops or freezes what lacks the ticket."""
    name = constraint.get("ticket")
    if name is None:
        return
    ticket = cluster.tickets.setdefault(name, Ticket(name))
    policy = constraint.get("loss-policy")
    if has_sets(constraint):
        for resource_set in read_sets(cluster, constraint):
            for member_id in resource_set.members:
                resource = constrained_resource(cluster, member_id)
                if resource is None:
                    return
                _depend(resource_set.id, resource, ticket, resource_set.get("role"), policy)
        return
    id = constraint.get("rsc")
    if id is None or not is_known(cluster, id):
        return
    wanted_role = constraint.get("rsc-role")
    for member in members_of_tag(cluster, id) or [id]:
        resource = constrained_resource(cluster, member)
        if resource is None:
            return
        _depend(constraint.get("id") or "", resource, ticket, wanted_role, policy)


def _depend(id: str, resource: Resource, ticket: Ticket, role_text: str | None, policy_text: str | None) -> None:
    role = constraint_role(role_text)
    if role is None:
        return
    word = None if policy_text is None else policy_text.lower()
    if word == "fence":
        policy = LossPolicy.FENCE if resource.cluster.fencing_enabled else LossPolicy.STOP
    elif word in _POLICIES:
        policy = _POLICIES[word]
    else:
        policy = LossPolicy.DEMOTE if role is Role.PROMOTED else LossPolicy.STOP
    dependency = TicketDependency(id, ticket, role, policy)
    resource.tickets.append(dependency)
    if not ticket.granted or ticket.standby:
        _enforce(resource, dependency)


def _enforce(resource: Resource, dependency: TicketDependency) -> None:
    if resource.children:
        for child in resource.children:
            _enforce(child, dependency)
        return
    ticket, policy = dependency.ticket, dependency.loss_policy
    if not ticket.granted and resource.active:
        _take_away(resource, dependency)
        return
    concerned = dependency.role is not Role.PROMOTED or policy is LossPolicy.STOP
    if concerned and (not ticket.granted or ticket.standby):
        ban_everywhere(resource, f"{dependency.id}: no ticket {ticket.id}")


def _take_away(resource: Resource, dependency: TicketDependency) -> None:
    cause = f"{dependency.id}: ticket {dependency.ticket.id} was lost"
    policy = dependency.loss_policy
    if policy is LossPolicy.STOP:
        ban_everywhere(resource, cause)
    elif policy is LossPolicy.DEMOTE:
        if dependency.role is not Role.PROMOTED:
            ban_everywhere(resource, cause)
    elif dependency.role in (Role.UNKNOWN, resource.orig_role):
        if policy is LossPolicy.FENCE:
            ban_everywhere(resource, cause)
            for node in resource.active:
                fence_node(resource.cluster, node, "deadman ticket was lost")
        else:
            resource.managed = False
            resource.blocked = True


def require_promotion_tickets(clone: Resource) -> None:
    """Nothing is promoted without the ticket for it."""
    for dependency in clone.tickets:
        ticket = dependency.ticket
        if dependency.role is Role.PROMOTED and (not ticket.granted or ticket.standby):
            ban_everywhere(clone, f"{dependency.id}: no ticket {ticket.id}")
