# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 1b: one resource from its definition: template, meta-attributes, flags, and what its kind adds."""

from __future__ import annotations

import copy
from collections.abc import Callable

from lxml.etree import _Element as Element

from ha.pe.core.nodescores import SYMMETRIC_DEFAULT, add_score_everywhere
from ha.pe.core.operation_config import parameters
from ha.pe.model import scores
from ha.pe.model.cluster import Cluster
from ha.pe.model.resource import MultiplyActive, Resource
from ha.pe.model.roles import Role, parse_role
from ha.pe.model.scores import INFINITY
from ha.pe.model.values import boolean, integer, interval_ms, is_true

Kind = Callable[[Cluster, str, Element, Element, "Resource | None"], Resource]
KINDS: dict[str, Kind] = {}
"""The class of each kind by its element's name; each file of `core.kinds` enters its own."""

INSTANCE_NUMBER = "clone"
"""The attribute by which a clone tells its instances their number."""

_MULTIPLY_ACTIVE = {
    "stop_only": MultiplyActive.STOP,
    "block": MultiplyActive.BLOCK,
    "stop_unexpected": MultiplyActive.UNEXPECTED,
}


def contains_remote_connection(element: Element) -> bool:
    """Whether a definition is that of a connection to a remote node."""
    return (
        (element.get("type") or "").lower() == "remote"
        and (element.get("class") or "").lower() == "ocf"
        and (element.get("provider") or "").lower() == "pacemaker"
    )


def unpack_resource(cluster: Cluster, element: Element, parent: Resource | None) -> Resource | None:
    """The resource that `element` defines, with everything inside it; None if the definition is unusable."""
    id = element.get("id")
    kind = KINDS.get("clone" if element.tag == "master" else str(element.tag))
    if id is None or kind is None:
        return None
    xml = _with_template(cluster, element)
    if xml is None:
        return None
    number = xml.get(INSTANCE_NUMBER)
    resource = kind(cluster, id if number is None else f"{id}:{number}", xml, element, parent)
    operations = xml.find("operations")
    if operations is not None:
        resolved = cluster.document.resolve(operations)
        if resolved is not None:
            resource.operations = list(resolved.iterchildren("op"))
    if number is not None:
        resource.meta[INSTANCE_NUMBER] = number
    _read_meta(resource)
    if element.tag == "master":
        resource.meta["promotable"] = "true"
    guest = _read_flags(resource)
    _read_numbers(resource)
    _read_requires(resource, resource.meta.get("requires"))
    role = target_role(resource)
    if role is not None:
        resource.next_role = role
    cluster.index(resource)
    if not resource.unpack():
        cluster.forget(resource)
        return None
    if cluster.symmetric:
        add_score_everywhere(resource, 0, SYMMETRIC_DEFAULT)
    elif guest:
        add_score_everywhere(resource, 0, "remote_connection_default")
    wanted: dict[str, str] = {}
    cluster.read_attributes(xml, "utilization", wanted)
    resource.utilization = {name: integer(value) or 0 for name, value in wanted.items()}
    if xml is not element:
        users = cluster.templates.setdefault(element.get("template") or "", [])
        if id not in users:
            users.append(id)
    return resource


# Templates ---------------------------------------------------------------------------------------------------------


def _operation_identity(operation: Element) -> tuple[str | None, str]:
    role = operation.get("role")
    if role is None or role.lower() in ("started", "unpromoted", "slave"):
        role = "Unknown"
    return operation.get("name"), role


def _with_template(cluster: Cluster, element: Element) -> Element | None:
    reference = element.get("template")
    if reference is None:
        return element
    if reference == element.get("id"):
        return None
    section = cluster.document.section("resources")
    template = None
    if section is not None:
        template = next((t for t in section.iterchildren("template") if t.get("id") == reference), None)
    if template is None:
        return None
    merged = copy.deepcopy(template)
    merged.tag = element.tag
    merged.set("id", element.get("id") or "")
    number = element.get(INSTANCE_NUMBER)
    if number is not None:
        merged.set(INSTANCE_NUMBER, number)
    from_template = merged.find("operations")
    own: Element | None = None
    for child in element:
        added = copy.deepcopy(child)
        merged.append(added)
        if own is None and added.tag == "operations":
            own = added
    if from_template is not None and own is not None:
        known = {_operation_identity(operation) for operation in own}
        for operation in from_template:
            if _operation_identity(operation) not in known:
                own.append(copy.deepcopy(operation))
        merged.remove(from_template)
    return merged


# Meta-attributes ---------------------------------------------------------------------------------------------------


def _fill(meta: dict[str, str], more: dict[str, str]) -> None:
    for name, value in more.items():
        if value.lower() != "#default" and name not in meta:
            meta[name] = value


