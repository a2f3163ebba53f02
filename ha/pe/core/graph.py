# SPDX-License-Identifier: GPL-2.0-or-later
"""Stage 12: the transition graph: what is done, and after what.

The format is Pacemaker's: a synapse per action, with the actions that must be done before it as inputs.
"""

from __future__ import annotations

import re
from functools import lru_cache

from ha.pe.core.actions import pseudo_action
from ha.pe.core.completion import Synapse, completable
from ha.pe.core.digests import meta_name, xml_attribute
from ha.pe.core.graph_inputs import belongs_in_graph, input_belongs
from ha.pe.core.graph_text import Written, in_order
from ha.pe.core.operation_config import parameters
from ha.pe.core.remote import add_guest_meta, router_of, with_connection_address
from ha.pe.model.action import (
    ADDED_TO_GRAPH,
    ALWAYS_IN_GRAPH,
    DEDUPLICATED,
    PSEUDO,
    Action,
    Relation,
    notify_key,
    operation_key,
)
from ha.pe.model.cluster import FEATURE_SET, Cluster
from ha.pe.model.node import Node
from ha.pe.model.resource import Resource
from ha.pe.model.values import integer

_ATTRIBUTE_NAME = re.compile(r"[A-Za-z_][-A-Za-z0-9_.]*")
_FENCING = ("off", "reboot")


class GraphWriter:
    """Writes one graph, action by action."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.synapses: list[Synapse] = []

    # The graph -------------------------------------------------------------------------------------------------

    def write(self) -> list[Written]:
        """All synapses, in order."""
        cluster = self.cluster
        for resource in cluster.resources:
            resource.add_to_graph(self.add)
        if any(_maintenance_changed(node) for node in cluster.nodes):
            pseudo_action(cluster, "maintenance_nodes").set(ALWAYS_IN_GRAPH)
        for action in reversed(cluster.actions):
            self.add(action)
        triggers: dict[int, tuple[int, str, str]] = {}
        ranks = {resource.id: rank for rank, resource in enumerate(cluster.resources)}
        return in_order([_written(synapse, triggers) for synapse in completable(self.synapses)], ranks)

    def head(self) -> str:
        """The start tag, without its bracket."""
        cluster = self.cluster
        attributes = {
            "cluster-delay": cluster.option("cluster-delay"),
            "fencing-timeout": cluster.option("fencing-timeout"),
            "failed-stop-offset": "INFINITY",
            "failed-start-offset": "INFINITY" if cluster.start_failure_fatal else "1",
            "batch-limit": cluster.option("batch-limit"),
            "transition_id": "1",
        }
        limit = cluster.option("migration-limit")
        if (integer(limit) or 0) > 0:
            attributes["migration-limit"] = limit
        if cluster.recheck_by is not None:
            attributes["recheck-by"] = str(cluster.recheck_by)
        return "<transition_graph" + _attributes(attributes)

    def add(self, action: Action) -> None:
        """Adds an action's synapse, if the action belongs into the graph and is not there yet."""
        if not action.has(DEDUPLICATED):
            _merge_inputs(action)
            action.set(DEDUPLICATED)
        if action.has(ADDED_TO_GRAPH) or not belongs_in_graph(action):
            return
        action.set(ADDED_TO_GRAPH)
        priority = max(action.priority, 0 if action.resource is None else action.resource.priority)
        lead, text = self._full_action(action)
        inputs = [relation for relation in action.before if input_belongs(action, relation)]
        for relation in inputs:
            relation.graphed = True
        self.synapses.append(Synapse(action, priority, lead, text, inputs))

    # One action ------------------------------------------------------------------------------------------------

    def _full_action(self, action: Action) -> tuple[str, str]:
        tag, lead, text = _identity(action)
        inner: list[str] = []
        resource = action.resource
        if resource is not None and not action.has(PSEUDO):
            if _locks(action, resource):
                text += f' shutdown-lock="{resource.lock_time}"'
            inner.append(f"<{resource.xml.tag}{_attributes(_resource_identity(resource))}/>")
        inner.append(self._parameters(action))
        if action.node is not None and (tag != "pseudo_event" or action.task == "stonith"):
            inner.extend(self._downed(action))
        if action.task == "maintenance_nodes" and action.has(PSEUDO):
            inner.append(self._maintenance())
        return lead, f"{text}>{''.join(inner)}</{tag}>"

    def _parameters(self, action: Action) -> str:
        attributes = {"crm_feature_set": FEATURE_SET, **action.extra}
        numbered: list[str] = []
        resource = action.resource
        if resource is not None:
            values: dict[str, str] = {}
            if action.node is not None:
                values = with_connection_address(resource, parameters(resource, action.node))
            elif resource.is_primitive:
                values = parameters(resource, None)
            for name, value in values.items():
                if name[:1].isdigit():
                    numbered.append(f"<param{_attributes({'name': name, 'value': value})}/>")
                elif name not in attributes:
                    attributes[name] = value
        for name, value in action.meta.items():
            if "#" not in name and ":" not in name:
                attributes.setdefault(meta_name(name), value)
        level = resource
        while level is not None:
            level.add_graph_meta(attributes)
            level = level.parent
        if resource is not None:
            add_guest_meta(action, attributes)
        for name in [name for name in attributes if not _is_attribute_name(name)]:
            numbered.append(f"<param{_attributes({'name': name, 'value': attributes.pop(name)})}/>")
        text = _attributes({name: attributes[name] for name in sorted(attributes)})
        return f"<attributes{text}>{''.join(numbered)}</attributes>" if numbered else f"<attributes{text}/>"

    def _downed(self, action: Action) -> list[str]:
        node = action.node
        assert node is not None
        ids: list[str] = []
        if action.task == "do_shutdown":
            ids = [node.id]
        elif action.task == "stonith":
            if action.meta.get("stonith_action") in _FENCING:
                ids = [node.id, *(guest.id for guest in self._guests_on(node))]
        elif action.resource is not None and action.resource.is_remote_connection and action.task == "stop":
            migrating = any(
                relation.action.task == "migrate_from"
                and relation.action.resource is not None
                and relation.action.resource.id == action.resource.id
                for relation in action.before
            )
            if not migrating:
                ids = [action.resource.id]
        if not ids:
            return []
        return ["<downed>", *(f"<node{_attributes({'id': id})}/>" for id in ids), "</downed>"]

    def _guests_on(self, host: Node) -> list[Node]:
        found = []
        for resource in host.running:
            if resource.is_remote_connection and resource.launcher is not None:
                guest = self.cluster.node(resource.id)
                if guest is not None:
                    found.append(guest)
        return found

    def _maintenance(self) -> str:
        changed = [node for node in self.cluster.nodes if _maintenance_changed(node)]
        inner = "".join(
            f"<node{_attributes({'id': n.id, 'node_in_maintenance': '1' if n.maintenance else '0'})}/>" for n in changed
        )
        return f"<maintenance>{inner}</maintenance>"


