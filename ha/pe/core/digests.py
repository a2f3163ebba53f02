# SPDX-License-Identifier: GPL-2.0-or-later
"""Digests of an operation's parameters: did the definition change since it was done?

The history keeps digests of all parameters, of those whose change needs a restart, and of those that are not
private. A digest is the MD5 of the parameters as one XML element with sorted attributes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from types import MappingProxyType

from lxml.etree import _Element as Element

from ha.pe.core.operation_config import (
    find_operation,
    is_fencing_class,
    operation_meta,
    operation_parameters,
    parameters,
)
from ha.pe.model.cluster import FEATURE_SET
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.values import MEMO_SIZE, compare_versions, integer

_PRIVATE_BY_DEFAULT = ("passwd", "password", "user")
_FENCE_PARAMETERS = frozenset((
    "provides", "stonith-timeout", "pcmk_action_limit", "pcmk_delay_base", "pcmk_delay_max", "pcmk_host_argument",
    "pcmk_host_check", "pcmk_host_list", "pcmk_host_map",
))  # fmt: skip
_NOT_PARAMETERS = frozenset((
    "id", "crm_feature_set", "op-digest", "on_node", "on_node_uuid", "pcmk_external_ip",
))  # fmt: skip
_META = "CRM_meta_"
_SECURE_OF_ALL_SINCE = "3.16.0"
"""From this feature set on, the digest without private parameters is of all others, the operation's own included."""


class Match(IntEnum):
    SAME = 0
    RESTART = 1
    OTHER = 2
    UNKNOWN = 3


@dataclass(slots=True)
class Digests:
    match: Match
    everything: str
    restart: str | None = None
    secure: str | None = None


@lru_cache(maxsize=MEMO_SIZE)
def meta_name(name: str) -> str:
    """The name under which an agent is told a meta-attribute."""
    return _META + name.replace("-", "_")


@lru_cache(maxsize=MEMO_SIZE)
def xml_attribute(value: str) -> str:
    """`value` escaped for an XML attribute."""
    if value.isalnum():
        return value
    value = value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    if not value.isprintable():
        value = "".join(f"&#x{ord(c):02X};" if ord(c) < 32 or ord(c) == 127 else c for c in value)
    return value


def digest(attributes: dict[str, str]) -> str:
    inner = "".join(f' {name}="{xml_attribute(attributes[name])}"' for name in sorted(attributes))
    return hashlib.md5(f" <parameters{inner}/>\n".encode(), usedforsecurity=False).hexdigest()


def _parameters_only(attributes: dict[str, str], keep_timeout: bool) -> dict[str, str]:
    kept = {k: v for k, v in attributes.items() if not k.startswith(_META) and k not in _NOT_PARAMETERS}
    timeout = attributes.get("CRM_meta_timeout")
    if keep_timeout and timeout is not None:
        kept["CRM_meta_timeout"] = timeout
    return kept


def operation_parameters_of(attributes: dict[str, str]) -> dict[str, str]:
    """What of an action's attributes counts: its parameters, and the timeout if it recurs."""
    return _parameters_only(attributes, (integer(attributes.get("CRM_meta_interval")) or 0) != 0)


def is_fence_parameter(name: str) -> bool:
    """Whether the cluster, not the fence agent, heeds a parameter of a fence device."""
    if name in _FENCE_PARAMETERS:
        return True
    if not name.startswith("pcmk_"):
        return False
    rest = name[5:]
    return rest[rest.find("_") :] in ("_action", "_timeout", "_retries") if "_" in rest else False


