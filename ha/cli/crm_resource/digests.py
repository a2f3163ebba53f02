# SPDX-License-Identifier: GPL-2.0-or-later
"""--digests: the hashes by which the cluster notices that a definition has changed since an operation was done."""

from __future__ import annotations

from lxml import etree

from ha.cli.crm_resource.session import OrderError, Session
from ha.cli.exit_codes import Exit
from ha.cli.output.result import emit
from ha.pe.core.digests import calculate
from ha.pe.model.values import integer

KINDS = {"all": "all parameters", "nonprivate": "non-private parameters", "nonreloadable": "non-reloadable parameters"}


def digests(session: Session) -> int:
    """Of --resource on --node; NAME=VALUE arguments count as if they were configured so (pcs tries new ones)."""
    resource, options = session.resource(), session.options
    if not options.node:
        raise OrderError(Exit.USAGE, "--digests needs --node")
    if not resource.is_primitive:
        raise OrderError(Exit.INVALID_PARAMETER, f"{options.resource} is no primitive: only that has parameters")
    node = session.cluster.node(session.require_node(options.node))
    assert node is not None, options.node
    overrides = dict(pair(word) for word in options.overrides)
    interval_ms = integer(overrides.get("CRM_meta_interval")) or 0
    task = "monitor" if interval_ms else "start"
    done = _last(session, node.name, resource.id, task, interval_ms)
    found = calculate(resource, task, interval_ms, node, done, True, overrides)
    hashes = {"all": found.everything, "nonprivate": found.secure, "nonreloadable": found.restart}
    element = etree.Element("digests", resource=resource.id, node=node.name, task=task, interval=f"{interval_ms}ms")
    for kind, text in hashes.items():
        if text is not None:
            etree.SubElement(element, "digest", type=kind, hash=text)
    lines = [f"{text} ({KINDS[kind]})" for kind, text in hashes.items() if text is not None]
    return emit(options, session.request, lines, [element])


def pair(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise OrderError(Exit.USAGE, f"{word!r} is no NAME=VALUE")
    return name, value


def _last(session: Session, node: str, resource: str, task: str, interval_ms: int) -> etree._Element | None:
    """The history's entry for the operation: it says which parameters are private and which can be reloaded."""
    status = session.cluster.document.section("status")
    for state in status.iterchildren("node_state") if status is not None else ():
        if state.get("uname") == node:
            for done in state.iterfind("lrm/lrm_resources/lrm_resource"):
                if done.get("id") == resource:
                    return next((op for op in done.iterchildren("lrm_rsc_op") if op.get("operation") == task and
                                 op.get("interval") == str(interval_ms)), None)  # fmt: skip
    return None