def _written(synapse: Synapse, triggers: dict[int, tuple[int, str, str]]) -> Written:
    """What is written of a synapse; `triggers` holds what is written of each action that others wait for."""
    inputs = []
    for relation in synapse.inputs:
        trigger = triggers.get(relation.action.id)
        if trigger is None:
            trigger = triggers[relation.action.id] = (relation.action.id, *_identity(relation.action)[1:])
        inputs.append(trigger)
    action = synapse.action
    top = "" if action.resource is None else action.resource.outermost.id
    return Written(top, action.id, synapse.priority, synapse.lead, synapse.text, inputs)


def _maintenance_changed(node: Node) -> bool:
    return node.is_remote_kind and node.maintenance is not node.remote_maintenance


@lru_cache(maxsize=4096)
def _is_attribute_name(name: str) -> bool:
    """Whether XML takes it for an attribute. Other names of parameters are written as numbered ones are."""
    return _ATTRIBUTE_NAME.fullmatch(name) is not None


def _attributes(attributes: dict[str, str]) -> str:
    return "".join(f' {name}="{xml_attribute(value)}"' for name, value in attributes.items())


def _merge_inputs(action: Action) -> None:
    """Sorts the inputs by action and merges those from the same action."""
    merged: list[Relation] = []
    latest_first = list(reversed(action.before))
    latest_first.sort(key=lambda relation: relation.action.id)
    for relation in latest_first:
        if merged and merged[-1].action is relation.action:
            merged[-1].flags |= relation.flags
            merged[-1].graphed = merged[-1].graphed or relation.graphed
        else:
            relation.graphed = False
            merged.append(relation)
    action.before = merged


def _tag(action: Action) -> str:
    if action.task == "stonith":
        return "pseudo_event" if action.has(PSEUDO) else "crm_event"
    if action.task in ("do_shutdown", "clear_failcount", "lrm_delete"):
        return "crm_event"
    return "pseudo_event" if action.has(PSEUDO) else "rsc_op"


def _identity(action: Action) -> tuple[str, str, str]:
    """(the element's name, what is written before its number, the attributes behind it by which it is known).

    Its place is noted in its meta, too.
    """
    tag = _tag(action)
    lead = f'<{tag} mode="cib" id="' if action.task == "lrm_delete" else f'<{tag} id="'
    attributes: dict[str, str] = {"operation": action.task}
    resource = action.resource
    if resource is not None and resource.history_id is not None:
        attributes["operation_key"] = _history_key(action, resource.history_id)
        attributes["internal_operation_key"] = action.uuid
    else:
        attributes["operation_key"] = action.uuid
    node = action.node
    if node is not None and (tag != "pseudo_event" or action.task == "stonith"):
        attributes["on_node"] = node.name
        attributes["on_node_uuid"] = node.id
        router = router_of(action)
        if router is not None:
            attributes["router_node"] = router.name
        action.meta["on_node"] = node.name
        action.meta["on_node_uuid"] = node.id
    return tag, lead, '"' + _attributes(attributes)


def _history_key(action: Action, history_id: str) -> str:
    if action.task == "notify":
        return notify_key(history_id, action.meta.get("notify_type"), action.meta.get("notify_operation"))
    return operation_key(history_id, action.cancel_task or action.task, action.interval_ms)


def _locks(action: Action, resource: Resource) -> bool:
    if resource.lock_node is None or action.node is not resource.lock_node:
        return False
    # On the way down only the stop carries the lock; on the way up, the start.
    return not (resource.lock_node.shutdown and action.task != "stop")


def _resource_identity(resource: Resource) -> dict[str, str]:
    attributes: dict[str, str] = {}
    if resource.removed and resource.history_id is not None:
        attributes["id"] = resource.history_id
        attributes["long-id"] = resource.id
    elif not resource.unique:
        attributes["id"] = resource.xml_id
        other = resource.history_id
        attributes["long-id"] = other if other is not None and other != resource.xml_id else resource.id
    else:
        attributes["id"] = resource.id
    for name in ("class", "provider", "type"):
        value = resource.meta.get(name)
        if value is not None:
            attributes[name] = value
    return attributes


def write_graph(cluster: Cluster) -> tuple[str, list[Written]]:
    """(the start tag without its bracket, the synapses in order) of a cluster that was decided."""
    writer = GraphWriter(cluster)
    head = writer.head()
    return head, writer.write()
