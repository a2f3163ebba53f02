# SPDX-License-Identifier: GPL-2.0-or-later
"""Which constraints tie a resource: to nodes, and to other resources and theirs."""

from __future__ import annotations

from collections.abc import Iterator

from ha.cli.crm_resource.session import Session
from ha.cli.exit_codes import Exit
from ha.pe.core.constraints import read_constraints
from ha.pe.model import scores
from ha.pe.model.resource import Resource


def direct(session: Session) -> int:
    """--constraints: of --resource and of what it is tied to; with --recursive as --stack."""
    return _constraints(session, recursive=session.options.recursive)


def chained(session: Session) -> int:
    """--stack: along the whole chain of colocations."""
    return _constraints(session, recursive=True)


def _constraints(session: Session, *, recursive: bool) -> int:
    resource = _outermost(session.resource())
    read_constraints(session.cluster)
    for line in (
        *_locations(resource),
        *_tied(resource, followers=True, recursive=recursive, above=(resource,)),
        *_tied(resource, followers=False, recursive=recursive, above=(resource,)),
    ):
        print(line)
    return Exit.OK


def _outermost(resource: Resource) -> Resource:
    """Constraints of a member are shown as those of its group, clone or bundle."""
    while resource.parent is not None:
        resource = resource.parent
    return resource


def _locations(resource: Resource) -> Iterator[str]:
    lines = [
        f"  * Node {at.node.name} (score={scores.readable(at.score)}, id={location.id}, rsc={resource.id})"
        for location in resource.locations
        for at in location.candidates
    ]
    if lines:
        yield "Locations:"
        yield from lines


def _tied(resource: Resource, *, followers: bool, recursive: bool, above: tuple[Resource, ...]) -> Iterator[str]:
    """Those that follow `resource`, or those that it follows, each with what ties it in turn. `above` are the ones on
    the way from the resource that was asked for: a ring of colocations ends there."""
    ties = []
    for tie in resource.cluster.colocations:
        near, far = (tie.primary, tie.dependent) if followers else (tie.dependent, tie.primary)
        if tie.explicit and _outermost(near) is resource and _outermost(far) is not resource:
            ties.append((tie, _outermost(far)))
    if ties:
        yield f"Resources colocated with {resource.id}:" if followers else f"Resources {resource.id} is colocated with:"
    for tie, other in ties:
        loop = " (loop)" if other in above else ""
        yield f"  * {other.id} (score={scores.readable(tie.score)}, id={tie.id}){loop}"
        if not loop:
            onward = _tied(other, followers=followers, recursive=True, above=(*above, other)) if recursive else ()
            for line in (*_locations(other), *onward):
                yield f"    {line}" if line.startswith(" ") else f"    * {line}"
