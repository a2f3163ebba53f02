# SPDX-License-Identifier: GPL-2.0-or-later
"""The engine's reasons in words: where a resource is and will be, and what speaks for and against each node."""

from __future__ import annotations

from collections.abc import Iterator

from ha.cli.explain.trial import Judgement, homes, present, reaches, subject
from ha.cli.source.cluster import primitives
from ha.pe.core.causes import causes_of
from ha.pe.core.failcounts import fail_count
from ha.pe.core.nodescores import NODE_STATE, SYMMETRIC_DEFAULT
from ha.pe.core.resources import target_role
from ha.pe.model.action import OPTIONAL, PSEUDO, RUNNABLE
from ha.pe.model.node import Node, available
from ha.pe.model.reasons import Term, counting
from ha.pe.model.resource import Resource
from ha.pe.model.roles import Role
from ha.pe.model.scores import INFINITY, MINUS_INFINITY, readable

_RULES = {
    NODE_STATE: "the node is down, leaving, or a container",
    "resource-stickiness": "it runs there (resource-stickiness)",
    "migration-threshold": "it failed there as often as migration-threshold allows",
    "target-role": "it is not to run anywhere (target-role)",
    "promotion score": "its agent wants to be promoted there",
    "remote_connection_default": "a remote connection may run anywhere",
}
"""Rules of behaviour that a term's cause may name; other causes are ids of constraints or speak for themselves."""
_TASKS = ("stop", "start", "promote", "demote", "migrate_to", "migrate_from", "reload-agent")


def whereabouts(judged: Judgement, resource: Resource) -> str:
    """One sentence: where it is, and what is to become of that."""
    here = present(resource)
    there = homes(judged.cluster, resource)
    if not here:
        if not there:
            return f"{resource.id} runs nowhere, and is not going to"
        return f"{resource.id} runs nowhere; it is to start on {', '.join(there)}"
    if not there:
        return f"{resource.id} runs on {', '.join(here)}, and is to stop"
    if sorted(here) == sorted(there):
        return f"{resource.id} runs on {', '.join(here)}, and is to stay there"
    return f"{resource.id} runs on {', '.join(here)}; it is to run on {', '.join(there)}"


def circumstances(judged: Judgement, resource: Resource) -> Iterator[str]:
    """What holds for every node alike."""
    cluster = judged.cluster
    level: Resource | None = resource
    while level is not None:
        if target_role(level) == Role.STOPPED:
            yield f"target-role of {level.id} is Stopped"
        level = level.parent
    if not resource.managed:
        yield "it is not managed: the cluster neither starts nor stops it"
    if resource.any_within("blocked"):
        yield "it is blocked after a failure that the cluster may not act on: mend it, then crm_resource --cleanup"
    if resource.removed:
        yield "it is not in the configuration any more"
    if cluster.in_maintenance:
        yield "the whole cluster is in maintenance-mode"
    if cluster.stop_all:
        yield "stop-all-resources is set"
    if not cluster.quorate and cluster.no_quorum_policy != "ignore":
        yield f"this partition has no quorum (no-quorum-policy is {cluster.no_quorum_policy})"
    if cluster.fencing_enabled and not cluster.have_fencing:
        yield "fencing is on but there is no device for it: nothing is started or stopped"


def planned(judged: Judgement, resource: Resource) -> Iterator[str]:
    """What is to be done with it, and why; what would have to be done but cannot."""
    for instance in primitives([resource]):
        for action in instance.actions:
            if action.has(OPTIONAL) or action.task not in _TASKS or (action.has(PSEUDO) and action.has(RUNNABLE)):
                continue
            where = "" if action.node is None else f" on {action.node.name}"
            told = judged.reasons.causes(action)
            if action.has(RUNNABLE):
                yield f"{action.task} of {instance.id}{where} is planned: {causes_of(action, told)[0]}"
            else:
                against = [action.reason] if action.reason else [cause for cause in told if "unrunnable" in cause]
                because = f": {against[0]}" if against else ""
                yield f"{action.task} of {instance.id}{where} is wanted, but cannot be done{because}"


# One node ----------------------------------------------------------------------------------------------------------


def verdict(judged: Judgement, resource: Resource, node: Node) -> Iterator[str]:
    """Why it is to run on the node, or why not: a headline, then the terms of the score, one a line."""
    one = subject(judged, resource, node)
    entry = one.allowed.get(node.id)
    terms = counting(judged.reasons.terms(one, node)) if entry is not None else []
    whose = "" if one is resource else f" of {one.id}"
    if reaches(resource, node):
        shown = "without a score" if entry is None else f"score{whose} {readable(entry.score)}"
        yield f"why on {node.name}: {shown}"
    else:
        against = list(_obstacles(judged, resource, one, node))
        yield f"why not on {node.name}: {'; '.join(against)}"
    for term in _telling(terms):
        yield f"{readable(term.amount):>12}  {_words(judged, term.cause)}"
    yield from _failures(resource, node)


