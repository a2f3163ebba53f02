# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a resource is where it is, or is not: the same words as `ha explain`, without looking for changes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ha.cli.crm_resource.session import Session
from ha.cli.exit_codes import Exit
from ha.cli.explain.account import circumstances, planned, promotions, verdict, whereabouts
from ha.cli.explain.trial import Judgement, judge, reaches
from ha.pe.model.resource import Resource


def why(session: Session) -> int:
    """--why: of --resource, or of all when none is named; on --node alone if given."""
    node = session.require_node(session.options.node) if session.options.node else None
    name = session.resource().id if session.options.resource else None
    judged = judge(session.cib.read(), int(time.time()))
    for resource in judged.cluster.resources if name is None else [judged.cluster.find(name)]:
        assert resource is not None, name
        print(f"Resource {whereabouts(judged, resource)}")
        for line in reasons(judged, resource, node):
            print(f"  * {line}" if not line.startswith(" ") else f"    {line}")
    if name is not None:
        print(f"What would bring it elsewhere: ha explain {name}")
    return Exit.OK


def reasons(judged: Judgement, resource: Resource, node_name: str | None) -> Iterator[str]:
    """What speaks for and against, first where it is to run."""
    yield from circumstances(judged, resource)
    yield from planned(judged, resource)
    yield from promotions(judged, resource)
    for node in sorted(judged.cluster.nodes, key=lambda node: not reaches(resource, node)):
        if not node.is_bundle_node and node_name in (None, node.name):
            yield from verdict(judged, resource, node)