def calculate(
    resource: Resource, task: str, interval: int, node: Node, operation: Element | None, with_secure: bool,
    overrides: Mapping[str, str] = MappingProxyType({}),
) -> Digests:  # fmt: skip
    """The digests the operation would have if it were done on `node` now, with `overrides` among its parameters."""
    config = find_operation(resource, task, interval)
    own = operation_parameters(resource, config, node)
    attributes: dict[str, str] = dict(overrides)
    address = resource_address(resource)
    if address is not None:
        attributes["addr"] = address
    plain = parameters(resource, node)
    for source in (plain, own):
        for name, value in source.items():
            attributes.setdefault(name, value)
    for name, value in operation_meta(resource, node, task, interval, config).items():
        if "#" not in name and ":" not in name:
            attributes.setdefault(meta_name(name), value)
    everything = operation_parameters_of(attributes)
    result = Digests(Match.RESTART if interval == 0 and own else Match.SAME, digest(everything))
    if with_secure:
        result.secure = digest(_without_private(resource, everything, plain, operation))
    if operation is not None and operation.get("op-restart-digest") is not None:
        restart = everything
        names = operation.get("op-force-restart")
        if names is not None:
            wanted = set(names.split(" "))
            restart = {name: value for name, value in everything.items() if name in wanted}
        result.restart = digest(restart)
    return result


def _without_private(
    resource: Resource, everything: dict[str, str], plain: dict[str, str], operation: Element | None
) -> dict[str, str]:
    private: tuple[str, ...] = _PRIVATE_BY_DEFAULT
    if operation is not None:
        private = tuple((operation.get("op-secure-params") or "").split(" "))
    version = (None if operation is None else operation.get("crm_feature_set")) or (
        resource.cluster.document.root.get("crm_feature_set") or FEATURE_SET
    )
    if compare_versions(version, _SECURE_OF_ALL_SINCE) >= 0:
        return {name: value for name, value in everything.items() if name not in private}
    kept = {name: value for name, value in _parameters_only(plain, False).items() if name not in private}
    if is_fencing_class(resource):
        kept = {name: value for name, value in kept.items() if not is_fence_parameter(name)}
    return kept


def resource_address(resource: Resource) -> str | None:
    """The address of a bundle's connection that is written as #uname: the container's host. None otherwise."""
    if not needs_host_address(resource):
        return None
    container = resource.launcher
    if container is None:
        return None
    place = container.assigned or container.current_node
    return None if place is None else place.node.name


def needs_host_address(resource: Resource) -> bool:
    """Whether the address of a remote connection is the name of the host its container gets."""
    return resource.is_remote_connection and parameters(resource, None).get("addr", "").lower() == "#uname"


def _cached(
    resource: Resource, task: str, interval: int, node: Node, operation: Element | None, with_secure: bool
) -> Digests:
    key = (resource.id, task, interval)
    known = node.digests.get(key)
    if known is None:
        known = node.digests[key] = calculate(resource, task, interval, node, operation, with_secure)
    assert isinstance(known, Digests)
    return known


def compare_with_history(
    resource: Resource, operation: Element, node: Node, marked_for_restart: bool = False, task: str | None = None
) -> Digests:
    """Compares what the history says of an operation with the definition as it is now."""
    task = operation.get("operation") or ""
    interval = integer(operation.get("interval")) or 0
    result = _cached(resource, task, interval, node, operation, resource.cluster.sanitized)
    recorded = operation.get("op-digest")
    restart = operation.get("op-restart-digest")
    # Another entry of the same operation may have been without one; what is not known is not different.
    differs = restart is not None and result.restart is not None and result.restart != restart
    if marked_for_restart or differs:
        result.match = Match.RESTART
    elif recorded is None:
        result.match = Match.UNKNOWN
    elif recorded != result.everything:
        if not (interval == 0 and result.match is Match.RESTART):
            result.match = Match.OTHER
    else:
        result.match = Match.SAME
    return result


def compare_fence_device(resource: Resource, agent: str | None, node: Node) -> Digests:
    """Compares a fence device with the definition under which the node was unfenced."""
    result = _cached(resource, "stonith-on", 0, node, None, True)
    recorded = node.attributes.get("#digests-all")
    if recorded is None:
        result.match = Match.UNKNOWN
        return result
    if agent is not None and f"{resource.id}:{agent}:{result.everything}" in recorded:
        result.match = Match.SAME
        return result
    secure = node.attributes.get("#digests-secure")
    if agent is not None and secure is not None and f"{resource.id}:{agent}:{result.secure}" in secure:
        result.match = Match.SAME
        resource.cluster.reporter.notice(
            f"Only 'private' parameters to {resource.id} for unfencing {node.name} changed"
        )
        return result
    result.match = Match.OTHER
    return result
