# SPDX-License-Identifier: GPL-2.0-or-later
"""What is wrong with a CIB: what it may not say, what is not heeded, what is doubtful."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ha.cib.model.document import Document
    from ha.pe.model.cluster import Cluster
    from ha.pe.model.options import Option
    from ha.pe.model.resource import Resource

LIKE_ENOUGH = 0.85
"""How like a known option an unknown one must be to be taken for a slip."""


@dataclass(frozen=True, slots=True)
class Findings:
    """Sentences. An error makes the configuration invalid, a warning does not; a notice tells what the scheduler would
    do."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def examine(data: bytes, now_s: int, *, decide: bool = False) -> Findings:
    """Everything found in the text of a CIB, or of its configuration alone, as crmsh gives it before each commit.
    Notices come with `decide` alone: they take as long as a decision. `now_s` is seconds since the epoch."""
    from ha.cib.model.refusal import Refusal
    from ha.pe.core import read
    from ha.pe.model.document import CibError

    try:
        document = _document(data)
    except Refusal as refusal:
        return Findings(errors=[str(refusal)])
    if breaches := list(_breaches(document)):
        return Findings(errors=breaches)
    try:
        cluster = read(document.root, now_s)
        found = Findings(errors=list(_errors(cluster)), warnings=list(_warnings(cluster)))
        if decide:
            found.notices.extend(_notices(cluster))
    except CibError as error:
        return Findings(errors=[str(error)])
    return found


def _document(data: bytes) -> Document:
    """With a status, even if it has none. Raises Refusal."""
    from lxml import etree

    from ha.cib.model.document import Document

    document = Document.from_bytes(data)
    if document.root.tag != "cib" or document.root.find("status") is not None:
        return document
    etree.SubElement(document.root, "status")
    return Document.from_bytes(etree.tostring(document.root))


def _breaches(document: Document) -> Iterator[str]:
    """Of the grammar; identifiers given twice, and references to nothing."""
    from ha.cib.model.references import dangling, duplicates
    from ha.cib.schema import load as load_schema

    breach = load_schema().check(document)
    if breach is not None:
        yield str(breach)
    for refusal in (*duplicates(document.root), *dangling(document.root).values()):
        yield str(refusal)


# Errors ------------------------------------------------------------------------------------------------------------


def _errors(cluster: Cluster) -> Iterator[str]:
    from ha.pe.model.options import OPTIONS

    for option in OPTIONS.values():
        yield from _option_errors(cluster, option)
    for resource in _all(cluster.resources):
        yield from _target_role_errors(resource)
    if cluster.fencing_enabled and cluster.resources and not any(r.fence_device for r in cluster.resources):
        yield (
            "fencing is enabled and there is no fence device: configure one, or set stonith-enabled to false"
            " (a lost node's resources would then be started elsewhere without proof that it is dead)"
        )


def _option_errors(cluster: Cluster, option: Option) -> Iterator[str]:
    for name in (option.name, option.older_name):
        value = None if name is None else cluster.options.get(name)
        if value is not None and not option.allows(value):
            default = f"the default, {option.default!r}, counts" if option.default else "it does not count"
            yield f"cluster option {name}: {value!r} is not valid: {default}"


def _all(resources: list[Resource]) -> Iterator[Resource]:
    for resource in resources:
        yield resource
        yield from _all(resource.children)


def _target_role_errors(resource: Resource) -> Iterator[str]:
    """A member is silent about what it has from its collection."""
    from ha.pe.model.roles import Role, parse_role

    value = resource.meta.get("target-role")
    above = None if resource.parent is None else resource.parent.meta.get("target-role")
    if value is None or value == above or value.lower() == "default":
        return
    role = parse_role(value)
    if role is Role.UNKNOWN:
        yield f"target-role of {resource.id}: {value!r} is no role: it does not count"
    elif role > Role.STARTED and not resource.top.promotable:
        yield f"target-role of {resource.id}: {value!r} makes sense for promotable clones only: it does not count"


# Warnings ----------------------------------------------------------------------------------------------------------


def _warnings(cluster: Cluster) -> Iterator[str]:
    if not cluster.fencing_enabled and cluster.resources:
        yield "fencing is disabled: a lost node's resources are started elsewhere without proof that it is dead"
    yield from _unknown_options(cluster)
    for failure in cluster.failed:
        yield f"{failure.key} failed on {failure.node.name}, with exit code {failure.element.get('rc-code')}"


def _unknown_options(cluster: Cluster) -> Iterator[str]:
    """Any name is allowed, so only a slip is worth a word."""
    from difflib import get_close_matches

    from ha.cli.daemon_metadata import BASE, CONTROLLER
    from ha.pe.model.options import OPTIONS

    known = {option.older_name for option in OPTIONS.values() if option.older_name} | set(OPTIONS)
    known |= {parameter.name for parameter in (*CONTROLLER, *BASE)}
    for name in sorted(set(cluster.options) - known):
        if like := get_close_matches(name, sorted(known), n=1, cutoff=LIKE_ENOUGH):
            yield f"cluster option {name!r} is not known, and does not count: is {like[0]!r} meant?"


def _notices(cluster: Cluster) -> Iterator[str]:
    from ha.cli.crm_simulate.summary import TransitionSummary
    from ha.pe.core import decide_on

    decide_on(cluster)
    for item in TransitionSummary(cluster).items():
        yield f"Actions: {item.text}"