def _read_meta(resource: Resource) -> None:
    cluster = resource.cluster
    meta = resource.meta
    xml = resource.xml
    _fill(meta, {str(name): str(value) for name, value in xml.attrib.items()})
    given = cluster.rule_input()
    given.standard = xml.get("class")
    given.provider = xml.get("provider")
    given.agent = xml.get("type")
    cluster.read_attributes(xml, "meta_attributes", meta, given)
    if resource.parent is not None:
        inherited: dict[str, str] = {}
        level: Resource | None = resource.parent
        while level is not None:
            cluster.read_attributes(level.xml, "meta_attributes", inherited, given)
            level = level.parent
        _fill(meta, inherited)
    cluster.read_attributes(cluster.rsc_defaults, "meta_attributes", meta, given)
    if resource.parent is not None:
        _fill(meta, resource.parent.meta)


def _read_flags(resource: Resource) -> bool:
    """Sets the flags; whether the resource is the connection of a guest."""
    cluster, meta, xml = resource.cluster, resource.meta, resource.xml
    resource.managed = not cluster.in_maintenance
    critical = meta.get("critical")
    resource.critical = critical is None or is_true(critical)
    resource.notify = is_true(meta.get("notify"))
    guest = remote = False
    if contains_remote_connection(xml):
        resource.is_remote_connection = True
        guest = "container" in meta
        remote = not guest
    migrate = meta.get("allow-migrate")
    resource.migratable = remote if migrate is None else is_true(migrate)
    managed = meta.get("is-managed")
    if managed is not None and managed.lower() != "default":
        resource.managed = is_true(managed)
    if is_true(meta.get("maintenance")) or cluster.in_maintenance:
        resource.managed = False
        resource.maintenance = True
    if resource.top.is_clone:
        resource.unique = _is_unique(resource)
        resource.promotable = is_true(meta.get("promotable"))
    else:
        resource.unique = True
    resource.multiply_active = _MULTIPLY_ACTIVE.get(meta.get("multiple-active", "").lower(), MultiplyActive.RESTART)
    if (xml.get("class") or "").lower() == "stonith":
        cluster.have_fencing = True
        resource.fence_device = True
    if remote:
        reconnect = parameters(resource, None).get("reconnect_interval")
        if reconnect is not None:
            resource.remote_reconnect_ms = interval_ms(reconnect)
    return guest


def _is_unique(resource: Resource) -> bool:
    value = resource.meta.get("globally-unique")
    if value is None:
        return (integer(resource.meta.get("clone-node-max")) or 0) > 1
    return is_true(value)


def _read_numbers(resource: Resource) -> None:
    meta = resource.meta
    resource.priority = scores.parse_or(meta.get("priority"))
    stickiness = meta.get("resource-stickiness")
    if stickiness is not None and stickiness.lower() != "default":
        resource.stickiness = scores.parse_or(stickiness)
    threshold = scores.parse(meta.get("migration-threshold"), INFINITY)
    resource.ban_after_failures = INFINITY if threshold is None or threshold < 0 else threshold
    resource.failure_expiration_ms = interval_ms(meta.get("failure-timeout"))
    if resource.remote_reconnect_ms or (
        resource.is_remote_connection and "reconnect_interval" in parameters(resource, None)
    ):
        resource.failure_expiration_ms = resource.remote_reconnect_ms


def _read_requires(resource: Resource, value: str | None) -> None:
    cluster = resource.cluster
    word = None if value is None else value.lower()
    if word not in ("nothing", "quorum", "fencing", "unfencing"):
        if resource.fence_device or (resource.is_primitive and contains_remote_connection(resource.xml)):
            word = "quorum"
        elif cluster.unfencing:
            word = "unfencing"
        elif cluster.fencing_enabled:
            word = "fencing"
        else:
            word = "nothing" if cluster.no_quorum_policy == "ignore" else "quorum"
    if word == "unfencing" and (resource.fence_device or not cluster.fencing_enabled):
        word = "quorum"
    resource.needs_quorum = word == "quorum"
    resource.needs_fencing = word in ("fencing", "unfencing")
    resource.needs_unfencing = word == "unfencing"


def target_role(resource: Resource) -> Role | None:
    """The role that target-role limits the resource to; None where it does not limit it."""
    value = resource.meta.get("target-role")
    if value is None or value.lower() in ("started", "default"):
        return None
    role = parse_role(value)
    if role is Role.UNKNOWN:
        return None
    if role > Role.STARTED and (not resource.top.promotable or role > Role.UNPROMOTED):
        return None
    return role


def is_disabled(resource: Resource) -> bool:
    """Whether target-role keeps the resource from its full role."""
    role = parse_role(resource.meta.get("target-role"))
    return role is Role.STOPPED or (role is Role.UNPROMOTED and resource.top.promotable)


def flag_value(meta: dict[str, str], name: str, default: bool) -> bool:
    """A boolean meta-attribute, with the default for what is absent or no boolean."""
    value = boolean(meta.get(name))
    return default if value is None else value
