# SPDX-License-Identifier: GPL-2.0-or-later
"""Made-up events: nodes that come and go, operations that fail, tickets, quorum."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable

from lxml.etree import _Element as Element

from ha.cli.crm_simulate.edited_cib import EditedCib, EditError, Result
from ha.cli.crm_simulate.report import Item
from ha.pe.model.action import split_key
from ha.pe.model.cluster import Cluster
from ha.pe.model.values import integer

_SPEC = re.compile(r"([^@]+)@([^=]+)=(-?\d{1,9})")
_NOT_RUNNING = 7


def inject(
    cib: EditedCib,
    cluster: Cluster,
    options: argparse.Namespace,
    say: Callable[[Item], None],
    warn: Callable[[str], None],
) -> None:
    """Writes the wanted events into the CIB, telling each."""
    if options.quorum:
        say(Item(f"Setting quorum: {options.quorum}", attributes={"quorum": options.quorum}))
        cib.root.set("have-quorum", options.quorum)
    if options.watchdog:
        say(Item(f"Setting watchdog: {options.watchdog}", attributes={"watchdog": options.watchdog}))
        cib.set_option("have-watchdog", options.watchdog)
    for name in options.node_up:
        say(_node_item(f"Bringing node {name} online", "Online", name))
        cib.set_node(name, up=True)
    for name in options.node_down:
        say(_node_item(f"Taking node {name} offline", "Offline", name))
        cib.set_node(name, up=False)
        cib.forget_node(name)
    for name in options.node_fail:
        say(_node_item(f"Failing node {name}", "Failing", name))
        cib.set_node(name, up=True, member=False)
    for names, action, text, attribute, value in (
        (options.ticket_grant, "Granting", "Granting ticket {}", "granted", True),
        (options.ticket_revoke, "Revoking", "Revoking ticket {}", "granted", False),
        (options.ticket_standby, "Standby", "Making ticket {} standby", "standby", True),
        (options.ticket_activate, "Activating", "Activating ticket {}", "standby", False),
    ):
        for name in names:
            say(Item(text.format(name), "modify_ticket", {"action": action, "ticket": name}))
            cib.set_ticket(name, attribute, value)
    for spec in options.op_inject:
        say(Item(f"Injecting {spec} into the configuration", "inject_spec", {"spec": spec}))
        try:
            _inject_operation(cib, cluster, spec, say)
        except EditError as error:
            warn(str(error))


def _node_item(text: str, action: str, node: str) -> Item:
    return Item(text, "modify_node", {"action": action, "node": node})


def _inject_operation(cib: EditedCib, cluster: Cluster, spec: str, say: Callable[[Item], None]) -> None:
    match = _SPEC.match(spec)
    key = split_key(match.group(1)) if match else None
    if match is None or key is None:
        raise EditError(f"Invalid operation spec: {spec}")
    resource_id, task, interval = key
    node, exit_code = match.group(2), int(match.group(3))
    resource = cluster.find(resource_id)
    if resource is None:
        raise EditError(f"Invalid resource name: {resource_id}")
    state = cib.node_state(node)
    fatal = task == "stop" or (task == "start" and cluster.start_failure_fatal)
    for item in count_failure(cib, state, key, exit_code, fatal):
        say(item)
    agent = {name: resource.xml.get(name) for name in ("class", "provider", "type")}
    history = cib.history(state, (resource_id,), agent, lambda name: cluster.find(name) is not None)
    cib.record(history, Result(resource_id, task, interval, node, exit_code, 0, None))


def count_failure(cib: EditedCib, state: Element, key: tuple[str, str, int], exit_code: int, fatal: bool) -> list[Item]:
    """Raises the fail count of an operation and notes the time; what was changed."""
    resource_id, task, interval = key
    if exit_code == 0 or (exit_code == _NOT_RUNNING and interval == 0):
        return []
    suffix = f"{resource_id}#{task}_{interval}"
    name = f"fail-count-{suffix}"
    count = integer(cib.transient(state, name)) or 0
    told = []
    for attribute, value in (
        (name, "INFINITY" if fatal else str(count + 1)),
        (f"last-failure-{suffix}", str(int(time.time()))),
    ):
        path = state.getroottree().getpath(state)
        id = str(state.get("id"))
        text = f"Injecting attribute {attribute}={value} into {path} '{id}'"
        attributes = {"name": attribute, "value": value, "node_path": path, "cib_node": id}
        told.append(Item(text, "inject_attr", attributes))
        cib.set_transient(state, attribute, value)
    return told
