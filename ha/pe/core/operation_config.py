# SPDX-License-Identifier: GPL-2.0-or-later
"""What the configuration says of an operation: its entry, meta-attributes, timeout, and reaction to failure."""

from __future__ import annotations

from lxml.etree import _Element as Element

from ha.pe.model.action import OnFail, Requires
from ha.pe.model.dates import parse_moment
from ha.pe.model.resource import Place, Resource
from ha.pe.model.roles import Role
from ha.pe.model.values import INT_MAX, boolean, interval_ms, milliseconds, ms_to_s

DEFAULT_TIMEOUT_MS = 20_000
"""Timeout of an operation that names none."""

_STOP_ON_FAIL_REFUSED = ("standby", "demote", "stop")
_PROMOTED_NAMES = ("promoted", "master")


def is_probe(task: str | None, interval: int) -> bool:
    return interval == 0 and task == "monitor"


def is_fencing_class(resource: Resource) -> bool:
    return (resource.xml.get("class") or "").lower() == "stonith"


def _enabled(operation: Element) -> bool:
    return boolean(operation.get("enabled")) is not False


def _exact(resource: Resource, task: str, interval: int, include_disabled: bool) -> Element | None:
    for operation in resource.operations:
        if operation.get("name") != task or (not include_disabled and not _enabled(operation)):
            continue
        if interval_ms(operation.get("interval")) == interval:
            return operation
    return None


def find_operation(resource: Resource, task: str, interval: int, include_disabled: bool = True) -> Element | None:
    """The configured operation with this name and interval; "migrate" stands for both ends of a migration."""
    found = _exact(resource, task, interval, include_disabled)
    if found is None and task in ("migrate_to", "migrate_from"):
        found = _exact(resource, "migrate", 0, include_disabled)
    return found


def find_notify_operation(resource: Resource) -> Element | None:
    return _exact(resource, "notify", 0, True)


def _most_frequent_monitor(resource: Resource) -> Element | None:
    best: Element | None = None
    best_ms = 0
    for operation in resource.operations:
        if operation.get("name") != "monitor" or not _enabled(operation):
            continue
        interval = interval_ms(operation.get("interval"))
        if interval > 0 and (best is None or interval < best_ms):
            best, best_ms = operation, interval
    return best


def operation_meta(
    resource: Resource, place: Place | None, task: str, interval: int, config: Element | None
) -> dict[str, str]:
    """A fresh copy of the meta-attributes of an operation: `timeout` in ms always, `interval` in ms if recurring."""
    if is_fencing_class(resource):
        return _read_meta(resource, place, task, interval, config)
    key = (task if config is not None else f"{task}?", interval)
    known = resource.operation_metas.get(key)
    if known is None:
        known = resource.operation_metas[key] = _read_meta(resource, place, task, interval, config)
    return dict(known)


def _read_meta(
    resource: Resource, place: Place | None, task: str, interval: int, config: Element | None
) -> dict[str, str]:
    cluster = resource.cluster
    given = cluster.rule_input()
    given.standard = resource.xml.get("class")
    given.provider = resource.xml.get("provider")
    given.agent = resource.xml.get("type")
    given.op_name = task
    given.op_interval_ms = interval
    meta: dict[str, str] = {}
    if config is not None:
        cluster.read_attributes(config, "meta_attributes", meta, given)
        for name, value in config.attrib.items():
            meta[str(name)] = str(value)
    if is_probe(task, interval) and "timeout" not in meta:
        monitor = _most_frequent_monitor(resource)
        timeout = None if monitor is None else monitor.get("timeout")
        if timeout is not None:
            meta["timeout"] = timeout
    cluster.read_attributes(cluster.op_defaults, "meta_attributes", meta, given)
    meta.pop("id", None)
    if interval > 0:
        meta["interval"] = str(interval)
    else:
        meta.pop("interval", None)
    if is_fencing_class(resource) and (task == "start" or is_probe(task, interval)):
        timeout = parameters(resource, place).get("pcmk_monitor_timeout")
        if timeout is not None:
            meta["timeout"] = timeout
    timeout_ms = milliseconds(meta.get("timeout"))
    if timeout_ms is None or timeout_ms <= 0:
        timeout_ms = DEFAULT_TIMEOUT_MS
    meta["timeout"] = str(min(timeout_ms, INT_MAX))
    _validate_on_fail(resource, task, config, meta)
    _set_start_delay(resource, interval, meta)
    return meta


def _set_start_delay(resource: Resource, interval: int, meta: dict[str, str]) -> None:
    text = meta.get("start-delay")
    if text is not None:
        delay = milliseconds(text) or 0
        meta["start-delay"] = str(max(0, min(delay, INT_MAX)))
        return
    origin = parse_moment(meta.get("interval-origin"))
    if origin is None or interval == 0:
        return
    interval_s = ms_to_s(interval)
    since = resource.cluster.now - origin
    rest = since % interval_s if since >= 0 else -(-since % interval_s)
    delay_s = (0 if rest <= 0 else interval_s) - rest
    meta["start-delay"] = str(delay_s * 1000)