def _obstacles(judged: Judgement, resource: Resource, one: Resource, node: Node) -> Iterator[str]:
    if not available(node):
        words = [word for word in ("unclean", "standby", "maintenance", "pending", "shutdown") if getattr(node, word)]
        if not node.online:
            words.insert(0, "offline")
        yield f"the node is {', '.join(words)}"
    level: Resource | None = one
    while level is not None:
        yield from judged.reasons.refusals(level)
        level = level.parent
    yield from _score_obstacles(resource, one, node)


def _score_obstacles(resource: Resource, one: Resource, node: Node) -> Iterator[str]:
    entry = one.allowed.get(node.id)
    if entry is None:
        yield _why_absent(resource, node)
        return
    whose = "its score" if one is resource else f"the score of {one.id}"
    if entry.score < 0:
        yield f"{whose} there is {readable(entry.score)}"
        return
    if not available(node):
        return
    if one.assigned is not None and one.assigned.node is node:
        yield "it is meant to run there, but cannot be started"
        return
    home = None if one.assigned is None else one.assigned.node
    best = None if home is None else one.allowed.get(home.id)
    if home is None or best is None:
        yield f"{whose} there is {readable(entry.score)}, but it gets no place"
    elif best.score > entry.score:
        yield f"{whose} there is {readable(entry.score)}, on {home.name} it is {readable(best.score)}"
    else:
        yield (
            f"{whose} is {readable(entry.score)} there as on {home.name}: of equals the node with fewer resources "
            "counts, then the present one, then the first by name"
        )


def _why_absent(resource: Resource, node: Node) -> str:
    """Why a node is not even in the table."""
    if node.is_bundle_node:
        return "the node is a container: only what its bundle contains runs there"
    if not resource.cluster.symmetric:
        return "no constraint lets it run there, and symmetric-cluster is false"
    return "its constraints limit it to other nodes (resource-discovery)"


def _telling(terms: list[Term]) -> list[Term]:
    """The terms worth a line: no zeros, nothing twice, and of a banned node only the bans."""
    found: list[Term] = []
    banned = any(term.amount <= MINUS_INFINITY for term in terms)
    for term in terms:
        if term.amount == 0 or (banned and term.amount > MINUS_INFINITY):
            continue
        if not (banned and any(term.cause == known.cause for known in found)):
            found.append(term)
    return found


def _words(judged: Judgement, cause: str) -> str:
    known = _RULES.get(cause)
    if known is not None:
        return known
    if cause == SYMMETRIC_DEFAULT:
        return "resources may run anywhere (symmetric-cluster)"
    constraint = constraint_named(judged, cause)
    if constraint is None:
        return cause
    tag, more = constraint
    return f"{tag} {cause}{more}"


def constraint_named(judged: Judgement, id: str) -> tuple[str, str] | None:
    """(what kind of constraint has this id, what it says in few words), None if none has."""
    section = judged.cluster.document.section("constraints")
    if section is None:
        return None
    for element in section.iter("rsc_location", "rsc_colocation", "rule", "resource_set"):
        if element.get("id") != id:
            continue
        if element.tag == "rsc_colocation" and element.get("rsc"):
            return "colocation", f" ({element.get('rsc')} with {element.get('with-rsc')})"
        if element.tag == "rule":
            outer = element.getparent()
            return "rule", "" if outer is None else f" of location {outer.get('id')}"
        return str(element.tag).removeprefix("rsc_").replace("_", " "), ""
    return None


def _failures(resource: Resource, node: Node) -> Iterator[str]:
    for instance in primitives([resource]):
        count = fail_count(node, instance)[0]
        if count:
            limit = instance.ban_after_failures
            shown = "INFINITY" if count >= INFINITY else str(count)
            outcome = f"migration-threshold {limit} reached" if count >= limit else "still allowed there"
            yield f"{'':12}  {instance.printable_id} failed {shown} times there ({outcome})"


# Promotion ---------------------------------------------------------------------------------------------------------


def promotions(judged: Judgement, resource: Resource) -> Iterator[str]:
    """Of a promotable clone: which instances are promoted, and the scores that decide it."""
    for clone in (resource, *resource.children):
        if not clone.is_clone or not clone.promotable:
            continue
        for instance in clone.children:
            place = instance.location(assigned=True)
            terms = counting(judged.reasons.promotion_terms(instance))
            if place is None or not terms:
                continue
            role = "promoted" if instance.state(False) is Role.PROMOTED else "not promoted"
            causes = ", ".join(f"{readable(term.amount)} {_words(judged, term.cause)}" for term in terms)
            yield f"{instance.id} is to be {role} on {place.node.name}: {causes}"