def _validate_on_fail(resource: Resource, task: str, config: Element | None, meta: dict[str, str]) -> None:
    value = meta.get("on-fail")
    word = None if value is None else value.lower()
    if task == "stop" and word in _STOP_ON_FAIL_REFUSED:
        del meta["on-fail"]
        return
    if task == "demote" and value is None:
        _inherit_promoted_monitor(resource, meta)
        return
    if task == "lrm_delete" and word != "ignore":
        meta["on-fail"] = "ignore"
        return
    if word == "demote":
        name = None if config is None else config.get("name")
        if name == "promote":
            return
        if config is None or name != "monitor" or not _recurs_when_promoted(config):
            del meta["on-fail"]


def _recurs_when_promoted(operation: Element) -> bool:
    return interval_ms(operation.get("interval")) > 0 and (operation.get("role") or "").lower() in _PROMOTED_NAMES


def _inherit_promoted_monitor(resource: Resource, meta: dict[str, str]) -> None:
    # A demote that names no reaction takes the one of the monitor of the promoted role.
    for operation in resource.operations:
        on_fail = operation.get("on-fail")
        if on_fail is None or operation.get("name") != "monitor" or not _recurs_when_promoted(operation):
            continue
        if _enabled(operation) and on_fail.lower() != "demote":
            meta["on-fail"] = on_fail


def requirement(resource: Resource, task: str) -> Requires:
    """What must hold before the resource may be started or promoted; nothing for other tasks."""
    if task.lower() not in ("start", "promote"):
        return Requires.NOTHING
    if resource.needs_fencing:
        return Requires.FENCING
    return Requires.QUORUM if resource.needs_quorum else Requires.NOTHING


_ON_FAIL_WORDS = {
    "block": OnFail.BLOCK,
    "standby": OnFail.STANDBY_NODE,
    "ignore": OnFail.IGNORE,
    "nothing": OnFail.IGNORE,
    "migrate": OnFail.BAN,
    "stop": OnFail.STOP,
    "restart": OnFail.RESTART,
    "demote": OnFail.DEMOTE,
}


def reaction(resource: Resource, task: str, interval: int, value: str | None) -> OnFail:
    """The reaction to a failure of this operation: the configured one if it makes sense, else the default."""
    cluster = resource.cluster
    word = None if value is None else value.lower()
    chosen = _ON_FAIL_WORDS.get(word) if word is not None else None
    if word == "fence":
        chosen = OnFail.FENCE_NODE if cluster.fencing_enabled else OnFail.STOP
    elif word == "restart-container" and resource.launcher is not None:
        chosen = OnFail.RESTART_CONTAINER
    remote_reset = False
    if resource.is_remote_connection and not is_probe(task, interval) and task != "start":
        node = cluster.node(resource.id)
        remote_reset = node is not None and node.is_remote
        if remote_reset and not resource.managed:
            chosen = None
    if chosen is not None:
        return chosen
    if resource.launcher is not None:
        return OnFail.RESTART_CONTAINER
    if remote_reset:
        return OnFail.RESET_REMOTE if resource.managed else OnFail.STOP
    if task == "stop":
        return OnFail.FENCE_NODE if cluster.fencing_enabled else OnFail.BLOCK
    return OnFail.RESTART


def role_after_failure(resource: Resource, task: str, on_fail: OnFail) -> Role:
    if on_fail is OnFail.STOP or (on_fail is OnFail.RESET_REMOTE and resource.remote_reconnect_ms != 0):
        return Role.STOPPED
    return Role.UNPROMOTED if task == "promote" else Role.STARTED


def parameters(resource: Resource, place: Place | None) -> dict[str, str]:
    """The instance attributes of a resource as they are on a node (rules may ask for the node's attributes)."""
    name = "" if place is None else place.node.name
    known = resource.parameter_cache.get(name)
    if known is None:
        known = resource.parameter_cache[name] = {}
        given = resource.cluster.rule_input()
        if place is not None:
            given.node_attributes = place.node.attributes
        level: Resource | None = resource
        while level is not None:
            resource.cluster.read_attributes(level.xml, "instance_attributes", known, given)
            level = level.parent
    return known


def operation_parameters(resource: Resource, config: Element | None, place: Place | None) -> dict[str, str]:
    """The instance attributes of one operation's own."""
    values: dict[str, str] = {}
    given = resource.cluster.rule_input()
    if place is not None:
        given.node_attributes = place.node.attributes
    resource.cluster.read_attributes(config, "instance_attributes", values, given)
    return values
